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
        rules.summarize.output.scores,
    output:
        report(
            plan.root / "comparison.csv",
            caption="captions/comparison.rst",
            category="Scores",
            labels={"table": "over seeds"},
        ),
    log:
        plan.root / "logs/compare.log",
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        code=fingerprint("evaluation.summary"),
    shell:
        "python -m resdavenet_vq compare {input:q} --out {output:q} 2> {log:q}"
