"""A model as MTEB takes one: its protocol played by hand, and MTEB itself, where it is installed."""

import re
import sys
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from resdavenet_vq import DualEncoder, InputError, MTEBEncoder
from resdavenet_vq.model import checkpoint

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model(folder):
    return MTEBEncoder.from_pretrained(folder / "model")


@pytest.fixture(scope="module")
def both(folder):
    return DualEncoder.from_pretrained(folder / "model")


def audio(path):
    samples, rate = soundfile.read(path, dtype="float32")
    return {"array": samples, "sampling_rate": rate}


def batches(column, rows, size):
    """What the loaders of MTEB give: a dictionary of columns for every `size` rows."""
    for start in range(0, len(rows), size):
        some = rows[start : start + size]
        yield {"id": [f"{column} {start + i}" for i in range(len(some))], column: some}


def embedded(model, column, rows, size=2):
    about = {
        "task_metadata": None,
        "hf_split": "test",
        "hf_subset": "default",
        "prompt_type": "query",
        "batch_size": size,
    }
    return model.encode(batches(column, rows, size), **about)


def test_vectors_are_those_of_both_networks_in_batches_of_any_size(model, both, wavs, pictures):
    recordings, images = [audio(path) for path in wavs], [Image.open(path) for path in pictures]
    for size in (1, 2, 100):
        speech = embedded(model, "audio", recordings, size)
        np.testing.assert_allclose(speech, both.speech.embed(wavs), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            embedded(model, "image", images, size), both.image.embed(pictures), rtol=1e-5, atol=1e-6
        )
    assert speech.dtype == np.float32
    assert embedded(model, "audio", []).shape == embedded(model, "image", []).shape == (0, 10)


def test_similarities_are_those_that_retrieval_ranks_by(model, both, wavs, pictures):
    speech, images = embedded(model, "audio", [audio(path) for path in wavs]), both.image.embed(pictures)
    expected = both.similarity(wavs, pictures)
    for of in (np.asarray, torch.from_numpy):  # MTEB hands over either
        np.testing.assert_allclose(model.similarity(of(speech), of(images)), expected, rtol=1e-5, atol=1e-6)
    assert model.similarity(speech[0], images).shape == (1, 3)
    assert model.similarity(speech[:0], images).shape == (0, 3)
    pairs = model.similarity_pairwise(speech[:3], images)
    np.testing.assert_array_equal(pairs, np.diag(model.similarity(speech[:3], images)))
    many = np.tile(speech[:1], (2500, 1))
    assert (model.similarity(many, images) == model.similarity(many[:1], images)).all()


def test_audio_of_any_rate_and_number_of_channels(model, both, wavs):
    samples = audio(wavs[0])["array"]
    rows = [
        {"array": samples, "sampling_rate": 16000},
        {"array": np.stack([samples, samples]), "sampling_rate": 16000},
        {"array": samples.astype(np.float64), "sampling_rate": 22050},
    ]
    one, stereo, other = embedded(model, "audio", rows, 3)
    np.testing.assert_allclose(stereo, one, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(other, both.speech.embed(samples.astype(np.float64), sample_rate=22050))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"text": ["a red circle"]}, "a row of this task has text, and this model embeds a recording or an image"),
        ({"audio": [], "image": []}, "has audio and image"),
        ({"id": ["1"]}, "has neither"),
        ({"id": ["c7"], "audio": [{"array": np.zeros(9), "sampling_rate": 16000}]}, "^c7: the recording: "),
        ({"audio": [{"array": np.ones(9000), "sampling_rate": 1}]}, "^row 0: the recording: a sample_rate of 1 Hz"),
    ],
)
def test_rows_that_have_no_vector_are_named(model, batch, message):
    with pytest.raises(InputError, match=message):
        model.encode([batch])


def test_what_mteb_stores_of_a_model(folder, model, monkeypatch):
    """MTEB keeps results by name and revision: another model has another one of them."""
    models = ModuleType("mteb.models")
    models.ModelMeta = SimpleNamespace
    monkeypatch.setitem(sys.modules, "mteb", ModuleType("mteb"))
    monkeypatch.setitem(sys.modules, "mteb.models", models)
    meta = MTEBEncoder.from_pretrained(folder / "model").mteb_model_meta
    assert (meta.name, meta.similarity_fn_name) == ("resdavenet-vq/none-23", "dot")
    assert set(meta.modalities) == {"audio", "image"}
    assert meta.revision == checkpoint.load(folder / "model")[1]["sha256"]
    assert meta.embed_dim == len(embedded(model, "image", [Image.new("RGB", (80, 80))])[0])
    assert meta.experiment_kwargs is None
    other = MTEBEncoder.from_pretrained(folder / "none", dtype="bfloat16").mteb_model_meta
    assert other.revision != meta.revision
    assert other.experiment_kwargs == {"dtype": "bfloat16"}


def test_a_model_without_images_cannot_be_scored(folder):
    with pytest.raises(InputError, match="has no image branch"):
        MTEBEncoder.from_pretrained(folder / "speech")


class Direction(NamedTuple):
    """A task of SpokenCOCO in one direction, with a few recordings and pictures in its layout."""

    task: Any
    is_right: np.ndarray
    """(queries, items)."""


def embedded_files(paths):
    """Files in a table, as those of the hub are."""
    return [{"bytes": path.read_bytes(), "path": path.name} for path in paths]


@pytest.fixture
def directions(wavs, pictures, tmp_path, monkeypatch):
    """Captions that search images, and the reverse."""
    mteb = pytest.importorskip("mteb", reason="needs MTEB: pip install 'resdavenet-vq[mteb]'")
    import datasets

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    is_right = np.arange(len(wavs))[:, None] % len(pictures) == np.arange(len(pictures))
    speech = datasets.Dataset.from_dict({"id": [f"c{i}" for i in range(len(wavs))], "audio": embedded_files(wavs)})
    images = datasets.Dataset.from_dict(
        {"id": [f"i{i}" for i in range(len(pictures))], "image": embedded_files(pictures)}
    )
    speech, images = speech.cast_column("audio", datasets.Audio()), images.cast_column("image", datasets.Image())
    made = []
    for name, queries, corpus, right in (
        ("SpokenCOCOA2IRetrieval", speech, images, is_right),
        ("SpokenCOCOI2ARetrieval", images, speech, is_right.T),
    ):
        pairs = [(queries["id"][query], corpus["id"][item]) for query, item in np.argwhere(right).tolist()]
        qrels = datasets.Dataset.from_list(
            [{"query-id": query, "corpus-id": item, "score": 1} for query, item in pairs]
        )
        tables = {"queries": queries, "corpus": corpus, "qrels": qrels}
        for config, table in tables.items():
            table.to_parquet(tmp_path / name / config / "test.parquet")
        configs = "".join(f"- config_name: {config}\n  data_files: {config}/*.parquet\n" for config in tables)
        (tmp_path / name / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
        task = mteb.get_task(name)
        place = {"path": str(tmp_path / name), "revision": "main"}
        task.metadata = task.metadata.model_copy(update={"dataset": place})
        made.append(Direction(task, right))
    evaluate = partial(mteb.evaluate, cache=mteb.cache.ResultCache(tmp_path / "cache"), co2_tracker=False)
    monkeypatch.setattr(mteb, "evaluate", evaluate)
    return mteb, made


def test_mteb_itself_scores_a_model_as_its_similarities_say(directions, model, both, wavs, pictures, tmp_path):
    mteb, (forth, back) = directions
    similarity = both.similarity(wavs, pictures)
    for direction, scores in ((forth, similarity), (back, similarity.T)):
        (found,) = mteb.evaluate(model, direction.task)[0].scores["test"]
        for k in (1, 3):
            hits = np.take_along_axis(direction.is_right, np.argsort(-scores, axis=1)[:, :k], axis=1)
            assert found[f"hit_rate_at_{k}"] == pytest.approx(hits.any(axis=1).mean(), abs=1e-5)
            recall = hits.sum(axis=1) / direction.is_right.sum(axis=1)
            assert found[f"recall_at_{k}"] == pytest.approx(recall.mean(), abs=1e-5)
    folders = {
        path.parent.relative_to(tmp_path / "cache/results").as_posix() for path in tmp_path.glob("cache/**/*.json")
    }
    assert folders == {f"resdavenet-vq__none-23/{model.mteb_model_meta.revision}"}


def test_the_example_of_the_page_runs(directions, folder, tmp_path, monkeypatch, capsys):
    mteb, made = directions
    monkeypatch.setattr(mteb, "get_tasks", lambda tasks: [one.task for one in made if one.task.metadata.name in tasks])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results/spoken_coco/none-2-23").mkdir(parents=True)
    (tmp_path / "results/spoken_coco/none-2-23/model").symlink_to(folder / "model")
    page = (REPO / "docs/retrieval.md").read_text()
    (example,) = (
        text for text in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL) if "mteb" in text
    )
    exec(compile(example, "docs/retrieval.md", "exec"), {})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["SpokenCOCOA2IRetrieval", "SpokenCOCOI2ARetrieval"]
    assert all(float(hit_rate) == 1 and 0 < float(ndcg) <= 1 for _, hit_rate, ndcg in lines), (
        "ten of three or seven items"
    )
