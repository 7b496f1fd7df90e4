"""The section `external`, and what the plan makes of it."""

import json
from pathlib import Path

import pytest
from workflow.plans import plan_of, values_of

from resdavenet_vq import config
from resdavenet_vq.config.references import External
from resdavenet_vq.errors import InputError
from resdavenet_vq.system import Reference


def units(**changes):
    return {"files": {"test": "u"}, "format": "npy", "frame_period": 0.02} | changes


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"x": units(frame_period=None)}, "external.x: frame_period: must be given, as the format npy says nothing"),
        ({"x": units(frame_period=0.0)}, "external.x.frame_period: must be at least"),
        ({"x": units(codebook="c.npy", codebook_size=5)}, "codebook_size: is that of the codebook"),
        ({"x": units(format="segments", codebook="c.npy")}, "codebook: the format segments takes none"),
        ({"x": units(format="features_npy", codebook="c.npy")}, "codebook: the format features_npy takes none"),
        ({"x": units(format="features_txt", codebook_size=3)}, "codebook_size: features have no codes"),
        ({"x": units(files={"tset": "u"})}, "external.x.files: the corpus has no split 'tset'; did you mean 'test'"),
        ({"x": units(files={})}, "external.x.files"),
        ({"x": units(format="mp3")}, "external.x.format"),
        ({"../x": units()}, "external"),
    ],
)
def test_faults(section, message):
    with pytest.raises(InputError) as e:
        config.read(values_of() | {"external": section})
    assert message in str(e.value)


def test_what_is_scored_where_files_are_given():
    plan = plan_of(
        external={
            "a": units(files={"train": "t", "test": "u"}),
            "b": units(format="features_npy"),
            "c": units(format="km", codebook="c.npy", files={"train": "t.km"}),
        },
        words={"split": "train", "held_out_split": "test"},
        abx={"splits": ["test"]},
    )
    made = [path.split("/", 2)[2] for path in (*plan.abx, *plan.words) if "external-" in path]
    assert made == [
        "external-a/abx/test/units.json",
        "external-b/abx/test/features.json",
        "external-a/words/units/test/summary.json",
    ]
    assert plan.references.external_files("external-c") == ["t.km", "t.tsv", "c.npy"]
    assert plan.references.external_files("external-a") == ["t", "u"]
    assert External.from_json(plan.references.external_settings("external-b")).is_continuous
    assert json.loads(plan.references.external_settings("external-a"))["files"] == {"train": "t", "test": "u"}


def test_folders_and_names():
    assert (Reference.external("hubert-l6_km100").folder, str(Reference("external-cpc"))) == (
        "external-hubert-l6_km100",
        "cpc",
    )
    assert Path(Reference.external("a.b").folder).name == "external-a.b"


def test_no_external_set_is_called_as_a_baseline():
    with pytest.raises(InputError, match=r"external\.untrained: is what tables call a baseline"):
        plan_of(external={"untrained": units()})
