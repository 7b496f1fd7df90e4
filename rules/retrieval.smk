# Cross-modal retrieval: each image of a split ranks its captions, each caption its images.


rule score_retrieval:
    input:
        embeddings=ancient(plan.root / "{lineage}/embeddings/{split}.h5"),
        embeddings_digest=plan.root / "{lineage}/embeddings/{split}.h5.sha256",
    output:
        score=plan.root / "{lineage}/retrieval/{split}.json",
        replicates=plan.root / "{lineage}/retrieval/{split}.bootstrap.csv",
    log:
        plan.root / "logs/score_retrieval/{lineage}/{split}.log",
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        settings=lambda wildcards: plan.retrieval_settings(wildcards.split),
        code=fingerprint("evaluation.retrieval_files"),
    shell:
        "python -m resdavenet_vq score-retrieval --embeddings {input.embeddings:q} --lineage {wildcards.lineage:q}"
        " --settings {params.settings:q} --out {output.score:q} 2> {log:q}"


rule score_matchmap:
    input:
        maps=ancient(plan.root / "{lineage}/maps/{split}.h5"),
        maps_digest=plan.root / "{lineage}/maps/{split}.h5.sha256",
    output:
        score=plan.root / "{lineage}/matchmap/{split}/{similarity}.json",
        replicates=plan.root / "{lineage}/matchmap/{split}/{similarity}.bootstrap.csv",
    log:
        plan.root / "logs/score_matchmap/{lineage}/{split}/{similarity}.log",
    benchmark:
        plan.root / "benchmarks/score_matchmap/{lineage}/{split}/{similarity}.tsv"
    wildcard_constraints:
        similarity="sisa|misa|sima",
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        settings=lambda wildcards: plan.retrieval_settings(wildcards.split),
        code=fingerprint("evaluation.matchmap"),
    shell:
        "python -m resdavenet_vq score-matchmap --maps {input.maps:q} --similarity {wildcards.similarity:q}"
        " --lineage {wildcards.lineage:q} --settings {params.settings:q} --out {output.score:q} 2> {log:q}"


rule retrieval:
    input:
        lambda wildcards: plan.target("retrieval"),
    localrule: True
