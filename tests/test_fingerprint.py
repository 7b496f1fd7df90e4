"""Fingerprints change with code that matters, and with nothing else."""

import json
import os

import pytest

from resdavenet_vq import fingerprint as fingerprints
from resdavenet_vq.fingerprint import closure, content, fingerprint

SUMMARIZED = fingerprints._summarized


@pytest.fixture
def package(tmp_path):
    root = tmp_path / "resdavenet_vq"
    (root / "room").mkdir(parents=True)
    for name, text in {
        "__init__": "",
        "room.__init__": "",
        "room.a": '"""Doc."""\nfrom resdavenet_vq.room import b\n\ndef f():\n    """Doc."""\n    return b.g()\n',
        "room.b": "import resdavenet_vq.files\n\ndef g():\n    from resdavenet_vq import lazy\n    return lazy\n",
        "files": "X = 1\n",
        "lazy": "from resdavenet_vq.config import Y\n",
        "config": "Y = 1\n",
        "other": "Z = 1\n",
    }.items():
        (root.joinpath(*name.split("."))).with_suffix(".py").write_text(text)
    return root


def edit(package, name, old, new):
    file = package.joinpath(*name.split(".")).with_suffix(".py")
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_the_closure_follows_imports_even_inside_functions(package):
    assert set(closure("room.a", package)) == {"room.a", "room.b", "room", "files", "lazy"}


def test_a_package_on_the_way_counts_once_it_holds_code(package):
    assert "room" not in closure("room.b", package)
    (package / "room/__init__.py").write_text('"""Doc."""\nfrom __future__ import annotations\n')
    assert "room" not in closure("room.b", package)
    (package / "room/__init__.py").write_text("import resdavenet_vq.other\n")
    assert {"room", "other"} <= set(closure("room.b", package))


@pytest.mark.parametrize("name", ["room.b", "files", "lazy"])
def test_changed_code_changes_the_fingerprint_and_shows_where(package, name):
    before = dict(part.split(":") for part in fingerprint("room.a", package).split())
    with package.joinpath(*name.split(".")).with_suffix(".py").open("a") as file:
        file.write("\nNEW = 2\n")
    after = dict(part.split(":") for part in fingerprint("room.a", package).split())
    assert {k for k in after if after[k] != before[k]} == {name}


def test_comments_docstrings_layout_values_free_and_unrelated_modules_change_nothing(package):
    before = fingerprint("room.a", package)
    edit(package, "room.a", '"""Doc."""\nfrom', '"""Another text."""\n# a comment\nfrom')
    edit(package, "files", "X = 1", "X  =  (1)")
    edit(package, "config", "Y = 1", "Y = 2")
    edit(package, "other", "Z = 1", "Z = 2")
    assert fingerprint("room.a", package) == before


def test_an_unknown_module_is_an_error(package):
    with pytest.raises(ModuleNotFoundError, match=r"room\.c"):
        fingerprint("room.c", package)


def test_the_content_of_a_folder_of_templates(package):
    (package / "templates").mkdir()
    (package / "templates/a.html").write_text("one")
    before = content("templates", package)
    assert content("templates", package) == before
    (package / "templates/a.html").write_text("two")
    changed = content("templates", package)
    (package / "templates/a.html").rename(package / "templates/b.html")
    assert len({before, changed, content("templates", package)}) == 3


# -- the summaries that are kept ----------------------------------------------------------------------------------------


def fresh(package, parses=None):
    """The fingerprint of room.a as a new process computes it; `parses` collects the texts that it parses."""
    fingerprints._summary.cache_clear()
    fingerprints._summaries.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        if parses is not None:
            patch.setattr(fingerprints, "_summarized", lambda name, text: parses.append(text) or SUMMARIZED(name, text))
        return fingerprint("room.a", package)


def kept(package):
    return next(package.rglob("fingerprint.*.json"))


def test_a_second_process_parses_no_module_that_has_not_changed(package):
    parses = []
    first = fresh(package, parses)
    assert len(parses) == 5
    assert (fresh(package, parses), len(parses)) == (first, 5)
    edit(package, "files", "X = 1", "X = 2")
    assert fresh(package, parses) != first
    assert parses[5:] == [b"X = 2\n"]


def test_modules_of_the_same_size_and_time_are_distinguished_by_their_texts(package):
    first, file = fresh(package), package / "files.py"
    stat = file.stat()
    file.write_text("X = 2\n")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert fresh(package) != first


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"maker": 1}', '{"maker": "MAKER", "modules": {"files": ["x", [1]]}}']
)
def test_damaged_summaries_are_made_again(package, text):
    first = fresh(package)
    maker = json.loads(kept(package).read_text())["maker"]
    kept(package).write_text(text.replace("MAKER", maker))
    parses = []
    assert (fresh(package, parses), len(parses)) == (first, 5)
    assert json.loads(kept(package).read_text())["modules"].keys() == {"room.a", "room.b", "room", "files", "lazy"}


def test_summaries_of_another_python_or_another_fingerprint_are_made_again(package):
    first = fresh(package)
    content = json.loads(kept(package).read_text())
    kept(package).write_text(json.dumps(content | {"maker": "Python 3.1"}))
    parses = []
    assert (fresh(package, parses), len(parses)) == (first, 5)


def test_a_package_where_nothing_can_be_written_has_the_same_fingerprint(package):
    (package / "__pycache__").write_text("no folder")
    without = fresh(package)
    (package / "__pycache__").unlink()
    assert fresh(package) == without
