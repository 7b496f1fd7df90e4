"""The command: what it refuses before it reads anything, and that it writes all or nothing."""

import json

import pytest
from external.made_elsewhere import NAMES, frames_of, split_of

from resdavenet_vq.commands.external import import_units
from resdavenet_vq.errors import InputError

SETTINGS = {"files": {"test": "u.txt"}, "format": "txt", "frame_period": 0.02}


def command(folder, store, name="mine", split="test", settings=SETTINGS, **outputs):
    import_units(name, store.path, split, json.dumps(settings), folder / "report.json", **outputs)


def test_what_is_written(tmp_path, monkeypatch):
    store = split_of(tmp_path)
    monkeypatch.chdir(tmp_path)
    lines = (f"{name}\t{' '.join(map(str, units))}" for name, units in frames_of(store, 0.02).items())
    (tmp_path / "u.txt").write_text("\n".join(lines))
    command(tmp_path, store, codes=tmp_path / "c.h5", features=tmp_path / "f.h5")
    made = {path.name for path in tmp_path.iterdir()}
    assert {"c.h5", "c.h5.sha256", "f.h5", "f.h5.sha256", "report.json"} <= made
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["matched"], report["codes"], report["frame_period"]) == (len(NAMES), 7, 0.02)
    once = (tmp_path / "c.h5").read_bytes()
    with pytest.raises(InputError, match=r"/c\.h5 and 2 more are there already; .* --overwrite$"):
        command(tmp_path, store, codes=tmp_path / "c.h5", features=tmp_path / "f.h5")
    command(tmp_path, store, codes=tmp_path / "c.h5", features=tmp_path / "f.h5", overwrite=True)
    assert (tmp_path / "c.h5").read_bytes() == once


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "at least one"),
        ({"name": "../x", "codes": "c"}, "can name no folder"),
        ({"split": "dev", "codes": "c"}, "files has no split dev; it has test"),
        ({"settings": SETTINGS | {"format": "features_npy"}, "codes": "c"}, "continuous features have no codes"),
        ({"settings": SETTINGS | {"x": 1}, "codes": "c"}, "x: no such key"),
    ],
)
def test_what_is_refused(tmp_path, changes, message):
    store = split_of(tmp_path)
    paths = {key: tmp_path / value for key, value in changes.items() if key == "codes"}
    with pytest.raises(InputError, match=message):
        command(tmp_path, store, **{**changes, **paths})
    assert not (tmp_path / "c").exists()
