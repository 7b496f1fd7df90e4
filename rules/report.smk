# One table of every headline number, and the pages that a person looks at. Scores under noise are shown once they were asked for.


rule write_report:
    input:
        rules.summarize.output,
        rules.summarize.input,
        models=plan.models,
        codes=plan.shown_codes,
        maps=plan.shown_maps,
        phones=plan.phone_tables,
        noise=[table for table in [plan.root / "noise.csv"] if table.exists()],
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
        mem_mb=growing(4000),
        runtime=growing("1h"),
    params:
        settings=as_json(settings.report),
        lineages=lambda wildcards: ",".join(l.folder for l in plan.examples),
        split=settings.words.held_out_split,
        recipe=as_json(settings.recipe, "frame_time"),
        code=fingerprint("report.page"),
        templates=content("report/templates"),
    shell:
        "python -m resdavenet_vq write-report --results $(dirname {output}) --lineages {params.lineages}"
        " --split {params.split} --settings {params.settings:q} --recipe {params.recipe:q} --out {output} 2> {log}"


rule report:
    input:
        rules.summarize.output,
        rules.write_report.output,
    localrule: True
