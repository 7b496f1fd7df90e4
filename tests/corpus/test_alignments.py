import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles.corpus import check_read_or_refused

from resdavenet_vq.corpus import alignments
from resdavenet_vq.corpus.manifest import Interval, Manifest, Utterance, is_silence
from resdavenet_vq.corpus.tokens import triphones
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
    assert (result.refused, result.counted) == ([], {"no alignment": 0, "labels that are no words": 1})
    assert result.noticed == {"labels that are no words": ["<unk>: 1"]}


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
    write(tmp_path, "tiers.TextGrid", LONG.replace('"words"', '"mots"').replace('"phones"', '"sons"'))
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
    assert [re.sub(r".*/(\w+)\.TextGrid", r"\1", text) for text in result.noticed["unusable alignment files"]] == [
        'empty:1: is no TextGrid in a text format, whose first text is "ooTextFile"',
        "several: several tiers of words: 'words', 'Word'; name one in corpus.tiers.words",
        "tiers: no tier of words, phones or syllables, but 'mots', 'sons'; name them in corpus.tiers",
    ]
    assert [text.split("TextGrid: ")[1] for text in result.noticed["bad alignment intervals"]] == [
        "'A' from 0.25 to 0.2 s",
        "'CAT' from -1.0 to 1.1 s",
        "'ə' from 0.25 to 0.2 s",
        "'K' from -1.0 to 0.7 s",
    ]
    assert result.noticed.pop("labels that are no words") == ["<unk>: 3", "sp: 1"]
    assert result.counted.pop("labels that are no words") == 4
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
    pause = "<eps>: 1" if name == "all.ctm" else "sil: 1"
    notices = {"alignments without an utterance": "other", "no alignment": "absent", "labels that are no words": pause}
    assert result.noticed == {what: [which] for what, which in notices.items()}
    assert result.counted == dict.fromkeys(notices, 1)


def test_words_that_are_called_like_noises_are_kept(tmp_path):
    spoken, other = ["SILENCE", "noise", "SP", "laugh", "Breath"], ["sp", "SIL", "spn", "<eps>", "<UNK>", "[Noise]"]
    rows = [f"u {i} {i + 1} {label}" for i, label in enumerate([*spoken, *other])]
    result = joined(write(tmp_path, "a.txt", "\n".join(rows)), "u")
    assert [word.label for word in result.utterances[0].words] == [word.upper() for word in spoken]


CTM_TIMES = "its times are no seconds from 0 on, in order"
BAD_CTM = {
    "u": "1 fields, not `id channel start duration word`",
    "u 1 0.25 x": "4 fields, not `id channel start duration word`",
    "u 2 0.25 0.25 a": "channel 2, but the utterance begins in channel 1",
    "u 1 x 1 word": CTM_TIMES,
    "u 1 0.5 -1 word": CTM_TIMES,
    "u 1 nan 1 word": CTM_TIMES,
    "u 1 0 inf word": CTM_TIMES,
    "u 1 1_0 1 word": CTM_TIMES,
}
BAD_TXT = {
    "u": "1 fields, not `id start end word`",
    "u 0.5 word": "3 fields, not `id start end word`",
    "u 0.5 0.6 two words": "5 fields, not `id start end word`",
    "u 0.5 0.4 word": CTM_TIMES,
    "u -1 0.4 word": CTM_TIMES,
    "u 0 1e999 word": CTM_TIMES,
    "u 0 ٣ word": CTM_TIMES,
}


@pytest.mark.parametrize(
    ("name", "good", "rows"), [("a.ctm", "u 1 0.25 0.25 a\n", BAD_CTM), ("a.txt", "u 0.25 0.5 a\n", BAD_TXT)]
)
def test_malformed_rows_are_counted_and_named(tmp_path, name, good, rows):
    result = joined(write(tmp_path, name, good + "\n".join(rows)), "u")
    assert result.utterances[0].words == WORDS[:1]
    faults = [f"{name}:{line}: {fault}: {row}" for line, (row, fault) in enumerate(rows.items(), 2)]
    assert result.noticed == {"malformed alignment rows": faults}


def test_an_alignment_of_the_corpus_stays_where_there_is_no_other(tmp_path):
    result = joined(write(tmp_path, "a.txt", TXT), "u", "v", words=OWN)
    assert [u.words for u in result.utterances] == [WORDS, OWN]
    assert result.counted["no alignment"] == 0


def test_ids_of_another_kind_are_an_error_that_shows_both(tmp_path):
    with pytest.raises(
        InputError,
        match="no word or phone of any of the 2 utterances, whose ids are like 'wavs/u'; its own are like 'other'",
    ):
        joined(write(tmp_path, "a.txt", TXT), "wavs/u", "wavs/v")
    with pytest.raises(InputError, match="it has none at all"):
        joined(write(tmp_path, "b.ctm", ";; nothing\n"), "u")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="it has none at all"):
        joined(tmp_path / "empty", "u")
    with pytest.raises(InputError, match=r"of any of the 1 utterances, .*; labels such as '<b>' are no words"):
        joined(write(tmp_path, "d.txt", "u 1 2 <b>"), "u")
    with pytest.raises(InputError, match=r"c\.txt:1: 3 fields, not `id start end word`: u 1 2"):
        joined(write(tmp_path, "c.txt", "u 1 2"), "u")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "no such file"),
        ("a.json", "no alignments of a corpus, but at most those of one utterance; name the folder"),
        ("a.TextGrid", "no alignments of a corpus, but at most those of one utterance; name the folder"),
        ("grids.zip", "an archive; unpack it and name the folder"),
        ("grids.tar.gz", "an archive; unpack it and name the folder"),
        ("a.stm", "no alignments; they are a folder of TextGrids"),
        ("bad.ctm", "not UTF-8"),
        ("no.txt", "no such file"),
    ],
)
def test_unusable_paths(tmp_path, name, message):
    for other in ("a.json", "a.TextGrid", "grids.zip", "grids.tar.gz", "a.stm"):
        (tmp_path / other).write_text("{}")
    (tmp_path / "bad.ctm").write_bytes(b"u 1 0 1 \xff")
    with pytest.raises(InputError, match=message) as caught:
        joined(tmp_path / name, "u")
    assert name in str(caught.value)


def test_a_split_without_utterances_is_no_matter(tmp_path):
    assert joined(write(tmp_path, "a.txt", TXT)).counted == {"alignments without an utterance": 2, "no alignment": 0}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["u.ctm"], r"it holds 1 \.ctm files, which are not read; join them into one: cat FOLDER/\*\.ctm > words\.ctm"),
        (
            ["a/u.wrd", "a/v.WRD"],
            r"it holds 2 \.wrd files, .* rows `id start end word`, in seconds \(TIMIT counts samples",
        ),
        (["u.phn"], r"it holds 1 \.phn files"),
        (["u.lab"], r"it holds 1 \.lab files, .*HTK counts 100 ns"),
        (["u.eaf"], "export them from ELAN as TextGrids"),
        (["u.txt"], r"it holds 1 \.txt files"),
        (["grids.zip"], r"it holds 1 \.zip files, which are not read; unpack them"),
        (["._u.TextGrid", ".snapshot/u.TextGrid"], "it has none at all"),
    ],
)
def test_a_folder_of_what_is_not_read_names_it(tmp_path, names, message):
    for name in names:
        write(tmp_path / "f", name, "0 1 word")
    with pytest.raises(InputError, match=rf"aligns no word or phone of any of the 1 utterances.*; {message}"):
        joined(tmp_path / "f", "u")


def test_what_macos_keeps_beside_a_grid_is_none(tmp_path):
    write(tmp_path, "a/u.TextGrid", LONG)
    write(tmp_path, "a/._u.TextGrid", "Mac OS X")
    write(tmp_path, "__MACOSX/a/u.TextGrid", "Mac OS X")
    result = joined(tmp_path, "u")
    assert result.utterances[0].words == WORDS
    assert set(result.noticed) == {"labels that are no words"}


# Labels as the Montreal, NeMo, Kaldi, Penn and Munich aligners write them.
NO_WORDS = [
    "sil",
    "SIL",
    "sp",
    "spn",
    "nsn",
    "!SIL",
    "<eps>",
    "<sil>",
    "<s>",
    "</s>",
    "<b>",
    "<blank>",
    "<pad>",
    "<space>",
    "<unk>",
    "<UNK>",
    "<SPOKEN_NOISE>",
    "<cutoff>",
    "<p:>",
    "<usb>",
    "[LAUGHTER]",
    "[noise]",
    "[bracketed]",
    "[VOCALIZED-NOISE]",
    "{laugh}",
    "{LG}",
    "(())",
]
SPOKEN = ["SILENCE", "noise", "SP", "laugh", "'cause", "don't", "w[hat]", "[hi]-", "o<k>", "b", "a(2)", "x-{y}", "sp."]
PHONES = {
    "SIL": "sil SIL sp SP !SIL <sil> <eps> <b> <blank> <pad> <space> <s> </s> <p:> [SIL] {SL}",
    "SPN": "spn SPN nsn <unk> <SPOKEN_NOISE> <usb> [NOISE] {LG} {BR} <cutoff> (())",
}
OWN_PHONES = ["AH0", "{", "@", "b_<", "p:", "ɐ̯", "s", "b", "t"]  # `{` is a vowel in SAMPA


@pytest.mark.parametrize("name", ["a.ctm", "a.txt", "u.TextGrid", "u.csv", "u.json"])
def test_what_is_no_word_in_any_form(tmp_path, name):
    labels = [label for pair in zip(NO_WORDS, SPOKEN * 3, strict=False) for label in pair]
    timed = [(i, i + 1, label) for i, label in enumerate(labels)]
    if name == "a.ctm":
        text = "\n".join(f"u 1 {start} {end - start} {label}" for start, end, label in timed)
    elif name == "a.txt":
        text = "\n".join(f"u {start} {end} {label}" for start, end, label in timed)
    elif name == "u.csv":
        text = "\n".join(["Begin,End,Label,Type,Speaker", *(f"{a},{b},{label},words,s" for a, b, label in timed)])
    elif name == "u.json":
        text = json.dumps({"start": 0, "end": 99, "tiers": {"words": {"type": "interval", "entries": timed}}})
    else:
        text = long_textgrid(words=[(end, label) for _, end, label in timed])
    path = write(tmp_path / "f", name, text)
    result = joined(path.parent if name.startswith("u") else path, "u")
    words = result.utterances[0].words
    assert [word.label for word in words] == [label.upper() for label in labels[1::2]]
    assert [word.start for word in words] == list(range(1, len(labels), 2))
    assert sorted(result.noticed["labels that are no words"]) == sorted(f"{label}: 1" for label in NO_WORDS)
    assert result.counted["labels that are no words"] == len(NO_WORDS)
    assert all(not is_silence(word.label) for word in words)


def test_labels_of_the_munich_and_penn_aligners_among_phones(tmp_path):
    expected = [(name, label) for name, labels in PHONES.items() for label in labels.split()]
    expected += [(label, label) for label in OWN_PHONES]
    write(tmp_path, "u.TextGrid", long_textgrid(phone=[(i, label) for i, (_, label) in enumerate(expected, 1)]))
    (utterance,) = joined(tmp_path, "u").utterances
    assert [phone.label for phone in utterance.phones] == [name for name, _ in expected]


def test_labels_that_are_no_words_are_counted_the_most_frequent_first(tmp_path):
    rows = [f"u {i} {i + 1} {label}" for i, label in enumerate(["<b>", "a", "<b>", "[LAUGHTER]", "cat", "<b>"])]
    result = joined(write(tmp_path, "a.txt", "\n".join(rows)), "u")
    assert result.noticed == {"labels that are no words": ["<b>: 3", "[LAUGHTER]: 1"]}
    assert result.counted == {"labels that are no words": 4, "no alignment": 0}


def test_alternatives_in_a_ctm_are_refused_with_their_line(tmp_path):
    rows = ["u 1 * * <ALT_BEGIN>", "u 1 0 1 a", "u 1 * * <ALT>", "u 1 0 1 the", "u 1 * * <ALT_END>"]
    path = write(tmp_path, "a.ctm", ";; made by hand\r\n" + "\r\n".join(rows), "utf-8-sig")
    with pytest.raises(InputError, match=r"a\.ctm:2: lists alternatives \(<ALT_BEGIN>\), .* keep one of each"):
        joined(path, "u")
    path = write(
        tmp_path, "b.ctm", "u\t1\t0\t0.5\ta\t0.9\tlex\r\n" + "\r\n".join(rows).replace("u ", "v "), "utf-8-sig"
    )
    assert joined(path, "u").utterances[0].words == ((0, 0.5, "A"),)


MUNICH = [(0.25, "<p:>"), (0.5, "@"), (0.7, "k"), (0.9, "{"), (1.1, "t"), (1.5, "<usb>")]


@pytest.mark.parametrize(
    ("words", "phones"),
    [
        *[("ORT-MAU", "MAU"), ("ORT", "MAU"), ("Word", "Phoneme"), ("word", "Phonetic"), ("words", "segments")],
        *[("TokensAlign", "PhonAlign"), ("Anna - words", "Anna - phones"), ("A - B - Word", "phones")],
    ],
)
def test_names_of_tiers(tmp_path, words, phones):
    other = {"KAN-MAU": [(1.5, "@ k{t")], "TRN": [(1.5, "a cat")]}
    tiers = {words: [(0.25, ""), (0.5, "a"), (1.1, "cat"), (1.5, "")], phones: MUNICH}
    write(tmp_path, "u.TextGrid", long_textgrid(**other, **tiers))
    result = joined(tmp_path, "u")
    assert result.utterances[0].words == WORDS
    assert [phone.label for phone in result.utterances[0].phones] == ["SIL", "@", "k", "{", "t", "SPN"]
    assert result.counted == {"no alignment": 0}


def test_tiers_that_are_named_in_the_settings(tmp_path):
    tiers = {name: [(0.25, ""), (1, name)] for name in ("words", "mots", "Anna - Mots", "phones", "sons", "syll")}
    write(tmp_path, "u.TextGrid", long_textgrid(**tiers))

    def labels(**names):
        result = manifest("u")
        alignments.join(result, tmp_path, names)
        u = result.utterances[0]
        return [tier and tier[0].label for tier in (u.words, u.phones, u.syllables)], result.noticed

    assert labels()[0] == ["WORDS", "phones", "syll"]
    assert labels(phones=["absent", "Sons", "phones"])[0] == ["WORDS", "sons", "syll"]
    assert labels(words=["anna - mots"], syllables=[])[0] == ["ANNA - MOTS", "phones", None]
    assert labels(words=[])[0] == [None, "phones", "syll"]
    assert "alignment files without a tier of words" not in labels(words=[])[1]
    notices = labels(words=["wrd"])[1]["alignment files without a tier of words"]
    assert [notice.partition(": ")[2] for notice in notices] == [
        "has 'words', 'mots', 'Anna - Mots', 'phones', 'sons', 'syll'; corpus.tiers.words may name another"
    ]
    with pytest.raises(
        InputError, match=r"several tiers of words: 'mots', 'Anna - Mots'; name one in corpus\.tiers\.words"
    ):
        labels(words=["mots"])


def test_phones_alone_are_joined_and_make_items(tmp_path):
    write(tmp_path, "u.TextGrid", long_textgrid(Phonetic=MUNICH))
    result = joined(tmp_path, "u", "v")
    first, second = result.utterances
    assert (first.words, second.words, second.phones) == (None, None, None)
    assert [token[2:] for token in triphones(first.phones)] == [("k", "@", "{"), ("{", "k", "t")]
    assert result.noticed["no alignment"] == ["u", "v"]  # which counts words
    assert result.counted["alignment files without a tier of words"] == 1


CSV = """\
Begin,End,Label,Type,Speaker
0.0,0.25,,words,s1
0.25,0.5,a,words,s1
0.5,1.1,"cat",words,s1
0.0,0.25,sil,phones,s1
0.25,0.5,AH0,phones,s1
"""
JSON = {
    "start": 0,
    "end": 1.5,
    "tiers": {
        "s1 - words": {"type": "interval", "entries": [[0, 0.25, ""], [0.25, 0.5, "a"], [0.5, 1.1, "cat"]]},
        "s1 - phones": {"type": "interval", "entries": [[0, 0.25, "sil"], [0.25, 0.5, "AH0"]]},
    },
}


@pytest.mark.parametrize(
    ("name", "text"),
    [("s1/u.csv", CSV), ("u.CSV", "\ufeff" + CSV.replace("\n", "\r\n")), ("s1/u.json", json.dumps(JSON))],
)
def test_csv_and_json_of_the_montreal_aligner(tmp_path, name, text):
    write(tmp_path, name, text)
    write(tmp_path, "alignment_analysis.csv", "file,begin,end,speaker\nu,0,1,s1\n")
    result = joined(tmp_path, "u")
    assert result.utterances[0].words == WORDS
    assert result.utterances[0].phones == ((0, 0.25, "SIL"), (0.25, 0.5, "AH0"))
    assert result.noticed == {}
    write(tmp_path, "u.TextGrid", LONG.replace("cat", "dog"))  # and then other tables are none of alignments
    assert joined(tmp_path, "u").utterances[0].words[1].label == "DOG"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("u.csv", "id,x\n1,2\n", r"u\.csv:1: no column Begin; the aligner's are Begin, End, Label, Type and Speaker"),
        ("u.csv", CSV.replace("0.5,1.1", "0.5,x"), r"u\.csv:4: the times '0\.5' and 'x' are no numbers"),
        ("u.csv", CSV + "1,2\n", r"u\.csv:7: a label is no text"),
        (
            "u.csv",
            CSV.replace('"cat",words,s1', "cat,words,s2"),
            r"u\.csv: several tiers of words: 's1 - words', 's2",
        ),
        ("u.csv", CSV.replace('"cat"', '"cat'), r"u\.csv:6: unexpected end of data"),
        ("u.json", "[1]", r"u\.json: no object `tiers`"),
        ("u.json", "{", r"u\.json: malformed JSON at line 1"),
        ("u.json", '{"tiers": {"words": {"entries": 1}}}', r"u\.json: tier 'words' has no list `entries`"),
        (
            "u.json",
            '{"tiers": {"words": {"entries": [[0, 1, "a"], [1, "b"]]}}}',
            "tier 'words': entry 1 is a list, not",
        ),
        (
            "u.json",
            '{"tiers": {"words": {"entries": [[0, true, "a"]]}}}',
            "entry 0: the times 0 and True are no numbers",
        ),
    ],
)
def test_other_csv_and_json_is_refused_with_its_line(tmp_path, name, text, message):
    write(tmp_path, name, text)
    with pytest.raises(InputError, match=message):
        joined(tmp_path, "u")


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


cells = st.sampled_from(["0", "0.5", "-1", "nan", "1e999", "words", "phones", "Begin", '"', "", "\0", "a\ud800", "s1"])
csvs = st.lists(st.lists(cells, max_size=6).map(",".join), max_size=5).map(lambda rows: "\n".join([CSV.strip(), *rows]))
entries = st.lists(st.lists(st.sampled_from([0, 0.5, -1, True, None, "a", "1", [], 10**400]), max_size=4), max_size=3)
jsons = st.dictionaries(
    st.sampled_from(["words", "phones", "\ud800"]), st.fixed_dictionaries({"entries": entries}) | entries
)


@given(csvs, jsons.map(lambda tiers: json.dumps({"tiers": tiers})))
def test_any_csv_and_json_is_read_or_refused(tmp_path, first, second):
    (tmp_path / "u.csv").write_bytes(first.encode(errors="replace"))
    (tmp_path / "v.json").write_bytes(second.encode(errors="replace"))
    check_law(tmp_path)
