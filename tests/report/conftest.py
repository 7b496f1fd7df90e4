"""What the tests of the report share."""

from __future__ import annotations

import pytest
from report.made_up import build, utterances


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """A complete results folder; never written to."""
    folder = tmp_path_factory.mktemp("run") / "results" / "spoken_scenes"
    wavs = tmp_path_factory.mktemp("corpus")
    build(folder, utterances(wavs, 12))
    return folder
