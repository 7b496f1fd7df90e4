# What every rule file uses: the checked configuration, the plan of paths, and how commands are started.
import os
import shlex
import sys

sys.path.insert(0, workflow.basedir)

from resdavenet_vq import config as schema
from resdavenet_vq import stage
from resdavenet_vq.errors import InputError
from resdavenet_vq.provenance import content, fingerprint
from resdavenet_vq.workflow import Plan, as_json, launcher

try:
    settings = schema.read(config)
except InputError as e:
    raise WorkflowError(str(e)) from None

plan = Plan(settings)

# Jobs run the package of this checkout with this Python, wherever Snakemake was started;
# with --sdm conda the environment's own Python comes first on PATH again.
os.environ.update(PATH=f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}")
shell.prefix(f"set -euo pipefail; export PYTHONPATH={shlex.quote(str(workflow.basedir))}; ")


wildcard_constraints:
    lineage=stage.FOLDER_PATTERN,
    layer=r"(conv|quant)[1-5]",
    split=r"[A-Za-z0-9][A-Za-z0-9_.-]*",
