# Models of the 2020 release, where the configuration names them: imported instead of trained.


rule import_released:
    input:
        lambda wildcards: plan.released_files(wildcards.lineage),
    output:
        weights=plan.root / "{lineage}/model/model.safetensors",
        card=plan.root / "{lineage}/model/model.json",
        history=plan.root / "{lineage}/model/history.csv",
    log:
        plan.root / "logs/import_released/{lineage}.log",
    benchmark:
        plan.root / "benchmarks/import_released/{lineage}.tsv"
    wildcard_constraints:
        lineage=plan.released_pattern,
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing("1h"),
    params:
        path=lambda wildcards: plan.released[wildcards.lineage],
        lineage=lambda wildcards: wildcards.lineage,
        code=fingerprint("release.importing"),
    shell:
        "python -m resdavenet_vq import-released {params.path:q} --lineage {params.lineage:q} --out $(dirname {output.card}) 2> {log}"
