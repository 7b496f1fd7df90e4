# The demo corpus, made on this machine.


rule make_corpus:
    output:
        manifest=plan.root / "corpus/{split}.json",
        digest=plan.root / "corpus/{split}.json.sha256",
        item=plan.root / "corpus/{split}.item",
        item_digest=plan.root / "corpus/{split}.item.sha256",
    log:
        plan.root / "logs/make_corpus/{split}.log",
    benchmark:
        plan.root / "benchmarks/make_corpus/{split}.tsv"
    wildcard_constraints:
        split="|".join(map(re.escape, settings.corpus.splits)),
    priority: 1
    conda:
        "../envs/resdavenet-vq.yaml"
    threads: all_cores
    params:
        settings=lambda wildcards: plan.splits.corpus_of(wildcards.split),
        code=fingerprint("demo.corpus"),
    shell:
        # Snakemake removes the lists of an earlier corpus, but its recordings and pictures, which are no outputs.
        "python -m resdavenet_vq make-corpus --overwrite --split {wildcards.split:q} --settings {params.settings:q}"
        ' --workers {threads:q} --out "$(dirname {output.manifest:q})" 2> {log:q}'
