# What a model makes of a split: embeddings, maps, codes and layer features; and the raw log-mel features.


rule encode_embeddings:
    input:
        model=plan.root / "{lineage}/model/model.json",
        weights=ancient(plan.root / "{lineage}/model/model.safetensors"),
        data=lambda wildcards: ancient(plan.stores(wildcards.split)),
        data_digest=lambda wildcards: plan.store_digests(wildcards.split),
    output:
        embeddings=plan.root / "{lineage}/embeddings/{split}.h5",
        embeddings_digest=plan.root / "{lineage}/embeddings/{split}.h5.sha256",
    log:
        plan.root / "logs/encode_embeddings/{lineage}/{split}.log",
    benchmark:
        plan.root / "benchmarks/encode_embeddings/{lineage}/{split}.tsv"
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        gpu=min(1, settings.training.gpus),
    params:
        data=lambda wildcards: plan.store(wildcards.split),
        recipe=plan.encoding_recipe(),
        code=fingerprint("encode.split"),
    shell:
        "python -m resdavenet_vq encode-embeddings --model $(dirname {input.model:q}) --data {params.data:q}"
        " --recipe {params.recipe:q} --out {output.embeddings:q} 2> {log:q}"


rule encode_maps:
    input:
        model=plan.root / "{lineage}/model/model.json",
        weights=ancient(plan.root / "{lineage}/model/model.safetensors"),
        data=lambda wildcards: ancient(plan.stores(wildcards.split)),
        data_digest=lambda wildcards: plan.store_digests(wildcards.split),
    output:
        maps=plan.root / "{lineage}/maps/{split}.h5",
        maps_digest=plan.root / "{lineage}/maps/{split}.h5.sha256",
    log:
        plan.root / "logs/encode_maps/{lineage}/{split}.log",
    benchmark:
        plan.root / "benchmarks/encode_maps/{lineage}/{split}.tsv"
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        gpu=min(1, settings.training.gpus),
    params:
        data=lambda wildcards: plan.store(wildcards.split),
        recipe=plan.encoding_recipe(),
        code=fingerprint("encode.split"),
    shell:
        "python -m resdavenet_vq encode-maps --model $(dirname {input.model:q}) --data {params.data:q}"
        " --recipe {params.recipe:q} --out {output.maps:q} 2> {log:q}"


rule encode_codes:
    input:
        model=plan.root / "{lineage}/model/model.json",
        weights=ancient(plan.root / "{lineage}/model/model.safetensors"),
        data=lambda wildcards: ancient(plan.stores(wildcards.split)),
        data_digest=lambda wildcards: plan.store_digests(wildcards.split),
    output:
        codes=plan.root / "{lineage}/codes/{split}.h5",
        codes_digest=plan.root / "{lineage}/codes/{split}.h5.sha256",
    log:
        plan.root / "logs/encode_codes/{lineage}/{split}.log",
    benchmark:
        plan.root / "benchmarks/encode_codes/{lineage}/{split}.tsv"
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        gpu=min(1, settings.training.gpus),
    params:
        data=lambda wildcards: plan.store(wildcards.split),
        limit=lambda wildcards: plan.code_limit(wildcards.split),
        recipe=plan.encoding_recipe(),
        code=fingerprint("encode.split"),
    shell:
        "python -m resdavenet_vq encode-codes --model $(dirname {input.model:q}) --data {params.data:q}"
        " --limit {params.limit} --recipe {params.recipe:q} --out {output.codes:q} 2> {log:q}"


rule encode_features:
    input:
        model=plan.root / "{lineage}/model/model.json",
        weights=ancient(plan.root / "{lineage}/model/model.safetensors"),
        data=lambda wildcards: ancient(plan.stores(wildcards.split)),
        data_digest=lambda wildcards: plan.store_digests(wildcards.split),
    output:
        features=plan.root / "{lineage}/features/{split}.h5",
        features_digest=plan.root / "{lineage}/features/{split}.h5.sha256",
    log:
        plan.root / "logs/encode_features/{lineage}/{split}.log",
    benchmark:
        plan.root / "benchmarks/encode_features/{lineage}/{split}.tsv"
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        gpu=min(1, settings.training.gpus),
    params:
        data=lambda wildcards: plan.store(wildcards.split),
        layers=lambda wildcards: ",".join(plan.abx_layers(Lineage.from_folder(wildcards.lineage))),
        code=fingerprint("encode.split"),
    shell:
        "python -m resdavenet_vq encode-features --model $(dirname {input.model:q}) --data {params.data:q}"
        " --layers {params.layers} --out {output.features:q} 2> {log:q}"


rule encode_logmel:
    input:
        data=lambda wildcards: ancient(plan.stores(wildcards.split)),
        data_digest=lambda wildcards: plan.store_digests(wildcards.split),
    output:
        features=plan.root / "baseline/features/{split}.h5",
        features_digest=plan.root / "baseline/features/{split}.h5.sha256",
    log:
        plan.root / "logs/encode_logmel/{split}.log",
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        data=lambda wildcards: plan.store(wildcards.split),
        code=fingerprint("encode.split"),
    shell:
        "python -m resdavenet_vq encode-logmel --data {params.data:q} --out {output.features:q} 2> {log:q}"
