"""Encoded files of anybody: what the checksum lets through because it was made for it is refused by its structure."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from encode.reading import MEMORY, READERS, read
from encode.sound import sound_files
from encoded import ORIGIN, changed, header_of, hostile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resdavenet_vq.encode.hdf5 import HEADER_LENGTH, write_header

TESTS = Path(__file__).parents[1]
CANARY = b"CANARY" * 100
NUMBERS = {
    "codes": ("quant3/codes", "quant3/offsets", "quant3/codebook"),
    "features": ("durations", "conv2/vectors", "conv2/offsets"),
    "embeddings": ("speech", "image", "image_index"),
    "maps": ("frames", "cells", "offsets", "image_index"),
}
TEXTS = {
    "codes": ("manifest", "ids"),
    "features": ("ids",),
    "embeddings": ("ids", "image_ids"),
    "maps": ("ids", "image_ids"),
}
PERIOD = {"codes": "quant3", "features": "conv2", "maps": "/"}
GROUP = {"codes": "quant3", "features": "conv2"}
INDEX = {"codes": "quant3/offsets", "features": "conv2/offsets", "embeddings": "image_index", "maps": "offsets"}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Sound files of the four formats by kind."""
    return sound_files(tmp_path_factory.mktemp("sound"))


def test_the_sound_files_are_read_by_all(sound):
    assert {kind: read(kind, path) for kind, path in sound.items()} == dict.fromkeys(READERS)


def replacing(name, make):
    """Puts what `make` makes in a dataset's place; it gets the file and the old values."""

    def change(file, folder):
        old = file[name][()]
        del file[name]
        make(file, name, old, folder)

    return change


def external_storage(file, name, old, folder):
    (folder / "canary.bin").write_bytes(CANARY * 100)
    dtype = old.dtype if old.dtype != object else np.uint8
    file.create_dataset(name, old.shape, dtype, external=[(str(folder / "canary.bin"), 0, h5py.h5f.UNLIMITED)])


def external_link(file, name, old, folder):
    with h5py.File(folder / "canary.h5", "w") as canary:
        canary[name] = old if old.dtype != object else np.array([CANARY] * len(old), object)
    file[name] = h5py.ExternalLink(folder / "canary.h5", f"/{name}")


def soft_link(file, name, old, _):
    file["elsewhere"] = old
    file[name] = h5py.SoftLink("/elsewhere")


def virtual(file, name, old, folder):
    with h5py.File(folder / "canary.h5", "w") as canary:
        canary["x"] = old if old.dtype != object else np.zeros(len(old))
        layout = h5py.VirtualLayout(old.shape, canary["x"].dtype)
        layout[:] = h5py.VirtualSource(folder / "canary.h5", "x", old.shape)
    file.create_virtual_dataset(name, layout)


def shaped(file, name, old, shape, **options):
    dtype = h5py.string_dtype() if old.dtype == object else old.dtype
    file.create_dataset(name, shape, dtype, **options)


def with_first(old, n):
    return (n, *old.shape[1:])


STRUCTURES = {
    "external storage": external_storage,
    "external link": external_link,
    "soft link": soft_link,
    "virtual data set": virtual,
    "missing": lambda *_: None,
    "a group": lambda file, name, *_: file.create_group(name),
    "a named type": lambda file, name, *_: file.__setitem__(name, np.dtype("f8")),
    "2**42 rows, never written": lambda file, name, old, _: shaped(file, name, old, with_first(old, 1 << 42)),
    "2**42 rows in chunks": lambda file, name, old, _: shaped(
        file, name, old, with_first(old, 1 << 42), chunks=(1, *old.shape[1:]), maxshape=(None, *old.shape[1:])
    ),
    "2**33 rows of nothing": lambda file, name, old, _: file.create_dataset(name, (1 << 33, 0, 0, 0), "f4"),
    "never written": lambda file, name, old, _: shaped(file, name, old, old.shape),
    "huge chunks": lambda file, name, old, _: shaped(
        file, name, old, old.shape, chunks=(1 << 20, *(64,) * (old.ndim - 1)), maxshape=(None,) * old.ndim
    ),
    "a compressed bomb": lambda file, name, old, _: file.create_dataset(
        name, with_first(old, 1 << 22), "u1", compression="gzip", fillvalue=0
    ),
    "one axis more": lambda file, name, old, _: file.create_dataset(name, data=np.zeros((*old.shape, 1), "f4")),
    "a single value": lambda file, name, *_: file.create_dataset(name, data=np.float32(3)),
    "no value": lambda file, name, *_: file.create_dataset(name, data=h5py.Empty("f4")),
    "records": lambda file, name, old, _: file.create_dataset(name, old.shape, [("a", "f4"), ("b", "i8")]),
    "arrays": lambda file, name, old, _: file.create_dataset(name, old.shape, np.dtype(("f4", (1000,)))),
    "opaque": lambda file, name, old, _: file.create_dataset(name, old.shape, "V60"),
    "references": lambda file, name, old, _: file.create_dataset(name, old.shape, h5py.ref_dtype),
    "half precision": lambda file, name, old, _: file.create_dataset(name, data=np.zeros(old.shape, "f2")),
    "another byte order": lambda file, name, old, _: file.create_dataset(name, data=np.zeros(old.shape, ">f8")),
    "texts of fixed length": lambda file, name, old, _: file.create_dataset(name, data=np.zeros(old.shape, "S3")),
    "numbers of variable length": lambda file, name, old, _: file.create_dataset(
        name, old.shape, h5py.vlen_dtype(np.float32)
    ),
}


def values(name, new, place=...):
    def change(file, _):
        file[name][place] = new

    return change


def attribute(group, name, value):
    def change(file, _):
        owner = file[group]
        del owner.attrs[name]
        if value is not None:
            owner.attrs[name] = value

    return change


def group_is(make):
    def change(name):
        def replaced(file, folder):
            del file[name]
            make(file, name, folder)

        return replaced

    return change


GROUPS = {
    "a group that holds itself": group_is(lambda file, name, _: file.__setitem__(name, file["/"])),
    "an empty group": group_is(lambda file, name, _: file.create_group(name)),
    "a dataset for a group": group_is(lambda file, name, _: file.__setitem__(name, np.zeros(3))),
    "a soft link to a group": group_is(lambda file, name, _: file.__setitem__(name, h5py.SoftLink("/"))),
    "an external link to a group": group_is(
        lambda file, name, folder: file.__setitem__(name, h5py.ExternalLink(folder / "none.h5", "/"))
    ),
}
ATTRIBUTES = (None, "text", np.ones(3), np.nan, np.inf, 0.0, -1.0, 1e300, b"x", h5py.Empty("f8"), np.zeros(2000, "f8"))
MANIFESTS = (
    "[" * 100_000,
    "[]",
    "null",
    "{",
    "{}",
    "3",
    '{"words": 3}',
    '{"words": {"a": 1}}',
    '{"words": ["abc"]}',
    '{"words": [[NaN, 1, "A"]], "phones": null}',
    '{"words": [[-1, 1, "A"]], "phones": null}',
    '{"words": [[0, 1e999, "A"]], "phones": null}',
    '{"words": [[0, 1, 7]], "phones": null}',
    '{"words": [[0, 1, []]], "phones": null}',
    '{"words": [["a", 1, "A"]], "phones": null}',
    '{"words": [[0, 1, "A"]], "phones": 5}',
)


def cases():
    """Kind, name and change of every hostile file."""
    for kind in READERS:
        for name in (*NUMBERS[kind], *TEXTS[kind]):
            for what, make in STRUCTURES.items():
                yield kind, f"{name}: {what}", replacing(name, make)
        for value in ATTRIBUTES:
            if kind in PERIOD:
                yield kind, f"frame_period: {value!r}", attribute(PERIOD[kind], "frame_period", value)
            if kind in {"embeddings", "maps"} and not isinstance(value, float):
                yield kind, f"image_branch: {value!r}", attribute("/", "image_branch", value)
        for value in (-1, -(1 << 62), 1 << 62, 7):
            if (kind, value) != ("embeddings", -1):  # a caption without an image
                yield kind, f"{INDEX[kind]}: {value}", values(INDEX[kind], value, np.s_[-1:])
        for what, make in GROUPS.items():
            if kind in GROUP:
                yield kind, f"{GROUP[kind]}: {what}", make(GROUP[kind])
    for text in MANIFESTS:
        yield "codes", f"manifest: {text[:20]}", values("manifest", text)
    yield "codes", "manifest: no UTF-8", values("manifest", np.bytes_(b"\xff\xfe"))
    yield "features", "ids: twice one", values("ids", "u0")
    yield "codes", "codes: negative", values("quant3/codes", -1)
    yield "codes", "codes: beyond the codebook", values("quant3/codes", 1 << 30)
    yield "features", "durations: NaN", values("durations", np.nan)
    for kind, names in NUMBERS.items():
        for name in names:
            if kind != "codes" and name not in {"durations", INDEX[kind], "image_index"}:
                yield kind, f"{name}: infinite", values(name, np.inf)


def forged(data, name, place, content):
    """Bytes of a file, some of the first item of a dataset of variable length changed."""
    with h5py.File(data) as file:
        offset = file[name].id.get_offset()
    whole = bytearray(data.read_bytes())
    whole[offset + place : offset + place + len(content)] = content
    return whole


def forged_files(sound, folder):
    """Kind and path: lengths and places of texts beyond the file, and many texts that are one."""
    for kind, names in TEXTS.items():
        for name in names:
            for place, number, size in ((0, (1 << 32) - 1, 4), (0, 1 << 31, 4), (0, 5000, 4), (4, 1 << 40, 8)):
                whole = forged(sound[kind], name, place, number.to_bytes(size, "little"))
                yield kind, _written(whole, sound[kind], folder / f"{kind}-{name}-{place}-{number}.h5")
    with hostile(folder / "shared.h5", "codes") as file:
        file["manifest"] = np.array(["x" * 100_000, *["y"] * 50_000], object)
    whole = bytearray((folder / "shared.h5").read_bytes())
    with h5py.File(folder / "shared.h5") as file:
        offset = file["manifest"].id.get_offset()
    whole[offset + 16 : offset + 16 * 50_001] = bytes(whole[offset : offset + 16]) * 50_000
    yield "codes", _written(whole, folder / "shared.h5", folder / "many.h5")


def misplaced_files(sound, folder):
    """Kind and path: data that begin beyond the file, or end there."""
    for kind, names in NUMBERS.items():
        for name in names:
            whole = bytearray(sound[kind].read_bytes())
            with h5py.File(sound[kind]) as file:
                offset = file[name].id.get_offset() - HEADER_LENGTH
            place = whole.find(offset.to_bytes(8, "little"), HEADER_LENGTH)
            for number in (len(whole) - HEADER_LENGTH - 4, 1 << 40, (1 << 63) - 8):
                whole[place : place + 8] = number.to_bytes(8, "little")
                yield kind, _written(whole, sound[kind], folder / f"{kind}-{name.replace('/', '-')}-{number}.h5")


def changed_files(sound, folder, n):
    """Kind and path: some bytes behind the header are others, at random, which may be sound data as well."""
    rng = random.Random(2)
    for i in range(n):
        kind = list(READERS)[i % 4]
        whole = bytearray(sound[kind].read_bytes())
        for _ in range(rng.choice([1, 2, 4])):
            whole[rng.randrange(HEADER_LENGTH, len(whole))] = rng.choice([0, 255, rng.randrange(256)])
        yield kind, _written(whole, sound[kind], folder / f"changed-{i}.h5")


def _written(whole, sound, path):
    path.write_bytes(whole)
    header = header_of(sound)
    write_header(path, header.kind, header.origin)
    return path


def read_in_a_child(files):
    """The errors of files [(kind, path)], and the most memory of the child that read them."""
    command = [sys.executable, "-m", "encode.reading", *(f"{kind}={path}" for kind, path in files)]
    environment = os.environ | {"PYTHONPATH": f"{TESTS.parent}:{TESTS}"}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:].decode()
    assert b"CANARY" not in done.stdout + done.stderr
    *errors, memory = done.stdout.decode().splitlines()
    return list(map(json.loads, errors)), int(memory)


def test_hostile_files_of_all_formats_are_refused_in_little_memory(sound, tmp_path):
    files = []
    for i, (kind, name, change) in enumerate(cases()):
        path = tmp_path / str(i) / f"{kind}.h5"
        path.parent.mkdir()
        path.write_bytes(sound[kind].read_bytes())
        with changed(path) as file:
            change(file, path.parent)
        files.append((kind, path, name))
    for make in (forged_files, misplaced_files):
        files += [(kind, path, path.name) for kind, path in make(sound, tmp_path)]
    n = len(files)
    files += [(kind, path, "changed bytes") for kind, path in changed_files(sound, tmp_path, 40)]
    errors, memory = read_in_a_child([(kind, path) for kind, path, _ in files])
    print(f"{n} hostile files, {memory / 1e6:.0f} MB")
    bad = [
        (kind, name, error)
        for (kind, path, name), error in zip(files[:n], errors, strict=False)
        if error is None or error[0] != "InputError" or not error[1].startswith(f"{path}: ") or len(error[1]) > 600
    ]
    assert bad == [], bad
    assert n > 278
    assert {error and error[0] for error in errors[n:]} <= {None, "InputError"}
    assert memory < 1.2 * MEMORY


@pytest.mark.parametrize("n", [pytest.param(200), pytest.param(1000, marks=pytest.mark.thorough)])
def test_flipped_bits_are_refused(sound, tmp_path, n):
    """In any part of a file: the header, its padding, HDF5's structure, the data."""
    rng = random.Random(0)
    for i in range(n):
        kind = list(READERS)[i % 4]
        whole = bytearray(sound[kind].read_bytes())
        whole[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path = tmp_path / "flipped.h5"
        path.write_bytes(whole)
        error = read(kind, path)
        assert error
        assert error[0] == "InputError"
        assert error[1].startswith(f"{path}: ")


@pytest.mark.parametrize("kind", READERS)
def test_every_bit_of_a_header_counts(sound, tmp_path, kind):
    whole, path = sound[kind].read_bytes(), tmp_path / "a.h5"
    rng = random.Random(1)
    text = whole[:HEADER_LENGTH].rstrip(b"\0")
    for i in [*range(0, len(text), 5), *rng.sample(range(len(text), HEADER_LENGTH), 20)]:
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 1 << rng.randrange(8)]) + whole[i + 1 :])
        assert read(kind, path)[0] == "InputError"
    for n in (0, 1, 8, 100, HEADER_LENGTH - 1, HEADER_LENGTH, len(whole) - 1):
        path.write_bytes(whole[:n])
        assert read(kind, path)[0] == "InputError"
    path.write_bytes(whole + b"\0")
    assert "bytes instead of" in read(kind, path)[1]


def test_a_file_that_changes_after_it_was_verified_is_verified_again(sound, tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(sound["codes"].read_bytes())
    assert read("codes", path) is None
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    assert read("codes", path)[0] == "InputError"


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "pipe", tmp_path / "folder", Path("/dev/zero")):
        assert read("codes", path)[0] == "InputError"


NAMES = (
    "ids",
    "manifest",
    "durations",
    "speech",
    "image",
    "image_ids",
    "image_index",
    "frames",
    "cells",
    "offsets",
    *("quant3", "conv2", "quant3/codes", "quant3/offsets", "quant3/codebook", "conv2/vectors", "conv2/offsets"),
)
DTYPES = ("f4", "f8", "i4", "i8", "i1", "S3", h5py.string_dtype())


@st.composite
def structures(draw):
    """What stands in a file under some names: an array of some type and shape, or a group; and some attributes."""
    content = {}
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=3)):
        dtype = draw(st.sampled_from(DTYPES))
        shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
        filling = draw(st.sampled_from([0, 1, 2, -1]))
        content[name] = None if draw(st.integers(0, 9)) == 0 else (dtype, shape, filling)
    return content, draw(st.sampled_from([None, 0.02, 0, "text", [1.0]]))


@given(kind=st.sampled_from(list(READERS)), structure=structures())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_structure_gives_an_untyped_error(tmp_path, kind, structure):
    content, period = structure
    path = tmp_path / "fuzz.h5"
    with hostile(path, kind, ORIGIN) as file:
        for name, what in content.items():
            try:
                if what is None:
                    file.create_group(name)
                else:
                    dtype, shape, filling = what
                    text = h5py.check_string_dtype(np.dtype(dtype))
                    file.create_dataset(name, data=np.full(shape, "{}" if text else filling, object if text else dtype))
            except (ValueError, TypeError):
                continue  # a dataset in the way of a group
        for owner in (file, *(item for item in file.values() if isinstance(item, h5py.Group))):
            if period is not None:
                owner.attrs.update(frame_period=period, image_branch=True)
    error = read(kind, path)
    assert error is None or error[0] == "InputError", error


@pytest.mark.thorough
def test_changed_bytes_under_a_right_checksum_give_no_untyped_error(sound, tmp_path):
    errors, memory = read_in_a_child([*changed_files(sound, tmp_path, 1000)])
    assert {error and error[0] for error in errors} <= {None, "InputError"}
    assert memory < 1.2 * MEMORY
