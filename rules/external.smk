# Units and features made elsewhere, where the configuration names them: read instead of encoded, then scored as all others.


rule import_units:
    input:
        lambda wildcards: preflight.external(wildcards.folder, wildcards.split),
        files=lambda wildcards: ancient(plan.references.external_files(wildcards.folder)),
        data=lambda wildcards: ancient(plan.splits.stores(wildcards.split)),
        data_digest=lambda wildcards: plan.splits.store_digests(wildcards.split),
    output:
        file=plan.root / "{folder}/codes/{split}.h5",
        digest=plan.root / "{folder}/codes/{split}.h5.sha256",
        report=plan.root / "{folder}/codes/{split}.report.json",
    log:
        plan.root / "logs/import_units/{folder}/{split}.log",
    wildcard_constraints:
        folder=any_of(system.folder for system in plan.references.external),
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        to="--codes",
        name=lambda wildcards: str(system(wildcards.folder)),
        data=lambda wildcards: plan.splits.store(wildcards.split),
        settings=lambda wildcards: plan.references.external_settings(wildcards.folder),
        contents=lambda wildcards: plan.references.external_contents(wildcards.folder),
        limit=lambda wildcards: plan.code_limit(wildcards.split),
        code=fingerprint("external.importing"),
    shell:
        "python -m resdavenet_vq import-units --name {params.name:q} --data {params.data:q}"
        " --split {wildcards.split:q} --settings {params.settings:q} --limit {params.limit:q}"
        " {params.to:q} {output.file:q} --report {output.report:q} 2> {log:q}"


use rule import_units as import_features with:
    output:
        file=plan.root / "{folder}/features/{split}.h5",
        digest=plan.root / "{folder}/features/{split}.h5.sha256",
        report=plan.root / "{folder}/features/{split}.report.json",
    log:
        plan.root / "logs/import_features/{folder}/{split}.log",
    params:
        to="--features",
        limit=0,
