"""Download of one file over HTTP from a server that is not trusted.

A file gets its name only when it is complete and verified. A partial download is kept beside it and resumed, after a
lost connection at once, otherwise by the same call. Whatever the server sends, size, time and memory are bounded: the
answer is received by a thread and handed on in chunks, so that no server can hold the caller; bytes are taken as they
come, never decompressed; and only redirects to HTTP are followed, without reading their text.
"""

from __future__ import annotations

import errno
import http.client
import os
import re
import shutil
import stat
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from queue import Empty, Queue
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from resdavenet_vq.errors import InputError
from resdavenet_vq.files import lock
from resdavenet_vq.progress import track

CHUNK, MIB = 1 << 16, 1 << 20

TIMEOUTS = (20, 60)
"""Seconds to wait for a connection, and for the next bytes."""

LEAST, SECONDS = 1 << 16, 60.0
"""At least so many bytes must arrive in any so many seconds: about 1 KiB a second, less than the slowest modem."""

LONGEST = 86_400.0
"""Seconds after which a download is stopped, however fast it is; the same command resumes it."""

ATTEMPTS = 4
"""Attempts without LEAST new bytes before giving up."""

WAIT = 2.0
"""Seconds before the second attempt; doubled before each further one."""

REDIRECTS = 5
"""Number of redirects that are followed."""

_CAUSES = {
    requests.Timeout: "no answer in time",
    requests.exceptions.ChunkedEncodingError: "the connection was lost",
    requests.ConnectionError: "no connection (is there a network?)",
    urllib3.exceptions.HTTPError: "the connection was lost",  # while the body comes
}
_BY_HAND = "open the address in a browser to see why, or download the file there"


class _LostError(Exception):
    """The answer ended early, perhaps not for ever."""


def fetch(url: str, path: Path, check: Callable[[Path], None], largest: int) -> Path:
    """Downloads a file of at most `largest` bytes to `path` unless it exists; `check` raises InputError for another one.

    Raises InputError if the server does not send the file, sends more, is too slow, or if the file cannot be written.
    """
    if path.exists():
        if not path.is_file():
            raise InputError(f"{path}: is no regular file; move it away")
        try:
            check(path)
        except InputError as e:
            raise InputError(f"{path} exists, but is not the file to download: {e}; move it away") from None
        return path
    part = path.with_name(f".{path.name}.part")
    try:
        with lock(path.with_name(f".{path.name}.lock"), f"{path}: is being downloaded", path), _open(part) as file:
            try:
                _receive(url, file, path, largest)
            finally:
                if not file.tell():
                    part.unlink()
            file.flush()
            os.fsync(file.fileno())
            try:
                check(part)
            except InputError as e:
                part.unlink(missing_ok=True)  # a corrupt download cannot be resumed
                fault = str(e).replace(str(part), path.name)
                raise InputError(f"{url}: the download is not {path.name}: {fault}; it was removed") from None
            part.replace(path)
    except OSError as e:
        kept = "the partial download is kept, run the same command again to resume"
        raise InputError(f"{path}: cannot be written ({e.strerror or e}); {kept}") from None
    return path


def _open(part: Path) -> BinaryIO:
    """The partial download, to append to. Raises InputError for a link, a second name of another file, or no file."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = os.fdopen(os.open(part, flags, 0o666), "ab")
    except OSError as e:
        if e.errno not in {errno.ELOOP, errno.EISDIR, errno.ENXIO}:
            raise
        raise InputError(f"{part}: is no regular file; remove it") from None
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        file.close()
        raise InputError(f"{part}: is no regular file of its own; remove it")
    return file


def _receive(url: str, file: BinaryIO, path: Path, largest: int) -> None:
    """Appends the missing part to `file`, reconnecting as long as bytes arrive."""
    attempts, most, deadline = 0, file.tell(), time.monotonic() + LONGEST
    while True:
        try:
            with closing(_arrivals(url, file.tell(), deadline)) as arrivals:
                if _append(arrivals, url, file, path, largest):
                    return
            cause = "the connection was lost"
        except _LostError as e:
            cause = str(e)
        attempts = 0 if file.tell() >= most + LEAST else attempts + 1
        most = max(most, file.tell())
        if attempts == ATTEMPTS or time.monotonic() > deadline:
            raise InputError(
                f"{url}: {cause}; {file.tell()} bytes are kept, run the same command again to resume. "
                "Without a network, download the file elsewhere"
            )
        time.sleep(WAIT * 2 ** (attempts - 1) if attempts else 0)


def _arrivals(url: str, start: int, deadline: float) -> Generator[Any]:
    """The answer to a request for a file from byte `start` on, and then its body in pieces.

    Raises _LostError where they do not come, come too slowly, or the deadline passes.
    """
    items: Queue[Any] = Queue(16)
    over = threading.Event()
    threading.Thread(target=_listen, args=(url, start, items, over), daemon=True).start()
    since, n = time.monotonic(), 0
    try:
        while True:
            try:
                item = items.get(timeout=max(0.0, min(since + SECONDS, deadline) - time.monotonic()))
            except Empty:
                item = None
            if isinstance(item, Exception):
                raise item
            if item == b"":
                return
            if item is not None:
                n += len(item) if isinstance(item, bytes) else 0
                yield item
            now = time.monotonic()
            if now >= deadline:
                raise _LostError(f"it takes longer than {LONGEST:g} s")
            if now - since >= SECONDS and items.empty():
                if n < LEAST:
                    raise _LostError(f"no answer in time: fewer than {LEAST} bytes in {SECONDS:g} s")
                since, n = now, 0
    finally:
        over.set()
        while not items.empty():  # the thread may be waiting for a place
            items.get_nowait()


def _listen(url: str, start: int, items: Queue[Any], over: threading.Event) -> None:
    """Puts the answer, the pieces of its body and an empty one into a queue, or what is raised; ends early if `over`."""
    try:
        with _Session() as session, _answer(session, url, start) as answer:
            items.put(answer)
            while not over.is_set() and (chunk := answer.raw.read1(CHUNK, decode_content=False)):
                items.put(chunk)
        items.put(b"")
    except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as e:
        items.put(_LostError(next((cause for kind, cause in _CAUSES.items() if isinstance(e, kind)), str(e))))
    except Exception as e:  # noqa: BLE001 (raised by the caller)
        items.put(e)


class _Session(requests.Session):
    """Follows no redirects: before it does, it would read their text, which has no bound."""

    def get_redirect_target(self, _resp: requests.Response) -> None:
        """None."""


def _answer(session: requests.Session, url: str, start: int) -> requests.Response:
    """The answer of the last server that redirects lead to."""
    headers = {"Range": f"bytes={start}-", "Accept-Encoding": "identity"}
    here = url
    for _ in range(REDIRECTS + 1):
        answer = session.get(here, headers=headers, stream=True, timeout=TIMEOUTS)
        if not answer.is_redirect:
            return answer
        answer.close()
        try:
            target = urljoin(here, answer.headers["Location"])
            allowed = {"https"} if urlsplit(here).scheme == "https" else {"http", "https"}
            followed = urlsplit(target).scheme in allowed
        except ValueError:
            followed = False
        if not followed:
            raise InputError(f"{url}: the server redirects to {answer.headers['Location'][:100]!r}; {_BY_HAND}")
        here = target
    raise InputError(f"{url}: the server redirects more than {REDIRECTS} times; {_BY_HAND}")


def _append(arrivals: Iterator[Any], url: str, file: BinaryIO, path: Path, largest: int) -> bool:
    """Appends the body of an answer and returns whether the file is complete. Raises InputError for other answers."""
    answer: requests.Response = next(arrivals)
    if not answer.ok and answer.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        fault = f"the server answers {answer.status_code} {answer.reason[:100]}"
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _LostError(fault)  # perhaps temporary
        raise InputError(f"{url}: {fault}; {_BY_HAND}")
    extent = _extent(answer, url, file.tell())
    if answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        if extent.total == file.tell():
            return True
        _empty(file)  # longer than the file: the beginning of another one
        return False
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise InputError(
            f"{url}: the server answers with a web page instead of the file, as Google Drive does after too many "
            f"downloads or when a file is gone; {_BY_HAND}"
        )
    if (encoding := answer.headers.get("Content-Encoding", "identity")) not in {"", "identity"}:
        raise InputError(f"{url}: the server sends the file compressed ({encoding[:40]!r}); {_BY_HAND}")
    if max(extent.total or 0, extent.stop or 0) > largest:
        _empty(file)
        raise InputError(
            f"{url}: the server announces {extent.total or extent.stop} bytes, and {path.name} has at most {largest}; "
            f"{_BY_HAND}"
        )
    file.truncate(extent.start)
    file.seek(extent.start)
    missing = None if extent.total is None else extent.total - extent.start
    if missing is not None and missing > (free := shutil.disk_usage(path.parent).free):
        raise InputError(f"{path}: {missing} bytes are missing, but the disk has space for {free} only")
    pieces = _written(arrivals, file, url, largest if extent.stop is None else extent.stop)
    for _ in track(pieces, path.name, None if missing is None else missing // MIB, "MiB"):
        pass
    return extent.total is None or file.tell() == extent.total


def _written(arrivals: Iterator[bytes], file: BinaryIO, url: str, stop: int) -> Iterator[None]:
    """Writes the body of an answer, which ends at byte `stop` or earlier; yields once for each MiB."""
    n = 0
    for chunk in arrivals:
        if file.tell() + len(chunk) > stop:
            _empty(file)
            raise InputError(
                f"{url}: the server sends more than the {stop} bytes that were expected; the partial download was "
                f"removed. {_BY_HAND[0].upper()}{_BY_HAND[1:]}"
            )
        before, n = n, n + file.write(chunk)
        yield from [None] * (n // MIB - before // MIB)


def _empty(file: BinaryIO) -> None:
    file.truncate(0)
    file.seek(0)


class _Extent(NamedTuple):
    """Which bytes of the file an answer holds, from `start` to before `stop`, and the file's length; None is unknown."""

    start: int
    stop: int | None
    total: int | None


_NUMBER = r"\d{1,18}"  # more digits are no length, and Python converts no number of thousands of them


def _extent(answer: requests.Response, url: str, position: int) -> _Extent:
    """What the headers say. Raises InputError where they make no sense or hold other bytes than those from `position`."""
    content_range, length = (answer.headers.get(f"Content-{name}", "") for name in ("Range", "Length"))
    n = int(length) if re.fullmatch(_NUMBER, length) else None
    if length and n is None:
        raise InputError(f"{url}: the server sends a length of {length[:40]!r}; try again later")
    if answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        given = re.fullmatch(rf"bytes \*/({_NUMBER})", content_range)
        return _Extent(0, None, int(given[1]) if given else None)
    if answer.status_code != HTTPStatus.PARTIAL_CONTENT:
        return _Extent(0, n, n)
    given = re.fullmatch(rf"bytes ({_NUMBER})-({_NUMBER})/({_NUMBER}|\*)", content_range)
    if given:
        start, stop, total = int(given[1]), int(given[2]) + 1, None if given[3] == "*" else int(given[3])
        if start == position < stop <= (total or stop) and n in (None, stop - start):
            return _Extent(start, stop, total)
    raise InputError(
        f"{url}: the server sends the range {content_range[:60]!r} instead of the file from byte {position}; "
        "try again later"
    )
