# From wav and image files to one HDF5 store a split.


rule prepare:
    input:
        lambda wildcards: plan.manifest(wildcards.split),
    output:
        store=plan.root / "data/{split}.h5",
        report=plan.root / "data/{split}.report.json",
    log:
        plan.root / "logs/prepare/{split}.log",
    benchmark:
        plan.root / "benchmarks/prepare/{split}.tsv"
    conda:
        "../envs/resdavenet-vq.yaml"
    threads: 64
    resources:
        mem_mb=8000,
        runtime="12h",
    params:
        corpus=plan.import_options(),
        settings=as_json(settings.preparation),
        code=fingerprint("data.preparation"),
    shell:
        "python -m resdavenet_vq prepare --manifest {input} --corpus {params.corpus:q} --settings {params.settings:q}"
        " --workers {threads} --out {output.store} --report {output.report} 2> {log}"
