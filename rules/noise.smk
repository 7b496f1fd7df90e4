# Robustness to noise: noisy copies of the evaluation splits, which the ordinary rules encode and score, and one table.

from resdavenet_vq.workflow.noise import NoisePlan

noise = NoisePlan(plan)


rule prepare_noisy:
    input:
        lambda wildcards: preflight.copy(wildcards.split),
        files=lambda wildcards: ancient(noise.files(wildcards.split)),
        digests=lambda wildcards: plan.splits.corpus_digests(plan.splits.copies[wildcards.split].split),
    output:
        store=plan.root / "data/{split}.h5",
        digest=plan.root / "data/{split}.h5.sha256",
        report=plan.root / "data/{split}.report.json",
    log:
        plan.root / "logs/prepare_noisy/{split}.log",
    benchmark:
        plan.root / "benchmarks/prepare_noisy/{split}.tsv"
    wildcard_constraints:
        split=any_of(plan.splits.copies),
    conda:
        "../envs/resdavenet-vq.yaml"
    threads: all_cores
    params:
        clean=lambda wildcards: plan.splits.copies[wildcards.split].split,
        corpus=lambda wildcards: plan.splits.import_options(plan.splits.copies[wildcards.split].split),
        contents=lambda wildcards: noise.contents(wildcards.split),
        noise=lambda wildcards: noise.added(wildcards.split),
        settings=lambda wildcards: noise.preparation(wildcards.split),
        code=lambda wildcards: " ".join(
            map(fingerprint, ("data.noise", *plan.splits.import_code(plan.splits.copies[wildcards.split].split)))
        ),
    shell:
        "python -m resdavenet_vq prepare-noisy --corpus {params.corpus:q} --split {params.clean:q}"
        " --noise {params.noise:q} --settings {params.settings:q} --workers {threads:q}"
        " --out {output.store:q} --report {output.report:q} 2> {log:q}"


rule summarize_noise:
    input:
        lambda wildcards: noise.target,
    output:
        report(plan.root / "noise.csv", caption="captions/noise.rst", category="Scores", labels={"table": "with noise"}),
    log:
        plan.root / "logs/summarize_noise.log",
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        corpus=settings.corpus.name,
        conditions=noise.conditions,
        seeds=plan.seeds,
        code=fingerprint("evaluation.score_files"),
    shell:
        "python -m resdavenet_vq summarize-noise {input:q} --corpus {params.corpus:q} --conditions {params.conditions:q}"
        " --seeds {params.seeds:q} --out {output:q} 2> {log:q}"


rule noise:
    input:
        rules.summarize_noise.output,
    localrule: True
