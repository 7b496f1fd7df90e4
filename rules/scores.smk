# All scores in one table, and their spread over seeds.


rule summarize:
    input:
        plan.retrieval,
        plan.matchmaps,
        plan.abx,
        plan.words,
    output:
        scores=report(
            plan.root / "scores.csv",
            caption="captions/scores.rst",
            category="Scores",
            labels={"table": "one score a row"},
        ),
        summary=report(
            plan.root / "summary.csv",
            caption="captions/summary.rst",
            category="Scores",
            labels={"table": "one model and layer a row"},
        ),
    log:
        plan.root / "logs/summarize.log",
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        corpus=settings.corpus.name,
        seeds=plan.seeds,
        code=fingerprint("evaluation.score_files"),
    shell:
        "python -m resdavenet_vq summarize {input:q} --corpus {params.corpus:q} --seeds {params.seeds:q}"
        " --out {output.scores:q} --summary {output.summary:q} 2> {log:q}"


rule compare:
    input:
        scores=rules.summarize.output.scores,
        files=rules.summarize.input,
        replicates=plan.replicates,
    output:
        comparison=report(
            plan.root / "comparison.csv",
            caption="captions/comparison.rst",
            category="Scores",
            labels={"table": "over seeds"},
        ),
        differences=report(
            plan.root / "differences.csv",
            caption="captions/differences.rst",
            category="Scores",
            labels={"table": "between models"},
        ),
    log:
        plan.root / "logs/compare.log",
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        seeds=plan.seeds,
        code=fingerprint("evaluation.comparison"),
    shell:
        "python -m resdavenet_vq compare {input.scores:q} {input.files:q} --seeds {params.seeds:q}"
        " --out {output.comparison:q} --differences {output.differences:q} 2> {log:q}"
