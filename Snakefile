# ResDAVEnet-VQ, from spoken captions of images to discrete units. Where things are:
#
#   results/{corpus}/corpus/{split}.json|.item         the demo corpus, if it is the one (rules/corpus.smk)
#   results/{corpus}/data/{split}.h5|.report.json      prepared features and images (rules/data.smk)
#   results/{corpus}/{lineage}/model/                  a trained model; the folder none-2-23 is {}->{2}->{2,3} (rules/train.smk, released.smk)
#   results/{corpus}/{lineage}/embeddings|codes|features/{split}.h5     what a model makes of a split
#   results/{corpus}/{lineage}/retrieval.json          (rules/retrieval.smk)
#   results/{corpus}/{lineage}/abx/{split}/{layer}.json|.zip            (rules/abx.smk)
#   results/{corpus}/{lineage}/words/{layer}/          (rules/word_detection.smk)
#   results/{corpus}/summary.csv  report/index.html    (rules/report.smk)
#
# Targets: all (default), models, retrieval, abx, words, report, or any path above.

from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")


# A configuration without a corpus of its own is laid over the default one.
if "corpus" not in config:

    configfile: Path(workflow.basedir) / "config.yaml"


include: "rules/common.smk"
include: "rules/corpus.smk"
include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/released.smk"
include: "rules/retrieval.smk"
include: "rules/abx.smk"
include: "rules/word_detection.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        plan.submissions,
        rules.report.input,
    localrule: True


onsuccess:
    print(f"Results: {plan.root}/summary.csv   Report: {plan.root}/report/index.html")
