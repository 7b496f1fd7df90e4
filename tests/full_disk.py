"""A process that runs commands of the command line in forks, each on a disk of its own that is as full as asked for.

It reads jobs, a line of JSON each, and answers with a line each. The disk is a small tmpfs that only the fork sees;
where a system does not allow that, a limit on the size of files stands for it.
"""

import contextlib
import ctypes
import json
import os
import resource
import sys
import tempfile
import traceback
from pathlib import Path

import sklearn.cluster  # noqa: F401 - what functions import, once for all forks
import torch
import torch._dynamo

from resdavenet_vq import __main__
from resdavenet_vq.figures import paper, utterances  # noqa: F401 - what commands import late, imported once
from resdavenet_vq.report import page  # noqa: F401
from resdavenet_vq.training import train  # noqa: F401

SIZE = 16 << 20
BALLAST = "ballast"
MS_REC, MS_PRIVATE = 0x4000, 0x40000


def mount(place):
    """A small file system at `place`, which nobody else sees. Raises OSError where it is not allowed."""
    libc, uid, gid = ctypes.CDLL(None, use_errno=True), os.getuid(), os.getgid()
    os.unshare(os.CLONE_NEWNS if uid == 0 else os.CLONE_NEWNS | os.CLONE_NEWUSER)
    if uid != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    for source, target, kind, flags, options in (
        (b"none", b"/", None, MS_REC | MS_PRIVATE, None),
        (b"tmpfs", os.fsencode(place), b"tmpfs", 0, f"size={SIZE}".encode()),
    ):
        if libc.mount(source, target, kind, flags, options):
            raise OSError(ctypes.get_errno(), "mount")


def fill(place, left):
    """Leaves that many bytes of the disk."""
    with (Path(place) / BALLAST).open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:  # it is full
            pass
        file.truncate(max(0, file.tell() - left))


def content(place):
    return {
        str(path.relative_to(place)): path.read_text(errors="replace")
        for path in sorted(Path(place).rglob("*"))
        if path.is_file() and path.name != BALLAST
    }


def run(job):
    """In the fork: the exit status, the output and what lies on the disk."""
    place, answer, disk = Path(job["place"]), {"status": 0}, ""
    if job["left"] is not None:
        try:
            mount(place)
            disk = "tmpfs"
        except OSError:
            disk = "limit"
    for name, text in job["earlier"].items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    if disk == "tmpfs":
        fill(place, job["left"])
    elif disk == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["left"], resource.RLIM_INFINITY))
    sys.argv = ["resdavenet-vq", *job["argv"]]
    torch.set_num_threads(1)
    sys.modules["__main__"] = __main__  # what worker processes import first
    try:
        __main__.main()
    except SystemExit as e:
        answer["status"] = e.code or 0
    except BaseException:  # noqa: BLE001 - told to the test
        traceback.print_exc()
        answer["status"] = "raised"
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return answer | {"disk": disk, "files": content(place) if disk else {}}


def answer(job):
    """Forks, and gathers what the fork prints."""
    with tempfile.TemporaryDirectory() as folder:
        result, (reader, writer) = Path(folder, "result"), os.pipe()
        if (pid := os.fork()) == 0:
            os.dup2(writer, 1)
            os.dup2(writer, 2)
            os.close(reader)
            for name, descriptor in (("stdout", 1), ("stderr", 2)):  # the former ones keep what they know of a file
                setattr(sys, name, os.fdopen(descriptor, "w", closefd=False))
            os.environ.update(job["environment"])
            with contextlib.suppress(BaseException):
                result.write_text(json.dumps(run(job)))
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, errors="replace") as file:
            text = file.read()
        os.waitpid(pid, 0)
        found = json.loads(result.read_text()) if result.exists() else {"status": "died", "files": {}, "disk": ""}
        return found | {"text": text}


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers)
