"""Snakemake as it is, but one that looks at SLURM's queue every two seconds.

The executor plugin waits ten seconds longer after each look that has found nothing finished, which is longer than
these tests' jobs take. Job steps run Snakemake itself.
"""

import sys

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

Executor.next_seconds_between_status_checks = property(lambda _: 2, lambda _, seconds: None)

if __name__ == "__main__":
    main(sys.argv[1:])
