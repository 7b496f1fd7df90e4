import json

import numpy as np
import pytest
from encoded import ORIGIN

from resdavenet_vq import config
from resdavenet_vq.encode.embeddings import Pairs, create_embeddings
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import bootstrap, retrieval_files, score_files


def embeddings_file(path, image, speech, image_index):
    ids = [f"u{j}" for j in range(len(speech))], [f"i{i}.png" for i in range(len(image))]
    pairs = Pairs(*ids, np.asarray(image_index), image_branch=True)
    with create_embeddings(path, pairs, image.shape[1], ORIGIN) as file:
        file.write_speech(range(len(speech)), speech)
        file.write_images(range(len(image)), image)
    return path


def score(embeddings, out, **settings):
    return retrieval_files.score(embeddings, config.Retrieval(split="test", **settings), out, lineage="{}")


def test_score_writes_conditions_scores_and_examples(tmp_path):
    image = np.eye(4)
    speech = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [9, 9, 9, 9], [0, 0, 0.1, 1]])
    path = embeddings_file(tmp_path / "test.h5", image, speech, [0, 1, 1, -1, 2])
    score(path, tmp_path / "test.json", recall_at=(1, 2))
    value = json.loads((tmp_path / "test.json").read_text())
    left_out = {"captions_without_image": 1, "images_without_caption": 1}
    assert value["conditions"] == value["conditions"] | {"split": "test", "images": 3, "captions": 4} | left_out
    assert value["lineage"] == "{}"
    assert value["image_to_speech"]["recall_at_1"] == 1
    assert value["image_to_speech"]["chance_recall_at_1"] == pytest.approx((1 / 4 + 2 / 4 + 1 / 4) / 3)
    assert value["intervals"]["retrieval|test|image_to_speech|recall_at_1"] == [1, 1]
    assert list(bootstrap.read(tmp_path / "test.json")) == list(value["intervals"])
    assert len(value["intervals"]) == 6
    hits = value["examples"]["image_to_speech"]["hits"]
    assert [h["query"] for h in hits] == ["i0.png", "i1.png", "i2.png"]
    assert hits[1]["right"] == ["u1", "u2"]
    assert hits[1]["answers"][0] == {"id": "u1", "score": 1.0, "right": True}
    assert value["examples"]["speech_to_image"]["misses"] == []


def test_score_shows_misses(tmp_path):
    path = embeddings_file(tmp_path / "test.h5", np.eye(4), -np.eye(4), range(4))
    scores = score(path, tmp_path / "test.json", recall_at=(1,))
    assert scores.mean_recall(1) == 0
    misses = json.loads((tmp_path / "test.json").read_text())["examples"]["speech_to_image"]["misses"]
    assert [m["query"] for m in misses] == ["u0", "u1", "u2", "u3"]
    assert misses[0]["right"] == ["i0.png"]
    assert misses[0]["answers"][0]["right"] is False


@pytest.mark.parametrize(
    ("image", "speech", "image_index", "message"),
    [
        (np.eye(2), np.ones((2, 2)), [-1, -1], "there is no pair"),
        (np.eye(2), np.eye(2), [0, 7], ".* do not fit together"),
        (np.eye(2), np.eye(2), [0], "image_index has the shape"),
    ],
)
def test_files_that_do_not_fit_or_are_empty_of_pairs_are_named(tmp_path, image, speech, image_index, message):
    file = embeddings_file(tmp_path / "a.h5", image, speech, image_index)
    with pytest.raises(InputError, match=rf"a\.h5: {message}"):
        score(file, tmp_path / "test.json")
    assert not (tmp_path / "test.json").exists()


def test_a_split_without_images_has_no_scores_and_says_why(tmp_path):
    path = embeddings_file(tmp_path / "a.h5", np.zeros((0, 2)), np.ones((2, 2)), [-1, -1])
    assert score(path, tmp_path / "test.json") is None
    value = score_files.read(tmp_path / "test.json")
    assert (value["not_available"], value["split"]) == ("the split has no images", "test")
    assert bootstrap.read(tmp_path / "test.json") == {}


def test_files_that_are_missing_or_broken_are_named(tmp_path):
    (tmp_path / "broken.h5").write_bytes(b"\x89HDF")
    for name, message in (("absent", "no such file"), ("broken", "has no checksum of this software")):
        with pytest.raises(InputError, match=rf"{name}\.h5: {message}"):
            score(tmp_path / f"{name}.h5", tmp_path / "test.json")
