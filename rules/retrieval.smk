# Cross-modal retrieval: encode a split's images and captions, then rank each against the other.


rule encode_embeddings:
    input:
        model=plan.root / "{lineage}/model/model.json",
        weights=plan.root / "{lineage}/model/model.safetensors",
        data=plan.root / "data/{split}.h5",
    output:
        plan.root / "{lineage}/embeddings/{split}.h5",
    log:
        plan.root / "logs/encode_embeddings/{lineage}/{split}.log",
    benchmark:
        plan.root / "benchmarks/encode_embeddings/{lineage}/{split}.tsv"
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        gpu=min(1, settings.training.gpus),
    params:
        recipe=plan.encoding_recipe(),
        code=fingerprint("encode.split"),
    shell:
        "python -m resdavenet_vq encode-embeddings --model $(dirname {input.model}) --data {input.data}"
        " --recipe {params.recipe:q} --out {output} 2> {log}"


rule score_retrieval:
    input:
        plan.root / "{lineage}/embeddings" / f"{settings.retrieval.split}.h5",
    output:
        plan.root / "{lineage}/retrieval.json",
    log:
        plan.root / "logs/score_retrieval/{lineage}.log",
    benchmark:
        plan.root / "benchmarks/score_retrieval/{lineage}.tsv"
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        settings=as_json(settings.retrieval, exclude=("similarities",)),
        code=fingerprint("evaluation.retrieval_files"),
    shell:
        "python -m resdavenet_vq score-retrieval --embeddings {input} --lineage {wildcards.lineage:q}"
        " --settings {params.settings:q} --out {output} 2> {log}"


rule encode_maps:
    input:
        model=plan.root / "{lineage}/model/model.json",
        weights=plan.root / "{lineage}/model/model.safetensors",
        data=plan.root / "data/{split}.h5",
    output:
        plan.root / "{lineage}/maps/{split}.h5",
    log:
        plan.root / "logs/encode_maps/{lineage}/{split}.log",
    benchmark:
        plan.root / "benchmarks/encode_maps/{lineage}/{split}.tsv"
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        gpu=min(1, settings.training.gpus),
    params:
        recipe=plan.encoding_recipe(),
        code=fingerprint("encode.split"),
    shell:
        "python -m resdavenet_vq encode-maps --model $(dirname {input.model}) --data {input.data}"
        " --recipe {params.recipe:q} --out {output} 2> {log}"


rule score_matchmap:
    input:
        plan.root / "{lineage}/maps" / f"{settings.retrieval.split}.h5",
    output:
        plan.root / "{lineage}/matchmap/{similarity}.json",
    log:
        plan.root / "logs/score_matchmap/{lineage}/{similarity}.log",
    benchmark:
        plan.root / "benchmarks/score_matchmap/{lineage}/{similarity}.tsv"
    wildcard_constraints:
        similarity="[sm]i[sm]a",
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        settings=as_json(settings.retrieval, exclude=("similarities",)),
        code=fingerprint("evaluation.matchmap"),
    shell:
        "python -m resdavenet_vq score-matchmap --maps {input} --similarity {wildcards.similarity} --lineage {wildcards.lineage:q}"
        " --settings {params.settings:q} --out {output} 2> {log}"


rule retrieval:
    input:
        plan.retrieval,
        plan.matchmaps,
    localrule: True
