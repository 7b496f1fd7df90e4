# One stage of a lineage, from its parent's best checkpoint. The chain of stages is the longest of the run, so it and what it needs go
# first (priority), and evaluations fill the other cores.


rule train:
    input:
        lambda wildcards: no_record_contradicts(),
        lambda wildcards: preflight.training(wildcards.lineage),
        data=ancient(plan.splits.stores(settings.training.split)),
        data_digest=plan.splits.store_digests(settings.training.split),
        validation=ancient(plan.splits.stores(settings.training.validation_split)),
        validation_digest=plan.splits.store_digests(settings.training.validation_split),
        parent=lambda wildcards: plan.trainings.parent_files(wildcards.lineage)[:1],
        parent_weights=lambda wildcards: ancient(plan.trainings.parent_files(wildcards.lineage)[1:]),
        image_weights=lambda wildcards: ancient(plan.trainings.image_weights(wildcards.lineage)),
    output:
        model=plan.root / "{lineage}/model/model.json",
        weights=plan.root / "{lineage}/model/model.safetensors",
        history=plan.root / "{lineage}/model/history.csv",
    log:
        plan.root / "logs/train/{lineage}.log",
    benchmark:
        plan.root / "benchmarks/train/{lineage}.tsv"
    wildcard_constraints:
        lineage=any_of(plan.trained),
    priority: 1
    conda:
        "../envs/resdavenet-vq.yaml"
    threads: settings.training.threads
    resources:
        gpu=settings.training.gpus,
    params:
        data=lambda wildcards: plan.splits.store(settings.training.split),
        validation=lambda wildcards: plan.splits.store(settings.training.validation_split),
        parent=lambda wildcards: plan.trainings.parent_option(wildcards.lineage),
        model=as_json(settings.model),
        training=lambda wildcards: plan.trainings.settings(wildcards.lineage),
        recipe=lambda wildcards: plan.trainings.recipe(wildcards.lineage),
        image_weights=lambda wildcards: plan.splits.digests.of(plan.trainings.image_weights(wildcards.lineage)),
        state=lambda wildcards: plan.root / "state" / wildcards.lineage,
        code=fingerprint("training.train"),
        # How many processes train and read is no reason to train again: Snakemake records no parameter that takes resources.
        launcher=lambda wildcards, resources: launcher(resources),
        workers=lambda wildcards, resources: settings.training.workers,
    shell:
        "{params.launcher:q} -m resdavenet_vq train --lineage {wildcards.lineage:q} --data {params.data:q}"
        " --validation {params.validation:q} {params.parent:q} --model {params.model:q} --training {params.training:q}"
        " --recipe {params.recipe:q} --code {params.code:q} --workers {params.workers:q} --threads {threads:q}"
        ' --state {params.state:q} --out "$(dirname {output.model:q})" 2> {log:q}'


rule models:
    input:
        lambda wildcards: plan.target("models"),
    localrule: True
