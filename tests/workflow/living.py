"""What lives on after a process was killed, and what it still writes."""

import contextlib
import socket
import time
from pathlib import Path

from resdavenet_vq.processes import STARTER

MOST_SECONDS = 5.0
HERE = socket.gethostname()


def living(starter):
    """Processes, ids and states, whose command was started by this process, data workers included."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            # a zombie has no environment any more
            if f"{STARTER}={HERE}:{starter}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = (entry / "status").read_text()
    return found


def files(folder):
    """What stands in a folder: sizes and times of all files."""
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def wait_for(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


def assert_still(starter, folder):
    """Soon nothing that the killed process had started is left, and then nothing changes."""
    wait_for(lambda: not living(starter), MOST_SECONDS, lambda: living(starter))
    before = files(folder)
    time.sleep(0.5)
    assert files(folder) == before
