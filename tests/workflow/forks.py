"""A process that has imported what the package's commands need, and runs the commands of a checkout in forks of itself.

A command takes seconds to import its libraries, and a tiny run has a hundred of them. In a checkout with the file CLIENT,
`python -m resdavenet_vq ...` hands its words, its folder, its environment and its standard streams to that process, and
ends with the exit status of the fork; so does `python -m snakemake ...`. Whatever else Python starts there starts as
always, torchrun too.

    python forks.py SOCKET    # until its standard input is closed
"""

import contextlib
import gc
import json
import multiprocessing.util
import os
import select
import signal
import socket
import subprocess
import sys
import traceback

SOCKET = "FORKS_SOCKET"
"""Environment variable: where the process listens."""

CLIENT = """
import os, sys

if sys.orig_argv[1:3] in (["-m", "resdavenet_vq"], ["-m", "snakemake"]):
    import json, socket

    job = {"program": sys.orig_argv[2], "words": sys.orig_argv[3:], "folder": os.getcwd(), "environment": dict(os.environ)}
    text = json.dumps(job).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(os.environ["FORKS_SOCKET"])
        socket.send_fds(server, [len(text).to_bytes(8)], [0, 1, 2])
        server.sendall(text)
        status = server.recv(1)  # none of a fork that was killed
    os._exit(status[0] if status else 1)
"""
"""The text of `sitecustomize.py`, which Python runs before anything else."""


@contextlib.contextmanager
def forks(checkout, environment):
    """Has the commands of a checkout run in forks; yields the environment that they need.

    `environment` is that in which libraries are imported.
    """
    (checkout / "sitecustomize.py").write_text(CLIENT)
    environment = environment | {SOCKET: str(checkout / "forks"), "PYTHONPATH": str(checkout)}
    process = subprocess.Popen(
        [sys.executable, __file__, environment[SOCKET]],
        env=environment,
        cwd=checkout,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout.readline() == b"ready\n"
        yield environment


def main():
    import imported  # which is beside this file
    import sklearn.cluster  # noqa: F401 - what a function imports when it is called
    import snakemake.cli  # noqa: F401
    import torch._dynamo  # noqa: F401

    for callback in imported.callbacks().values():
        imported.run_imports(callback)

    gc.freeze()  # which forks then need not look at
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no fork is waited for
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(sys.argv[1])
        server.listen(64)
        print("ready", flush=True)
        while server in select.select([server, sys.stdin], [], [])[0]:
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                run(connection)
            connection.close()


def run(connection):
    """In a fork: runs the command, says how it ended, and ends."""
    head, streams, _, _ = socket.recv_fds(connection, 8, 3)
    with connection.makefile("rb") as file:
        job = json.loads(file.read(int.from_bytes(head)))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for descriptor, stream in enumerate(streams):
        os.dup2(stream, descriptor)
        os.close(stream)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        setattr(sys, name, os.fdopen(descriptor, "w", buffering=descriptor - 1 or -1, closefd=False))
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    status = outcome(job["program"], job["words"])
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    connection.send(bytes([status]))
    os._exit(status)


def outcome(program, words):
    """The exit status of a command."""
    if program == "snakemake":
        from snakemake import cli as __main__
    else:
        from resdavenet_vq import __main__

    sys.argv = [__main__.__file__, *words]
    sys.modules["__main__"] = __main__  # what worker processes import first
    status = 0
    try:
        __main__.main()
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else int(e.code is not None)
    except BaseException:  # noqa: BLE001 - told in the log
        traceback.print_exc()
        status = 1
    multiprocessing.util._exit_function()  # as at the end of Python; libraries clean up for seconds
    return status


if __name__ == "__main__":
    main()
