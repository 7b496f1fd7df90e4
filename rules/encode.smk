# What a model makes of a split: embeddings, maps, codes and layer features; and log-mel features, raw and normalized.


rule encode_embeddings:
    input:
        model=plan.root / "{lineage}/model/model.json",
        weights=ancient(plan.root / "{lineage}/model/model.safetensors"),
        data=lambda wildcards: ancient(plan.splits.stores(wildcards.split)),
        data_digest=lambda wildcards: plan.splits.store_digests(wildcards.split),
    output:
        file=plan.root / "{lineage}/embeddings/{split}.h5",
        digest=plan.root / "{lineage}/embeddings/{split}.h5.sha256",
    log:
        plan.root / "logs/encode_embeddings/{lineage}/{split}.log",
    benchmark:
        plan.root / "benchmarks/encode_embeddings/{lineage}/{split}.tsv"
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        gpu=min(1, settings.training.gpus),
    params:
        command="encode-embeddings",
        data=lambda wildcards: plan.splits.store(wildcards.split),
        options=lambda wildcards: ["--recipe", plan.encoding_recipe(wildcards.split)],
        code=fingerprint("encode.split"),
        launcher=lambda wildcards, resources: launcher(resources),
    shell:
        '{params.launcher:q} -m resdavenet_vq {params.command:q} --model "$(dirname {input.model:q})" --data {params.data:q}'
        " {params.options:q} --out {output.file:q} 2> {log:q}"


use rule encode_embeddings as encode_maps with:
    output:
        file=plan.root / "{lineage}/maps/{split}.h5",
        digest=plan.root / "{lineage}/maps/{split}.h5.sha256",
    log:
        plan.root / "logs/encode_maps/{lineage}/{split}.log",
    benchmark:
        plan.root / "benchmarks/encode_maps/{lineage}/{split}.tsv"
    params:
        command="encode-maps",


use rule encode_embeddings as encode_codes with:
    output:
        file=plan.root / "{lineage}/codes/{split}.h5",
        digest=plan.root / "{lineage}/codes/{split}.h5.sha256",
    log:
        plan.root / "logs/encode_codes/{lineage}/{split}.log",
    benchmark:
        plan.root / "benchmarks/encode_codes/{lineage}/{split}.tsv"
    params:
        command="encode-codes",
        options=lambda wildcards: [
            *("--limit", plan.code_limit(wildcards.split)),
            *("--recipe", plan.encoding_recipe(wildcards.split)),
        ],


use rule encode_embeddings as encode_features with:
    output:
        file=plan.root / "{lineage}/features/{split}.h5",
        digest=plan.root / "{lineage}/features/{split}.h5.sha256",
    log:
        plan.root / "logs/encode_features/{lineage}/{split}.log",
    benchmark:
        plan.root / "benchmarks/encode_features/{lineage}/{split}.tsv"
    wildcard_constraints:
        lineage=any_of([*plan.trained, *plan.released, UNTRAINED]),
    params:
        command="encode-features",
        options=lambda wildcards: ["--layers", ",".join(plan.abx_layers(system(wildcards.lineage)))],


rule encode_logmel:
    input:
        data=lambda wildcards: ancient(plan.splits.stores(wildcards.split)),
        data_digest=lambda wildcards: plan.splits.store_digests(wildcards.split),
    output:
        features=plan.root / "{baseline}/features/{split}.h5",
        features_digest=plan.root / "{baseline}/features/{split}.h5.sha256",
    log:
        plan.root / "logs/encode_logmel/{baseline}/{split}.log",
    wildcard_constraints:
        baseline=any_of([RAW, NORMALIZED]),
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        data=lambda wildcards: plan.splits.store(wildcards.split),
        normalized=lambda wildcards: ["--normalized"] if wildcards.baseline == NORMALIZED else [],
        code=fingerprint("encode.logmel"),
    shell:
        "python -m resdavenet_vq encode-logmel --data {params.data:q} {params.normalized:q}"
        " --out {output.features:q} 2> {log:q}"
