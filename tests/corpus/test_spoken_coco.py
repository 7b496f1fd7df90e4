import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles.corpus import check_read_or_refused, json_values

from resdavenet_vq.config import SpokenCoco
from resdavenet_vq.corpus import spoken_coco
from resdavenet_vq.corpus.manifest import MOST_NAMED
from resdavenet_vq.errors import InputError


def caption(name, **changes):
    return {"text": f"text of {name}", "speaker": f"speaker-{name}", "uttid": name, "wav": f"wavs/{name}.wav"} | changes


def image(name, n_captions=5, **changes):
    return {"image": f"val2014/{name}.jpg", "captions": [caption(f"{name}-{k}") for k in range(n_captions)]} | changes


def section(folder, *files, **more):
    values = {"layout": "spoken_coco", "name": "coco", "metadata": {Path(f).stem: str(folder / f) for f in files}}
    return SpokenCoco.model_validate_json(json.dumps(values | more, default=str))


@pytest.fixture
def read(tmp_path):
    def read(*entries, **more):
        (tmp_path / "val.json").write_text(json.dumps({"data": list(entries), **more}))
        return spoken_coco.read(section(tmp_path, "val.json"), "val")

    return read


@pytest.fixture
def karpathy(tmp_path):
    """Two JSON files and a file of Karpathy's splits, from {image name: split}; returns the manifest of one."""

    def read(split, splits, first, second=(), **more):
        for name, entries in (("a.json", first), ("b.json", second or [image("spare")])):
            (tmp_path / name).write_text(json.dumps({"data": list(entries)}))
        rows = splits
        if isinstance(splits, dict):
            rows = [{"filename": f"{n}.jpg", "filepath": "val2014", "split": s} for n, s in splits.items()]
        path = tmp_path / "dataset_coco.json"
        path.write_text(json.dumps({"images": rows, "dataset": "coco"}))
        return spoken_coco.read(section(tmp_path, "a.json", "b.json", karpathy_splits=path, **more), split)

    return read


def reasons(manifest):
    return [(r.row, r.id, r.file, r.reason) for r in manifest.refused]


def test_captions_of_an_image_share_it(read, tmp_path):
    manifest = read(image("x"), image("y", 6))
    assert [u.id for u in manifest.utterances] == [f"x-{k}" for k in range(5)] + [f"y-{k}" for k in range(6)]
    assert [u.image_id for u in manifest.utterances] == ["val2014/x.jpg"] * 5 + ["val2014/y.jpg"] * 6
    first = manifest.utterances[0]
    assert (first.wav, first.image) == (tmp_path / "wavs/x-0.wav", tmp_path / "val2014/x.jpg")
    assert (first.speaker, first.text, first.words, first.phones) == ("speaker-x-0", "text of x-0", None, None)
    assert manifest.refused == []
    assert manifest.counted == {"no alignment": 11}


def test_base_paths_of_the_file_and_of_the_configuration(read, tmp_path):
    (utterance,) = read(image("x", 1), audio_base_path="audio", image_base_path="/images").utterances
    assert (utterance.wav, utterance.image) == (tmp_path / "audio/wavs/x-0.wav", Path("/images/val2014/x.jpg"))
    corpus = section(tmp_path, "val.json", audio_base_path="/a", image_base_path="/i")
    (utterance,) = spoken_coco.read(corpus, "val").utterances
    assert (utterance.wav, utterance.image) == (Path("/a/wavs/x-0.wav"), Path("/i/val2014/x.jpg"))


def test_a_caption_with_a_wav_alone(read):
    (utterance,) = read({"image": "x.jpg", "captions": [{"wav": "wavs/q.wav"}]}).utterances
    assert (utterance.id, utterance.speaker, utterance.text) == ("wavs/q", None, None)


def test_every_fault_is_refused_where_it_stands(read):
    captions = [3, caption("a", wav=None), caption("b", wav="../b.wav"), caption("good-0"), caption("c", text=1)]
    images = [
        image("x", image="../x.jpg"),
        {"image": "y.jpg", "captions": {}},
        {"image": "z.jpg", "captions": captions},
    ]
    manifest = read(image("good", 1), [], {"captions": []}, *images, image("last", 1))
    assert [u.id for u in manifest.utterances] == ["good-0", "last-0"]
    assert reasons(manifest) == [
        (1, "", "", "data[1]: not an object but a list"),
        (2, "", "", "data[2]: image: missing; the keys of the row are 'captions'"),
        (3, "", "../x.jpg", "data[3]: image: '../x.jpg' leads upwards with '..'; it must be below the base path"),
        (4, "", "y.jpg", "data[4]: captions: not a list but an object"),
        (5, "", "", "data[5].captions[0]: not an object but a number"),
        (6, "a", "", "data[5].captions[1]: wav: missing; the keys of the row are 'text', 'speaker', 'uttid'"),
        (
            7,
            "b",
            "../b.wav",
            "data[5].captions[2]: wav: '../b.wav' leads upwards with '..'; it must be below the base path",
        ),
        (
            8,
            "good-0",
            "wavs/good-0.wav",
            "data[5].captions[3]: id: data[0].captions[0] has the same, 'good-0'; give each its own",
        ),
        (9, "c", "wavs/c.wav", "data[5].captions[4]: text: not text but a number"),
    ]


def test_images_without_captions_and_listed_twice_are_counted(read):
    manifest = read(image("x", 1), image("y", 0), {"image": "val2014/x.jpg", "captions": [caption("other")]})
    assert [(u.id, u.image_id) for u in manifest.utterances] == [("x-0", "val2014/x.jpg"), ("other", "val2014/x.jpg")]
    assert manifest.counted == {"no alignment": 2, "images without captions": 1, "images listed twice": 1}
    assert manifest.noticed == {"images without captions": ["val2014/y.jpg"], "images listed twice": ["val2014/x.jpg"]}


def test_only_the_first_are_named(read):
    manifest = read(*(image(f"x{n}", 0) for n in range(MOST_NAMED + 7)))
    assert manifest.counted["images without captions"] == MOST_NAMED + 7
    assert len(manifest.noticed["images without captions"]) == MOST_NAMED


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "no rows; its list is empty"),
        ("5", 'not in the layout of SpokenCOCO; it must be an object with a list "data", a list, or'),
        ('{"data": 3}', "not in the layout"),
        ('{"data": []}', "no rows"),
        ("{", "malformed JSON"),
    ],
)
def test_unusable_files(tmp_path, content, message):
    (tmp_path / "val.json").write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        spoken_coco.read(section(tmp_path, "val.json"), "val")
    assert "val.json" in str(caught.value)


# Unrolled files


def unrolled(name, number, **more):
    return {"image": f"val2014/{name}.jpg", "caption": caption(f"{name}-{number}")} | more


def test_unrolled_captions_are_those_of_the_rolled_file(read):
    rolled = read(image("x"), image("y", 2)).utterances
    manifest = read(*(unrolled("x", k) for k in range(5)), *(unrolled("y", k) for k in range(2)))
    assert manifest.utterances == rolled
    assert manifest.refused == []
    assert manifest.counted == {"no alignment": 7}


def test_an_unrolled_file_without_an_object_around_it(tmp_path):
    (tmp_path / "val.json").write_text(json.dumps([unrolled("x", k) for k in range(3)]))
    assert [u.id for u in spoken_coco.read(section(tmp_path, "val.json"), "val").utterances] == ["x-0", "x-1", "x-2"]


def test_alignments_beside_an_unrolled_caption_or_in_a_caption(read):
    words, syllables = {"text_alignment": "0.1__A__0.2 bad"}, {"syllable_alignment": "0.1__a__0.2"}
    manifest = read(
        unrolled("x", 0, **words, **syllables), unrolled("x", 1), unrolled("y", 0, caption=caption("z") | words)
    )
    assert [u.words for u in manifest.utterances] == [((0.1, 0.2, "A"),), None, ((0.1, 0.2, "A"),)]
    assert [u.syllables for u in manifest.utterances] == [((0.1, 0.2, "a"),), None, None]
    assert manifest.counted == {"no alignment": 1, "bad alignment tokens": 2}


def test_faults_of_unrolled_rows_name_their_place(read):
    rows = [unrolled("x", 0), unrolled("x", 0), unrolled("y", 0, caption=[1]), unrolled("z", 0, caption=None)]
    assert reasons(read(*rows, {"caption": caption("w"), "image": None})) == [
        (1, "x-0", "wavs/x-0.wav", "data[1].caption: id: data[0].caption has the same, 'x-0'; give each its own"),
        (2, "", "", "data[2].caption: not an object but a list"),
        (3, "", "", "data[3].caption: not an object but null"),
        (4, "", "", "data[4]: image: missing; the keys of the row are 'caption'"),
    ]


def test_unrolled_files_with_a_file_of_karpathys_splits(karpathy):
    rows = [unrolled(name, k) for name in "tv" for k in range(2)]
    manifest = karpathy("val", SPLITS, rows)
    assert [u.id for u in manifest.utterances] == ["v-0", "v-1"]


def test_files_of_places_are_named(read):
    assert reasons(read({"image": "a.jpg", "wav": "a.wav"})) == [
        (0, "", "a.jpg", "data[0]: captions: missing beside `wav` as in files that need corpus.layout places")
    ]


# Karpathy's splits

SPLITS = {"t": "train", "r": "restval", "v": "val", "e": "test"}
IMAGES = [image(name, 1) for name in "trve"]


@pytest.mark.parametrize(
    ("split", "ids"),
    [("train", ["t-0", "r-0"]), ("val", ["v-0"]), ("test", ["e-0"])],
)
def test_karpathys_splits_take_images_of_all_files(karpathy, split, ids):
    manifest = karpathy(split, SPLITS, IMAGES[1:3], [IMAGES[0], IMAGES[3]])
    assert sorted(u.id for u in manifest.utterances) == sorted(ids)
    assert manifest.refused == []
    assert manifest.counted == {"no alignment": len(ids)}


def test_what_only_one_side_knows_is_counted_and_named(karpathy):
    manifest = karpathy("val", SPLITS | {"absent": "val", "far": "test"}, [*IMAGES, image("new")])
    assert [u.id for u in manifest.utterances] == ["v-0"]
    assert manifest.noticed == {
        "images in no Karpathy split": ["val2014/new.jpg", "val2014/spare.jpg"],
        "images of the Karpathy split that the corpus does not have": ["absent.jpg"],
    }


def test_malformed_images_are_refused_and_say_in_which_file(karpathy):
    manifest = karpathy("val", SPLITS, IMAGES, [5])
    assert reasons(manifest) == [(1, "", "", "b.json: data[0]: not an object but a number")]


def test_nothing_in_common(karpathy):
    message = r"none of its 1 images of 'val', such as 'p\.jpg', is in the corpus, which has such as 'val2014/t"
    with pytest.raises(InputError, match=message):
        karpathy("val", {"p": "val", "q": "train"}, IMAGES)
    with pytest.raises(InputError, match="no image is in the split 'test'"):
        karpathy("test", {"v": "val"}, IMAGES)


def test_a_faulty_file_of_splits_names_all_faults(karpathy):
    rows = [3, {"split": "val"}, {"filename": "a.jpg", "split": "dev"}]
    rows += [{"filename": "b.jpg", "split": "val"}, {"filename": "b.jpg", "split": "test"}]
    with pytest.raises(InputError) as caught:
        karpathy("val", rows, IMAGES)
    lines = str(caught.value).splitlines()[1:]
    assert [line.split(":", 1)[0] for line in lines] == [f"images[{n}]" for n in (0, 1, 2, 4)]
    assert "'dev' is none of train, val, test, restval" in str(caught.value)
    assert "'b.jpg' is in two splits" in str(caught.value)


paths = st.one_of(st.sampled_from(["1.wav", "a/2.jpg", "x.jpg", "../3", "/4", ".", "", "\0", "\ud800"]), json_values)
captions = json_values | st.fixed_dictionaries({}, optional=dict.fromkeys(("wav", "uttid", "speaker", "text"), paths))
entries = json_values | st.fixed_dictionaries(
    {"image": paths}, optional={"captions": json_values | st.lists(captions, max_size=4), "caption": captions}
)
contents = json_values | st.fixed_dictionaries(
    {"data": st.lists(entries, max_size=4)}, optional={"audio_base_path": paths}
)
rows = json_values | st.fixed_dictionaries(
    {"filename": paths, "split": st.sampled_from(["train", "val", "restval"]) | json_values}
)
splits = json_values | st.fixed_dictionaries({"images": st.lists(rows, max_size=4)})


@given(contents, st.none() | splits)
def test_any_json_is_read_or_refused(tmp_path, content, split_content):
    (tmp_path / "val.json").write_text(json.dumps(content))
    (tmp_path / "splits.json").write_text(json.dumps(split_content))
    corpus = section(tmp_path, "val.json", karpathy_splits=None if split_content is None else tmp_path / "splits.json")
    check_read_or_refused(lambda: spoken_coco.read(corpus, "val"), tmp_path)
