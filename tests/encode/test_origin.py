"""Whose encoded files are: written by encoding, compared by all that read two of them or are told what one is."""

import json
from dataclasses import replace

import numpy as np
import pytest
from encode.recordings import run
from encoded import ORIGIN, header_of, relabelled
from evaluation.abx.synthetic import random_task, write_features
from evaluation.made_up import codes_file, maps_file
from evaluation.test_retrieval_files import embeddings_file

from resdavenet_vq import config, results
from resdavenet_vq.config import Recipe
from resdavenet_vq.data.store import Store
from resdavenet_vq.encode import logmel, split
from resdavenet_vq.encode.exports import export_units
from resdavenet_vq.encode.folder import encode_folder
from resdavenet_vq.encode.origin import Origin
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import matchmap, retrieval_files, words
from resdavenet_vq.evaluation.abx import score as abx
from resdavenet_vq.files import sha256
from resdavenet_vq.zerospeech import submission

SPOKEN = [([1] * 10, [[0.0, 0.4, "A"]]), ([2] * 10, [[0.0, 0.4, "B"]])]


def test_each_file_names_its_model_lineage_split_data_and_recipe(folder, workflows, tmp_path):
    model, data = sha256(folder / "model/model.safetensors"), Store(folder / "split.h5").sha256
    cropped = {"context": "cropped"}
    expected = Origin(model, "{}->{2,3}", "split", data, cropped)
    assert [header_of(path).origin for path in workflows] == [expected, expected]
    files = {kind: tmp_path / f"{kind}.h5" for kind in ("embeddings", "maps", "codes")}
    split.encode(folder / "none", folder / "split.h5", **files, recipe=Recipe(context="padded", pad_value="floor"))
    of_none = sha256(folder / "none/model.safetensors")
    padded = Origin(of_none, "", "split", data, {"context": "padded", "pad_value": "floor"})
    assert {kind: header_of(path).origin for kind, path in files.items()} == dict.fromkeys(files, padded)
    logmel.encode_logmel(folder / "split.h5", tmp_path / "l.h5")
    assert header_of(tmp_path / "l.h5").origin == Origin("", "raw log-mel", "split", data, {})
    out = {"features": tmp_path / "f.h5", "codes": tmp_path / "c.h5"}
    encode_folder(folder / "model", folder / "wavs", layers=["conv2"], **out)
    of_folder = Origin(model, "{}->{2,3}", "wavs", "", cropped)
    assert [header_of(path).origin for path in out.values()] == [of_folder, of_folder]


def of(**changes):
    return replace(ORIGIN, lineage="{2}") if not changes else replace(ORIGIN, lineage="{2}", **changes)


def refused(match, function, *arguments, **options):
    with pytest.raises(InputError, match=match) as e:
        function(*arguments, **options)
    assert "\n" not in str(e.value)


def test_word_detection_takes_one_model_one_recipe_and_the_splits_of_its_settings(tmp_path):
    settings = config.Words(split="train", held_out_split="test")
    train = codes_file(tmp_path / "train.h5", SPOKEN, origin=of(split="train"))
    held_out = codes_file(tmp_path / "test.h5", SPOKEN, origin=of())

    def score(lineage="{2}"):
        words.score(train, held_out, "quant3", settings, tmp_path / "out", frame_time="published", lineage=lineage)

    for file, right, wrong, message in (
        (
            held_out,
            {"model": ORIGIN.model},
            {"model": "3" * 64},
            r"test\.h5: .*333333333333 \(\{2\}\), and .*train\.h5",
        ),
        (held_out, {"lineage": "{2}"}, {"lineage": "{3}"}, r"test\.h5: is of the lineage \{3\}, not \{2\}"),
        (held_out, {"split": "test"}, {"split": "train"}, r"test\.h5: is of the split train, not test"),
        (
            held_out,
            {"recipe": ORIGIN.recipe},
            {"recipe": {"context": "padded"}},
            r"test\.h5: was encoded with .*padded",
        ),
        (train, {"split": "train"}, {"split": "test"}, r"train\.h5: is of the split test, not train"),
    ):
        relabelled(file, **wrong)
        refused(message, score)
        relabelled(file, **right)
    refused(r"is of the lineage \{2\}, not \{3\}", score, "{3}")
    assert not (tmp_path / "out").exists()
    score()
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["origin"] == of(split="train").to_dict()


def test_scores_of_a_file_are_of_its_lineage_and_split_and_say_so(tmp_path):
    out, image = tmp_path / "score.json", np.eye(3)
    retrieval = config.Retrieval(split="test")
    embeddings = relabelled(embeddings_file(tmp_path / "e.h5", image, image, range(3)), lineage="{2}")
    maps = relabelled(maps_file(tmp_path / "m.h5", image[:, None, None], [image] * 3, range(3)), lineage="{2}")
    features, items, _, _ = random_task(np.random.default_rng(0), tmp_path)
    relabelled(features, lineage="{2}", split="test")

    def score_abx(lineage="{2}", split="test"):
        abx.score(features, items, "conv2", config.AbxScoring(), out, lineage=lineage, split=split)

    def score_retrieval(lineage="{2}", split="test"):
        retrieval_files.score(embeddings, retrieval.model_copy(update={"split": split}), out, lineage=lineage)

    def score_maps(lineage="{2}", split="test"):
        matchmap.score(maps, "misa", retrieval.model_copy(update={"split": split}), out, lineage=lineage)

    for score in (score_abx, score_retrieval, score_maps):
        refused(r"is of the lineage \{2\}, not \{\}->\{2\}; give", score, lineage="{}->{2}")
        refused(r"is of the split test, not val; give", score, split="val")
        assert not out.exists()
        score()
        assert json.loads(out.read_text())["origin"] == of().to_dict()
        out.unlink()


def test_other_readers_of_two_files_or_of_a_named_one(tmp_path):
    codes = codes_file(tmp_path / "c.h5", [([1, 2], None)], layer="quant2", origin=of())
    features = write_features(tmp_path / "f.h5", "conv2", {"u0": np.ones((2, 3))}, 0.02, origin=of(model="4" * 64))
    refused(
        r"f\.h5: is of the model 444444444444 .*c\.h5 of 111111111111",
        *(export_units, codes, [], "segmentation", tmp_path / "out"),
        features=features,
    )
    assert not (tmp_path / "out").exists()
    relabelled(features, model=ORIGIN.model)
    export_units(codes, [], "segmentation", tmp_path / "out", features=features)
    settings = config.Submission(author="A", affiliation="B")
    refused("is of the lineage", submission.pack, features, "conv2", settings, tmp_path / "s.zip", lineage="{3}")
    assert not (tmp_path / "s.zip").exists()


def test_a_folder_of_results_holds_files_of_one_model(tmp_path):
    folder = tmp_path / "none-2"
    for name in ("codes", "maps", "retrieval"):
        (folder / name).mkdir(parents=True)
    own = replace(ORIGIN, lineage="{}->{2}")
    codes = codes_file(folder / "codes/test.h5", SPOKEN, origin=own)
    maps = maps_file(folder / "maps/test.h5", np.ones((1, 1, 1, 2)), [np.ones((2, 2))], [0], origin=own)
    for file, changes, message in (
        (maps, {"model": "5" * 64}, r"maps/test\.h5: is of the model 555555555555 .*codes/test\.h5"),
        (maps, {"split": "val"}, r"maps/test\.h5: is of the split val, not test"),
        (codes, {"lineage": "{2}"}, r"codes/test\.h5: is of the lineage \{2\}, not \{\}->\{2\}"),
    ):
        relabelled(file, **changes)
        (model,) = results.find(tmp_path, ["none-2"]).models
        refused(message, lambda model=model: [model.codes("test"), model.maps("test")])
        relabelled(file, **{name: getattr(own, name) for name in changes})
    (model,) = results.find(tmp_path, ["none-2"]).models
    assert model.codes("test")
    assert model.maps("test")


def test_a_mixture_ends_a_command_with_one_line(tmp_path):
    train = codes_file(tmp_path / "a.h5", SPOKEN, origin=of())
    other = codes_file(tmp_path / "b.h5", SPOKEN, origin=of(model="3" * 64))
    options = ["--layer", "quant3", "--lineage", "2", "--recipe", "{}", "--out", tmp_path / "out"]
    settings = json.dumps({"split": "test", "held_out_split": "test"})
    result = run("detect-words", "--codes", train, "--held-out", other, "--settings", settings, *options)
    assert result.exit_code == 1
    assert isinstance(result.exception, InputError)
    assert not (tmp_path / "out").exists()
