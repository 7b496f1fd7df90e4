# ZeroSpeech ABX: dump a split's features, make its items where it has none, score error and bitrate of a layer, pack a submission.


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
    params:
        layers=lambda wildcards: ",".join(plan.abx_layers(Lineage.from_folder(wildcards.lineage))),
        code=fingerprint("encode.split"),
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
    params:
        code=fingerprint("encode.split"),
    shell:
        "python -m resdavenet_vq encode-logmel --data {input} --out {output} 2> {log}"


rule make_items:
    input:
        plan.root / "data/{split}.h5",
    output:
        item=plan.root / "items/{split}.item",
        report=plan.root / "items/{split}.report.json",
    log:
        plan.root / "logs/make_items/{split}.log",
    benchmark:
        plan.root / "benchmarks/make_items/{split}.tsv"
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        settings=as_json(settings.abx.items),
        code=fingerprint("evaluation.abx.item_making"),
    shell:
        "python -m resdavenet_vq make-items --data {input} --settings {params.settings:q}"
        " --out {output.item} --report {output.report} 2> {log}"


rule score_abx:
    input:
        features=plan.root / "{folder}/features/{split}.h5",
        item=lambda wildcards: plan.items(wildcards.split),
    output:
        score=plan.root / "{folder}/abx/{split}/{layer}.json",
        tables=multiext(str(plan.root / "{folder}/abx/{split}/{layer}"), ".phones.csv", ".speakers.csv"),
    log:
        plan.root / "logs/score_abx/{folder}/{split}/{layer}.log",
    benchmark:
        plan.root / "benchmarks/score_abx/{folder}/{split}/{layer}.tsv"
    wildcard_constraints:
        folder=plan.scored_pattern,
        layer=r"logmel|(conv|quant|onehot|segment)[1-5]",
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        settings=as_json(settings.abx.scoring),
        period=plan.slowest_abx_period,
        code=fingerprint("evaluation.abx.score"),
    shell:
        "python -m resdavenet_vq score-abx --features {input.features} --items {input.item} --layer {wildcards.layer}"
        " --lineage {wildcards.folder:q} --split {wildcards.split} --slowest-period {params.period}"
        " --settings {params.settings:q} --out {output.score} 2> {log}"


rule pack_submission:
    input:
        plan.root / "{lineage}/features/{split}.h5",
    output:
        plan.root / "{lineage}/abx/{split}/{layer}{edition}.zip",
    log:
        plan.root / "logs/pack_submission/{lineage}/{split}/{layer}{edition}.log",
    benchmark:
        plan.root / "benchmarks/pack_submission/{lineage}/{split}/{layer}{edition}.tsv"
    wildcard_constraints:
        edition=EDITION_PATTERN,
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        edition=lambda wildcards: plan.edition(wildcards.edition),
        settings=lambda wildcards: plan.submission(wildcards.edition),
        code=fingerprint("zerospeech.submission"),
    shell:
        "python -m resdavenet_vq pack-submission --features {input} --layer {wildcards.layer} --edition {params.edition} --split {wildcards.split}"
        " --lineage {wildcards.lineage:q} --settings {params.settings:q} --out {output} 2> {log}"


rule abx:
    input:
        plan.abx,
        plan.submissions,
    localrule: True
