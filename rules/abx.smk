# ZeroSpeech ABX: dump a split's features, then score error and bitrate of a layer, and pack a submission.


rule encode_features:
    input:
        model=plan.root / "{lineage}/model/model.json",
        weights=plan.root / "{lineage}/model/model.safetensors",
        data=plan.root / "data/{split}.h5",
    output:
        plan.root / "{lineage}/features/{split}.h5",
    log:
        plan.root / "logs/encode_features/{lineage}/{split}.log",
    benchmark:
        plan.root / "benchmarks/encode_features/{lineage}/{split}.tsv"
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        gpu=min(1, settings.training.gpus),
        mem_mb=8000,
        runtime="4h",
    params:
        layers=lambda wildcards: ",".join(plan.abx_layers(stage.Lineage.from_folder(wildcards.lineage))),
        code=fingerprint("evaluation.encode"),
    shell:
        "python -m resdavenet_vq encode-features --model $(dirname {input.model}) --data {input.data}"
        " --layers {params.layers} --out {output} 2> {log}"


rule encode_logmel:
    input:
        plan.root / "data/{split}.h5",
    output:
        plan.root / "baseline/features/{split}.h5",
    log:
        plan.root / "logs/encode_logmel/{split}.log",
    benchmark:
        plan.root / "benchmarks/encode_logmel/{split}.tsv"
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        mem_mb=2000,
        runtime="1h",
    params:
        code=fingerprint("evaluation.encode"),
    shell:
        "python -m resdavenet_vq encode-logmel --data {input} --out {output} 2> {log}"


rule score_abx:
    input:
        features=plan.root / "{folder}/features/{split}.h5",
        item=lambda wildcards: plan.items(wildcards.split),
    output:
        plan.root / "{folder}/abx/{split}/{layer}.json",
    log:
        plan.root / "logs/score_abx/{folder}/{split}/{layer}.log",
    benchmark:
        plan.root / "benchmarks/score_abx/{folder}/{split}/{layer}.tsv"
    wildcard_constraints:
        folder=rf"baseline|{stage.FOLDER_PATTERN}",
        layer=r"logmel|(conv|quant)[1-5]",
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        mem_mb=8000,
        runtime="6h",
    params:
        settings=as_json(settings.abx.scoring),
        period=plan.slowest_abx_period,
        lineage=lambda wildcards: plan.notation(wildcards.folder),
        code=fingerprint("evaluation.abx"),
    shell:
        "python -m resdavenet_vq score-abx --features {input.features} --items {input.item} --layer {wildcards.layer}"
        " --lineage {params.lineage:q} --split {wildcards.split} --slowest-period {params.period}"
        " --settings {params.settings:q} --out {output} 2> {log}"


rule pack_submission:
    input:
        plan.root / "{lineage}/features/{split}.h5",
    output:
        plan.root / "{lineage}/abx/{split}/{layer}.zip",
    log:
        plan.root / "logs/pack_submission/{lineage}/{split}/{layer}.log",
    benchmark:
        plan.root / "benchmarks/pack_submission/{lineage}/{split}/{layer}.tsv"
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        mem_mb=2000,
        runtime="2h",
    params:
        settings=as_json(settings.abx.submission),
        lineage=lambda wildcards: str(stage.Lineage.from_folder(wildcards.lineage)),
        code=fingerprint("evaluation.zerospeech"),
    shell:
        "python -m resdavenet_vq pack-submission --features {input} --layer {wildcards.layer}"
        " --lineage {params.lineage:q} --settings {params.settings:q} --out {output} 2> {log}"


rule abx:
    input:
        plan.abx,
        plan.submissions,
    localrule: True
