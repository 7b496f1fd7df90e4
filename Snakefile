# ResDAVEnet-VQ, from spoken captions of images to discrete units. Where things are:
#
#   results/{corpus}/corpus/{split}.json|.item         the demo corpus, if it is used (rules/corpus.smk)
#   results/{corpus}/data/{split}.h5|.report.json      prepared features and images (rules/data.smk); noisy copies (noise.smk)
#   results/{corpus}/{lineage}/model/                  a model; the folder none-2-23 is {}->{2}->{2,3} (train.smk, released.smk)
#   results/{corpus}/{lineage}/embeddings|maps|codes|features/{split}.h5     what a model makes of a split (batches.smk)
#   results/{corpus}/baseline|kmeans|untrained|.../     what models are compared with: folders like theirs (batches.smk)
#   results/{corpus}/external-{name}/codes|features/{split}.h5              units made elsewhere (external.smk)
#   results/{corpus}/{lineage}/retrieval/{split}.json  matchmap/{split}/     (batches.smk)
#   results/{corpus}/{lineage}/abx/{split}/{layer}.json|.zip                 (batches.smk)
#   results/{corpus}/{lineage}/words/{layer}/{split}/                        (batches.smk)
#   results/{corpus}/scores.csv summary.csv comparison.csv noise.csv         every score, and over seeds (report.smk, noise.smk)
#   results/{corpus}/report/index.html figures/ tables/                      what people look at (report.smk)
#
# Targets: all (default), models, retrieval, abx, words, noise, report, figures, tables, or any path above.

from pathlib import Path

from snakemake.common.configfile import load_configfile
from snakemake.utils import min_version, update_config

min_version("9.27")

# this file's folder, also for another workflow that uses this one as a module
checkout = Path(str(workflow.current_basedir))

# The files of --configfile, then --config. One without a `corpus` is laid over config.yaml; one with a `corpus` but without all
# of `lineages`, `model` and `training` over configs/small_corpus.yaml; one with all of them stands alone (rules/common.smk).
layers = [*map(load_configfile, workflow.config_settings.configfiles), workflow.config_settings.config]


report: "rules/captions/workflow.rst"


include: "rules/common.smk"
include: "rules/corpus.smk"
include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/released.smk"
include: "rules/external.smk"
include: "rules/batches.smk"
include: "rules/noise.smk"
include: "rules/scores.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        plan.submissions,
        rules.summarize.output,
        rules.write_report.output if settings.report else [],
        rules.compare.output,
    localrule: True


onstart:
    if any([workflow.dag_settings.forceall, workflow.dag_settings.forcetargets, workflow.dag_settings.forcerun]):
        kept.forget()
    if not workflow.local_exec:
        given = [*workflow.overwrite_configfiles, *(workflow.config_settings.config_args or [])]
        try:
            check_names([checkout, Path.cwd(), *given])
        except InputError as e:
            raise WorkflowError(str(e)) from None


onsuccess:
    kept.prune()
    print(
        f"Results: {plan.root}",
        *(f"Report: {page}" for page in [plan.root / "report/index.html"] if page.exists()),
        sep="   ",
    )


onerror:
    print(advice("\n".join(Path(file).read_text(encoding="utf-8") for file in log), plan.root), file=sys.stderr)
