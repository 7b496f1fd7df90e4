"""Models to and from the Hugging Face hub: its own client against a stand-in of its server."""

import sys
from pathlib import Path

import pytest
from api.hub import COMMIT, TOKEN, running

from resdavenet_vq import DualEncoder, InputError, SpeechEncoder

SCORES = Path(__file__).with_name("scores.csv")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """The stand-in, and the client imported anew: it reads the address of its hub and its cache when it is imported."""
    with running() as (endpoint, content), pytest.MonkeyPatch.context() as patch:
        for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
            patch.delitem(sys.modules, name)
        patch.setenv("HF_ENDPOINT", endpoint)
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hub")))
        patch.setenv("HF_HUB_DISABLE_XET", "1")  # the stand-in has no such storage
        patch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        patch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield content, endpoint


@pytest.fixture(autouse=True)
def token(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def test_a_model_that_was_pushed_comes_back_with_the_same_bits(hub, folder, wavs):
    content, endpoint = hub
    model = DualEncoder.from_pretrained(folder / "model")
    for _ in range(2):  # the second time the repository is there
        assert model.push_to_hub("somebody/units", license="mit") == f"{endpoint}/somebody/units"
    assert content.commits == 2 * [["README.md", "model.json", "model.safetensors"]]
    assert content.private == set()
    files = content.files["somebody/units"]
    assert files["model.safetensors"] == (folder / "model/model.safetensors").read_bytes()
    assert "license: mit" in files["README.md"].decode()
    expected = model.speech.encode(wavs[0]).codes
    for revision in (None, "main", COMMIT):
        encoder = SpeechEncoder.from_pretrained("somebody/units", revision=revision)
        assert encoder.encode(wavs[0]).codes.tolist() == expected.tolist()


def test_a_private_repository_is_seen_with_its_token_alone(hub, folder, monkeypatch):
    SpeechEncoder.from_pretrained(folder / "speech").push_to_hub("somebody/secret", private=True)
    assert hub[0].private == {"somebody/secret"}
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(
        InputError, match="somebody/secret: is no file or folder here, and no repository of the hub that"
    ):
        SpeechEncoder.from_pretrained("somebody/secret")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert SpeechEncoder.from_pretrained("somebody/secret").lineage == "{2}"


def test_what_the_hub_lacks_or_refuses_is_told_in_a_line(hub, folder, monkeypatch):
    content = hub[0]
    model = SpeechEncoder.from_pretrained(folder / "speech")
    model.push_to_hub("somebody/speech")
    content.files["somebody/other"] = {"config.json": b"{}"}
    content.files["somebody/damaged"] = content.files["somebody/speech"] | {"model.safetensors": b"x"}
    for call, message in (
        (
            lambda: SpeechEncoder.from_pretrained("somebody/nothing"),
            "^somebody/nothing: is no file or folder here, and no",
        ),
        (lambda: SpeechEncoder.from_pretrained("somebody/other"), "^somebody/other: holds no model of this software"),
        (lambda: SpeechEncoder.from_pretrained("somebody/speech", revision="v9"), "^somebody/speech: has no such rev"),
        (lambda: SpeechEncoder.from_pretrained("somebody/damaged"), "the file is damaged or belongs to another model"),
        (lambda: model.push_to_hub("units"), "^'units' is no id of a repository of the hub, which is like user/name"),
    ):
        with pytest.raises(InputError, match=message) as e:
            call()
        assert len(str(e.value).splitlines()) == 1
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(InputError, match=r"^somebody/speech: the hub refuses, or cannot be reached"):
        model.push_to_hub("somebody/speech")


def test_without_the_client_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (
        lambda: SpeechEncoder.from_pretrained("somebody/units"),
        lambda: DualEncoder.from_pretrained(folder / "model").push_to_hub("somebody/units"),
    ):
        with pytest.raises(InputError, match=r"somebody/units: .*pip install 'resdavenet-vq\[hub\]'"):
            call()


def test_the_hub_reads_the_card(hub, folder, tmp_path):
    """By its own reader: the front matter, and scores with their data sets."""
    from huggingface_hub import ModelCard

    SpeechEncoder.from_pretrained(folder / "model").save_pretrained(tmp_path, scores=SCORES, license="cc-by-4.0")
    card = ModelCard.load(tmp_path / "README.md")
    assert (card.data.license, card.data.library_name, card.data.language) == ("cc-by-4.0", "resdavenet-vq", ["en"])
    results = [(r.dataset_name, r.dataset_split, r.metric_type, r.metric_value) for r in card.data.eval_results]
    assert results == [
        ("spoken_scenes", "test", "mean_recall_at_10", 42.5),
        ("spoken_scenes", "test", "within_error", 7.25),
        ("spoken_scenes", "test", "held_out_words_above_f1", 12),
    ]
