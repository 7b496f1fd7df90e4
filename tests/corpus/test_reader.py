"""Every layout all the way: a section of the configuration, the corpus's own files, a manifest, a store."""

import gzip
import json

import numpy as np
import pytest
import soundfile
from PIL import Image
from typer.testing import CliRunner

from resdavenet_vq import config
from resdavenet_vq.__main__ import app
from resdavenet_vq.corpus import reader
from resdavenet_vq.data.store import Store, verify
from resdavenet_vq.errors import InputError

IMAGES = ("x", "y")
CAPTIONS = 3


def media(audio_folder, image_folder, stems):
    """A short noise for every caption, and an image."""
    random = np.random.default_rng(0)
    for folder in (audio_folder, image_folder):
        folder.mkdir(parents=True, exist_ok=True)
    for stem in stems:
        soundfile.write(audio_folder / f"{stem}.wav", random.normal(0, 0.1, 3200), 16000)
    for image in IMAGES:
        Image.fromarray(random.integers(0, 256, (40, 50, 3), np.uint8)).save(image_folder / f"{image}.jpg")


STEMS = [f"{image}_{k}" for image in IMAGES for k in range(CAPTIONS)]


def places(folder):
    media(folder / "wavs", folder / "images", STEMS)
    rows = [
        {"uttid": s, "wav": f"wavs/{s}.wav", "image": f"images/{s[0]}.jpg", "speaker": "1", "text": f"text {s}"}
        for s in STEMS
    ]
    (folder / "split.json").write_text(json.dumps({"data": rows}))
    return {"metadata": {"train": folder / "split.json"}}


def spoken_coco(folder):
    media(folder / "wavs/0", folder / "coco/train2014", STEMS)
    rows = [{"uttid": s, "wav": f"wavs/0/{s}.wav", "speaker": "1", "text": f"text {s}"} for s in STEMS]
    captions = {"x": rows[:CAPTIONS], "y": rows[CAPTIONS:]}
    data = [{"image": f"train2014/{image}.jpg", "captions": captions[image]} for image in IMAGES]
    (folder / "SpokenCOCO_train.json").write_text(json.dumps({"data": data}))
    return {"metadata": {"train": folder / "SpokenCOCO_train.json"}, "image_base_path": folder / "coco"}


def flickr8k(folder):
    media(folder / "audio/wavs", folder / "images", STEMS)
    (folder / "text").mkdir()
    for name, text in {
        "audio/wav2capt.txt": "".join(f"{s}.wav {s[0]}.jpg #{s[2:]}\n" for s in STEMS),
        "audio/wav2spk.txt": "".join(f"{s}.wav 1\n" for s in STEMS),
        "text/Flickr8k.token.txt": "".join(f"{s[0]}.jpg#{s[2:]}\ttext {s}\n" for s in STEMS),
        "text/Flickr_8k.trainImages.txt": "x.jpg\ny.jpg\n",
        "text/Flickr_8k.devImages.txt": "",
        "text/Flickr_8k.testImages.txt": "",
    }.items():
        (folder / name).write_text(text)
    return {
        f"{kind}_folder": folder / path for kind, path in (("audio", "audio"), ("text", "text"), ("image", "images"))
    }


LAYOUTS = {"places": places, "spoken_coco": spoken_coco, "flickr8k": flickr8k}


@pytest.fixture(params=LAYOUTS)
def section(request, tmp_path):
    """JSON of the section of a small corpus in each layout, with alignments of its split."""
    values = {"layout": request.param, "name": "small"} | LAYOUTS[request.param](tmp_path)
    (tmp_path / "aligned.txt").write_text("".join(f"{stem} 0.0 0.1 word\n" for stem in STEMS[1:]))
    return json.dumps(values | {"alignments": {"train": tmp_path / "aligned.txt"}}, default=str)


def test_forms_of_lists_all_the_way(section, tmp_path):
    """The store of a list that is packed, a row a line, or begins with a byte order mark, is that of the plain list."""
    path = tmp_path / LISTS[json.loads(section)["layout"]]
    plain = path.read_bytes()
    forms = [gzip.compress(plain), b"\xef\xbb\xbf" + plain]
    if path.suffix == ".json":
        forms.append("\n".join(map(json.dumps, json.loads(plain)["data"])).encode())
    stores = []
    for content in (plain, *forms):
        path.write_bytes(content)
        assert prepare(tmp_path, "--corpus", section, "--split", "train").exit_code == 0
        stores.append((tmp_path / "a.h5").read_bytes())
        (tmp_path / "a.h5").unlink()
    assert stores == [stores[0]] * len(stores)


def prepare(folder, *arguments):
    paths = ["--out", str(folder / "a.h5"), "--report", str(folder / "a.json"), "--overwrite"]
    return CliRunner().invoke(app, ["prepare", *paths, *arguments])


def test_from_a_section_to_a_store(section, tmp_path):
    run = prepare(tmp_path, "--corpus", section, "--split", "train")
    assert run.exit_code == 0, run.output
    store = Store(tmp_path / "a.h5")
    assert verify(store.path) == []
    assert store.ids == STEMS
    assert len(store.image_ids) == len(IMAGES)
    assert store.image_index.tolist() == [0, 0, 0, 1, 1, 1]
    for number, stem in enumerate(STEMS):
        utterance = store.utterance(number)
        assert (utterance.speaker, utterance.text) == ("1", f"text {stem}")
        assert utterance.words == (None if number == 0 else ((0.0, 0.1, "WORD"),))
        assert utterance.image.name == f"{stem[0]}.jpg"
    report = json.loads((tmp_path / "a.json").read_text())
    assert (report["utterances"], report["images"], report["refused"]) == (6, 2, [])
    assert report["counted"]["no alignment"] == 1
    assert report["noticed"] == {"no alignment": ["x_0"]}


LISTS = {"places": "split.json", "spoken_coco": "SpokenCOCO_train.json", "flickr8k": "audio/wav2capt.txt"}


def test_the_message_of_bad_rows_names_the_list_and_what_all_have_in_common(section, tmp_path):
    name = LISTS[json.loads(section)["layout"]]
    for wav in tmp_path.rglob("*.wav"):
        wav.unlink()
    fault = prepare(tmp_path, "--corpus", section, "--split", "train").exception
    assert isinstance(fault, InputError)
    common, header, first = str(fault).splitlines()[:3]
    assert common.startswith(f"No file at all is where it should be below {tmp_path}/")
    assert common.endswith("x_0.wav.")
    assert header == f"6 of 6 rows of {tmp_path / name} cannot be used:"
    assert first.startswith("row 0 (x_0): ")


@pytest.mark.parametrize(
    "arguments", [[], ["--split", "train"], ["--manifest", "a.json", "--corpus", "{}", "--split", "a"]]
)
def test_the_command_takes_one_way_to_name_its_rows(tmp_path, arguments):
    fault = prepare(tmp_path, *arguments).exception
    assert isinstance(fault, InputError)
    assert "prepare takes --corpus and --split, or --manifest alone" in str(fault)


def test_alignments_of_another_split_are_not_read(section):
    corpus = config.read_corpus(section)
    corpus = corpus.model_copy(update={"alignments": {"val": corpus.alignments["train"]}})
    assert reader.read(corpus, "train").counted["no alignment"] == 6


def test_the_section_names_tiers_of_its_own_for_splits_with_alignments(section, tmp_path):
    grid = '"ooTextFile" "TextGrid" 0 1 <exists> 1 "IntervalTier" "mots" 0 1 1 0 1 "un"'
    (tmp_path / "grids").mkdir()
    (tmp_path / f"grids/{STEMS[1]}.TextGrid").write_text(grid)
    values = json.loads(section) | {"alignments": {"train": str(tmp_path / "grids")}, "tiers": {"words": ["Mots"]}}
    corpus = config.read_corpus(json.dumps(values))
    utterances = {u.id.rpartition("/")[2]: u for u in reader.read(corpus, "train").utterances}
    assert utterances[STEMS[1]].words == ((0, 1, "UN"),)
    assert (corpus.for_split("train").tiers, corpus.model_copy(update={"alignments": {}}).for_split("train").tiers) == (
        {"words": ("Mots",)},
        {},
    )
    with pytest.raises(InputError, match=r"tiers\.mots"):
        config.read_corpus(json.dumps(values | {"tiers": {"mots": ["a"]}}))


def test_unknown_splits_and_the_demo_corpus():
    values = {"layout": "spoken_scenes", "name": "demo", "seed": 1, "pairs": {"train": 2}}
    corpus = config.read_corpus(json.dumps(values))
    with pytest.raises(InputError, match="demo has no split 'val'; known are train"):
        reader.read(corpus, "val")
    with pytest.raises(InputError, match="made, not imported"):
        reader.read(corpus, "train")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"layout": "flickr8k", "name": "a", "audio_folder": "a", "text_folder": "b", "images": "c"},
            "corpus.image_folder: missing",
        ),
        ({"layout": "spoken_coco", "name": "a", "metadata": {}}, "corpus.metadata"),
        ({"layout": "spoken_coco", "name": "a", "metadata": {"a": "a"}, "karpathy": "x"}, "mean 'karpathy_splits'"),
        ({"layout": "coco"}, "corpus.layout: must be spoken_scenes, places, spoken_coco or flickr8k, not 'coco'"),
    ],
)
def test_faults_of_a_section_are_named(values, message):
    with pytest.raises(InputError, match=message):
        config.read_corpus(json.dumps(values))
