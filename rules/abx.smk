# ZeroSpeech ABX: make a split's items where it has none, score error and bitrate of a layer, pack a submission.


rule make_items:
    input:
        data=lambda wildcards: ancient(plan.splits.stores(wildcards.split)),
        data_digest=lambda wildcards: plan.splits.store_digests(wildcards.split),
    output:
        item=plan.root / "items/{split}{of}.item",
        digest=plan.root / "items/{split}{of}.item.sha256",
        report=plan.root / "items/{split}{of}.report.json",
    log:
        plan.root / "logs/make_items/{split}{of}.log",
    wildcard_constraints:
        split=any_of(settings.corpus.splits),
        of=ITEMS_PATTERN,
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        data=lambda wildcards: plan.splits.store(wildcards.split),
        of=lambda wildcards: plan.items_of(wildcards.of),
        settings=lambda wildcards: plan.items_settings(wildcards.of),
        code=fingerprint("evaluation.abx.items"),
    shell:
        "python -m resdavenet_vq make-items --data {params.data:q} --of {params.of:q} --settings {params.settings:q}"
        " --out {output.item:q} --report {output.report:q} 2> {log:q}"


rule score_abx:
    input:
        lambda wildcards: preflight.items(
            wildcards.folder, wildcards.split, wildcards.layer, plan.condition(wildcards.condition)
        ),
        features=ancient(plan.root / "{folder}/features/{split}.h5"),
        features_digest=plan.root / "{folder}/features/{split}.h5.sha256",
        item=lambda wildcards: ancient(plan.splits.items(wildcards.split, plan.condition(wildcards.condition))),
        item_digest=lambda wildcards: plan.splits.item_digests(wildcards.split, plan.condition(wildcards.condition)),
        item_report=lambda wildcards: plan.splits.item_report(wildcards.split, plan.condition(wildcards.condition)),
    output:
        score=plan.root / "{folder}/abx/{split}/{condition}{layer}.json",
        tables=multiext(
            str(plan.root / "{folder}/abx/{split}/{condition}{layer}"),
            ".phones.csv",
            ".speakers.csv",
            ".bootstrap.csv",
        ),
    log:
        plan.root / "logs/score_abx/{folder}/{split}/{condition}{layer}.log",
    benchmark:
        plan.root / "benchmarks/score_abx/{folder}/{split}/{condition}{layer}.tsv"
    wildcard_constraints:
        condition=CONDITION_PATTERN,
        folder=any_of([*plan.folders, *plan.trained, *plan.released]),
        layer=r"logmel|units|features|(conv|quant|onehot|segment)[1-5]",
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        condition=lambda wildcards: plan.condition(wildcards.condition),
        report=lambda wildcards, input: ["--items-report", *input.item_report] if input.item_report else [],
        contents=lambda wildcards: plan.splits.item_contents(wildcards.split, plan.condition(wildcards.condition)),
        settings=as_json(settings.abx.scoring),
        code=fingerprint("evaluation.abx.score"),
    shell:
        "python -m resdavenet_vq score-abx --features {input.features:q} --items {input.item:q} {params.report:q}"
        " --layer {wildcards.layer:q} --condition {params.condition:q} --lineage {wildcards.folder:q}"
        " --split {wildcards.split:q} --settings {params.settings:q} --out {output.score:q} 2> {log:q}"


rule pack_submission:
    input:
        features=ancient(plan.root / "{lineage}/features/{split}.h5"),
        features_digest=plan.root / "{lineage}/features/{split}.h5.sha256",
    output:
        plan.root / "{lineage}/abx/{split}/{layer}{edition}.zip",
    log:
        plan.root / "logs/pack_submission/{lineage}/{split}/{layer}{edition}.log",
    wildcard_constraints:
        edition=EDITION_PATTERN,
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        edition=lambda wildcards: plan.edition(wildcards.edition),
        settings=lambda wildcards: plan.submission(wildcards.edition),
        code=fingerprint("zerospeech.submission"),
    shell:
        "python -m resdavenet_vq pack-submission --features {input.features:q} --layer {wildcards.layer:q}"
        " --edition {params.edition:q} --split {wildcards.split:q} --lineage {wildcards.lineage:q}"
        " --settings {params.settings:q} --out {output:q} 2> {log:q}"


rule abx:
    input:
        lambda wildcards: plan.target("abx"),
    localrule: True
