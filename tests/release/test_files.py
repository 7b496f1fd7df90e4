"""Hostile pickles, weights and archives: a typed error, no canary, bounded memory."""

import argparse
import collections
import copyreg
import io
import os
import pickle
import shutil
import stat
import struct
import subprocess
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from resdavenet_vq.errors import InputError
from resdavenet_vq.release import files as released_files
from resdavenet_vq.release.archives import AUDIO
from resdavenet_vq.release.files import from_archive, from_folder, read_arguments, read_progress, read_weights
from resdavenet_vq.release.importing import import_released

EXPERIMENT = Path(__file__).parents[1] / "golden/reference_experiment"


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Sub(argparse.Namespace):
    pass


def touch(path):
    return f"open({str(path)!r}, 'w').close()"


def reduced(state):
    return pickle.dumps(argparse.Namespace(a=1, b=state))


def unicode(text):
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def laughs():
    value = "ha"
    for _ in range(40):
        value = [value, value]
    return reduced(value)


NAMESPACE = b"\x80\x02cargparse\nNamespace\n"

PICKLES = {
    "os.system": lambda c: reduced(Calls(os.system, f"touch {c}")),
    "eval": lambda c: reduced(Calls(eval, touch(c))),
    "exec": lambda c: pickle.dumps(Calls(exec, touch(c)), 0),
    "getattr": lambda c: reduced(Calls(getattr, "x", "upper")),
    "import": lambda c: reduced(Calls(__import__, "antigravity")),
    "subprocess": lambda c: reduced([[{"x": Calls(subprocess.call, ["touch", str(c)])}]]),
    "open": lambda c: reduced(Calls(open, str(c), "w")),
    "torch": lambda c: reduced(Calls(torch.load, str(c))),
    "torch tensor": lambda c: reduced(torch.zeros(3)),
    "numpy": lambda c: reduced(np.float64(3)),
    "ordered": lambda c: reduced(collections.OrderedDict(a=1)),
    "subclass": lambda c: pickle.dumps(Sub(a=1)),
    "nested namespace": lambda c: reduced(argparse.Namespace(c=1)),
    "set": lambda c: reduced({1}),
    "bytes": lambda c: reduced(b"x"),
    "bytearray": lambda c: pickle.dumps(bytearray(b"x"), 5),
    "out of band": lambda c: b"\x80\x05\x97.",
    "persistent id": lambda c: b"\x80\x02" + unicode("x") + b"Q.",
    "text persistent id": lambda c: b"Pxyz\n.",
    "INST": lambda c: f"(S'touch {c}'\nios\nsystem\n.".encode(),
    "OBJ": lambda c: f"(cos\nsystem\nS'touch {c}'\no.".encode(),
    "EXT": lambda c: b"\x80\x02\x82\x01.",
    "dotted": lambda c: b"\x80\x04" + unicode("argparse") + unicode("Namespace.__init__") + b"\x93.",
    "module attribute": lambda c: b"\x80\x04" + unicode("argparse") + unicode("_sys") + b"\x93.",
    "NEWOBJ_EX": lambda c: b"\x80\x04cargparse\nNamespace\n)}\x92.",
    "call of the namespace": lambda c: NAMESPACE + b")R}b.",
    "state of the class": lambda c: NAMESPACE + b"N}" + unicode("__contains__") + b"Ns\x86b.",
    "class itself": lambda c: NAMESPACE + b".",
    "state that is no dictionary": lambda c: NAMESPACE + b")\x81]b.",
    "slots": lambda c: NAMESPACE + b")\x81N}" + unicode("__class__") + b"Ns\x86b.",
    "state of a string": lambda c: b"\x80\x02" + unicode("x") + b"}b.",
    "keys that are numbers": lambda c: NAMESPACE + b")\x81}K\x01K\x02sb.",
    "memo": lambda c: b"\x80\x02]r\xff\xff\xff\x7f.",
    "laughs": lambda c: laughs(),
    "nested": lambda c: b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b".",
    "long text": lambda c: b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"x.",
    "frame": lambda c: b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"N.",
    "empty": lambda c: b"",
    "truncated": lambda c: (EXPERIMENT / "args.pkl").read_bytes()[:-9],
    "stack underflow": lambda c: b"\x80\x02aaaa.",
    "unknown opcode": lambda c: b"\x80\x02\xff.",
}


@pytest.mark.parametrize("kind", PICKLES)
@pytest.mark.parametrize("reader", [read_arguments, read_progress])
def test_hostile_pickles(kind, reader, tmp_path):
    canary = tmp_path / "canary"
    before = dict(vars(argparse.Namespace))
    with pytest.raises(InputError):
        reader(PICKLES[kind](canary))
    assert not canary.exists()
    assert dict(vars(argparse.Namespace)) == before


def test_the_canary_can_sing(tmp_path):
    for kind in ("os.system", "eval", "exec", "subprocess", "open"):
        pickle.loads(PICKLES[kind](tmp_path / kind))
        assert (tmp_path / kind).exists()


def test_extension_registry(tmp_path):
    copyreg.add_extension("os", "system", 0xBAD)
    try:
        with pytest.raises(InputError, match="EXT2 is not allowed"):
            read_arguments(b"\x80\x02\x83\xad\x0b" + unicode(f"touch {tmp_path / 'canary'}") + b"\x85R.")
    finally:
        copyreg.remove_extension("os", "system", 0xBAD)
    assert not (tmp_path / "canary").exists()


def test_plain_values():
    value = {"a": [1, 2.5, None, True, "x" * 300], "b": {"c": [float("inf"), -(1 << 70)]}, "t": (1, (2,))}
    expected = {"a": [1, 2.5, None, True, "x" * 300], "b": {"c": [None, -(1 << 70)]}, "t": [1, [2]]}
    for protocol in (2, 3, 4, 5):
        assert read_arguments(pickle.dumps(argparse.Namespace(**value), protocol)) == expected
        assert read_progress(pickle.dumps([value], protocol)) == [expected]
    assert read_arguments(pickle.dumps(argparse.Namespace())) == {}
    with pytest.raises(InputError, match=r"args\.pkl: does not hold an argparse\.Namespace"):
        read_arguments(pickle.dumps({"a": 1}))
    with pytest.raises(InputError, match=r"progress\.pkl: does not hold a list"):
        read_progress(pickle.dumps({"a": 1}))


def saved(value, **options):
    data = io.BytesIO()
    torch.save(value, data, **options)
    return data.getvalue()


def zip_bomb():
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("archive/data.pkl", pickle.dumps({}))
        for i in range(3):
            z.writestr(f"archive/data/{i}", bytes(1 << 24))
    return data.getvalue()


WEIGHTS = {
    "os.system": lambda c: saved(Calls(os.system, f"touch {c}")),
    "os.system, legacy": lambda c: saved(Calls(os.system, f"touch {c}"), _use_new_zipfile_serialization=False),
    "nested": lambda c: saved({"a": torch.zeros(3), "b": [Calls(exec, touch(c))]}),
    "plain pickle": lambda c: pickle.dumps(Calls(eval, touch(c))),
    "module": lambda c: saved(torch.nn.Linear(2, 2)),
    "list": lambda c: saved([torch.zeros(3)]),
    "numbers": lambda c: saved({"a": 3}),
    "keys": lambda c: saved({3: torch.zeros(3)}),
    "expanded": lambda c: saved({"a": torch.zeros(1).expand(1 << 20, 1 << 20)}),
    "sparse": lambda c: saved({"a": torch.eye(3).to_sparse()}),
    "meta": lambda c: saved({"a": torch.zeros(1 << 40, device="meta")}),
    "nan": lambda c: saved({"a": torch.tensor([1.0, float("nan")])}),
    "empty": lambda c: b"",
    "text": lambda c: b"<html>quota exceeded</html>",
    "truncated": lambda c: (EXPERIMENT / AUDIO).read_bytes()[:-1000],
    "zip": lambda c: b"PK\x03\x04" + bytes(100),
    "bomb": lambda c: zip_bomb(),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", WEIGHTS)
def test_hostile_weights(kind, tmp_path, monkeypatch):
    monkeypatch.setitem(released_files.LARGEST, AUDIO, 1 << 25)
    data = WEIGHTS[kind](tmp_path / "canary")
    with pytest.raises(InputError, match=rf"^{AUDIO}: "):
        read_weights(data, AUDIO)
    assert not (tmp_path / "canary").exists()


def tar_member(name, kind=tarfile.REGTYPE, link="", size=0, **changes):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    for key, value in changes.items():
        setattr(info, key, value)
    return info


TAR_MEMBERS = {
    "parent": lambda c: tar_member(f"../{c.name}"),
    "deep parent": lambda c: tar_member(f"a/../../{c.name}"),
    "absolute": lambda c: tar_member(str(c)),
    "symbolic link": lambda c: tar_member("link", tarfile.SYMTYPE, str(c)),
    "hard link": lambda c: tar_member("link", tarfile.LNKTYPE, "../canary"),
    "character device": lambda c: tar_member("null", tarfile.CHRTYPE, devmajor=1, devminor=3),
    "block device": lambda c: tar_member("disk", tarfile.BLKTYPE, devmajor=8),
    "pipe": lambda c: tar_member("pipe", tarfile.FIFOTYPE),
    "sparse": lambda c: tar_member("sparse", tarfile.GNUTYPE_SPARSE),
    "twice": lambda c: tar_member("./experiment//args.pkl"),
    "second experiment": lambda c: tar_member("another/args.pkl"),
    "arguments as a link": lambda c: tar_member("args.pkl", tarfile.SYMTYPE, "/etc/passwd"),
    "long header": lambda c: tar_member("x", pax_headers={"comment": "x" * (2 << 20)}),
}


@pytest.mark.parametrize("kind", TAR_MEMBERS)
@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("first", [True, False])
def test_hostile_tars(kind, mode, first, tmp_path):
    canary, work = tmp_path / "canary", tmp_path / "work"
    work.mkdir()
    with tarfile.open(work / "a.tar", mode, format=tarfile.PAX_FORMAT) as t:
        for is_hostile in (first, not first):
            if is_hostile:
                t.addfile(TAR_MEMBERS[kind](canary))
            else:
                t.add(EXPERIMENT, "experiment")
    with pytest.raises(InputError, match=r"a\.tar: "):
        import_released(work / "a.tar", work / "out", allow_unknown=True)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.tar", "work"]


ZIP_MEMBERS = {
    "parent": lambda c: (f"../{c.name}", stat.S_IFREG | 0o644, b"x"),
    "absolute": lambda c: (str(c), stat.S_IFREG | 0o644, b"x"),
    "symbolic link": lambda c: ("link", stat.S_IFLNK | 0o777, str(c).encode()),
    "device": lambda c: ("null", stat.S_IFCHR | 0o777, b""),
    "twice": lambda c: ("experiment//args.pkl", 0, b"x"),
    "backslash": lambda c: ("..\\canary", 0, b"x"),
    "drive": lambda c: ("C:/canary", 0, b"x"),
}


@pytest.mark.parametrize("kind", ZIP_MEMBERS)
def test_hostile_zips(kind, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    name, mode, content = ZIP_MEMBERS[kind](tmp_path / "canary")
    shutil.make_archive(str(work / "a"), "zip", EXPERIMENT.parent, EXPERIMENT.name)
    with zipfile.ZipFile(work / "a.zip", "a") as z:
        info = zipfile.ZipInfo(name.replace("experiment", EXPERIMENT.name))
        info.external_attr = mode << 16
        z.writestr(info, content)
    with pytest.raises(InputError, match=r"a\.zip: "):
        import_released(work / "a.zip", work / "out", allow_unknown=True)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.zip", "work"]


@pytest.fixture(params=["zip", "gz", "bz2"])
def bomb(request, tmp_path):
    """A small archive whose args.pkl has 64 MiB of zeros."""
    path = tmp_path / f"bomb.{request.param}"
    if request.param == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
            z.writestr("args.pkl", bytes(1 << 26))
            z.write(EXPERIMENT / AUDIO, AUDIO)
    else:
        with tarfile.open(path, f"w:{request.param}", compresslevel=1) as t:
            t.addfile(tar_member("args.pkl", size=1 << 26), io.BytesIO(bytes(1 << 26)))
            t.add(EXPERIMENT / AUDIO, AUDIO)
    return path


def test_bombs(bomb, monkeypatch):
    tracemalloc.start()
    with pytest.raises(InputError, match="more than the 1048576 bytes"):
        from_archive(bomb)
    monkeypatch.setattr(released_files, "MOST_UNPACKED", 1 << 20)
    with pytest.raises(InputError, match="at most 10000 and 1048576 are read"):
        from_archive(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 24


@pytest.mark.parametrize("suffix", ["zip", "tar"])
def test_too_many_members(suffix, tmp_path, monkeypatch):
    monkeypatch.setattr(released_files, "MOST_MEMBERS", 3)
    path = shutil.make_archive(str(tmp_path / "a"), suffix, EXPERIMENT)
    with pytest.raises(InputError, match="at most 3 and"):
        from_archive(Path(path))


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 and no more", b"\x1f\x8b and no more", b"BZh and no more", b"<html>quota exceeded</html>" * 99],
)
def test_no_archives(content, tmp_path):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InputError, match="not a zip or tar archive of plain files"):
        from_archive(tmp_path / "a")


@pytest.mark.parametrize("suffix", ["zip", "tar", "gztar"])
def test_truncated_archives(suffix, tmp_path):
    path = Path(shutil.make_archive(str(tmp_path / "a"), suffix, EXPERIMENT))
    whole = path.read_bytes()
    assert from_archive(path) == from_folder(EXPERIMENT)
    for share in (0.01, 0.3, 0.6, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError):
            from_archive(path)


def test_large_members_are_read_whole(tmp_path, monkeypatch):
    shutil.copytree(EXPERIMENT, tmp_path / "e")
    data = np.random.default_rng(0).bytes((5 << 20) + 7)
    (tmp_path / "e" / AUDIO).write_bytes(data)
    for suffix in ("zip", "tar", "gztar"):
        assert from_archive(Path(shutil.make_archive(str(tmp_path / "a"), suffix, tmp_path / "e")))[AUDIO] == data


def test_folders_with_something_else_in_place_of_a_file(tmp_path):
    shutil.copytree(EXPERIMENT, tmp_path / "e")
    (tmp_path / "e/args.pkl").unlink()
    (tmp_path / "e/args.pkl").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="is not a file"):
        from_folder(tmp_path / "e")
    (tmp_path / "e/args.pkl").unlink()
    (tmp_path / "e/args.pkl").write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(InputError, match="more than the 1048576 bytes"):
        from_folder(tmp_path / "e")
