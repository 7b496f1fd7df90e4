# ResDAVEnet-VQ, from spoken captions of images to discrete units. Where things are:
#
#   results/{corpus}/corpus/{split}.json|.item         the demo corpus, if it is the one (rules/corpus.smk)
#   results/{corpus}/data/{split}.h5|.report.json      prepared features and images (rules/data.smk); with preparation.parts data/{split}/{part}.h5
#   results/{corpus}/{lineage}/model/                  a trained model; the folder none-2-23 is {}->{2}->{2,3} (rules/train.smk, released.smk)
#   results/{corpus}/{lineage}/embeddings|maps|codes|features/{split}.h5     what a model makes of a split
#   results/{corpus}/{lineage}/retrieval.json  matchmap/    (rules/retrieval.smk)
#   results/{corpus}/{lineage}/abx/{split}/{layer}.json|.zip            (rules/abx.smk)
#   results/{corpus}/{lineage}/words/{layer}/          (rules/word_detection.smk)
#   results/{corpus}/noise.csv  {lineage}/noise/       scores of noisy copies of the splits (rules/noise.smk)
#   results/{corpus}/summary.csv  report/index.html    (rules/report.smk)
#   results/{corpus}/comparison.csv                    mean and spread over seeds: the folder none-2-seed7 is {}->{2} with seed 7
#   results/{corpus}/figures/  tables/                 for a paper (rules/figures.smk)
#
# Targets: all (default), models, retrieval, abx, words, noise, report, figures, tables, or any path above.

from pathlib import Path

from snakemake.common.configfile import load_configfile
from snakemake.utils import min_version, update_config

min_version("9.27")

checkout = Path(
    str(workflow.current_basedir)
)  # this file's folder, for another workflow that uses this one as a module, too

# A configuration without a corpus of its own is laid over the default one.
if "corpus" not in config:
    given, config = config, load_configfile(checkout / "config.yaml")
    update_config(config, given)


report: "rules/captions/workflow.rst"


include: "rules/common.smk"
include: "rules/corpus.smk"
include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/released.smk"
include: "rules/retrieval.smk"
include: "rules/abx.smk"
include: "rules/word_detection.smk"
include: "rules/noise.smk"
include: "rules/report.smk"
include: "rules/figures.smk"


rule all:
    default_target: True
    input:
        plan.submissions,
        rules.report.input,
        rules.compare.output,
    localrule: True


onsuccess:
    print(
        f"Results: {plan.root}",
        *(f"Report: {page}" for page in [plan.root / "report/index.html"] if page.exists()),
        sep="   ",
    )


onerror:
    print(what_to_do("\n".join(Path(file).read_text(encoding="utf-8") for file in log), plan.root), file=sys.stderr)
