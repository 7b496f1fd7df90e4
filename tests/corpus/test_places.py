import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles.corpus import check_read_or_refused, json_values

from resdavenet_vq.corpus import places
from resdavenet_vq.corpus.manifest import Interval, Utterance
from resdavenet_vq.errors import InputError

GOOD = {
    "uttid": "u1",
    "speaker": "s1",
    "wav": "wavs/1.wav",
    "image": "a/1.jpg",
    "asr_text": "a cat",
    "text_alignment": "0.1__A__0.2 0.2__CAT__0.6",
    "phone_alignment": "0.1__AH__0.2",
}


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "split.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return write


def read_rows(write, *rows, **more):
    return places.read(write({"data": list(rows), **more}))


def test_a_full_row(write, tmp_path):
    manifest = read_rows(write, GOOD, audio_base_path="audio", image_base_path="/images")
    wav, image = tmp_path / "audio/wavs/1.wav", Path("/images/a/1.jpg")
    words, phones = (Interval(0.1, 0.2, "A"), Interval(0.2, 0.6, "CAT")), (Interval(0.1, 0.2, "AH"),)
    assert manifest.utterances == [Utterance("u1", wav, image, "a/1.jpg", "s1", "a cat", words, phones)]
    assert manifest.refused == []
    assert manifest.counted == {"bad alignment tokens": 0, "no alignment": 0}


def test_syllables(write):
    manifest = read_rows(write, GOOD | {"syllable_alignment": "0.1__ə__0.2 0.2__kæt__0.6 0.6__x"}, {"wav": "b.wav"})
    first, second = manifest.utterances
    assert first.syllables == (Interval(0.1, 0.2, "ə"), Interval(0.2, 0.6, "kæt"))
    assert second.syllables is None
    assert manifest.counted["bad alignment tokens"] == 1


def test_a_row_with_a_wav_alone(write, tmp_path):
    manifest = read_rows(write, {"wav": "wavs/x.1.wav"})
    assert manifest.utterances == [Utterance("wavs/x.1", tmp_path / "wavs/x.1.wav", *(None,) * 6)]
    assert manifest.counted["no alignment"] == 1


def test_given_base_paths_win(write):
    path = write({"data": [GOOD], "audio_base_path": 7, "image_base_path": "elsewhere"})
    (utterance,) = places.read(path, Path("a"), Path("i")).utterances
    assert utterance.wav == Path("a/wavs/1.wav")
    assert utterance.image == Path("i/a/1.jpg")


def test_text_stands_in_for_asr_text(write):
    manifest = read_rows(
        write,
        {"wav": "1.wav", "text": "x"},
        {"wav": "2.wav", "text": "x", "asr_text": "y"},
        {"wav": "3.wav", "asr_text": None, "text": "z"},
    )
    assert [u.text for u in manifest.utterances] == ["x", "y", "z"]


def test_bad_tokens_are_counted_over_the_file(write):
    manifest = read_rows(
        write,
        GOOD | {"text_alignment": "0.1__A 0.2__CAT__0.6 nan__B__1"},
        {"wav": "2.wav", "text_alignment": "9__A__1", "phone_alignment": "x"},
    )
    assert [u.words for u in manifest.utterances] == [(Interval(0.2, 0.6, "CAT"),), None]
    assert manifest.counted == {"bad alignment tokens": 4, "no alignment": 1}


@pytest.mark.parametrize(
    ("row", "identity", "file", "reason"),
    [
        ([1], "", "", "not an object but a list"),
        (None, "", "", "not an object but null"),
        (GOOD | {"wav": None}, "u1", "", "wav: missing"),
        ({"image": "1.jpg"}, "", "", "wav: missing"),
        (GOOD | {"wav": 5}, "u1", "", "wav: not text but a number"),
        (GOOD | {"wav": ""}, "u1", "", "wav: empty"),
        (GOOD | {"wav": "../1.wav"}, "u1", "../1.wav", "wav: '../1.wav' leads upwards"),
        (GOOD | {"wav": "a/../../1.wav"}, "u1", "a/../../1.wav", "leads upwards"),
        (GOOD | {"wav": "a\0b"}, "u1", "a\0b", "wav: contains a control character"),
        (GOOD | {"wav": "\ud800.wav"}, "u1", "\\ud800.wav", "wav: not valid Unicode"),
        (GOOD | {"wav": "."}, "u1", ".", "names no file"),
        (GOOD | {"image": ""}, "u1", "wavs/1.wav", "image: empty; leave it out where there is none"),
        (GOOD | {"image": True}, "u1", "wavs/1.wav", "image: not text but true or false"),
        (GOOD | {"uttid": 12.0}, "", "wavs/1.wav", "uttid: 12.0 is no whole number; write it as text"),
        (GOOD | {"uttid": ""}, "", "wavs/1.wav", "uttid: empty"),
        (GOOD | {"uttid": True}, "", "wavs/1.wav", "uttid: not text but true or false"),
        (GOOD | {"uttid": "../../u"}, "", "wavs/1.wav", "uttid: '../../u' leads upwards"),
        (GOOD | {"uttid": "a\nb"}, "", "wavs/1.wav", "uttid: contains a control character"),
        (GOOD | {"speaker": 3.5}, "u1", "wavs/1.wav", "speaker: 3.5 is no whole number; write it as text"),
        (GOOD | {"speaker": float("inf")}, "u1", "wavs/1.wav", "speaker: inf is no whole number"),
        (GOOD | {"speaker": False}, "u1", "wavs/1.wav", "speaker: not text but true or false"),
        (
            {"audio": "a.wav", "image": "1.jpg"},
            "",
            "",
            "data[1]: wav: missing; the keys of the row are 'audio', 'image'",
        ),
        (GOOD | {"text": {}}, "u1", "wavs/1.wav", "text: not text but an object"),
        (GOOD | {"text_alignment": []}, "u1", "wavs/1.wav", "text_alignment: not text but a list"),
        (GOOD | {"phone_alignment": 0.5}, "u1", "wavs/1.wav", "phone_alignment: not text but a number"),
    ],
)
def test_refused_rows_name_row_id_file_and_reason(write, row, identity, file, reason):
    manifest = read_rows(write, {"wav": "0.wav"}, row, {"wav": "2.wav"})
    assert [u.id for u in manifest.utterances] == ["0", "2"]
    (refusal,) = manifest.refused
    assert (refusal.row, refusal.id, refusal.file) == (1, identity, file)
    assert reason in refusal.reason


def test_every_fault_of_every_row_is_reported_at_once(write):
    manifest = read_rows(write, {"image": "../x", "speaker": 1.5}, 5, GOOD, GOOD | {"wav": "other.wav"})
    assert [r.row for r in manifest.refused] == [0, 1, 3]
    assert all(
        part in manifest.refused[0].reason
        for part in ("wav: missing", "image: '../x' leads upwards", "speaker: 1.5 is no")
    )
    assert manifest.refused[2] == (
        3,
        "u1",
        "other.wav",
        "data[3]: id: data[2] has the same, 'u1'; give each its own",
    )


def test_an_id_from_the_wav_path_can_be_a_duplicate_too(write):
    manifest = read_rows(write, {"wav": "u.wav"}, {"wav": "other.wav", "uttid": "u"}, {"wav": "u.flac"})
    assert [r.row for r in manifest.refused] == [1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "malformed JSON at line 1"),
        (b'{"data": ["\xff"]}', "not UTF-8 text \\(byte 11\\)"),
        (b"[]", "no rows; its list is empty"),
        (b"", 'not in the Places layout; it must be an object with a list "data", a list, or an object a line'),
        (b'{"data": {}}', "not in the Places layout"),
        (b"{}", "not in the Places layout"),
        (b'{"data": []}', "no rows"),
        (b'{"data": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"data": [{}, ' + b"1" * 10_000 + b"]}", "cannot be read as JSON .* at line 1, column 15"),
        (b'{"data": [{}], "audio_base_path": 5}', "audio_base_path must be the path of a folder, not 5"),
        (b'{"data": [{}], "image_base_path": "a\\u0000b"}', "image_base_path must be the path"),
    ],
)
def test_unusable_files(write, content, message):
    path = write(content)
    with pytest.raises(InputError, match=message) as caught:
        places.read(path)
    assert str(path) in str(caught.value)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        places.read(tmp_path / "no.json")
    with pytest.raises(InputError, match=r"is no regular file"):
        places.read(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be read"):
        places.read(tmp_path / "file" / "split.json")


def test_whole_numbers_are_texts_of_ids_and_speakers(write):
    manifest = read_rows(
        write,
        {"wav": "1.wav", "uttid": 12, "speaker": 0},
        {"wav": "2.wav", "uttid": "12"},
        {"wav": "3.wav", "uttid": 7.5},
    )
    assert [(u.id, u.speaker) for u in manifest.utterances] == [("12", "0")]
    assert [r.reason for r in manifest.refused] == [
        "data[1]: id: data[0] has the same, '12'; give each its own",
        "data[2]: uttid: 7.5 is no whole number; write it as text",
    ]


def test_nan_null_and_empty_are_missing(write):
    row = b'{"wav": "%s.wav", "uttid": %s, "image": %s, "speaker": %s, "asr_text": %s, "text_alignment": %s}'
    rows = [row % (b"%d" % n, *[value] * 5) for n, value in enumerate((b"NaN", b"null"))]
    empty = b'{"wav": "2.wav", "speaker": "", "asr_text": "", "text_alignment": ""}'
    manifest = places.read(write(b'{"data": [' + b", ".join([*rows, empty]) + b"]}"))
    assert [u.id for u in manifest.utterances] == ["0", "1", "2"]
    for u in manifest.utterances:
        assert (u.image, u.image_id, u.speaker, u.text, u.words) == (None,) * 5
    assert manifest.refused == []
    assert manifest.counted == {"bad alignment tokens": 0, "no alignment": 3}


def test_a_repeated_key_is_named(write):
    manifest = places.read(write(b'[{"wav": "a.wav", "x": 1, "wav": "b.wav"}, {"wav": "c.wav"}]'))
    assert [u.id for u in manifest.utterances] == ["c"]
    assert [r.reason for r in manifest.refused] == ["[0]: the key 'wav' is listed twice; keep one"]


def test_a_wav_with_two_ids_is_counted_and_named(write):
    manifest = read_rows(write, {"wav": "a.wav", "uttid": "1"}, GOOD, {"wav": "./a.wav", "uttid": "2"})
    assert [u.id for u in manifest.utterances] == ["1", "u1", "2"]
    assert manifest.noticed == {"wavs listed twice": ["a.wav in data[0] and data[2]"]}


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_rows_of_json_lines_are_named_by_their_lines(tmp_path, name):
    rows = [{"wav": "a.wav"}, {"wav": "a.wav"}, {"wav": "b.wav", "speaker": []}]
    (tmp_path / name).write_text("\n\n".join(map(json.dumps, rows)))
    manifest = places.read(tmp_path / name)
    assert [u.wav for u in manifest.utterances] == [tmp_path / "a.wav"]
    assert [r.reason for r in manifest.refused] == [
        "line 3: id: line 1 has the same, 'a'; give each its own",
        "line 5: speaker: not text but a list",
    ]


def test_a_packed_list_with_a_byte_order_mark(tmp_path):
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + json.dumps({"data": [GOOD]}).encode()))
    assert places.read(tmp_path / "a.json.gz").utterances[0].wav == tmp_path / "wavs/1.wav"


@pytest.mark.parametrize("key", ["caption", "captions"])
def test_files_of_spoken_coco_are_named(write, key):
    caption = {"wav": "a.wav", "text": "a dog"}
    (refusal,) = read_rows(write, {"image": "a.jpg", key: caption if key == "caption" else [caption]}).refused
    assert refusal.reason == f"data[0]: has `{key}` as files of SpokenCOCO have and needs corpus.layout spoken_coco"
    manifest = read_rows(write, {"wav": "a.wav", "caption": "a dog"}, {"wav": "b.wav", "captions": []})
    assert len(manifest.utterances) == 2, "keys that are not ours are ignored"


paths = st.one_of(st.sampled_from(["1.wav", "a/2.wav", "../3", "/4", ".", "", "a/..", "\0", "\ud800"]), json_values)
rows = st.one_of(
    json_values,
    st.fixed_dictionaries(
        {"wav": paths},
        optional=dict.fromkeys(("image", "uttid", "speaker", "asr_text", "text", "text_alignment"), paths),
    ),
)
contents = st.one_of(
    json_values,
    st.fixed_dictionaries(
        {"data": st.lists(rows, max_size=5)}, optional={"audio_base_path": paths, "image_base_path": paths}
    ),
)


@given(contents.map(lambda content: json.dumps(content).encode()) | st.binary(max_size=60))
def test_any_content_is_read_or_refused(tmp_path, content):
    path = tmp_path / "fuzz.json"
    path.write_bytes(content)
    check_read_or_refused(lambda: places.read(path), path)
