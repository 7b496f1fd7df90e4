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
        mem_mb=8000,
        runtime="2h",
    params:
        recipe=plan.encoding_recipe(),
        code=fingerprint("evaluation.encode"),
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
    resources:
        mem_mb=4000,
        runtime="1h",
    params:
        settings=as_json(settings.retrieval),
        lineage=lambda wildcards: str(stage.Lineage.from_folder(wildcards.lineage)),
        code=fingerprint("evaluation.retrieval"),
    shell:
        "python -m resdavenet_vq score-retrieval --embeddings {input} --lineage {params.lineage:q}"
        " --settings {params.settings:q} --out {output} 2> {log}"


rule retrieval:
    input:
        plan.retrieval,
    localrule: True
