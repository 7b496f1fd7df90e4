# Words detected by single codes: chosen on one split, scored on it and on a held-out one.


rule detect_words:
    input:
        codes=lambda wildcards: ancient(plan.root / wildcards.lineage / f"codes/{plan.words_split}.h5"),
        codes_digest=lambda wildcards: plan.root / wildcards.lineage / f"codes/{plan.words_split}.h5.sha256",
        held_out=ancient(plan.root / "{lineage}/codes/{split}.h5"),
        held_out_digest=plan.root / "{lineage}/codes/{split}.h5.sha256",
    output:
        summary=plan.root / "{lineage}/words/{layer}/{split}/summary.json",
        words=plan.root / "{lineage}/words/{layer}/{split}/words.csv",
        codes=plan.root / "{lineage}/words/{layer}/{split}/codes.csv",
        replicates=plan.root / "{lineage}/words/{layer}/{split}/bootstrap.csv",
    log:
        plan.root / "logs/detect_words/{lineage}/{layer}/{split}.log",
    benchmark:
        plan.root / "benchmarks/detect_words/{lineage}/{layer}/{split}.tsv"
    wildcard_constraints:
        lineage=any_of([*plan.folders, *plan.trained, *plan.released]),
        layer="units|quant[1-5]",
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        settings=lambda wildcards: plan.words_settings(wildcards.split),
        recipe=as_json(settings.recipe, "frame_time"),
        code=fingerprint("evaluation.words"),
    shell:
        "python -m resdavenet_vq detect-words --codes {input.codes:q} --held-out {input.held_out:q}"
        " --layer {wildcards.layer:q} --lineage {wildcards.lineage:q} --settings {params.settings:q}"
        ' --recipe {params.recipe:q} --out "$(dirname {output.summary:q})" 2> {log:q}'


rule words:
    input:
        lambda wildcards: plan.target("words"),
    localrule: True
