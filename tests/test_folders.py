"""What counts as a file that a person put below a folder."""

import errno
import os

import pytest

from resdavenet_vq.errors import InputError
from resdavenet_vq.folders import is_clutter, members


@pytest.mark.parametrize(
    "path",
    [
        "._a.wav",
        "sub/._a.wav",
        ".DS_Store",
        ".snapshot/hourly.0/a.wav",
        "sub/.git/a.wav",
        "__MACOSX/sub/a.wav",
        "sub/@eaDir/a.wav/SYNOINDEX.wav",
        "Thumbs.db",
        "sub/thumbs.db",
        "#recycle/a.wav",
        "$RECYCLE.BIN/a.wav",
        "~snapshot/a.wav",
    ],
)
def test_what_systems_and_servers_keep_is_clutter(path):
    assert is_clutter(path)


@pytest.mark.parametrize("path", ["a.wav", "sub/a.b.wav", "_a.wav", "~a.wav", "../a.wav", "a..wav", "MACOSX/a.wav"])
def test_what_people_name_is_not(path):
    assert not is_clutter(path)


def test_members_are_the_files_in_order_with_those_of_linked_folders(tmp_path):
    for name in ("b/2.wav", "b/10.wav", "a.wav", "b/@eaDir/x.wav", ".hidden/x.wav", "elsewhere/c.wav", "b/._2.wav"):
        (tmp_path / "wavs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "wavs" / name).write_text("")
    (tmp_path / "wavs/elsewhere").rename(tmp_path / "elsewhere")
    (tmp_path / "wavs/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "wavs/b/up").symlink_to(tmp_path / "wavs")
    (tmp_path / "wavs/itself").symlink_to("itself")
    (tmp_path / "wavs/nothing.wav").symlink_to("gone.wav")
    names = [str(path.relative_to(tmp_path / "wavs")) for path in members(tmp_path / "wavs")]
    assert names == ["a.wav", "b/10.wav", "b/2.wav", "itself", "link/c.wav", "nothing.wav"]


def test_a_folder_as_deep_as_a_path_can_be(tmp_path):
    folder = tmp_path
    while len(str(folder)) < 4000:
        folder /= "d"
        folder.mkdir()
    (folder / "a.wav").write_text("")
    try:
        assert members(tmp_path) == [folder / "a.wav"]
    finally:  # pytest, which removes old folders, calls itself for each level
        (folder / "a.wav").unlink()
        while folder != tmp_path:
            folder.rmdir()
            folder = folder.parent


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    scandir = os.scandir

    def refusing(path):  # in place of a mode, which root may read
        if path == tmp_path / "sub":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    (tmp_path / "sub").mkdir()
    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(InputError, match=r"/sub: cannot be read \(Permission denied\)$"):
        members(tmp_path)


def test_a_folder_that_goes_meanwhile_is_named(tmp_path):
    with pytest.raises(InputError, match=r"/gone: no such file$"):
        members(tmp_path / "gone")
