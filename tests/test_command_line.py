"""The command line: its help, its completion, what it replaces and says; and how commands end.

They end with one bounded message that a terminal can be trusted with, whatever was raised, and no traceback.
"""

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from resdavenet_vq import __version__, config, progress
from resdavenet_vq.__main__ import app
from resdavenet_vq.commands import PANELS, check_new, replacing, section
from resdavenet_vq.errors import InputError

REPO = Path(__file__).resolve().parents[1]
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


# -- what people expect of it -------------------------------------------------------------------------------------------

COMMANDS = dict(sorted(typer.main.get_command(app).commands.items()))
PEOPLE, RULES = PANELS
READERS = {"estimate", "plan", "validate-submission", "verify"}
"""Commands for people that write no file."""

NEW_ONLY = {"export-alignments", "fetch-released"}
"""Those that replace nothing: the one writes new folders, the other keeps what is there whole."""


def invoke(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_every_command_is_for_people_or_for_rules():
    assert {name: c.rich_help_panel for name, c in COMMANDS.items() if c.rich_help_panel not in PANELS} == {}
    text = invoke("--help").stdout
    people, rules = (text.split(f"\n{panel}:\n")[1].split("\n\n")[0] for panel in PANELS)
    for panel, shown in ((PEOPLE, people), (RULES, rules)):
        names = [line.split()[0] for line in shown.splitlines()]
        assert names == [name for name, c in COMMANDS.items() if c.rich_help_panel == panel]


def test_what_rules_alone_call_is_not_for_people():
    """Commands of the rules and their tasks, and those that pages have people type."""
    pages = "".join(page.read_text() for page in [REPO / "README.md", *(REPO / "docs").rglob("*.md")])
    typed = set(re.findall(r"^(?:\$ )?resdavenet-vq ([a-z][a-z-]+)", pages, re.MULTILINE)) & COMMANDS.keys()
    assert typed <= {name for name, c in COMMANDS.items() if c.rich_help_panel == PEOPLE}
    called = "".join(
        file.read_text() for file in [*(REPO / "rules").glob("*.smk"), REPO / "resdavenet_vq/workflow/tasks.py"]
    )
    assert [name for name, c in COMMANDS.items() if c.rich_help_panel == RULES and name not in called] == []


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_has_a_short_option(name):
    short, long = (invoke(*filter(None, [name]), option) for option in ("-h", "--help"))
    assert short.exit_code == 0
    assert short.stdout == long.stdout
    assert "Usage: " in short.stdout


def test_version():
    assert invoke("--version").stdout == f"resdavenet-vq {__version__}\n"


@pytest.mark.parametrize(
    ("line", "completions"),
    [
        ("resdavenet-vq export-", {"export-alignments", "export-units"}),
        ("resdavenet-vq encode --fr", {"--frame-time"}),
        ("resdavenet-vq encode --format ", {"json", "jsonl", "textgrid", "npy"}),
        ("resdavenet-vq encode --model res", set()),  # a path: bash completes it itself
    ],
)
def test_bash_completes(line, completions):
    """By the protocol of the script that --install-completion installs."""
    code = "import sys; sys.argv[0] = 'resdavenet-vq'; from resdavenet_vq.__main__ import main; main()"
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    shown = {}
    for instruction in ("complete_bash", "source_bash"):
        environment = os.environ | asked | {"_RESDAVENET_VQ_COMPLETE": instruction}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        shown[instruction] = done.stdout
    assert set(shown["complete_bash"].split()) == completions
    assert "_RESDAVENET_VQ_COMPLETE=complete_bash $1" in shown["source_bash"]
    assert re.search(r"^complete -o default -F \w+ resdavenet-vq$", shown["source_bash"], re.MULTILINE)


def test_commands_for_people_replace_results_only_if_told():
    writers = {name for name, c in COMMANDS.items() if c.rich_help_panel == PEOPLE} - READERS
    told = {name for name, c in COMMANDS.items() if any("--overwrite" in p.opts for p in c.params)}
    assert told == writers - NEW_ONLY


def test_a_result_that_is_there_is_named_in_one_line(tmp_path):
    (tmp_path / "a.csv").write_text("mine")
    (tmp_path / "b.csv").write_text("mine")
    with pytest.raises(InputError) as one:
        check_new(False, tmp_path / "a.csv", None, tmp_path / "c.csv")
    assert str(one.value) == f"{tmp_path}/a.csv is there already; choose another place, or replace it with --overwrite"
    with pytest.raises(InputError) as two:
        check_new(False, tmp_path / "a.csv", tmp_path / "b.csv")
    assert str(two.value).startswith(f"{tmp_path}/a.csv and 1 more are there already; ")
    check_new(True, tmp_path / "a.csv")
    with replacing():
        check_new(False, tmp_path / "a.csv")
    with pytest.raises(InputError):
        check_new(False, tmp_path / "a.csv")


def test_a_corpus_is_replaced_only_if_told(tmp_path):
    recording = tmp_path / "test/wavs/000/test-000000.wav"
    recording.parent.mkdir(parents=True)
    recording.write_text("mine")
    failed = invoke("make-corpus", "--split", "test", "--out", tmp_path)
    assert str(failed.exception).startswith(f"{recording} is there already; ")
    assert recording.read_text() == "mine"


@pytest.mark.parametrize("name", [name for name, c in COMMANDS.items() if c.rich_help_panel == PEOPLE])
def test_people_write_no_json(name):
    """What takes the JSON of a rule takes a file or plain words, too, or can be left out."""
    helps = {
        p.opts[0]: (p.required, p.help) for p in COMMANDS[name].params if "JSON" in (getattr(p, "help", None) or "")
    }
    plain = r"FILE\.yaml|FOLDER=SEED|\(JSON\)|A JSON file|: the JSON|JSON goes|a JSON file"  # and files, which commands read or write
    assert [option for option, (_, text) in helps.items() if not re.search(plain, text)] == []


def test_a_section_comes_from_a_file_or_from_a_rule(tmp_path):
    (tmp_path / "mine.yaml").write_text("abx: {items: {most_frequent: 7}}\nrecipe: corrected\n")
    mine = str(tmp_path / "mine.yaml")
    assert section(config.Items, mine, "abx.items") == config.Items(most_frequent=7)
    assert section(config.Items, '{"most_frequent": 7}', "abx.items") == config.Items(most_frequent=7)
    assert section(config.Recipe, mine, "recipe").frame_time == "centred"
    assert section(config.SpokenScenes, "", "corpus").name == "spoken_scenes"  # the demo's
    with pytest.raises(InputError, match=r"mine\.yaml: has no section external\.km; see docs/configuration\.md$"):
        section(config.External, mine, "external.km")
    (tmp_path / "mine.yaml").write_text("abx: {items: {most_frequnt: 7}}\n")
    with pytest.raises(
        InputError, match=r"mine\.yaml: the section abx\.items has faults\.\n.*did you mean 'most_frequent'"
    ):
        section(config.Items, mine, "abx.items")
    with pytest.raises(InputError, match=r"none\.yaml: no such file"):
        section(config.Items, str(tmp_path / "none.yaml"), "abx.items")


@pytest.mark.parametrize("on_terminal", [True, False])
def test_long_work_without_steps_says_how_long_it_has_been_running(monkeypatch, on_terminal):
    stream = io.StringIO()
    stream.isatty = lambda: on_terminal
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.waiting("short"):
        pass
    assert stream.getvalue() == ""
    monkeypatch.setattr(progress, "SECONDS_OF_SILENCE", 0.05)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.05)
    with progress.waiting("verify a.h5"):
        for _ in range(1000):
            if "verify" in stream.getvalue():
                break
            time.sleep(0.01)
    text = stream.getvalue()
    one = r"\rverify a\.h5: \d+ s" if on_terminal else r"verify a\.h5: \d+ s\n"
    assert re.fullmatch(rf"(?:{one})+{re.escape(chr(13) + chr(27) + '[K') if on_terminal else ''}", text)
