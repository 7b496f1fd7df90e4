# From wav and image files to one HDF5 store a split.


rule prepare:
    input:
        lambda wildcards: plan.corpus_files(wildcards.split),
    output:
        store=plan.root / "data/{split}.h5",
        digest=plan.root / "data/{split}.h5.sha256",
        report=plan.root / "data/{split}.report.json",
    log:
        plan.root / "logs/prepare/{split}.log",
    benchmark:
        plan.root / "benchmarks/prepare/{split}.tsv"
    wildcard_constraints:
        split=any_of(settings.corpus.splits),
    conda:
        "../envs/resdavenet-vq.yaml"
    threads: workflow.cores
    params:
        corpus=lambda wildcards: plan.import_options(wildcards.split),
        settings=lambda wildcards: plan.preparation(wildcards.split),
        code=lambda wildcards: " ".join(map(fingerprint, ("data.preparation", *plan.import_code(wildcards.split)))),
    shell:
        "python -m resdavenet_vq prepare --corpus {params.corpus:q} --split {wildcards.split} --settings {params.settings:q}"
        " --workers {threads} --out {output.store} --report {output.report} 2> {log}"


