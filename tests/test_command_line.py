"""How commands end: one bounded message that a terminal can be trusted with, whatever was raised, and no traceback."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = """
import sys, time, os
import resdavenet_vq.__main__ as m
from resdavenet_vq.errors import InputError
import typer
def nest(n=0): return nest(n + 1)
def fail(error): raise error
def app(): {body}
m.app = app
m.main()
"""


def run(body, **options):
    options = {"capture_output": True, "timeout": 60} | options
    return subprocess.run([sys.executable, "-c", CHILD.format(body=body)], check=False, **options)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            r"fail(InputError('a\x1b[2J: bad\n\trow 7 \u202e\udcff é'))",
            "error: a\\x1b[2J: bad\n\trow 7 \\u202e\\xff \\xe9\n",
        ),
        ("fail(InputError('x' * 10**7))", None),
        ("fail(InputError('x\\n' * 10**6))", None),
        ("fail(MemoryError('17 GiB'))", "error: the memory does not suffice; use fewer workers or smaller batches"),
        ("nest()", "error: the input is nested too deeply"),
        (r"fail(ValueError('a\nb\x1b'))", "error: ValueError: a b\\x1b (RESDAVENET_VQ_TRACEBACK=1 shows where)\n"),
    ],
)
def test_a_failure_is_one_readable_message(body, message):
    done = run(body, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    text = done.stderr.decode("ascii")
    assert done.returncode == 1
    assert done.stdout == b""
    assert "Traceback" not in text
    assert len(text) < 10_000
    assert text.startswith(message or "error: x")


@pytest.mark.parametrize("function", ["typer.echo", "print"])
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_text_that_cannot_be_written_stops_no_command(function, encoding):
    done = run(rf"{function}('a \u00e9\udcff b')", env=os.environ | {"PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"a ")
    assert done.stdout.endswith(b" b\n")


def test_closed_streams_are_no_matter_and_no_file_takes_their_place():
    body = "fail(InputError(str(sys.stderr.fileno()))) if os.open('/dev/null', 0) > 2 else os._exit(9)"
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" 0<&- 1>&- 2>&-', sys.executable, CHILD.format(body=body)],
        check=False,
        timeout=60,
    )
    assert done.returncode == 1


def test_nobody_reads():
    read, write = os.pipe()
    os.close(read)
    done = run("fail(InputError('bad'))", capture_output=False, stderr=write)
    os.close(write)
    assert done.returncode == 1


@pytest.mark.parametrize("function", ["typer.echo", "print"])
def test_standard_output_on_a_full_disk(function):
    with Path("/dev/full").open("w") as full:
        done = run(f"{function}('units')", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert (
        done.stderr
        == b"error: standard output: cannot be written (No space left on device); free some space, or send it elsewhere\n"
    )


def test_an_interruption_is_quiet():
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD.format(body="print('ready', flush=True); time.sleep(60)")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout.readline() == b"ready\n"
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=60) == (b"", b"")
    assert child.returncode == 130
