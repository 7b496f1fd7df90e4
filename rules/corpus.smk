# The demo corpus, made on this machine.


rule make_corpus:
    output:
        manifest=plan.root / "corpus/{split}.json",
        item=plan.root / "corpus/{split}.item",
    log:
        plan.root / "logs/make_corpus/{split}.log",
    benchmark:
        plan.root / "benchmarks/make_corpus/{split}.tsv"
    wildcard_constraints:
        split=scatter.making.whole_pattern,
    conda:
        "../envs/resdavenet-vq.yaml"
    threads: 64
    resources:
        mem_mb=growing(4000),
        runtime=growing("4h"),
    params:
        settings=lambda wildcards: plan.corpus_of(wildcards.split),
        code=fingerprint("demo.corpus"),
    shell:
        "python -m resdavenet_vq make-corpus --split {wildcards.split} --settings {params.settings:q}"
        " --workers {threads} --out $(dirname {output.manifest}) 2> {log}"


# A split with corpus.shards: each shard makes every n-th utterance, and the lists of them are put together.


rule make_corpus_shard:
    output:
        plan.root / "corpus/{split}/{shard}.json",
    log:
        plan.root / "logs/make_corpus_shard/{split}/{shard}.log",
    benchmark:
        plan.root / "benchmarks/make_corpus_shard/{split}/{shard}.tsv"
    wildcard_constraints:
        split=scatter.making.pattern,
        shard="[0-9]+",
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing("4h"),
    params:
        settings=lambda wildcards: scatter.corpus_settings(wildcards.split),
        numbers=lambda wildcards: scatter.corpus_numbers(wildcards.split, wildcards.shard),
        folder=plan.root / "corpus",
        code=fingerprint("demo.corpus"),
    shell:
        "python -m resdavenet_vq make-corpus-shard --split {wildcards.split} --numbers {params.numbers} --folder {params.folder:q}"
        " --settings {params.settings:q} --workers {threads} --out {output} 2> {log}"


rule gather_corpus:
    input:
        lambda wildcards: scatter.making.files(wildcards.split, ".json"),
    output:
        manifest=plan.root / "corpus/{split}.json",
        item=plan.root / "corpus/{split}.item",
    log:
        plan.root / "logs/gather_corpus/{split}.log",
    benchmark:
        plan.root / "benchmarks/gather_corpus/{split}.tsv"
    wildcard_constraints:
        split=scatter.making.pattern,
    conda:
        "../envs/resdavenet-vq.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing("1h"),
    params:
        code=fingerprint("demo.corpus"),
    shell:
        "python -m resdavenet_vq gather-corpus --split {wildcards.split} --out $(dirname {output.manifest}) {input} 2> {log}"
