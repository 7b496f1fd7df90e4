# Models compared over lineages, layers and seeds, and what goes into a paper: figures and tables as files.

drawn = drawings(plan)


rule draw_figure:
    input:
        lambda wildcards: drawn[wildcards.figure].inputs,
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
        figure="|".join(map(re.escape, drawn)),
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing("10m"),
    params:
        arguments=lambda wildcards: drawn[wildcards.figure].arguments,
        code=fingerprint("figures.paper"),
        results=lambda wildcards, output: str(Path(output[0]).parents[1]),
        out=lambda wildcards, output: " ".join(f"--out {shlex.quote(file)}" for file in output),
    shell:
        "python -m resdavenet_vq figure {params.arguments} --results {params.results} {params.out} 2> {log}"


rule write_table:
    input:
        rules.summarize.output,
    output:
        plan.root / "tables/{kind}.{suffix}",
    log:
        plan.root / "logs/write_table/{kind}.{suffix}.log",
    benchmark:
        plan.root / "benchmarks/write_table/{kind}.{suffix}.tsv"
    wildcard_constraints:
        kind="retrieval|abx|words",
        suffix="tex|md|csv",
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing("10m"),
    params:
        format=lambda wildcards: {"tex": "latex", "md": "markdown", "csv": "csv"}[wildcards.suffix],
        code=fingerprint("report.tables"),
    shell:
        "python -m resdavenet_vq table {wildcards.kind} --results $(dirname {input}) --format {params.format} --out {output} 2> {log}"


rule figures:
    input:
        expand(plan.root / "figures/{figure}.{format}", figure=drawn, format=settings.figures.formats),
    localrule: True


rule tables:
    input:
        expand(plan.root / "tables/{kind}.{suffix}", kind=plan.tables, suffix=("tex", "md", "csv")),
    localrule: True
