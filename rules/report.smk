# One table of every headline number, and the page that a person looks at.


rule summarise:
    input:
        retrieval=plan.retrieval,
        abx=plan.abx,
        words=plan.words,
    output:
        plan.root / "summary.csv",
    log:
        plan.root / "logs/summarise.log",
    benchmark:
        plan.root / "benchmarks/summarise.tsv"
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        mem_mb=1000,
        runtime="10m",
    params:
        code=fingerprint("evaluation.summary"),
    shell:
        "python -m resdavenet_vq summarise {input.retrieval:q} {input.abx:q} {input.words:q} --out {output} 2> {log}"


rule write_report:
    input:
        rules.summarise.output,
        rules.summarise.input,
        models=plan.models,
        codes=plan.shown_codes,
        data=[plan.root / f"data/{split}.h5" for split in {settings.words.held_out_split, settings.retrieval.split}],
    output:
        directory(plan.root / "report"),
    log:
        plan.root / "logs/write_report.log",
    benchmark:
        plan.root / "benchmarks/write_report.tsv"
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        mem_mb=4000,
        runtime="1h",
    params:
        settings=as_json(settings.report),
        lineages=lambda wildcards: ",".join(l.folder for l in plan.lineages),
        split=settings.words.held_out_split,
        recipe=as_json(settings.recipe, "frame_time"),
        code=fingerprint("report.page"),
        templates=content("report/templates"),
    shell:
        "python -m resdavenet_vq write-report --results $(dirname {output}) --lineages {params.lineages}"
        " --split {params.split} --settings {params.settings:q} --recipe {params.recipe:q} --out {output} 2> {log}"


rule report:
    input:
        rules.summarise.output,
        rules.write_report.output,
    localrule: True
