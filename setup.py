"""Puts the workflow, which stands around the package in a checkout, into the package of a wheel; all else is in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

WORKFLOW = (
    "Snakefile",
    "config.yaml",
    "configs/*.yaml",
    "envs/*.yaml",
    "profiles/*/*.yaml",
    "rules/*.smk",
    "rules/captions/*.rst",
)


class BuildWithWorkflow(build_py):
    """Copies the workflow's files to resdavenet_vq/shipped, where resdavenet_vq/project.py looks for them first."""

    def run(self) -> None:
        """Build the package, and the folder in it; an editable install uses the checkout's own files."""
        super().run()
        if self.editable_mode:
            return
        for file in sorted(file for pattern in WORKFLOW for file in Path().glob(pattern)):
            target = Path(self.build_lib, "resdavenet_vq/shipped", file)
            self.mkpath(str(target.parent))
            self.copy_file(str(file), str(target))


setup(cmdclass={"build_py": BuildWithWorkflow})
