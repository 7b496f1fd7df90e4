"""Downloads from a server of our own: whole, cut, wrong, and none."""

import errno
import hashlib
import json
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner

from resdavenet_vq import download
from resdavenet_vq.__main__ import app
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import lock
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.release import download as released
from resdavenet_vq.release.archives import ARCHIVES, Archive
from resdavenet_vq.release.download import fetch_metadata, fetch_released

CONTENT = bytes(range(256)) * 20_000  # five chunks
ID = "1MhC6PCkt7DBQvWTvf-c_ru4HSHmSb9AP"
PAGE = Path(__file__).parents[2] / "docs/released_models.md"
LINEAGE, NAME = Lineage.parse("{}->{2}"), "RDVQ_00000_01000.archive"


class Server(ThreadingHTTPServer):
    """Serves one file in the ways that a test asks for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.status, self.type = CONTENT, 200, "application/octet-stream"
        self.requests = []  # of each request: its query and its range
        self.cuts = []  # bytes after which each of the next answers is cut
        self.ranges = self.length = True


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        query = {key: value for key, [value] in parse_qs(urlsplit(self.path).query).items()}
        byte_range = self.headers.get("Range", "")
        server.requests.append((query, byte_range))
        start = int(re.fullmatch(r"bytes=(\d+)-", byte_range)[1]) if server.ranges and byte_range else 0
        size = len(server.content)
        if server.status != 200:
            self.send_response(server.status)
        elif server.ranges and start >= size:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
        elif server.ranges and byte_range:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        else:
            self.send_response(200)
        body = server.content[start:] if server.status == 200 else b"no"
        if server.length:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", server.type)
        self.end_headers()
        self.wfile.write(body[: server.cuts.pop(0)] if server.cuts else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "WAIT", 0)
    archive = Archive("{}->{2}", 0.76, hashlib.md5(CONTENT).hexdigest(), ID)
    monkeypatch.setattr(released, "ARCHIVES", (archive, *ARCHIVES[2:]))
    with Server() as server:
        monkeypatch.setenv("RESDAVENET_VQ_DOWNLOADS", f"http://127.0.0.1:{server.server_port}/download")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_download(server, tmp_path):
    path = fetch_released(LINEAGE, tmp_path / "new/folder")
    assert path == tmp_path / "new/folder" / NAME
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == [NAME]
    assert server.requests == [({"id": ID, "export": "download", "confirm": "t"}, "bytes=0-")]
    fetch_released(LINEAGE, path.parent)
    assert len(server.requests) == 1  # it is there


def test_the_command(server, tmp_path):
    run = CliRunner().invoke(app, ["fetch-released", "none-2", "--out", str(tmp_path)])
    assert run.exit_code == 0
    assert (tmp_path / NAME).read_bytes() == CONTENT
    for arguments in ([], ["none", "--metadata", "train"]):
        run = CliRunner().invoke(app, ["fetch-released", *arguments, "--out", str(tmp_path)])
        assert "--metadata alone" in str(run.exception)


@pytest.mark.parametrize("length", [True, False])
def test_a_cut_connection_is_taken_up_again(server, tmp_path, length):
    server.cuts, server.length = [3_000_000, 1_000_000], length
    fetch_released(LINEAGE, tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    ranges = [int(byte_range[6:-1]) for _, byte_range in server.requests]
    assert ranges[0] == 0 < ranges[1] < ranges[2] < len(CONTENT)
    assert len(ranges) == 3


def test_the_next_run_goes_on_where_the_last_one_failed(server, tmp_path):
    server.cuts = [3_000_000] + [0] * download.ATTEMPTS
    with pytest.raises(InputError, match=r"the connection was lost; \d+ bytes are kept"):
        fetch_released(LINEAGE, tmp_path)
    [part] = names(tmp_path)
    assert part == f".{NAME}.part"
    come = (tmp_path / part).stat().st_size
    assert 2_000_000 < come <= 3_000_000
    fetch_released(LINEAGE, tmp_path)
    assert server.requests[-1][1] == f"bytes={come}-"
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert names(tmp_path) == [NAME]


@pytest.mark.parametrize(
    ("left", "ranges", "n"),
    [(b"an old beginning", False, 1), (CONTENT, True, 1), (CONTENT + b"too long", True, 2)],
)
def test_a_part_that_the_server_ignores_or_that_is_complete_or_too_long(server, tmp_path, left, ranges, n):
    (tmp_path / f".{NAME}.part").write_bytes(left)
    server.ranges = ranges
    fetch_released(LINEAGE, tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert len(server.requests) == n


PAGE_OF_THE_SERVER = b"<!DOCTYPE html>Too many users have viewed this file"


@pytest.mark.parametrize(
    ("answer", "message", "n"),
    [
        (
            {"content": CONTENT[:-1] + b"x"},
            r"the download is not RDVQ_00000_01000\.archive: its MD5 is \w{32}, not \w{32}; it was removed",
            1,
        ),
        (
            {"content": PAGE_OF_THE_SERVER, "type": "text/html; charset=utf-8"},
            r"id=1MhC\S+ the server answers with a web page .* download the file there",
            1,
        ),
        ({"status": 404}, "the server answers 404", 1),
        ({"status": 403}, "the server answers 403", 1),
        ({"status": 503}, "the server answers 503", download.ATTEMPTS),
    ],
)
def test_wrong_answers_leave_nothing(server, tmp_path, answer, message, n):
    vars(server).update(answer)
    with pytest.raises(InputError, match=message):
        fetch_released(LINEAGE, tmp_path)
    assert (len(server.requests), names(tmp_path)) == (n, [])


def test_another_file_of_the_name_stays(server, tmp_path):
    (tmp_path / NAME).write_bytes(b"mine")
    with pytest.raises(InputError, match="exists, but is not the file to download: its MD5 is"):
        fetch_released(LINEAGE, tmp_path)
    assert (tmp_path / NAME).read_bytes() == b"mine"


def test_no_network(server, tmp_path, monkeypatch):
    monkeypatch.setenv("RESDAVENET_VQ_DOWNLOADS", "http://127.0.0.1:1/download")
    with pytest.raises(InputError, match=r"no connection \(is there a network\?\); 0 bytes"):
        fetch_released(LINEAGE, tmp_path)
    assert names(tmp_path) == []


def test_no_space(server, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(download.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
        with pytest.raises(InputError, match=f"{len(CONTENT)} bytes are missing, but the disk has space for 1000 only"):
            fetch_released(LINEAGE, tmp_path)
    assert names(tmp_path) == []
    full = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr(download.os, "fsync", full)
    with pytest.raises(InputError, match=r"archive: cannot be written \(No space left on device\)"):
        fetch_released(LINEAGE, tmp_path)
    assert names(tmp_path) == [f".{NAME}.part"]


def test_one_download_at_a_time(server, tmp_path):
    with (
        lock(tmp_path / f".{NAME}.lock", "by the test"),
        pytest.raises(InputError, match=rf"{NAME}: is being downloaded by process {os.getpid()} on "),
    ):
        fetch_released(LINEAGE, tmp_path)
    assert server.requests == []


def test_a_lineage_that_was_not_released(server, tmp_path):
    message = r"\{4\} was not released; the released models are .*\{2\}->\{2,3\}->\{2,3,4\}"
    with pytest.raises(InputError, match=message):
        fetch_released(Lineage.parse("{4}"), tmp_path)
    run = CliRunner().invoke(app, ["fetch-released", "two", "--out", str(tmp_path)])
    assert "'two' is no lineage's folder" in str(run.exception)


@pytest.mark.parametrize(
    ("split", "name"),
    [("train", "train_original_with_alignments.json"), ("valid", "val_original_with_alignments.json")],
)
def test_metadata(server, tmp_path, split, name):
    row = {"wav": "a.wav", "image": "a.jpg", "uttid": "a", "text_alignment": "0.0__A__0.1"}
    server.content, server.type = json.dumps({"data": [row] * 2}).encode(), "application/json"
    assert fetch_metadata(split, tmp_path) == tmp_path / name
    assert server.requests[0][0]["id"] == released.METADATA[split][1]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"data": []}', b'{"data": [{"a": 1}]}', b"\xff"])
def test_metadata_of_another_shape(server, tmp_path, content):
    server.content = content
    with pytest.raises(InputError, match=r"the download is not train_original_with_alignments\.json: (?!.*\.part)"):
        fetch_metadata("train", tmp_path)
    assert names(tmp_path) == []


def test_the_page_lists_the_ten_archives_and_they_differ():
    rows = re.findall(r"^\| `(\{.*)` \| (\.\d{3}) \| `(\w+)` \| `(\S+)` \|$", PAGE.read_text(), re.MULTILINE)
    assert [Archive(lineage, float(recall), *rest) for lineage, recall, *rest in rows] == list(ARCHIVES)
    lineages, _, md5s, file_ids = zip(*ARCHIVES, strict=True)
    assert len({*lineages}) == len({*md5s}) == len({*file_ids}) == 10
    assert all(re.fullmatch(r"[0-9a-f]{32}", md5) for md5 in md5s)
    assert {*map(len, file_ids)} == {33}
