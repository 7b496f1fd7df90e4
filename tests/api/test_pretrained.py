"""Where encoders come from and where they go; the model card beside them."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from resdavenet_vq import DualEncoder, InputError, SpeechEncoder, model_card
from resdavenet_vq.model import checkpoint
from resdavenet_vq.release import importing

GOLDEN = Path(__file__).parents[1] / "golden"
SCORES = Path(__file__).with_name("scores.csv")


def card_of(folder):
    return json.loads((folder / "model.json").read_text())


def front_matter(text):
    return yaml.safe_load(re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)[1])


def test_a_saved_model_has_the_same_bits(folder, tmp_path):
    DualEncoder.from_pretrained(folder / "model").save_pretrained(tmp_path / "saved")
    for name in ("model.safetensors", "model.json"):
        assert (tmp_path / "saved" / name).read_bytes() == (folder / "model" / name).read_bytes()


def test_speech_alone_is_saved_without_images_and_names_the_whole(folder, wavs, tmp_path):
    encoder = SpeechEncoder.from_pretrained(folder / "model")
    encoder.save_pretrained(tmp_path / "saved")
    card, whole = card_of(tmp_path / "saved"), card_of(folder / "model")
    assert (card["image_branch"], card["part_of"], card["lineage"]) == (False, whole["sha256"], whole["lineage"])
    expected = {k: x for k, x in load_file(folder / "model/model.safetensors").items() if k.startswith("audio.")}
    saved = load_file(tmp_path / "saved/model.safetensors")
    assert saved.keys() == expected.keys()
    assert all(torch.equal(saved[name], x) for name, x in expected.items())
    again = SpeechEncoder.from_pretrained(tmp_path / "saved")
    assert again.encode(wavs[0]).codes.tolist() == encoder.encode(wavs[0]).codes.tolist()


def test_a_model_of_2020_needs_no_import(wavs, tmp_path, monkeypatch):
    """From its folder and its archive, as the model that the import writes; an archive that nobody knows is refused."""
    experiment = GOLDEN / "reference_experiment"
    importing.import_released(experiment, tmp_path / "model", allow_unknown=False)
    expected = SpeechEncoder.from_pretrained(tmp_path / "model").encode(wavs[0]).codes.tolist()
    assert SpeechEncoder.from_pretrained(experiment).encode(wavs[0]).codes.tolist() == expected
    archive = Path(shutil.make_archive(str(tmp_path / "archive"), "zip", experiment))
    with pytest.raises(InputError, match="which is not that of any of the ten released archives"):
        SpeechEncoder.from_pretrained(archive)
    monkeypatch.setitem(importing._LINEAGES, importing.md5_of(archive), "{2,3}")
    encoder = SpeechEncoder.from_pretrained(archive)
    assert encoder.encode(wavs[0]).codes.tolist() == expected
    encoder.save_pretrained(tmp_path / "saved")
    text = (tmp_path / "saved/README.md").read_text()
    assert front_matter(text)["language"] == ["en"]
    assert "Imported from the release of 2020" in text
    assert "part_of" not in card_of(tmp_path / "saved")
    assert (tmp_path / "model/README.md").read_text().startswith("---\nlibrary_name: resdavenet-vq\n")


def test_models_devices_and_types_that_cannot_be_had(folder, tmp_path):
    model = folder / "model"
    for call, message in (
        (lambda: SpeechEncoder.from_pretrained(tmp_path), r"model\.json: no such file"),
        (lambda: SpeechEncoder.from_pretrained(tmp_path / "a/b/c"), r"c/model\.json: no such file"),
        (lambda: SpeechEncoder.from_pretrained(3), "named by a folder, an archive or a hub id, not by a int"),
        (lambda: SpeechEncoder.from_pretrained(model, revision="main"), "is a path, which has no revisions"),
        (lambda: SpeechEncoder.from_pretrained(model, device="gpu"), "device='gpu' cannot be used here"),
        (lambda: SpeechEncoder.from_pretrained(model, device=1.5), r"device=1\.5 cannot be used here"),
        (lambda: SpeechEncoder.from_pretrained(model, dtype="float16"), "dtype='float16' is none of float32, bfloat16"),
        (lambda: SpeechEncoder.from_pretrained(model, dtype=torch.float16), "is none of float32, bfloat16"),
        (lambda: DualEncoder.from_pretrained(model).save_pretrained(model), r"model\.json: is there already"),
        (
            lambda: DualEncoder.from_pretrained(folder / "none").save_pretrained(tmp_path / "x", scores=SCORES),
            "no score of {}",
        ),
        (lambda: DualEncoder.from_pretrained(model).save_pretrained(tmp_path / "x", scores="no.csv"), "no such file"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    assert not (tmp_path / "x").exists()


def test_the_card_quotes_its_own_scores_beside_those_of_baselines(folder, tmp_path):
    DualEncoder.from_pretrained(folder / "model").save_pretrained(tmp_path, scores=SCORES)
    text = (tmp_path / "README.md").read_text()
    rows = [line for line in text.split("\n") if line.startswith(("| R@10", "| ABX", "| words", "| bitrate"))]
    baselines = "raw log-mel 14.1 [13.0, 15.5]; k-means of log-mel 12.5 [11.0, 14.0]"
    assert rows == [
        "| R@10, mean of both directions (%) | test | – | 42.5 [36.0, 49.0] | – |",
        f"| ABX error within speakers (%) | test | quant2 | 7.2 [6.5, 8.0] | {baselines} |",
        "| words detected, held out (words) | test | quant3 | 12.0 [9.5, 14.5] | – |",
    ]
    assert "epoch 3, the best by R@10 on the validation split: 25.0 %" in text
    assert "| `training.seed` | 1 |" in text
    assert "None was chosen for these weights" in text
    assert front_matter(text)["license"] == "other"


def test_the_corpus_is_known_by_the_path_of_results(tmp_path):
    card = {"lineage": "{}->{2,3}", "training": {"seed": 7}, "quantizers": [2, 3]}
    for path, corpus in (
        ("results/places/none-23/model", "places"),
        ("results/mine/none-23-seed7/model", "mine"),
        ("results/mine/none-2/model", ""),
        ("results/mine/none-23", ""),
    ):
        assert model_card.corpus_of(tmp_path / path, card) == corpus
    assert front_matter(model_card.text(card, 1, "places"))["language"] == ["en"]
    assert "language" not in front_matter(model_card.text(card, 1, "mine"))


def test_a_hostile_card_breaks_neither_the_front_matter_nor_a_table(folder, tmp_path):
    text = "{2}\n---\nlicense: mit\n| a |\x1b[31m"
    card = card_of(folder / "model") | {"lineage": text, "advice": text, "recipe": {text: text}}
    checkpoint.save(tmp_path / "model", DualEncoder.from_pretrained(folder / "model")._model.network, card)
    model_card.write(tmp_path / "model", card_of(tmp_path / "model"), 1)
    written = (tmp_path / "model/README.md").read_text()
    assert front_matter(written)["license"] == "other"
    assert "\x1b" not in written
    assert written.count("\n---\n") == 1
