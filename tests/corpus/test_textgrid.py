"""TextGrids come back as they were written, and what Praat cannot hold is refused."""

from __future__ import annotations

import os
from itertools import pairwise

import oracles.report as oracle_report
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resdavenet_vq.corpus import textgrid
from resdavenet_vq.corpus.manifest import Interval
from resdavenet_vq.errors import InputError

labels = st.text(min_size=1, max_size=12)


@st.composite
def tiers_of(draw):
    def tier():
        times = sorted(draw(st.sets(st.floats(0, 100, allow_nan=False), max_size=10)))
        pairs = pairwise(times)
        return tuple(Interval(a, b, draw(labels)) for a, b in pairs if draw(st.booleans()))

    return {name: tier() for name in draw(st.lists(st.text(max_size=8), unique=True, max_size=4))}


@given(tiers=tiers_of())
@settings(max_examples=60)
def test_round_trip_and_independent_reader(tmp_path, tiers):
    path = tmp_path / "u.TextGrid"
    textgrid.write(path, tiers, 100.0)
    assert textgrid.read(path) == tiers
    covered = oracle_report.read_long_textgrid(path.read_bytes().decode())
    assert list(covered) == list(tiers)
    for name, intervals in covered.items():
        assert intervals[0][0] == 0
        assert intervals[-1][1] == 100.0
        assert all(a[1] == b[0] for a, b in pairwise(intervals)), "a tier has no gaps"
        assert tuple(i for i in intervals if i[2]) == tiers[name]


def test_gaps_quotes_and_a_last_frame_beyond_the_end(tmp_path):
    path = tmp_path / "u.TextGrid"
    textgrid.write(path, {"words": (Interval(0.5, 1.0, 'SAY "X"'),), "quant3": (Interval(0.0, 2.04, "17"),)}, 2.0)
    text = path.read_text()
    assert text.startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 2.04\n')
    assert '"SAY ""X"""' in text
    assert oracle_report.read_long_textgrid(text)["words"] == [(0.0, 0.5, ""), (0.5, 1.0, 'SAY "X"'), (1.0, 2.04, "")]


@pytest.mark.parametrize(
    "intervals",
    [
        (Interval(0, 1, "A"), Interval(0.5, 2, "B")),
        (Interval(1, 2, "A"), Interval(0, 1, "B")),
        (Interval(1, 1, "A"),),
        (Interval(-1, 1, "A"),),
        (Interval(float("nan"), 1, "A"),),
        (Interval(0, float("inf"), "A"),),
    ],
)
def test_what_a_tier_cannot_hold_is_refused(tmp_path, intervals):
    path = tmp_path / "u.TextGrid"
    with pytest.raises(InputError, match=r"u\.TextGrid"):
        textgrid.write(path, {"words": intervals}, 3.0)
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.builds(Interval, st.floats(0, 9), st.floats(0, 9), labels), max_size=8))
def test_any_alignment_becomes_a_tier(tmp_path, intervals):
    tier = textgrid.as_tier(intervals)
    textgrid.write(tmp_path / "u.TextGrid", {"words": tier}, 10.0)
    assert textgrid.read(tmp_path / "u.TextGrid") == {"words": tier}
    assert textgrid.as_tier(tier) == tier


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        'File type = "ooTextFile"\nObject class = "TextGrid"\n0\n1\n<exists>\n2\n"IntervalTier"',
        '"ooTextFile" "PitchTier"',
    ],
)
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "x.TextGrid").write_text(text)
    with pytest.raises(InputError, match=r"x\.TextGrid"):
        textgrid.read(tmp_path / "x.TextGrid")


def test_unknown_tiers_two_of_one_name_and_missing_files_are_refused(tmp_path):
    path = tmp_path / "x.TextGrid"
    with pytest.raises(InputError, match="no such file"):
        textgrid.read(path)
    path.write_text('"ooTextFile" "TextGrid" 0 1 <exists> 1 "PitchTier" "tone" 0 1 0')
    with pytest.raises(InputError, match="'tone' is a PitchTier"):
        textgrid.read(path)
    path.write_text('"ooTextFile" "TextGrid" 0 1 <exists> 2' + ' "IntervalTier" "words" 0 1 1 0 1 "A"' * 2)
    with pytest.raises(InputError, match="two tiers are called 'words'"):
        textgrid.read(path)


def test_a_file_that_is_no_textgrid_of_an_utterance_is_not_read_whole(tmp_path):
    path = tmp_path / "a.TextGrid"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="larger than 16,777,216 bytes"):
        textgrid.read(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="is no regular file"):
        textgrid.read(path)


def test_a_label_of_megabytes_costs_its_own_size(tmp_path):
    path = tmp_path / "a.TextGrid"
    label = 'x""' * 500_000
    path.write_text(f'"ooTextFile" "TextGrid" 0 1 <exists> 1 "IntervalTier" "words" 0 1 1 0 1 "{label}"')
    ((interval,),) = textgrid.read(path).values()
    assert interval.label == 'x"' * 500_000
