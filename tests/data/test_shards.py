"""A split prepared in shards is the split prepared at once, whatever happens to single shards."""

import hashlib
import json
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.data import make_manifest, write_release

from resdavenet_vq.config import ImageModel, Preparation
from resdavenet_vq.corpus.manifest import Manifest, Refusal, Utterance
from resdavenet_vq.data import shard_files
from resdavenet_vq.data.dataset import equal_length_batches, evaluation_images, training_batches
from resdavenet_vq.data.dealing import deal, read_rows, shard_of
from resdavenet_vq.data.gathering import gather
from resdavenet_vq.data.preparation import prepare, prepare_shard
from resdavenet_vq.data.store import Store, verify
from resdavenet_vq.data.store_format import HEADER_LENGTH, INDEX_FORMAT
from resdavenet_vq.errors import InputError

IMAGE = ImageModel(architecture="thin_resnet", crop=24, resize=32)
SKIP = Preparation(bad_rows="skip")


def deal_rows(manifest, folder, shards, settings=SKIP):
    deal(manifest, shards, folder, with_numbers=settings.reader == "release_2020")
    return json.loads((folder / "rows.json").read_text())


def one_shard(folder, number, dealt, settings=SKIP, workers=1, release=None):
    rows = read_rows(folder / f"{number}.rows.json", dealt["shards"][number])
    prepare_shard(rows, settings, folder / f"{number}.h5", folder / f"{number}.report.json", workers, release)


def in_shards(manifest, folder, shards, settings=SKIP, workers=1, release=None):
    """The store and report of a split, `folder.h5` and `folder.report.json`."""
    dealt = deal_rows(manifest, folder, shards, settings)
    for number in range(shards):
        one_shard(folder, number, dealt, settings, workers, release)
    out, report = folder.with_suffix(".h5"), folder.with_suffix(".report.json")
    gather(folder, dealt["order"], settings.bad_rows, out, report)
    return Store(out), json.loads(report.read_text())


def at_once(manifest, folder, settings=SKIP, release=None):
    prepare(manifest, settings, folder / "whole.h5", folder / "whole.json", 1, release)
    return Store(folder / "whole.h5"), json.loads((folder / "whole.json").read_text())


def assert_same(one, other):
    assert (one.ids, one.image_ids) == (other.ids, other.image_ids)
    for name in ("image_index", "n_frames", "n_samples"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for number in range(len(one)):
        assert one.utterance(number) == other.utterance(number)
        assert one.logmel(number).tobytes() == other.logmel(number).tobytes()
        assert one.logmel(number).dtype == other.logmel(number).dtype
    for number in range(len(one.image_ids)):
        assert one.image(number) == other.image(number)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Images shown by rows far apart, rows without one, and a row that the corpus refused."""
    made = make_manifest(tmp_path_factory.mktemp("corpus"), 26)
    order = np.random.default_rng(3).permutation(26)
    return Manifest(
        [made.utterances[i] for i in order],
        [Refusal(4, "four", "4.wav", "wav: missing")],
        {"no alignment": 13},
        {"x": ["utt-3"]},
    )


@pytest.fixture(scope="module")
def whole(manifest, tmp_path_factory):
    return at_once(manifest, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("shards", [1, 3, 40])
def test_the_store_and_the_report_are_those_of_the_whole_split(manifest, whole, tmp_path, shards):
    store, report = in_shards(manifest, tmp_path / "train", shards)
    assert_same(store, whole[0])
    assert report == whole[1]
    assert verify(store.path) == []
    again = pickle.loads(pickle.dumps(store))
    assert again.logmel(5).tobytes() == whole[0].logmel(5).tobytes()
    assert store.path.stat().st_size < 0.5 * whole[0].path.stat().st_size
    assert not list(tmp_path.rglob("*.tmp")) + list(tmp_path.rglob("*.lock"))


def test_batches_are_the_same_bit_for_bit(manifest, whole, tmp_path):
    store, _ = in_shards(manifest, tmp_path / "train", 3)
    options = {"batch_size": 8, "pad_to": "batch", "pad_value": 0.0, "seed": 1, "epoch": 1, "last_epoch": 2}
    for workers in (0, 2):
        some, other = (list(training_batches(s, IMAGE, **options, workers=workers)) for s in (store, whole[0]))
        assert len(some) == len(other) > 2
        assert all(torch.equal(x, y) for a, b in zip(some, other, strict=True) for x, y in zip(a, b, strict=True))
    for maker in (lambda s: equal_length_batches(s, 200), lambda s: evaluation_images(s, IMAGE, 4, 0)):
        for (data, numbers), (expected, expected_numbers) in zip(maker(store), maker(whole[0]), strict=True):
            assert torch.equal(data, expected)
            np.testing.assert_array_equal(numbers, expected_numbers)


def test_a_shard_is_the_same_bytes_for_any_number_of_workers_and_either_policy(manifest, tmp_path):
    dealt = deal_rows(manifest, tmp_path, 2)
    made = []
    for workers, policy in ((1, SKIP), (2, SKIP), (1, Preparation())):
        one_shard(tmp_path, 1, dealt, policy, workers)
        made.append([(tmp_path / f"1{suffix}").read_bytes() for suffix in (".h5", ".report.json")])
    assert made[0] == made[1] == made[2]
    assert len(Store(tmp_path / "1.h5")) > 4


@pytest.mark.parametrize("reader", ["files", "release_2020"])
def test_the_other_readers(manifest, tmp_path, reader):
    settings = Preparation(bad_rows="skip", reader=reader)
    refused_stands_in_the_files = [*manifest.utterances[:4], manifest.utterances[0], *manifest.utterances[4:]]
    release = write_release(tmp_path / "release", refused_stands_in_the_files) if reader == "release_2020" else None
    expected, expected_report = at_once(manifest, tmp_path, settings, release)
    store, report = in_shards(manifest, tmp_path / "train", 3, settings, release=release)
    assert_same(store, expected)
    assert report == expected_report
    assert verify(store.path) == []
    if reader == "files":
        wav = store.utterance(7).wav
        before = wav.read_bytes()
        wav.write_bytes(before[:-2] + b"\x09\x09")
        assert len(verify(store.path)) == 1
        wav.write_bytes(before)


# Which rows go where


def digests(manifest, folder, shards=5):
    return deal_rows(manifest, folder, shards)["shards"]


def changed(before, after):
    return [number for number, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]


def test_a_row_added_changed_or_removed_concerns_one_shard(manifest, tmp_path):
    before = digests(manifest, tmp_path)
    times = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*.rows.json")}
    rows = manifest.utterances
    edited = replace(rows[9], text="another text")
    added = Utterance("new", Path("new.wav"), None, None, None, None, None, None)
    for changes, row in (
        ([*rows[:9], edited, *rows[10:]], edited),
        ([*rows[:9], *rows[10:]], rows[9]),
        ([*rows[:2], added, *rows[2:]], added),
    ):
        after = digests(replace(manifest, utterances=changes), tmp_path)
        assert changed(before, after) == [shard_of(row, 5)]
        touched = [p for p, time_ in times.items() if p.stat().st_mtime_ns != time_]
        assert {p.name for p in touched} <= {f"{shard_of(row, 5)}.rows.json"}, "other lists are left alone"
        assert digests(manifest, tmp_path) == before
        times = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*.rows.json")}
    reordered = replace(manifest, utterances=sorted(rows, key=lambda u: (shard_of(u, 5), rows.index(u))))
    assert digests(reordered, tmp_path) == before, "only the order is another one"


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.text(max_size=4), st.none() | st.sampled_from("abc")), max_size=30, unique_by=lambda row: row[0]
    ),
    st.integers(1, 50),
)
def test_every_row_has_one_shard_and_rows_with_one_image_the_same(rows, shards):
    utterances = [
        Utterance(name, Path("x"), image and Path(image), image, None, None, None, None) for name, image in rows
    ]
    found = [shard_of(u, shards) for u in utterances]
    assert all(0 <= number < shards for number in found)
    for image in "abc":
        assert len({number for number, (_, shown) in zip(found, rows, strict=True) if shown == image}) <= 1


def test_rows_are_dealt_evenly():
    utterances = [Utterance(f"utterance-{i:06d}", Path("x"), None, None, None, None, None, None) for i in range(20_000)]
    counts = np.bincount([shard_of(u, 20) for u in utterances], minlength=20)
    assert abs(counts - 1000).max() < 130  # four standard deviations


def test_where_a_row_goes_never_changes():
    """A golden value: another hash would prepare every corpus again."""
    row = Utterance("utt-1", Path("x"), None, None, None, None, None, None)
    assert [shard_of(row, 1000), shard_of(replace(row, image_id="a/b.jpg"), 1000)] == [509, 296]


def test_a_list_that_is_not_the_dealt_one_is_refused(manifest, tmp_path):
    dealt = deal_rows(manifest, tmp_path, 3)
    path = tmp_path / "1.rows.json"
    path.write_text(path.read_text().replace("utt-", "ut-", 1))
    with pytest.raises(InputError, match=r"1\.rows\.json: is not the list that was dealt; deal the rows again"):
        one_shard(tmp_path, 1, dealt)
    path.unlink()
    with pytest.raises(InputError, match=r"1\.rows\.json: cannot be read .*deal the rows again"):
        one_shard(tmp_path, 1, dealt)
    deal_rows(manifest, tmp_path, 3)
    one_shard(tmp_path, 1, dealt)


# Bad rows


def spoil(manifest, folder):
    """The manifest with four bad media: two wavs, and an image that two rows show."""
    rows = list(manifest.utterances)
    for number in (1, 20):
        (folder / f"bad{number}.wav").write_bytes(b"")
        rows[number] = replace(rows[number], wav=folder / f"bad{number}.wav")
    (folder / "bad.jpg").write_text("<html>")
    for number in (2, 17):
        rows[number] = replace(rows[number], image=folder / "bad.jpg", image_id="bad.jpg")
    return replace(manifest, utterances=rows)


@pytest.mark.parametrize("shards", [3, 40])
def test_one_report_tells_of_all_bad_rows(manifest, tmp_path, shards):
    bad = spoil(manifest, tmp_path)
    expected, expected_report = at_once(bad, tmp_path)
    assert [refusal["row"] for refusal in expected_report["refused"]] == [1, 2, 4, 18, 21], (
        "rows count the one that the corpus refused"
    )
    store, report = in_shards(bad, tmp_path / "train", shards)
    assert report == expected_report
    assert_same(store, expected)
    with pytest.raises(InputError, match=r"^5 of 27 rows cannot be used:\nrow 1 .*\nrow 2 .*\nrow 4 \(four\)"):
        gather(
            tmp_path / "train",
            deal_rows(bad, tmp_path / "train", shards)["order"],
            "stop",
            tmp_path / "x.h5",
            tmp_path / "x.json",
        )
    assert not (tmp_path / "x.h5").exists()


def test_a_bad_row_stops_its_own_shard_alone(manifest, tmp_path):
    bad = spoil(manifest, tmp_path)
    folder = tmp_path / "train"
    dealt = deal_rows(bad, folder, 3)
    culprits = {shard_of(bad.utterances[number], 3) for number in (1, 2, 17, 20)}
    assert 0 < len(culprits) < 3
    for number in range(3):
        if number in culprits:
            with pytest.raises(InputError, match=r"of the shard .*(is empty|is no JPEG)"):
                one_shard(folder, number, dealt, Preparation())
        else:
            one_shard(folder, number, dealt, Preparation())
    assert {p.name for p in folder.glob("*.h5")} == {f"{number}.h5" for number in set(range(3)) - culprits}
    with pytest.raises(InputError, match=r"no such file; prepare the split first"):
        gather(folder, dealt["order"], "stop", tmp_path / "x.h5", tmp_path / "x.json")


def test_cut_and_noticed_rows_in_the_order_of_the_corpus(manifest, tmp_path):
    settings = Preparation(bad_rows="skip", max_frames=40)
    assert in_shards(manifest, tmp_path / "train", 4, settings)[1] == at_once(manifest, tmp_path, settings)[1]


def test_a_split_without_a_usable_row_is_an_error(tmp_path):
    rows = Manifest([Utterance(str(i), tmp_path / "none.wav", None, None, None, None, None, None) for i in range(5)])
    with pytest.raises(InputError, match=r"5 of 5 rows cannot be used:\nrow 0 \(0\).*no such file"):
        in_shards(rows, tmp_path / "train", 2)
    with pytest.raises(InputError, match="has no rows to prepare"):
        in_shards(Manifest(), tmp_path / "none", 2)


# Damage


@pytest.fixture
def sharded(manifest, tmp_path):
    return in_shards(manifest, tmp_path / "train", 3)[0].path


def test_verify_finds_flipped_bits_in_every_file(sharded):
    random = np.random.default_rng(0)
    missed = []
    for path in (sharded, *sorted(sharded.with_suffix("").glob("*.h5"))):
        whole = path.read_bytes()
        for place in [*random.integers(0, len(whole), 25), *random.integers(0, 9_000, 10)]:
            path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << random.integers(8))]) + whole[place + 1 :])
            if not verify(sharded):
                missed.append((path.name, place))
        path.write_bytes(whole)
    assert missed == []
    assert verify(sharded) == []


def test_a_shard_that_is_gone_cut_or_another_one_is_named(sharded, manifest, tmp_path):
    store, victim = Store(sharded), sharded.with_suffix("") / "1.h5"
    number = next(i for i in range(len(store)) if shard_of(store.utterance(i), 3) == 1)
    whole = victim.read_bytes()
    victim.unlink()
    with pytest.raises(
        InputError, match=r"1\.h5: cannot be read .*train\.h5 points to it: remove that and prepare the split again"
    ):
        Store(sharded)
    victim.write_bytes(whole[:-1])
    with pytest.raises(InputError, match=r"1\.h5: has \d+ bytes instead of"):
        Store(sharded)
    in_shards(
        replace(manifest, utterances=[replace(u, speaker=u.speaker.upper()) for u in manifest.utterances]),
        tmp_path / "other",
        3,
    )
    other = (tmp_path / "other" / "1.h5").read_bytes()
    assert len(other) == len(whole)
    victim.write_bytes(other)
    fresh = Store(sharded)
    with pytest.raises(InputError, match="another one than was gathered"):
        fresh.logmel(number)
    assert "another one" in verify(sharded)[0]
    victim.write_bytes(whole)
    assert verify(sharded) == []


def test_many_shards_need_few_open_files(manifest, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(shard_files, "OPEN_FILES", 2)
    store, _ = in_shards(manifest, tmp_path / "train", 9)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert_same(store, whole[0])
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2
    del store
    assert len(list(Path("/proc/self/fd").iterdir())) == before - 1


def forge(path, change):
    """Changes the index's header or content and gives it right checksums."""
    head, content = path.read_bytes()[:HEADER_LENGTH], bytearray(path.read_bytes()[HEADER_LENGTH:])
    values = json.loads(head.split(b"\n")[1])
    change(values, content)
    values["sha256"] = hashlib.sha256(content).hexdigest()
    text = f"{INDEX_FORMAT}\n{json.dumps(values, sort_keys=True)}\n".encode()
    path.write_bytes((text + hashlib.sha256(text).hexdigest().encode() + b"\n").ljust(HEADER_LENGTH, b"\0") + content)


def element(name, number, value):
    def change(values, content):
        offset, shape, dtype = values["datasets"][name]
        np.frombuffer(content, dtype, shape[0], offset - HEADER_LENGTH)[number] = value

    return change


def renamed(values, content):
    offset, (length,), _ = values["datasets"]["shards"]
    start = offset - HEADER_LENGTH
    content[start : start + length] = bytes(content[start : start + length]).replace(b"train/0.h5", b"../../0.h5")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda *_: None, None),
        (element("shard", 0, 3), "a shard that is not there"),
        (element("image_shard", 0, 1 << 31), "a shard that is not there"),
        (element("logmel_at", 2, 5), "logmel reaches beyond a shard"),
        (element("image_at", 0, 1 << 60), "image reaches beyond a shard"),
        (element("manifest_at", 0, -1), "manifest reaches beyond a shard"),
        (element("logmel_offsets", -1, 1 << 50), "reaches beyond a shard"),
        (element("shards", 0, 0), "list of shards is damaged"),
        (renamed, "list of shards is damaged"),
        (lambda values, _: values["datasets"].pop("shards"), "a dataset is missing"),
        (lambda values, _: values["datasets"].pop("logmel_at"), "a dataset is missing"),
    ],
)
def test_hostile_indices_are_refused(sharded, change, reason):
    forge(sharded, change)
    if reason is None:
        assert verify(sharded) == []
        return
    with pytest.raises(InputError, match=rf"train\.h5: .*{reason}"):
        Store(sharded)


def test_a_split_can_be_moved(sharded, tmp_path):
    expected = Store(sharded).logmel(4).tobytes()
    (tmp_path / "elsewhere").mkdir()
    sharded.rename(tmp_path / "elsewhere/train.h5")
    sharded.with_suffix("").rename(tmp_path / "elsewhere/train")
    assert Store(tmp_path / "elsewhere/train.h5").logmel(4).tobytes() == expected


# Kills

SCRIPT = """
import json, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from resdavenet_vq.config import Preparation
from resdavenet_vq.data.dealing import read_rows
from resdavenet_vq.data.preparation import prepare_shard
if __name__ == "__main__":
    folder = Path({folder!r})
    rows = read_rows(folder / "0.rows.json", json.loads((folder / "rows.json").read_text())["shards"][0])
    prepare_shard(rows, Preparation(), folder / "0.h5", folder / "0.report.json", workers=2)
"""


def test_kill_9_of_a_shard_leaves_nothing_and_the_rerun_is_byte_identical(tmp_path):
    manifest, folder, script = make_manifest(tmp_path / "corpus", 150), tmp_path / "train", tmp_path / "script.py"
    dealt = deal_rows(manifest, folder, 2)
    one_shard(folder, 0, dealt)
    one_shard(folder, 1, dealt)
    expected = {name: (folder / name).read_bytes() for name in ("0.h5", "0.report.json", "1.h5")}
    script.write_text(SCRIPT.format(root=str(Path(__file__).parents[2]), folder=str(folder)))
    for sign, wait in ((".0.h5.lock", 0.0), (".0.h5.lock", 0.3), (".0.h5.*.tmp", 0)):  # started, at work, writing
        for name in ("0.h5", "0.report.json"):
            (folder / name).unlink(missing_ok=True)
        with subprocess.Popen([sys.executable, script], stderr=subprocess.DEVNULL) as process:
            while not list(folder.glob(sign)) and process.poll() is None:
                time.sleep(0.001)
            time.sleep(wait)
            process.send_signal(signal.SIGKILL)
        if (folder / "0.h5").exists():  # it was faster than the signal
            assert (folder / "0.h5").read_bytes() == expected["0.h5"]
    one_shard(folder, 0, dealt, workers=2)
    assert {name: (folder / name).read_bytes() for name in expected} == expected
    assert not [p.name for p in folder.iterdir() if p.name.startswith(".")]
