# What every rule file uses: the checked configuration, the plan of paths, and how commands are started.
import json
import os
import re
import shlex
import socket
import sys

from snakemake.logging import logger
from snakemake.settings.types import DeploymentMethod

# Snakemake fills in what is in braces, and a colon ends a folder of PYTHONPATH.
if unusable := sorted(set(str(checkout)) & {"{", "}", os.pathsep}):
    raise WorkflowError(f"The workflow cannot be in {checkout}: move it to a path without {' '.join(unusable)}")

# A wheel has the workflow inside the installed package, which its Python finds by itself.
is_installed = not (checkout / "resdavenet_vq").is_dir()
if not is_installed:
    sys.path.insert(0, str(checkout))
elif DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method:
    raise WorkflowError(
        "The environments of --software-deployment-method conda have no resdavenet-vq: use a checkout of it, or leave the option out"
    )

from resdavenet_vq import config as schema
from resdavenet_vq.config.section import as_json
from resdavenet_vq.errors import InputError
from resdavenet_vq.fingerprint import content, fingerprint
from resdavenet_vq.kept import Kept
from resdavenet_vq.processes import STARTER
from resdavenet_vq.system import NORMALIZED, RAW, UNTRAINED, system
from resdavenet_vq.workflow import records
from resdavenet_vq.workflow.jobs import advice, check_names, launcher
from resdavenet_vq.workflow.plan import ITEMS_PATTERN, Plan, any_of
from resdavenet_vq.workflow.preflight import Preflight
from resdavenet_vq.workflow.refusals import show_message_alone

# Snakemake lays files over each other key by key; the schema knows better for recipes, corpora and lengths of training.
# A workflow that uses this one as a module may give it another configuration than its own files.
merged = {}
for layer in layers:
    update_config(merged, layer)
base = schema.base_of(config)
below = [load_configfile(checkout / base)] if base else []
config = schema.overlay([*below, *(layers if merged == config else [config])])

try:
    settings = schema.read(config)
except InputError as e:
    below_it = (
        f"What it does not give is from {base}."
        if base
        else "It has a corpus, lineages, model and training, so it stands alone."
    )
    raise WorkflowError(f"{e}\n{below_it}") from None

plan = Plan(settings)
kept = Kept(plan.root)

# Jobs run the package of this checkout, or the installed one, with this Python, wherever Snakemake was started;
# with --sdm conda the environment's own Python comes first on PATH again.
os.environ.update(PATH=f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}")
# They end with this process, however it ends.
exports = {STARTER: f"{socket.gethostname()}:{os.getpid()}"} | ({} if is_installed else {"PYTHONPATH": str(checkout)})
shell.prefix("set -euo pipefail; " + "".join(f"export {k}={shlex.quote(v)}; " for k, v in exports.items()))


# Of this machine. A cluster's profile says how many a job gets there (set-threads); without it, 8.
all_cores = workflow.resource_settings.cores or 8

no_record_contradicts = records.once(plan, workflow)
preflight = Preflight(plan)
logger.addFilter(show_message_alone)


wildcard_constraints:
    lineage=any_of([*plan.trained, *plan.trainings.released]),
    layer=r"(conv|quant)[1-5]",
    split=r"[A-Za-z0-9][A-Za-z0-9_.-]*",
