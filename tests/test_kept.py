"""Results that stay: the same files under the same key, and nothing else."""

import os

import pytest

from resdavenet_vq.kept import FOLDER, LARGE, Kept


@pytest.fixture
def results(tmp_path):
    """A folder of results, its files and what is kept of them."""
    files = [tmp_path / "none-2/abx/test/quant2.json", tmp_path / "none-2/abx/test/quant2.phones.csv"]
    files[0].parent.mkdir(parents=True)
    for file in files:
        file.write_text(file.name)
    kept = Kept(tmp_path)
    kept.keep(files, "a key")
    return files, kept


def remove(files):
    for file in files:
        file.unlink()


def test_removed_files_come_back_under_their_key_as_new_as_what_is_made_now(results):
    files, kept = results
    before = [file.stat() for file in files]
    remove(files)
    assert not kept.restore(files, "another key")
    assert not any(file.exists() for file in files)
    assert kept.restore(files, "a key")
    assert [file.read_text() for file in files] == [file.name for file in files]
    for old, file in zip(before, files, strict=True):
        assert file.stat().st_ino == old.st_ino
        assert file.stat().st_mtime_ns > old.st_mtime_ns
    os.utime(files[0], (1, 1))  # as Snakemake does with what a job has made
    assert kept.restore(files, "a key")


def test_other_files_are_replaced_and_nothing_temporary_is_left(results, tmp_path):
    files, kept = results
    remove(files)
    files[0].write_text("of another configuration")
    assert kept.restore(files, "a key")
    assert files[0].read_text() == files[0].name
    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {"quant2.json", "quant2.phones.csv", "quant2.json.kept"}


@pytest.mark.parametrize("change", ["other bytes", "shorter", "one is gone", "record is damaged"])
def test_what_was_changed_by_hand_is_made_again(results, tmp_path, change):
    files, kept = results
    link = tmp_path / FOLDER / files[1].relative_to(tmp_path)
    if change == "other bytes":
        files[1].write_text(files[1].name.upper())
    elif change == "shorter":
        files[1].write_text("")
    elif change == "one is gone":
        link.unlink()
    else:
        (tmp_path / FOLDER / "none-2/abx/test/quant2.json.kept").write_text('{"key"')
    assert not kept.restore(files, "a key")


def test_a_large_file_is_recognized_by_its_size(tmp_path):
    file = tmp_path / "features.h5"
    file.touch()
    os.truncate(file, LARGE + 1)
    kept = Kept(tmp_path)
    kept.keep([file], "a key")
    file.unlink()
    assert kept.restore([file], "a key")
    os.truncate(file, LARGE + 2)
    assert not kept.restore([file], "a key")


def test_the_latest_result_takes_the_place_of_the_one_before(results):
    files, kept = results
    remove(files)
    for file in files:
        file.write_text("new")
    kept.keep(files, "a new key")
    remove(files)
    assert not kept.restore(files, "a key")
    assert kept.restore(files, "a new key")
    assert files[0].read_text() == "new"


def test_without_hard_links_nothing_is_kept(results, tmp_path, monkeypatch):
    files, kept = results

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    kept.keep(files, "a new key")
    assert all(file.exists() for file in files)
    remove(files)
    assert not kept.restore(files, "a new key")
    assert not kept.restore(files, "a key")


def test_deleted_results_are_pruned_and_all_can_be_forgotten(results, tmp_path):
    files, kept = results
    files[0].unlink()
    kept.prune()
    links = {path.name for path in (tmp_path / FOLDER).rglob("*") if path.is_file()}
    assert "quant2.json" not in links
    assert "quant2.phones.csv" in links
    assert not kept.restore(files, "a key")
    kept.forget()
    assert not [path for path in (tmp_path / FOLDER).rglob("*") if path.is_file()]
    assert files[1].exists()
