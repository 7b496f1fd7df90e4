"""Downloads from a server that sends what no honest one does, byte by byte."""

import os
import socket
import threading
import time

import pytest

from resdavenet_vq import download
from resdavenet_vq.download import fetch
from resdavenet_vq.errors import InputError

LARGEST = 1 << 20
OK = b"HTTP/1.1 200 OK\r\n"
PARTIAL = b"HTTP/1.1 206 Partial Content\r\n"


@pytest.fixture
def serve(monkeypatch):
    """A function that starts a server, which sends what it is given to every request; returns its address."""
    monkeypatch.setattr(download, "WAIT", 0)
    stopped = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)

    def start(answer):
        def listen():
            while not stopped.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(1)
                    request = connection.recv(1 << 16)
                    try:
                        for piece in answer(request) if callable(answer) else [answer]:
                            connection.sendall(piece)
                            if stopped.is_set():
                                break
                    except OSError:  # the client has gone
                        pass

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        threads.append(thread)
        return f"http://127.0.0.1:{listener.getsockname()[1]}/file"

    threads = []
    yield start
    stopped.set()
    for thread in threads:
        thread.join(5)
    listener.close()


def check(path):
    if path.read_bytes() != b"right":
        raise InputError("it is wrong")


def endless(head, piece=bytes(1 << 16), pause=0.0):
    def answer(_):
        yield head
        while True:
            time.sleep(pause)
            yield piece

    return answer


HUGE = b"9" * 5000
GZIP = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03+\xcaL\xcf(\x01\x00\xd6\xf4\xad\x90\x05\x00\x00\x00"
UNUSABLE = {
    "an endless body": (endless(OK + b"\r\n"), "sends more than the 1048576 bytes"),
    "endless chunks": (
        endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + bytes(1 << 16) + b"\r\n"),
        "sends more than the 1048576 bytes",
    ),
    "a huge length": (OK + b"Content-Length: 1048577\r\n\r\n", "announces 1048577 bytes"),
    "a length of 5,000 digits": (OK + b"Content-Length: " + HUGE + b"\r\n\r\nright", "a length of '9999"),
    "a negative length": (OK + b"Content-Length: -5\r\n\r\nright", "a length of '-5'"),
    "two lengths": (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nright", "5 bytes|5, 6"),
    "chunks beyond the length": (
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n5\r\nright\r\n0\r\n\r\n",
        "sends more than the 2 bytes",
    ),
    "gzip": (OK + b"Content-Encoding: gzip\r\n\r\n" + GZIP, "sends the file compressed"),
    "a range of 5,000 digits": (PARTIAL + b"Content-Range: bytes 0-4/" + HUGE + b"\r\n\r\nright", "sends the range"),
    "a negative range": (PARTIAL + b"Content-Range: bytes 0--4/5\r\n\r\nright", "sends the range"),
    "a reversed range": (PARTIAL + b"Content-Range: bytes 0-9/5\r\n\r\nright", "sends the range"),
    "no range": (PARTIAL + b"\r\nright", "sends the range ''"),
    "another range": (PARTIAL + b"Content-Range: bytes 3-4/5\r\n\r\nht", "instead of the file from byte 0"),
    "a range of another length": (
        PARTIAL + b"Content-Range: bytes 0-4/5\r\nContent-Length: 4\r\n\r\nrigh",
        "sends the range",
    ),
    "a huge range": (PARTIAL + b"Content-Range: bytes 0-9/99999999\r\n\r\n", "announces 99999999 bytes"),
    "more than the range": (
        PARTIAL + b"Content-Range: bytes 0-1/5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nright\r\n0\r\n\r\n",
        "sends more than the 2 bytes",
    ),
    "a redirect to a file": (b"HTTP/1.1 302 F\r\nLocation: file:///etc/passwd\r\n\r\n", "redirects to 'file:///etc"),
    "a redirect to no address": (b"HTTP/1.1 302 F\r\nLocation: http://[::1\r\n\r\n", "redirects to 'http://"),
    "endless redirects": (b"HTTP/1.1 302 F\r\nLocation: /again\r\nConnection: close\r\n\r\n", "redirects more than 5"),
    "a redirect with an endless text": (endless(b"HTTP/1.1 302 F\r\nLocation: /again\r\n\r\n"), "redirects more than"),
    "a flood of headers": (OK + b"X: y\r\n" * 101 + b"\r\nright", "100 headers|no connection|lost"),
    "a header of 1 MB": (OK + b"X: " + b"y" * (1 << 20) + b"\r\n\r\nright", "no connection|lost"),
    "no HTTP": (b"220 ready\r\n", "no connection|lost"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_an_unusable_answer_is_refused_in_one_line_and_leaves_nothing(serve, tmp_path, kind):
    answer, message = UNUSABLE[kind]
    with pytest.raises(InputError, match=message) as e:
        fetch(serve(answer), tmp_path / "file", check, LARGEST)
    assert len(str(e.value).splitlines()) == 1
    assert len(str(e.value)) < 500
    assert list(tmp_path.iterdir()) == []


SLOW = {
    "the status": endless(b"", b"H", 0.01),
    "a header": endless(OK, b"X", 0.01),
    "answers that go on": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.01),
    "the body": endless(OK + b"Content-Length: 1000000\r\n\r\n", b"x", 0.01),
    "the chunks": endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 0.01),
    "the end": endless(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n", 0.01),
}


@pytest.mark.parametrize("kind", SLOW)
def test_a_server_that_trickles_is_given_up(serve, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(download, "SECONDS", 0.1)
    start = time.monotonic()
    with pytest.raises(InputError, match=r"no answer in time: fewer than 65536 bytes .* bytes are kept"):
        fetch(serve(SLOW[kind]), tmp_path / "file", check, LARGEST)
    assert time.monotonic() - start < 5


def test_no_download_takes_longer_than_a_day(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "LONGEST", 0.2)
    monkeypatch.setattr(download, "LEAST", 1)
    with pytest.raises(InputError, match=r"longer than 0\.2 s; \d+ bytes are kept"):
        fetch(serve(endless(OK + b"\r\n", b"x", 0.01)), tmp_path / "file", check, LARGEST)


def test_a_slow_honest_line_is_waited_for(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "SECONDS", 0.2)
    monkeypatch.setattr(download, "LEAST", 1)

    def answer(_):
        yield OK + b"Content-Length: 5\r\n\r\n"
        for byte in b"right":
            time.sleep(0.08)
            yield bytes([byte])

    assert fetch(serve(answer), tmp_path / "file", check, LARGEST).read_bytes() == b"right"


def test_a_redirect_is_followed(serve, tmp_path):
    def answer(request):
        to = b"HTTP/1.1 303 See Other\r\nLocation: /there?a=b\r\nContent-Length: 0\r\n\r\n"
        return [OK + b"Content-Length: 5\r\n\r\nright" if b"/there?a=b" in request else to]

    assert fetch(serve(answer), tmp_path / "file", check, LARGEST).read_bytes() == b"right"


@pytest.mark.parametrize("kind", ["link", "dangling link", "hard link", "pipe", "folder", "socket"])
def test_a_part_that_is_no_file_of_its_own_is_not_followed(serve, tmp_path, kind):
    part, victim = tmp_path / ".file.part", tmp_path / "victim"
    if kind != "dangling link":
        victim.write_bytes(b"precious")
    if kind.endswith("link"):
        (part.hardlink_to if kind == "hard link" else part.symlink_to)(victim)
    elif kind == "pipe":
        os.mkfifo(part)
    elif kind == "folder":
        part.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(part))
    with pytest.raises(InputError, match=r"\.file\.part: is no regular file .*remove it|\.part: is no regular file;"):
        fetch(serve(OK + b"Content-Length: 5\r\n\r\nright"), tmp_path / "file", check, LARGEST)
    assert victim.exists() is (kind != "dangling link")
    assert kind == "dangling link" or victim.read_bytes() == b"precious"


def test_a_pipe_of_the_name_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "file")
    with pytest.raises(InputError, match="file: is no regular file"):
        fetch("http://127.0.0.1:1/", tmp_path / "file", check, LARGEST)


@pytest.mark.parametrize("left", [b"righ", b"wrong", b"right", b"right and more"])
def test_a_part_is_resumed_where_it_can_be(serve, tmp_path, left):
    (tmp_path / ".file.part").write_bytes(left)

    def answer(request):
        start = int(request.partition(b"Range: bytes=")[2].partition(b"-")[0])
        if start >= 5:
            return [b"HTTP/1.1 416 No\r\nContent-Range: bytes */5\r\nContent-Length: 0\r\n\r\n"]
        return [PARTIAL + b"Content-Range: bytes %d-4/5\r\n\r\n" % start + b"right"[start:]]

    if left == b"wrong":
        with pytest.raises(InputError, match="is not file: it is wrong; it was removed"):
            fetch(serve(answer), tmp_path / "file", check, LARGEST)
        assert list(tmp_path.iterdir()) == []
    else:
        assert fetch(serve(answer), tmp_path / "file", check, LARGEST).read_bytes() == b"right"
