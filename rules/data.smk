# From wav and image files to HDF5 stores: one a split, or one for each part of a split (preparation.parts).

divided = [split for split in settings.corpus.splits if plan.splits.parts(split)]
undivided = [split for split in settings.corpus.splits if not plan.splits.parts(split)]


rule prepare:
    input:
        lambda wildcards: preflight.split(wildcards.split),
        files=lambda wildcards: ancient(plan.splits.corpus_files(wildcards.split)),
        digests=lambda wildcards: plan.splits.corpus_digests(wildcards.split),
    output:
        store=plan.root / "data/{split}.h5",
        digest=plan.root / "data/{split}.h5.sha256",
        report=plan.root / "data/{split}.report.json",
    log:
        plan.root / "logs/prepare/{split}.log",
    benchmark:
        plan.root / "benchmarks/prepare/{split}.tsv"
    wildcard_constraints:
        split="|".join(map(re.escape, undivided)) or "(?!)",
    priority: 1
    conda:
        "../envs/resdavenet-vq.yaml"
    threads: all_cores
    params:
        corpus=lambda wildcards: plan.splits.import_options(wildcards.split),
        contents=lambda wildcards: plan.splits.corpus_contents(wildcards.split),
        settings=lambda wildcards: plan.splits.preparation(wildcards.split),
        code=lambda wildcards: " ".join(
            map(fingerprint, ("data.preparation", *plan.splits.import_code(wildcards.split)))
        ),
    shell:
        "python -m resdavenet_vq prepare --corpus {params.corpus:q} --split {wildcards.split:q}"
        " --settings {params.settings:q} --workers {threads:q}"
        " --out {output.store:q} --report {output.report:q} 2> {log:q}"


# Every part reads the whole list of the corpus; a part with the same rows, settings and code stays as it is. What makes
# wav and image files counts as code: --code gets both texts as one word.
rule prepare_part:
    input:
        lambda wildcards: preflight.split(wildcards.split),
        files=lambda wildcards: ancient(plan.splits.corpus_files(wildcards.split)),
        digests=lambda wildcards: plan.splits.corpus_digests(wildcards.split),
    output:
        store=plan.root / "data/{split}/{part}.h5",
        digest=plan.root / "data/{split}/{part}.h5.sha256",
        report=plan.root / "data/{split}/{part}.report.json",
    log:
        plan.root / "logs/prepare_part/{split}/{part}.log",
    benchmark:
        plan.root / "benchmarks/prepare_part/{split}/{part}.tsv"
    wildcard_constraints:
        split="|".join(map(re.escape, divided)) or "(?!)",
        part="[0-9]+",
    priority: 1
    conda:
        "../envs/resdavenet-vq.yaml"
    params:
        corpus=lambda wildcards: plan.splits.import_options(wildcards.split),
        contents=lambda wildcards: plan.splits.corpus_contents(wildcards.split),
        media=lambda wildcards: plan.splits.media(wildcards.split),
        settings=lambda wildcards: plan.splits.preparation(wildcards.split),
        parts=lambda wildcards: plan.splits.parts(wildcards.split),
        rows=settings.preparation.rows_per_part,
        code=lambda wildcards: " ".join(
            map(fingerprint, ("data.parts", *plan.splits.import_code(wildcards.split), *plan.splits.media_code))
        ),
    shell:
        "python -m resdavenet_vq prepare-part --corpus {params.corpus:q} --split {wildcards.split:q}"
        " --settings {params.settings:q} --part {wildcards.part:q} --parts {params.parts:q}"
        " --rows-per-part {params.rows:q} --code {params.code:q}{params.media:q} --workers {threads:q}"
        ' --out "$(dirname {output.store:q})" 2> {log:q}'
