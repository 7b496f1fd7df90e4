"""The notation of lineages, against the published names and by its laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resdavenet_vq.lineage import Lineage, frame_stride, layer_position

PUBLISHED = {
    "{}": ("none", "RDVQ_00000"),
    "{}->{2}": ("none-2", "RDVQ_00000_01000"),
    "{}->{3}": ("none-3", "RDVQ_00000_00100"),
    "{}->{2,3}": ("none-23", "RDVQ_00000_01100"),
    "{2}": ("2", "RDVQ_01000"),
    "{2}->{2,3}": ("2-23", "RDVQ_01000_01100"),
    "{2}->{2,3}->{2,3,4}": ("2-23-234", "RDVQ_01000_01100_01110"),
    "{3}": ("3", "RDVQ_00100"),
    "{3}->{2,3}": ("3-23", "RDVQ_00100_01100"),
    "{2,3}": ("23", "RDVQ_01100"),
}

stages = st.lists(st.sets(st.integers(1, 5)).map(lambda s: tuple(sorted(s))), min_size=1, max_size=4).map(tuple)
lineages = st.builds(Lineage, stages, st.none() | st.integers(0, 2**32))


@pytest.mark.parametrize(("notation", "names"), PUBLISHED.items())
def test_published_lineages_have_their_names(notation, names):
    lineage = Lineage.parse(notation)
    assert (lineage.folder, lineage.released_name) == names
    assert str(lineage) == notation


@given(lineages)
def test_notation_and_folder_round_trip(lineage):
    assert Lineage.parse(str(lineage)) == lineage.with_seed(None)
    assert Lineage.from_folder(lineage.folder) == lineage


def test_a_seed_is_a_suffix_that_the_notation_and_the_release_do_not_know():
    lineage = Lineage.from_folder("none-2-23-seed7")
    assert (lineage.seed, str(lineage), lineage.released_name) == (7, "{}->{2}->{2,3}", "RDVQ_00000_01000_01100")
    assert lineage.with_seed(None).folder == "none-2-23"
    assert lineage.with_seed(0).folder == "none-2-23-seed0"
    assert lineage.parent.folder == "none-2-seed7"


@given(lineages)
def test_a_parents_folder_is_a_prefix(lineage):
    if lineage.parent:
        assert lineage.with_seed(None).folder.startswith(lineage.with_seed(None).parent.folder + "-")
        assert lineage.parent.seed == lineage.seed


def test_a_lineage_may_repeat_a_stage():
    assert Lineage.parse("{}->{}").folder == "none-none"


@pytest.mark.parametrize(
    "text", ["", "2", "{6}", "{0}", "{2,2}", "{2}->", "{2}-{3}", "{2,,3}", "{ 2 3 }", "{2}->{2,3}x"]
)
def test_other_notations_are_refused(text):
    with pytest.raises(ValueError, match=r"stage|twice"):
        Lineage.parse(text)


WRONG = "-|2-|-2|32|22|none2|6|2--3|none-|none-seed|none-seed01|none-seed-1|seed1|2-seed1-23|2-seed1-seed2"


@pytest.mark.parametrize("text", ["", *WRONG.split("|")])
def test_other_folders_are_refused(text):
    with pytest.raises(ValueError, match="no lineage's folder"):
        Lineage.from_folder(text)


def test_layers():
    assert [frame_stride(f"quant{n}") for n in range(1, 6)] == [1, 2, 4, 8, 16]
    assert frame_stride("conv3") == frame_stride("quant3")
    assert layer_position("conv5") == 5
    for wrong in ("quant6", "quant", "logmel", "quant22"):
        with pytest.raises(ValueError, match="no layer"):
            layer_position(wrong)
