import json
import os

import pytest
from clutter import litter

from resdavenet_vq import files
from resdavenet_vq.workflow.digests import Digests


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "results/digests.json"


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "grids").mkdir()
    for name in ("a.json", "grids/1.TextGrid", "grids/2.TextGrid"):
        (tmp_path / name).write_text(name)
    return [str(tmp_path / name) for name in ("a.json", "grids", "absent")]


def test_they_are_those_of_sha256sum(corpus, cache, tmp_path):
    first = Digests(cache).of(corpus).splitlines()[0]
    assert first == f"{files.sha256(tmp_path / 'a.json')}  {tmp_path / 'a.json'}"


def test_a_name_too_long_for_a_file_is_missing(cache):
    assert Digests(cache).of(["a" * 300]) == ""


def test_a_file_is_read_once(corpus, cache, monkeypatch):
    before = Digests(cache).of(corpus)
    monkeypatch.setattr(files, "sha256", None)
    assert Digests(cache).of(corpus) == before


@pytest.mark.parametrize("name", ["a.json", "grids/2.TextGrid"])
def test_a_touched_file_has_the_same_and_a_changed_one_another(corpus, cache, tmp_path, name):
    digests = Digests(cache)
    before = digests.of(corpus)
    os.utime(tmp_path / name, ns=(1, 1))
    assert digests.of(corpus) == before
    (tmp_path / name).write_text(name[::-1])
    changed = [a == b for a, b in zip(before.splitlines(), digests.of(corpus).splitlines(), strict=True)]
    assert sorted(changed) == [False, True]


def test_a_new_name_in_a_folder_is_a_change(corpus, cache, tmp_path):
    before = Digests(cache).of(corpus)
    (tmp_path / "grids/2.TextGrid").rename(tmp_path / "grids/3.TextGrid")
    assert Digests(cache).of(corpus) != before


def test_what_systems_keep_in_a_folder_is_no_change(corpus, cache, tmp_path):
    before = Digests(cache).of(corpus)
    litter(tmp_path / "grids", "1.TextGrid")
    assert Digests(cache).of(corpus) == before


@pytest.mark.parametrize("content", ["", "no JSON", "[]"])
def test_a_damaged_cache_is_made_again(corpus, cache, content):
    before = Digests(cache).of(corpus)
    cache.write_text(content)
    assert Digests(cache).of(corpus) == before
    assert set(json.loads(cache.read_text())) == set(corpus[:2])


def test_a_cache_that_cannot_be_written_is_done_without(corpus, cache):
    cache.parent.write_text("no folder")
    assert len(Digests(cache).of(corpus).splitlines()) == 2
