# Baselines beside log-mel features (encode.smk): clusters of frames, and the network before training. See docs/baselines.md.

clusters = [baseline.folder for baseline in plan.references.baselines if baseline.is_kmeans]
encoded = [*settings.corpus.splits, *plan.splits.copies]


rule make_untrained:
    input:
        data=ancient(plan.splits.stores(settings.training.split)),
        data_digest=plan.splits.store_digests(settings.training.split),
    output:
        model=plan.root / UNTRAINED / "model/model.json",
        weights=plan.root / UNTRAINED / "model/model.safetensors",
    log:
        plan.root / "logs/make_untrained.log",
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        data=lambda wildcards: plan.splits.store(settings.training.split),
        audio=as_json(settings.model.audio),
        seed=settings.baselines.seed,
        code=fingerprint("encode.untrained"),
    shell:
        "python -m resdavenet_vq make-untrained --audio {params.audio:q} --data {params.data:q} --seed {params.seed:q}"
        ' --out "$(dirname {output.model:q})" 2> {log:q}'


# All layers of a baseline in one job: a pass over the training split serves them all.
rule fit_kmeans:
    input:
        data=ancient(plan.splits.stores(settings.training.split)),
        data_digest=plan.splits.store_digests(settings.training.split),
        model=lambda wildcards: plan.references.clustered_model(wildcards.baseline)[:1],
        weights=lambda wildcards: ancient(plan.references.clustered_model(wildcards.baseline)[1:]),
    output:
        clusters=plan.root / "{baseline}/kmeans.h5",
        digest=plan.root / "{baseline}/kmeans.h5.sha256",
    log:
        plan.root / "logs/fit_kmeans/{baseline}.log",
    benchmark:
        plan.root / "benchmarks/fit_kmeans/{baseline}.tsv"
    wildcard_constraints:
        baseline=any_of(clusters),
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        gpu=lambda wildcards: (
            min(1, settings.training.gpus) if plan.references.clustered_model(wildcards.baseline) else 0
        ),
    params:
        data=lambda wildcards: plan.splits.store(settings.training.split),
        model=lambda wildcards: plan.references.clustered_option(wildcards.baseline),
        layers=lambda wildcards: plan.references.cluster_sizes(wildcards.baseline),
        utterances=settings.baselines.utterances,
        seed=settings.baselines.seed,
        code=" ".join(map(fingerprint, ("encode.kmeans", "encode.logmel", "encode.activations"))),
        launcher=lambda wildcards, resources: launcher(resources),
    shell:
        "{params.launcher:q} -m resdavenet_vq fit-kmeans --system {wildcards.baseline:q} --data {params.data:q} {params.model:q}"
        " --layers {params.layers:q} --utterances {params.utterances:q} --seed {params.seed:q}"
        " --out {output.clusters:q} 2> {log:q}"


# The codes of any split; where ABX is scored, its features too.
rule encode_kmeans:
    input:
        clusters=plan.root / "{baseline}/kmeans.h5.sha256",
        file=ancient(plan.root / "{baseline}/kmeans.h5"),
        weights=lambda wildcards: ancient(plan.references.clustered_model(wildcards.baseline)),
        data=lambda wildcards: ancient(plan.splits.stores(wildcards.split)),
        data_digest=lambda wildcards: plan.splits.store_digests(wildcards.split),
    output:
        codes=plan.root / "{baseline}/codes/{split}.h5",
        codes_digest=plan.root / "{baseline}/codes/{split}.h5.sha256",
        features=plan.root / "{baseline}/features/{split}.h5",
        features_digest=plan.root / "{baseline}/features/{split}.h5.sha256",
    log:
        plan.root / "logs/encode_kmeans/{baseline}/{split}.log",
    benchmark:
        plan.root / "benchmarks/encode_kmeans/{baseline}/{split}.tsv"
    wildcard_constraints:
        baseline=any_of(clusters),
        split=any_of(split for split in encoded if split in settings.abx.splits),
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        gpu=lambda wildcards: (
            min(1, settings.training.gpus) if plan.references.clustered_model(wildcards.baseline) else 0
        ),
    params:
        data=lambda wildcards: plan.splits.store(wildcards.split),
        model=lambda wildcards: plan.references.clustered_option(wildcards.baseline),
        features=lambda wildcards: ["--features", plan.root / wildcards.baseline / f"features/{wildcards.split}.h5"],
        limit=lambda wildcards: plan.code_limit(wildcards.split),
        code=" ".join(map(fingerprint, ("encode.kmeans", "encode.logmel", "encode.activations"))),
        launcher=lambda wildcards, resources: launcher(resources),
    shell:
        "{params.launcher:q} -m resdavenet_vq encode-kmeans --clusters {input.file:q} --data {params.data:q} {params.model:q}"
        " --limit {params.limit:q} --codes {output.codes:q} {params.features:q} 2> {log:q}"


use rule encode_kmeans as encode_kmeans_codes with:
    output:
        codes=plan.root / "{baseline}/codes/{split}.h5",
        codes_digest=plan.root / "{baseline}/codes/{split}.h5.sha256",
    log:
        plan.root / "logs/encode_kmeans_codes/{baseline}/{split}.log",
    benchmark:
        plan.root / "benchmarks/encode_kmeans_codes/{baseline}/{split}.tsv"
    wildcard_constraints:
        baseline=any_of(clusters),
        split=any_of(split for split in encoded if split not in settings.abx.splits),
    params:
        features=[],
