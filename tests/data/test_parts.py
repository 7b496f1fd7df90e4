"""A split in parts is the undivided split, bit for bit; finished parts are kept, incomplete folders refused."""

import json
import os
import pickle
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from oracles.data import all_batches, assert_same_batches, assert_same_store, make_manifest, prepared, write_release
from training_child import FRESH, start_forkserver

from resdavenet_vq import files
from resdavenet_vq.config import Preparation
from resdavenet_vq.corpus.manifest import Manifest, Refusal
from resdavenet_vq.data.parts import Part, prepare_part
from resdavenet_vq.data.store import Store, verify
from resdavenet_vq.errors import InputError

SKIP = Preparation(bad_rows="skip")


def in_parts(manifest, folder, parts, rows_per_part, settings=SKIP, release=None, workers=1, code=""):
    for number in range(parts):
        prepare_part(manifest, Part(number, parts, rows_per_part), settings, folder, workers, release, code)
    return Store(folder)


def contents(folder):
    """The bytes and the inode of each file: a file that is written again has another."""
    return {path.name: (path.read_bytes(), path.stat().st_ino) for path in folder.iterdir() if path.is_file()}


def data(folder):
    return {name: content for name, (content, _) in contents(folder).items()}


def changed(before, folder):
    after = contents(folder)
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """27 rows: images shown by rows far apart, rows without one, and a row that the corpus refused."""
    rows = make_manifest(tmp_path_factory.mktemp("corpus"), 26).utterances
    order = np.random.default_rng(3).permutation(26)
    refused = [Refusal(4, "four", "4.wav", "wav: missing")]
    return Manifest([rows[i] for i in order], refused, {"no alignment": 13}, {"x": ["utt-3"]})


@pytest.fixture(scope="module")
def whole(manifest, tmp_path_factory):
    return prepared(manifest, tmp_path_factory.mktemp("whole"), "whole", bad_rows="skip")


@pytest.fixture(scope="module")
def finished(manifest, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts") / "train"
    in_parts(manifest, folder, 3, 10)
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    folder = Path(shutil.copytree(finished, tmp_path / "train"))
    for path in (folder / ".kept").iterdir():
        path.unlink()
        path.hardlink_to(folder / path.name)
    return folder


@pytest.mark.parametrize(("parts", "rows"), [(1, 27), (3, 10), (27, 1)])
def test_the_store_is_that_of_the_undivided_split(manifest, whole, tmp_path, parts, rows):
    store = in_parts(manifest, tmp_path / "train", parts, rows)
    assert_same_store(store, whole)
    assert verify(store.path) == []
    assert_same_store(pickle.loads(pickle.dumps(store)), whole)
    reports = [files.read_json(tmp_path / f"train/{part}.report.json") for part in range(parts)]
    expected = files.read_json(whole.path.with_name("whole.json"))
    assert [r for report in reports for r in report["refused"]] == expected["refused"]
    assert sum(report["utterances"] for report in reports) == expected["utterances"]
    assert [r["counted"] for r in reports] == [{}] * (parts - 1) + [expected["counted"]]
    assert not list(tmp_path.rglob("*.tmp")) + list(tmp_path.rglob("*.lock"))


def test_images_are_shared_across_the_border_of_parts(manifest, finished, whole):
    per_part = [{u.image_id for u in manifest.part(range(10 * n, 10 * n + 10)).utterances} for n in range(3)]
    assert (per_part[0] & per_part[1]) - {None}, "the corpus of this test has none"
    assert len(Store(finished).image_ids) == len(set(Store(finished).image_ids)) == len(whole.image_ids)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_bit_for_bit(finished, whole, workers):
    assert_same_batches(all_batches(Store(finished), workers), all_batches(whole))


@pytest.mark.parametrize("reader", ["files", "release_2020"])
def test_the_other_readers(manifest, tmp_path, reader):
    with_refused_row = [*manifest.utterances[:4], manifest.utterances[0], *manifest.utterances[4:]]
    release = write_release(tmp_path / "release", with_refused_row) if reader == "release_2020" else None
    settings = Preparation(bad_rows="skip", reader=reader)
    store = in_parts(manifest, tmp_path / "train", 3, 10, settings, release)
    assert_same_store(store, prepared(manifest, tmp_path, release=release, reader=reader, bad_rows="skip"))
    assert verify(store.path) == []
    before = contents(store.path)
    if release:
        release.write_text(release.read_text() + " ")  # may name other files
    in_parts(manifest, store.path, 3, 10, settings, release)
    assert changed(before, store.path) == (files_of(0, 1, 2) if release else [])


def test_a_part_is_the_same_bytes_for_any_number_of_workers_and_either_policy(manifest, tmp_path):
    made = []
    for name, settings, workers in (("a", SKIP, 1), ("b", SKIP, 2), ("c", Preparation(), 1)):
        prepare_part(manifest, Part(1, 3, 10), settings, tmp_path / name, workers)
        made.append(data(tmp_path / name))
    assert made[0] == made[1] == made[2]
    assert sorted(made[0]) == ["1.h5", "1.h5.sha256", "1.report.json"]


def test_finished_parts_are_kept(manifest, folder):
    before = contents(folder)
    in_parts(manifest, folder, 3, 10)
    in_parts(manifest, folder, 3, 10, workers=2)
    assert changed(before, folder) == []
    for path in folder.glob("1.*"):  # as Snakemake does before a job
        path.unlink()
    in_parts(manifest, folder, 3, 10)
    assert changed(before, folder) == []


def test_a_corrected_file_re_does_its_part(tmp_path):
    rows = make_manifest(tmp_path / "corpus", 9)
    wav = rows.utterances[4].wav
    whole = wav.read_bytes()
    wav.write_bytes(whole[:300])
    folder = tmp_path / "train"
    assert len(in_parts(rows, folder, 3, 3)) == 8
    before = contents(folder)
    assert len(in_parts(rows, folder, 3, 3)) == 8
    assert changed(before, folder) == []
    wav.write_bytes(whole)
    assert len(in_parts(rows, folder, 3, 3)) == 9
    assert changed(before, folder) == files_of(1)


def flip(path):
    content = bytearray(path.read_bytes())
    content[20_000] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(("name", "spoil"), [("1.report.json", Path.unlink), ("1.h5", flip)])
def test_a_part_without_its_report_or_damaged_is_not_kept(manifest, folder, finished, name, spoil):
    (folder / name).unlink()
    spoil(folder / ".kept" / name)
    before = contents(folder)
    assert_same_store(in_parts(manifest, folder, 3, 10), Store(finished))
    assert changed(before, folder) == files_of(1)
    assert verify(folder) == []


def test_without_hard_links_a_part_is_prepared_again(manifest, whole, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    for _ in range(2):
        assert_same_store(in_parts(manifest, tmp_path / "train", 3, 10), whole)


def files_of(*parts):
    return sorted(f"{part}{suffix}" for part in parts for suffix in (".h5", ".h5.sha256", ".report.json"))


@pytest.mark.parametrize(("rows", "parts", "again"), [(25, 3, (2,)), (24, 3, (2,)), (17, 2, (1, 2))])
def test_appended_and_removed_rows_re_do_the_last_part(manifest, folder, rows, parts, again):
    """From 27 rows to fewer and back."""
    fewer = replace(manifest, utterances=manifest.utterances[: rows - 1])
    before = contents(folder)
    in_parts(fewer, folder, parts, 10)
    assert {name for name in changed(before, folder) if name[0] not in map(str, again)} == set()
    in_parts(manifest, folder, 3, 10)
    assert {name for name in changed(before, folder) if name[0] not in map(str, again)} == set()
    assert data(folder) == {name: content for name, (content, _) in before.items()}


def test_a_changed_row_settings_and_code_re_do_what_they_concern(manifest, folder):
    edited = list(manifest.utterances)
    edited[12] = replace(edited[12], text="another text")
    before = contents(folder)
    in_parts(replace(manifest, utterances=edited), folder, 3, 10)
    assert {name[0] for name in changed(before, folder)} == {"1"}
    for change in ({"settings": Preparation(bad_rows="skip", max_frames=90)}, {"code": "other"}):
        before = contents(folder)
        in_parts(manifest, folder, 3, 10, **change)
        assert {name[0] for name in changed(before, folder)} == {"0", "1", "2"}


def test_a_policy_of_stopping_keeps_no_part_with_refused_rows(manifest, folder):
    before = contents(folder)
    prepare_part(manifest, Part(1, 3, 10), Preparation(), folder, 1)
    with pytest.raises(InputError, match=r"1 of 10 rows cannot be used:\nrow 4 \(four\)"):
        prepare_part(manifest, Part(0, 3, 10), Preparation(), folder, 1)
    assert changed(before, folder) == ["0.refused.json"]


@pytest.mark.parametrize(("parts", "rows", "needed"), [(2, 10, 3), (4, 10, 3), (1, 1, 27)])
def test_another_number_of_parts_is_refused_with_the_right_one(manifest, tmp_path, parts, rows, needed):
    with pytest.raises(InputError, match=rf"27 rows make {needed} parts.*set preparation\.parts\.train to {needed}"):
        prepare_part(manifest, Part(0, parts, rows), SKIP, tmp_path / "train", 1)


def test_a_part_may_have_no_usable_row(manifest, tmp_path):
    refused = [Refusal(row, "", "x.wav", "bad") for row in range(10)]
    rows = Manifest(manifest.utterances[:12], refused)
    assert_same_store(in_parts(rows, tmp_path / "train", 3, 10), prepared(rows, tmp_path, bad_rows="skip"))
    with pytest.raises(InputError, match=r"0\.h5: holds no utterances"):
        Store(tmp_path / "train/0.h5")


def of_another_split(folder, manifest):
    """The same part of a split of other rows, prepared with the same settings."""
    others = [replace(u, id=f"other-{u.id}") for u in manifest.utterances]
    in_parts(replace(manifest, utterances=others), folder.with_name("other"), 3, 10)
    shutil.copy(folder.with_name("other") / "1.h5", folder)


def remove(number):
    return lambda folder, _: (folder / f"{number}.h5").unlink()


def otherwise(number, rows=10, **settings):
    def change(folder, manifest):
        prepare_part(manifest, Part(number, 3, rows), Preparation(bad_rows="skip", **settings), folder, 1)

    return change


def other_picture(folder, manifest):
    """A folder of parts whose rows were not in the order of the files."""
    earlier = {u.image_id for u in manifest.part(range(10)).utterances} - {None}
    rows = manifest.part(range(10, 20)).utterances
    shared = next(u for u in rows if u.image_id in earlier)
    other = next(u for u in manifest.utterances if u.image and u.image_id != shared.image_id)
    swapped = [replace(u, image=other.image) if u.image_id == shared.image_id else u for u in rows]
    utterances = [*manifest.part(range(10)).utterances, *swapped, *manifest.part(range(20, 30)).utterances]
    prepare_part(replace(manifest, utterances=utterances), Part(1, 3, 10), SKIP, folder, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (of_another_split, r"1\.h5: is part of another split than \S+0\.h5; .*prepare the split again"),
        (remove(0), r"0\.h5: no such file"),
        (remove(1), r"1\.h5: no such file"),
        (remove(2), r"2\.h5: no such file, and \S+1\.h5 is not the last part"),
        (otherwise(1, max_frames=90), r"1\.h5: max_frames differs from that of \S+0"),
        (otherwise(1, precision="float32"), r"1\.h5: precision differs"),
        (otherwise(1, reader="files"), r"1\.h5: reader differs"),
        (otherwise(2, rows=12), r"2\.h5: rows_per_part differs"),
        (
            lambda folder, _: shutil.copy(folder / "2.h5", folder / "3.h5"),
            r"3\.h5: comes after the last part, \S+2\.h5",
        ),
        (lambda folder, rows: prepared(rows, folder, "1", bad_rows="skip"), r"1\.h5: is not part 1 of a split"),
        (other_picture, r"1\.h5: image \S+ differs from that in \S+0\.h5"),
        (lambda folder, _: os.truncate(folder / "1.h5", 20_000), r"1\.h5: .*truncated"),
    ],
)
def test_a_folder_that_is_no_whole_split_is_refused_by_name(manifest, folder, change, message):
    change(folder, manifest)
    with pytest.raises(InputError, match=message):
        Store(folder)
    assert verify(folder) != []


def test_a_damaged_item_is_named_with_its_part(folder):
    flip(folder / "1.h5")
    (fault,) = verify(folder)
    assert fault.startswith(f"{folder / '1.h5'}: ")


@pytest.mark.parametrize("name", [".1.h5.lock", ".2.h5.*.tmp", "2.report.json"])
def test_kill_9_costs_the_unfinished_part_alone(tmp_path, name):
    manifest = make_manifest(tmp_path / "corpus", 150)
    in_parts(manifest, tmp_path / "expected", 4, 40, Preparation())
    folder = tmp_path / "train"
    folder.mkdir()
    start_forkserver()
    process = FRESH.Process(target=in_parts, args=(manifest, folder, 4, 40, Preparation()))
    process.start()
    while not list(folder.glob(name)) and process.is_alive():
        time.sleep(0.0005)
    process.kill()
    process.join()
    complete = {path.name.partition(".")[0] for path in (folder / ".kept").glob("*.sha256")}
    before = contents(folder)
    in_parts(manifest, folder, 4, 40, Preparation())
    assert data(folder) == data(tmp_path / "expected")
    assert not {name for part in complete for name in files_of(part)} & set(changed(before, folder))


def test_a_part_killed_before_it_was_kept_is_kept_and_leaves_no_lock(tmp_path):
    manifest, folder = make_manifest(tmp_path / "corpus", 30), tmp_path / "train"
    in_parts(manifest, folder, 3, 10, Preparation())
    for name in files_of("1"):
        (folder / ".kept" / name).unlink()
    (folder / ".1.h5.lock").write_text("process 1 on elsewhere")
    before = contents(folder)
    in_parts(manifest, folder, 3, 10, Preparation())
    assert not (folder / ".1.h5.lock").exists()
    assert not set(files_of("1")) & set(changed(before, folder))
    assert {path.name for path in (folder / ".kept").glob("1.*")} == set(files_of("1"))


def test_the_digest_of_a_store_changes_with_its_content(manifest, folder, whole):
    before = Store(folder).sha256
    assert before != whole.sha256
    assert before == Store(folder).sha256
    edited = [replace(manifest.utterances[0], text="another text"), *manifest.utterances[1:]]
    assert in_parts(replace(manifest, utterances=edited), folder, 3, 10).sha256 != before
    assert json.loads((folder / "0.report.json").read_text())["utterances"] == 9
