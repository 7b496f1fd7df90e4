# What people look at: the report's pages, and figures and tables for a paper.

from resdavenet_vq.workflow.figures import planned_figures
from resdavenet_vq.workflow.pages import Pages

pages = Pages(plan)
drawings = planned_figures(plan)
with_noise = bool(settings.report and settings.report.noise and noise.scores)


rule write_report:
    input:
        rules.summarize.output,
        rules.summarize.input,
        rules.compare.output,
        models=plan.models,
        codes=ancient(pages.codes),
        codes_digests=[f"{file}.sha256" for file in pages.codes],
        maps=ancient(pages.maps),
        maps_digests=[f"{file}.sha256" for file in pages.maps],
        phones=pages.phone_tables,
        noise=rules.summarize_noise.output if with_noise else [],
        data=ancient([file for split in pages.splits for file in plan.splits.stores(split)]),
        data_digests=[file for split in pages.splits for file in plan.splits.store_digests(split)],
    output:
        directory(plan.root / "report"),
    log:
        plan.root / "logs/write_report.log",
    benchmark:
        plan.root / "benchmarks/write_report.tsv"
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        settings=lambda wildcards: pages.settings(),
        systems=",".join(system.folder for system in pages.systems),
        split=["--split", pages.split] if pages.split else [],
        recipe=as_json(settings.recipe, "frame_time"),
        noise=["--noise"] if with_noise else [],
        code=fingerprint("report.page"),
        templates=content("report/templates"),
        # Command lines that change make their results again, which are inputs: Snakemake records no parameter that takes resources.
        config=lambda wildcards, resources: as_json(settings),
    shell:
        'python -m resdavenet_vq write-report --results "$(dirname {output:q})" --systems {params.systems:q}'
        " {params.split:q} --settings {params.settings:q} --recipe {params.recipe:q}"
        " {params.noise:q} {input.noise:q} --config {params.config:q} --out {output:q} 2> {log:q}"


rule draw_figure:
    input:
        lambda wildcards: drawings[wildcards.figure].inputs,
        data=lambda wildcards: ancient(drawings[wildcards.figure].data),
        digests=lambda wildcards: [f"{file}.sha256" for file in drawings[wildcards.figure].data],
    output:
        report(
            expand(plan.root / "figures/{{figure}}.{format}", format=settings.figures.formats),
            caption="captions/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        plan.root / "logs/draw_figure/{figure}.log",
    benchmark:
        plan.root / "benchmarks/draw_figure/{figure}.tsv"
    wildcard_constraints:
        figure="|".join(map(re.escape, drawings)),
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        arguments=lambda wildcards: drawings[wildcards.figure].arguments,
        results=plan.root,
        code=fingerprint("figures.paper"),
    shell:
        'set --; for file in {output:q}; do set -- "$@" --out "$file"; done;'
        " python -m resdavenet_vq figure {params.arguments:q}"
        ' --results {params.results:q} "$@" 2> {log:q}'


rule write_table:
    input:
        rules.compare.output,
        rules.summarize.output.scores,
        lambda wildcards: getattr(plan, wildcards.kind, []),
    output:
        plan.root / "tables/{kind}.{suffix}",
    log:
        plan.root / "logs/write_table/{kind}.{suffix}.log",
    benchmark:
        plan.root / "benchmarks/write_table/{kind}.{suffix}.tsv"
    wildcard_constraints:
        kind="retrieval|abx|words|differences",
        suffix="tex|md|csv",
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        format=lambda wildcards: {"tex": "latex", "md": "markdown", "csv": "csv"}[wildcards.suffix],
        results=plan.root,
        code=fingerprint("report.tables"),
    shell:
        "python -m resdavenet_vq table {wildcards.kind:q} --results {params.results:q}"
        " --format {params.format:q} --out {output:q} 2> {log:q}"


rule report:
    input:
        rules.summarize.output,
        lambda wildcards: pages.settings() and rules.write_report.output,
    localrule: True


rule figures:
    input:
        expand(plan.root / "figures/{figure}.{format}", figure=drawings, format=settings.figures.formats),
    localrule: True


rule tables:
    input:
        expand(plan.root / "tables/{kind}.{suffix}", kind=pages.tables, suffix=("tex", "md", "csv")),
    localrule: True
