# Models of the 2020 release, where the configuration names them: imported instead of trained.


rule import_released:
    input:
        lambda wildcards: no_record_contradicts(),
        lambda wildcards: preflight.released(wildcards.lineage),
        lambda wildcards: ancient(str(plan.trainings.released[wildcards.lineage])),
    output:
        model=plan.root / "{lineage}/model/model.json",
        weights=plan.root / "{lineage}/model/model.safetensors",
        history=plan.root / "{lineage}/model/history.csv",
    log:
        plan.root / "logs/import_released/{lineage}.log",
    wildcard_constraints:
        lineage=any_of(plan.trainings.released),
    priority: 1
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        path=lambda wildcards: str(plan.trainings.released[wildcards.lineage]),
        contents=lambda wildcards: plan.trainings.released_contents(wildcards.lineage),
        code=fingerprint("release.importing"),
    shell:
        # Snakemake removes the files of an earlier model, but the card beside them, which is no output.
        "python -m resdavenet_vq import-released --overwrite --lineage {wildcards.lineage:q}"
        ' --out "$(dirname {output.model:q})" -- {params.path:q} 2> {log:q}'
