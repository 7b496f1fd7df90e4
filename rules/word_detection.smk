# Words detected by single codes: encode utterances to codes, then match codes and words in time.


rule encode_codes:
    input:
        model=plan.root / "{lineage}/model/model.json",
        weights=plan.root / "{lineage}/model/model.safetensors",
        data=plan.root / "data/{split}.h5",
    output:
        plan.root / "{lineage}/codes/{split}.h5",
    log:
        plan.root / "logs/encode_codes/{lineage}/{split}.log",
    benchmark:
        plan.root / "benchmarks/encode_codes/{lineage}/{split}.tsv"
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        gpu=min(1, settings.training.gpus),
    params:
        limit=lambda wildcards: plan.code_limit(wildcards.split),
        recipe=plan.encoding_recipe(),
        code=fingerprint("encode.split"),
    shell:
        "python -m resdavenet_vq encode-codes --model $(dirname {input.model}) --data {input.data}"
        " --limit {params.limit} --recipe {params.recipe:q} --out {output} 2> {log}"


rule detect_words:
    input:
        codes=plan.root / "{lineage}/codes" / f"{settings.words.split}.h5",
        held_out=plan.root / "{lineage}/codes" / f"{settings.words.held_out_split}.h5",
    output:
        summary=plan.root / "{lineage}/words/{layer}/summary.json",
        words=plan.root / "{lineage}/words/{layer}/words.csv",
        codes=plan.root / "{lineage}/words/{layer}/codes.csv",
    log:
        plan.root / "logs/detect_words/{lineage}/{layer}.log",
    benchmark:
        plan.root / "benchmarks/detect_words/{lineage}/{layer}.tsv"
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        settings=as_json(settings.words, exclude=("max_utterances",)),
        recipe=as_json(settings.recipe, "frame_time"),
        code=fingerprint("evaluation.words"),
    shell:
        "python -m resdavenet_vq detect-words --codes {input.codes} --held-out {input.held_out} --layer {wildcards.layer}"
        " --lineage {wildcards.lineage:q} --settings {params.settings:q} --recipe {params.recipe:q}"
        " --out $(dirname {output.summary}) 2> {log}"


rule words:
    input:
        plan.words,
    localrule: True
