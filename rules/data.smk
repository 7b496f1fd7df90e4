# From wav and image files to one HDF5 store a split.


rule prepare:
    input:
        lambda wildcards: plan.corpus_files(wildcards.split),
    output:
        store=plan.root / "data/{split}.h5",
        report=plan.root / "data/{split}.report.json",
    log:
        plan.root / "logs/prepare/{split}.log",
    benchmark:
        plan.root / "benchmarks/prepare/{split}.tsv"
    wildcard_constraints:
        split=scatter.preparing.whole_pattern,
    conda:
        "../envs/resdavenet-vq.yaml"
    threads: 64
    resources:
        mem_mb=growing(8000),
        runtime=growing("12h"),
    params:
        corpus=lambda wildcards: plan.import_options(wildcards.split),
        settings=lambda wildcards: plan.preparation(wildcards.split),
        code=lambda wildcards: " ".join(map(fingerprint, ("data.preparation", *plan.import_code(wildcards.split)))),
    shell:
        "python -m resdavenet_vq prepare --corpus {params.corpus:q} --split {wildcards.split} --settings {params.settings:q}"
        " --workers {threads} --out {output.store} --report {output.report} 2> {log}"


# A split with preparation.shards: its rows are dealt, each shard is a job of its own, and a small store points to all.
# What `preparation.bad_rows` says decides no bytes of a shard, so it reaches the shards' jobs unrecorded.


checkpoint deal_rows:
    input:
        lambda wildcards: plan.corpus_files(wildcards.split),
    output:
        digests=plan.root / "data/{split}/rows.json",
        order=plan.root / "data/{split}/order.json",
    log:
        plan.root / "logs/deal_rows/{split}.log",
    benchmark:
        plan.root / "benchmarks/deal_rows/{split}.tsv"
    wildcard_constraints:
        split=scatter.preparing.pattern,
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        mem_mb=growing(8000),
        runtime=growing("1h"),
    params:
        corpus=lambda wildcards: plan.import_options(wildcards.split),
        shards=lambda wildcards: scatter.preparing.of(wildcards.split),
        reader=settings.preparation.reader,
        bad_rows=lambda wildcards, output: settings.preparation.bad_rows,
        code=lambda wildcards: " ".join(map(fingerprint, ("data.dealing", *plan.import_code(wildcards.split)))),
    shell:
        "python -m resdavenet_vq deal-rows --corpus {params.corpus:q} --split {wildcards.split} --shards {params.shards}"
        " --reader {params.reader} --bad-rows {params.bad_rows} --out $(dirname {output.digests}) 2> {log}"


rule prepare_shard:
    input:
        dealt=lambda wildcards: ancient(checkpoints.deal_rows.get(split=wildcards.split).output.digests),
    output:
        store=plan.root / "data/{split}/{shard}.h5",
        report=plan.root / "data/{split}/{shard}.report.json",
    log:
        plan.root / "logs/prepare_shard/{split}/{shard}.log",
    benchmark:
        plan.root / "benchmarks/prepare_shard/{split}/{shard}.tsv"
    wildcard_constraints:
        split=scatter.preparing.pattern,
        shard="[0-9]+",
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing("4h"),
    params:
        rows=lambda wildcards: scatter.preparing.digest(
            checkpoints.deal_rows.get(split=wildcards.split).output.digests, wildcards.shard
        ),
        settings=lambda wildcards: scatter.preparation(wildcards.split),
        bad_rows=lambda wildcards, output: settings.preparation.bad_rows,
        release=lambda wildcards: scatter.release(wildcards.split),
        media=lambda wildcards: scatter.media(wildcards.split),
        code=" ".join(map(fingerprint, ("data.preparation", *scatter.media_code))),
    shell:
        "python -m resdavenet_vq prepare-shard --rows $(dirname {input.dealt})/{wildcards.shard}.rows.json --digest {params.rows}"
        " --settings {params.settings:q} --bad-rows {params.bad_rows} {params.release} --workers {threads} --out {output.store}"
        " --report {output.report} 2> {log}"


rule gather_shards:
    input:
        dealt=lambda wildcards: ancient(checkpoints.deal_rows.get(split=wildcards.split).output.digests),
        shards=lambda wildcards: scatter.preparing.files(wildcards.split, ".h5"),
        reports=lambda wildcards: scatter.preparing.files(wildcards.split, ".report.json"),
    output:
        store=plan.root / "data/{split}.h5",
        report=plan.root / "data/{split}.report.json",
    log:
        plan.root / "logs/gather_shards/{split}.log",
    benchmark:
        plan.root / "benchmarks/gather_shards/{split}.tsv"
    wildcard_constraints:
        split=scatter.preparing.pattern,
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing("1h"),
    params:
        order=lambda wildcards: scatter.preparing.digest(
            checkpoints.deal_rows.get(split=wildcards.split).output.digests
        ),
        bad_rows=settings.preparation.bad_rows,
        # Whatever makes a shard stale makes this stale, so that a shard that failed is not forgotten for a store of earlier ones.
        settings=lambda wildcards: scatter.preparation(wildcards.split),
        media=lambda wildcards: scatter.media(wildcards.split),
        code=" ".join(map(fingerprint, ("data.gathering", *scatter.media_code))),
    shell:
        "python -m resdavenet_vq gather-shards --folder $(dirname {input.dealt}) --digest {params.order}"
        " --bad-rows {params.bad_rows} --out {output.store} --report {output.report} 2> {log}"
