# One stage of a lineage, from its parent's best checkpoint.


rule train:
    input:
        data=plan.root / f"data/{settings.training.split}.h5",
        validation=plan.root / f"data/{settings.training.validation_split}.h5",
        parent=lambda wildcards: plan.parent(wildcards.lineage),
        image_weights=lambda wildcards: plan.image_weights(wildcards.lineage),
    output:
        weights=plan.root / "{lineage}/model/model.safetensors",
        card=plan.root / "{lineage}/model/model.json",
        history=plan.root / "{lineage}/model/history.csv",
    log:
        plan.root / "logs/train/{lineage}.log",
    benchmark:
        plan.root / "benchmarks/train/{lineage}.tsv"
    wildcard_constraints:
        lineage=plan.trained_pattern,
    conda:
        "../envs/resdavenet-vq.yaml"
    threads: settings.training.threads
    resources:
        gpu=settings.training.gpus,
        mem_mb=16000,
        runtime="7d",
    params:
        lineage=lambda wildcards: wildcards.lineage,
        model=as_json(settings.model),
        training=lambda wildcards: plan.training(wildcards.lineage),
        recipe=lambda wildcards: plan.training_recipe(wildcards.lineage),
        code=fingerprint("training.train"),
        # what follows takes threads, resources or input, and is therefore no reason to train again
        launcher=lambda wildcards, resources: launcher(resources),
        workers=lambda wildcards, threads: settings.training.workers,
        state=lambda wildcards, threads: plan.root / "state" / wildcards.lineage,
        parent=lambda wildcards, input: f"--parent {input.parent}" if input.parent else "",
    shell:
        "{params.launcher} -m resdavenet_vq train --lineage {params.lineage:q} --data {input.data} --validation {input.validation}"
        " {params.parent} --model {params.model:q} --training {params.training:q} --recipe {params.recipe:q}"
        " --code {params.code:q} --workers {params.workers} --threads {threads} --state {params.state} --out $(dirname {output.card}) 2> {log}"


rule models:
    input:
        plan.models,
    localrule: True
