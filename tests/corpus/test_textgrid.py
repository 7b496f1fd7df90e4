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


READ = {"word": (Interval(0, 0.5, "sp"), Interval(0.5, 1, 'SAY "É"'))}

OLD_SHORT = """\
File type = "ooTextFile short"
"TextGrid"

0
1
<exists>
1
"IntervalTier"
"word"
0
1
3
0
0.5
"sp"
0.5
1
"SAY ""É\"""
1
1.5
""
"""
TODAY = OLD_SHORT.replace(" short", "").replace('"TextGrid"', 'Object class = "TextGrid"')
COMMENTED = """\
"ooTextFile" ! what it is, "
"TextGrid"
! from 0 to 9 s
0 1 <exists> 2 tiers!
"TextTier" "clicks" 0 1 2 ! of points
  0.1 "a" 0.2 "b"
"IntervalTier" "word" 0 1 3   0 0.5 "sp"   0.5 1 "SAY ""É\""" 1 1 ""
"""


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
@pytest.mark.parametrize("text", [OLD_SHORT, TODAY, COMMENTED], ids=["old short", "short", "with comments"])
def test_headers_encodings_line_ends_and_comments_of_all_times(tmp_path, text, encoding, line_end):
    path = tmp_path / "a.TextGrid"
    mark = {"utf-16-le": "\ufeff", "utf-16-be": "\ufeff"}.get(encoding, "")
    path.write_bytes((mark + text.replace("\n", line_end)).encode(encoding))
    assert textgrid.read(path) == READ


def test_latin_1_with_french_quotes_and_a_grid_without_tiers(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_bytes(TODAY.replace("É", "«\xa0Déjà là\xa0: été»").encode("latin-1"))
    assert textgrid.read(path)["word"][1].label == 'SAY "«\xa0Déjà là\xa0: été»"'
    path.write_text('"ooTextFile" "TextGrid" 0 1 <absent>')
    assert textgrid.read(path) == {}


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("was", "broken", "line", "reason"),
    [
        ('"sp"', '"""', 15, r"a double quote within a text is written twice \(\"\"\): \"\"\"$"),
        ('"sp"', '"say "sp""', 15, r"a double quote within a text is written twice \(\"\"\): \"say \"sp\"\"$"),
        ('"sp"', '"sp', 15, "a double quote within a text is written twice"),
        ('1.5\n""\n', '1.5\n"\n', 21, "a double quote within a text is written twice"),
        ("0.5\n1\n", "0,5\n1\n", 16, "a number is missing; there is 0,5"),
        ("\n3\n", "\n3.0\n", 12, "a whole number is missing; there is 3.0"),
        ("\n3\n", "\n4\n", 21, "a number is missing; there is the end of the file"),
        ('"word"\n', "word\n", 10, "a text in double quotes is missing; there is 0"),
        ("<exists>\n", "", 6, "'<exists>' is missing; there is 1"),
        ('"TextGrid"', '"PitchTier"', 2, "holds a PitchTier, not a TextGrid"),
        ('"TextGrid"', '"Collection"', 2, "holds a Collection, not a TextGrid"),
        ('"ooTextFile short"', '"Praat chronological TextGrid text file"', 1, "is no TextGrid in a text format"),
    ],
)
def test_what_praat_cannot_read_is_refused_with_its_line(tmp_path, was, broken, line, reason, line_end):
    path = tmp_path / "a.TextGrid"
    assert OLD_SHORT.count(was) >= 1
    path.write_bytes(OLD_SHORT.replace(was, broken, 1).replace("\n", line_end).encode())
    with pytest.raises(InputError, match=rf"a\.TextGrid:{line}: .*{reason}") as refusal:
        textgrid.read(path)
    assert "save" not in str(refusal.value)  # for Praat cannot open it


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"ooBinaryFile\x08TextGrid" + bytes(20), r"a\.TextGrid: is in Praat's binary format; open it in Praat and"),
        (TODAY.encode("mac-roman"), r"a\.TextGrid:18: .* convert it to UTF-8"),
        (TODAY.replace("É", "don’t").encode("cp1252"), r"a\.TextGrid:18: .* convert it to UTF-8"),
        (TODAY.replace("É", "Éa").encode().replace(b"a", b"\xa0", 1), r"a\.TextGrid:2: .* convert it to UTF-8"),
        (TODAY.encode("utf-16")[:-1], r"a\.TextGrid:21: is not UTF-16 text"),
    ],
)
def test_binary_grids_and_other_encodings_are_named_with_a_remedy(tmp_path, data, message):
    (tmp_path / "a.TextGrid").write_bytes(data)
    with pytest.raises(InputError, match=message):
        textgrid.read(tmp_path / "a.TextGrid")


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
