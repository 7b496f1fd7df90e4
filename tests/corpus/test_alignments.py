import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles.corpus import check_read_or_refused

from resdavenet_vq.corpus import alignments
from resdavenet_vq.corpus.manifest import Interval, Manifest, Utterance
from resdavenet_vq.errors import InputError

WORDS = (Interval(0.25, 0.5, "A"), Interval(0.5, 1.1, "CAT"))
OWN = (Interval(0.0, 1.0, "OWN"),)


def long_textgrid(**tiers):
    """Tiers of (end, label), each from the end of the one before, as the Montreal Forced Aligner writes them."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", "xmax = 1.5", "tiers? <exists>"]
    lines += [f"size = {len(tiers)}", "item []:"]
    for number, (name, intervals) in enumerate(tiers.items(), 1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"']
        lines += ["        xmin = 0", "        xmax = 1.5", f"        intervals: size = {len(intervals)}"]
        starts = [0, *(end for end, _ in intervals)]
        for i, (start, (end, label)) in enumerate(zip(starts, intervals, strict=False), 1):
            lines += [f"        intervals [{i}]:", f"            xmin = {start}", f"            xmax = {end}"]
            lines += [f'            text = "{label}"']
    return "\n".join(lines) + "\n"


LONG = long_textgrid(
    words=[(0.25, ""), (0.5, "a"), (1.1, "cat"), (1.5, "<unk>")],
    phones=[(0.25, "sil"), (0.5, "ə"), (0.7, "K"), (0.9, "AE1"), (1.1, "T"), (1.5, "spn")],
)
SYLLABLES = [(0.25, "sil"), (0.5, " ə "), (1.1, "kæt"), (1.5, "<unk>")]

# As Praat saves a short text file, with a tier of points and its own spelling of names.
SHORT = (
    'File type = "ooTextFile"|Object class = "TextGrid"||0|1.5|<exists>|2|"TextTier"|"clicks"|0|1.5|1|0.3|"!"'
    '|"IntervalTier"|"Anna - Words"|0|1.5|4|0|0.25|"sp"|0.25|0.5|"A"|0.5|1.1|" cat "|1.1|1.5|"SIL"|'
).replace("|", "\n")


def manifest(*ids, words=None):
    return Manifest(
        [Utterance(i, Path(f"{i}.wav"), None, None, None, None, words, None) for i in ids],
        counted={"no alignment": len(ids)},
    )


def write(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def joined(path, *ids, words=None):
    result = manifest(*ids, words=words)
    alignments.join(result, path)
    return result


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_long_textgrids(tmp_path, encoding):
    write(tmp_path, "u.TextGrid", LONG, encoding)
    result = joined(tmp_path, "u")
    (utterance,) = result.utterances
    assert utterance.words == WORDS
    assert [p.label for p in utterance.phones] == ["SIL", "ə", "K", "AE1", "T", "SPN"]
    assert utterance.phones[-1] == (1.1, 1.5, "SPN")
    assert (result.refused, result.counted, result.noticed) == ([], {"no alignment": 0}, {})


@pytest.mark.parametrize("name", ["syllables", "Anna - Syllable"])
def test_syllables_where_a_textgrid_has_them(tmp_path, name):
    words = [(0.25, ""), (0.5, "a"), (1.1, "cat")]
    write(tmp_path, "u.TextGrid", long_textgrid(words=words, **{name: SYLLABLES}))
    write(tmp_path, "v.TextGrid", LONG)
    result = manifest("u", "v")
    result.utterances[1] = replace(result.utterances[1], syllables=OWN)
    alignments.join(result, tmp_path)
    first, second = result.utterances
    assert first.syllables == ((0.25, 0.5, "ə"), (0.5, 1.1, "kæt"))
    assert (first.words, first.phones) == (WORDS, None)
    assert second.syllables == OWN  # its own, since the TextGrid has none


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_short_textgrids(tmp_path, encoding, line_end):
    write(tmp_path, "speaker/u.textgrid", SHORT.replace("\n", line_end), encoding)
    (utterance,) = joined(tmp_path, "u").utterances
    assert utterance.words == WORDS
    assert utterance.phones is None


def test_the_whole_path_wins_over_a_name(tmp_path):
    write(tmp_path, "a/u.TextGrid", LONG)
    write(tmp_path, "b/u.TextGrid", LONG.replace('"cat"', '"dog"'))
    result = joined(tmp_path, "a/u", "b/u")
    assert [u.words[-1].label for u in result.utterances] == ["CAT", "DOG"]
    with pytest.raises(InputError, match=r"u: which is the right one, .*a/u\.TextGrid or .*b/u\.TextGrid\?"):
        joined(tmp_path, "u")


def test_textgrids_that_do_not_match_or_cannot_be_used(tmp_path):
    write(tmp_path, "good.TextGrid", LONG)
    write(tmp_path, "other/split.TextGrid", LONG)
    write(tmp_path, "empty.TextGrid", "")
    write(tmp_path, "tiers.TextGrid", LONG.replace('"words"', '"mots"'))
    write(tmp_path, "several.TextGrid", LONG.replace('"phones"', '"Word"'))
    write(tmp_path, "backwards.TextGrid", LONG.replace("xmax = 0.5", "xmax = 0.2").replace("xmin = 0.5", "xmin = -1"))
    write(tmp_path, "silent.TextGrid", LONG.replace('"a"', '"sp"').replace('"cat"', '""'))
    write(tmp_path, "readme.txt", "hello")
    names = ["good", "empty", "tiers", "several", "backwards", "silent", "absent"]
    result = joined(tmp_path, *names)
    assert [u.id for u in result.utterances] == names
    assert result.refused == []
    assert [u.id for u in result.utterances if u.words] == ["good"]
    assert result.noticed["alignments without an utterance"] == ["other/split"]
    assert result.noticed["no alignment"] == names[1:]
    assert [re.sub(r".*/(\w+)\.TextGrid: ", r"\1: ", text)[:44] for text in result.noticed["unusable TextGrids"]] == [
        "empty: no complete TextGrid in a text format",
        "several: several tiers of words: 'words', 'W",
        "tiers: no tier 'words', but 'mots', 'phones'",
    ]
    assert [text.split("TextGrid: ")[1] for text in result.noticed["bad alignment intervals"]] == [
        "'A' from 0.25 to 0.2 s",
        "'CAT' from -1.0 to 1.1 s",
        "'ə' from 0.25 to 0.2 s",
        "'K' from -1.0 to 0.7 s",
    ]
    assert result.counted == {what: len(names) for what, names in result.noticed.items()}


CTM = """\
;; id channel start duration word confidence
u 1 0.25 0.25 a
u 1 1.1 0.4 <eps>
u 1 0.5 0.6 Cat 0.97
other 1 0 1 dog
"""
TXT = "u 0.25 0.5 a\nu\t0.5\t1.1\tcat\n\nu 1.1 1.5 sil\nother 0 1 dog\n"


@pytest.mark.parametrize(("name", "text"), [("all.ctm", CTM), ("words.txt", TXT), ("words.TXT", TXT)])
def test_tables_of_words(tmp_path, name, text):
    result = joined(write(tmp_path, name, text), "u", "absent")
    assert result.utterances[0].words == WORDS
    assert result.utterances[1].words is None
    assert result.refused == []
    assert result.noticed == {"alignments without an utterance": ["other"], "no alignment": ["absent"]}
    assert result.counted == {"alignments without an utterance": 1, "no alignment": 1}


def test_words_that_are_called_like_noises_are_kept(tmp_path):
    spoken, other = ["SILENCE", "noise", "SP", "laugh", "Breath"], ["sp", "SIL", "spn", "<eps>", "<UNK>", "[Noise]"]
    rows = [f"u {i} {i + 1} {label}" for i, label in enumerate([*spoken, *other])]
    result = joined(write(tmp_path, "a.txt", "\n".join(rows)), "u")
    assert [word.label for word in result.utterances[0].words] == [word.upper() for word in spoken]


BAD_CTM = ["0.25 x", "x 1 word", "0.5 -1 word", "nan 1 word", "0 inf word", "1_0 1 word"]
BAD_TXT = ["0.5 word", "0.5 0.6 two words", "0.5 0.4 word", "-1 0.4 word", "0 1e999 word", "0 ٣ word"]


@pytest.mark.parametrize(("name", "start", "rows"), [("a.ctm", "u 1", BAD_CTM), ("a.txt", "u", BAD_TXT)])
def test_malformed_rows_are_counted_and_named(tmp_path, name, start, rows):
    rows = ["u", *(f"{start} {row}" for row in rows)]
    good = f"{start} 0.25 {0.25 if start == 'u 1' else 0.5} a\n"
    result = joined(write(tmp_path, name, good + "\n".join(rows)), "u")
    assert result.utterances[0].words == WORDS[:1]
    assert result.noticed == {"malformed alignment rows": [f"{name} line {n}: {row}" for n, row in enumerate(rows, 2)]}


def test_an_alignment_of_the_corpus_stays_where_there_is_no_other(tmp_path):
    result = joined(write(tmp_path, "a.txt", TXT), "u", "v", words=OWN)
    assert [u.words for u in result.utterances] == [WORDS, OWN]
    assert result.counted["no alignment"] == 0


def test_ids_of_another_kind_are_an_error_that_shows_both(tmp_path):
    with pytest.raises(
        InputError, match="no word of any of the 2 utterances, whose ids are like 'wavs/u'; its own are like 'other'"
    ):
        joined(write(tmp_path, "a.txt", TXT), "wavs/u", "wavs/v")
    with pytest.raises(InputError, match="it has none at all"):
        joined(write(tmp_path, "b.ctm", ";; nothing\n"), "u")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="it has none at all"):
        joined(tmp_path / "empty", "u")
    with pytest.raises(InputError, match=r"c\.txt line 1: u 1 2"):
        joined(write(tmp_path, "c.txt", "u 1 2"), "u")


@pytest.mark.parametrize(
    ("name", "message"),
    [("none", "no such file"), ("a.json", "no alignments"), ("bad.ctm", "not UTF-8"), ("no.txt", "no such file")],
)
def test_unusable_paths(tmp_path, name, message):
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "bad.ctm").write_bytes(b"u 1 0 1 \xff")
    with pytest.raises(InputError, match=message) as caught:
        joined(tmp_path / name, "u")
    assert name in str(caught.value)


def test_a_split_without_utterances_is_no_matter(tmp_path):
    assert joined(write(tmp_path, "a.txt", TXT)).counted == {"alignments without an utterance": 2, "no alignment": 0}


fields = st.sampled_from(["u", "v", "1", "0.5", "-1", "nan", "word", ";;", "sil", "\0", '"', "\ud800"]) | st.text(
    max_size=4
)
tables = (
    st.lists(st.lists(fields, max_size=6).map(" ".join), max_size=6)
    .map("\n".join)
    .map(lambda text: text.encode(errors="replace"))
)
tokens = st.sampled_from(LONG.split() + SHORT.split() + ["1e999", "-1", "nan", '"u', "99999999"])
cuts = st.builds(
    lambda text, cut, token: text[:cut] + token + text[cut + len(token) :],
    st.sampled_from([LONG, SHORT]),
    st.integers(0, 1500),
    tokens,
)
grids = (cuts | st.lists(tokens, max_size=30).map(" ".join)).map(str.encode) | st.binary(max_size=30)


def check_law(path):
    results = []

    def read():
        results.append(manifest("u", "v"))
        alignments.join(results[0], path)
        return results[0]

    check_read_or_refused(read, path)
    for utterance in results[0].utterances:
        for interval in (utterance.words or ()) + (utterance.phones or ()):
            assert 0 <= interval.start <= interval.end < float("inf")
        assert utterance.words is None or list(utterance.words) == sorted(utterance.words, key=lambda w: w[:2])
        assert Utterance.from_dict(utterance.to_dict()) == utterance


@given(st.sampled_from(["a.ctm", "a.txt"]), tables | st.binary(max_size=30))
def test_any_table_is_read_or_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    check_law(tmp_path / name)


@given(grids, grids)
def test_any_textgrids_are_read_or_refused(tmp_path, first, second):
    for name, content in (("u", first), ("v", second)):
        (tmp_path / f"{name}.TextGrid").write_bytes(content)
    check_law(tmp_path)
