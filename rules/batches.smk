# What encodes and scores: a rule for each set of results that jobs make together, and the targets of evaluations. A job
# runs the commands that workflow/tasks.py has, one after the other in one process, and its log shows them; workflow/batches.py
# says what belongs together. Results whose inputs, settings and code are as before stay as they are.

from resdavenet_vq.workflow.batches import Batches

batches = Batches(plan)

# Profiles name what a rule does; each of its rules is meant.
for batch in batches.all:
    resources_of = workflow.resource_settings._parsed_overwrite_resources
    if batch.family in resources_of:
        resources_of.setdefault(batch.name, resources_of[batch.family])

    rule:
        name:
            batch.name
        input:
            batch.checks,
            inputs=batch.inputs,
            data=lambda wildcards, batch=batch: ancient(batch.data(wildcards)),
        output:
            batch.outputs,
        log:
            plan.root / f"logs/{batch.label}.log",
        benchmark:
            plan.root / f"benchmarks/{batch.label}.tsv"
        wildcard_constraints:
            **batch.wildcards,
        conda:
            "../envs/resdavenet-vq.yaml"
        resources:
            gpu=batch.gpus,
        params:
            options=batch.settings,
            contents=batch.contents,
            code=batch.code,
            # Snakemake records no parameter that takes resources.
            launcher=lambda wildcards, resources: launcher(resources),
            name=lambda wildcards, resources, batch=batch: batch.name,
            config=lambda wildcards, resources: as_json(settings),
            wildcards=lambda wildcards, resources: json.dumps(dict(wildcards)),
        shell:
            "{params.launcher:q} -m resdavenet_vq batch {params.name:q} --wildcards {params.wildcards:q} --config {params.config:q} 2> {log:q}"


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


rule retrieval:
    input:
        lambda wildcards: plan.target("retrieval"),
    localrule: True


rule abx:
    input:
        lambda wildcards: plan.target("abx"),
    localrule: True


rule words:
    input:
        lambda wildcards: plan.target("words"),
    localrule: True
