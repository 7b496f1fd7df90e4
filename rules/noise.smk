# Robustness to noise: noisy copies of the evaluation splits, encoded and scored by the same rules, and one table.

from resdavenet_vq.workflow.noise import NoisePlan

noise = NoisePlan(plan)


rule prepare_noisy:
    input:
        files=lambda wildcards: ancient(noise.files(wildcards.split)),
        digests=lambda wildcards: plan.corpus_digests(noise.copies[wildcards.split].split),
    output:
        store=plan.root / "data/{split}.h5",
        digest=plan.root / "data/{split}.h5.sha256",
        report=plan.root / "data/{split}.report.json",
    log:
        plan.root / "logs/prepare_noisy/{split}.log",
    benchmark:
        plan.root / "benchmarks/prepare_noisy/{split}.tsv"
    wildcard_constraints:
        split=noise.pattern,
    conda:
        "../envs/resdavenet-vq.yaml"
    threads: 64
    resources:
        mem_mb=growing(8000),
        runtime=growing("12h"),
    params:
        clean=lambda wildcards: noise.copies[wildcards.split].split,
        corpus=lambda wildcards: plan.import_options(noise.copies[wildcards.split].split),
        contents=lambda wildcards: noise.contents(wildcards.split),
        noise=lambda wildcards: noise.added(wildcards.split),
        settings=lambda wildcards: noise.preparation(wildcards.split),
        code=lambda wildcards: " ".join(
            map(fingerprint, ("data.noise", *plan.import_code(noise.copies[wildcards.split].split)))
        ),
    shell:
        "python -m resdavenet_vq prepare-noisy --corpus {params.corpus:q} --split {params.clean:q} --noise {params.noise:q}"
        " --settings {params.settings:q} --workers {threads} --out {output.store:q} --report {output.report:q} 2> {log:q}"


use rule score_retrieval as score_noisy_retrieval with:
    input:
        plan.root / "{lineage}/embeddings/{split}.h5",
    output:
        plan.root / "{lineage}/noise/{split}/retrieval.json",
    log:
        plan.root / "logs/score_noisy_retrieval/{lineage}/{split}.log",
    benchmark:
        plan.root / "benchmarks/score_noisy_retrieval/{lineage}/{split}.tsv"
    wildcard_constraints:
        split=noise.pattern,
    params:
        settings=lambda wildcards: noise.retrieval(wildcards.split),
        lineage=lambda wildcards: str(stage.Lineage.from_folder(wildcards.lineage)),
        code=fingerprint("evaluation.retrieval_files"),


use rule score_abx as score_noisy_abx with:
    input:
        features=plan.root / "{folder}/features/{split}.h5",
        item=lambda wildcards: plan.items(noise.copies[wildcards.split].split),
    output:
        score=plan.root / "{folder}/noise/{split}/abx/{layer}.json",
        tables=multiext(str(plan.root / "{folder}/noise/{split}/abx/{layer}"), ".phones.csv", ".speakers.csv"),
    log:
        plan.root / "logs/score_noisy_abx/{folder}/{split}/{layer}.log",
    benchmark:
        plan.root / "benchmarks/score_noisy_abx/{folder}/{split}/{layer}.tsv"
    wildcard_constraints:
        split=noise.pattern,
        folder=rf"baseline|{stage.FOLDER_PATTERN}",
        layer=r"logmel|quant[1-5]",


use rule detect_words as detect_noisy_words with:
    input:
        codes=plan.root / "{lineage}/codes" / f"{settings.words.split}.h5",
        held_out=plan.root / "{lineage}/codes/{split}.h5",
    output:
        summary=plan.root / "{lineage}/noise/{split}/words/{layer}/summary.json",
        words=plan.root / "{lineage}/noise/{split}/words/{layer}/words.csv",
        codes=plan.root / "{lineage}/noise/{split}/words/{layer}/codes.csv",
    log:
        plan.root / "logs/detect_noisy_words/{lineage}/{split}/{layer}.log",
    benchmark:
        plan.root / "benchmarks/detect_noisy_words/{lineage}/{split}/{layer}.tsv"
    wildcard_constraints:
        split=noise.pattern,
    params:
        settings=lambda wildcards: noise.words(wildcards.split),
        recipe=as_json(settings.recipe, "frame_time"),
        lineage=lambda wildcards: str(stage.Lineage.from_folder(wildcards.lineage)),
        code=fingerprint("evaluation.words"),


rule summarise_noise:
    input:
        noise.scores,
    output:
        report(plan.root / "noise.csv", caption="captions/noise.rst", category="Scores", labels={"table": "with noise"}),
    log:
        plan.root / "logs/summarise_noise.log",
    benchmark:
        plan.root / "benchmarks/summarise_noise.tsv"
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing("10m"),
    params:
        conditions=noise.conditions,
        seeds=plan.seeds,
        code=fingerprint("evaluation.noise_table"),
    shell:
        "python -m resdavenet_vq summarise-noise {input:q} --conditions {params.conditions:q} --seeds {params.seeds:q} --out {output} 2> {log}"


rule noise:
    input:
        rules.summarise_noise.output,
    localrule: True
