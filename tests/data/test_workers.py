"""Workers end with the command that started them, whatever they are doing."""

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from oracles.data import repeated_scans
from PIL import Image

from resdavenet_vq.data import images

IN_PARALLEL = """
import sys
from pathlib import Path
from data.hostile import {busy}
from resdavenet_vq.data.workers import in_parallel
list(in_parallel([Path(sys.argv[1])] * 20, {busy}, 2, ["data.hostile"]))
"""

DATA_LOADER = """
import sys
from pathlib import Path
from data.hostile import Busy
from resdavenet_vq.data.loader import load
list(load(Busy(Path(sys.argv[1])), range(4), 2))
"""


def is_running(pid):
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def check_that_workers_end_with_their_command(code, folder):
    tests = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": f"{tests.parent}:{tests}"}
    with subprocess.Popen([sys.executable, "-c", code, folder], env=environment) as command:
        deadline = time.monotonic() + 30
        while len(started := list(folder.iterdir())) < 2:
            assert command.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        command.kill()
    pids, deadline = [int(path.name) for path in started], time.monotonic() + 5
    while left := [pid for pid in pids if is_running(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


@pytest.mark.parametrize("code", [IN_PARALLEL.format(busy="busy"), DATA_LOADER], ids=["preparation", "training"])
def test_a_worker_in_a_native_call_ends_with_the_command(tmp_path, code):
    check_that_workers_end_with_their_command(code, tmp_path)


def test_a_worker_that_decodes_the_slowest_image_ends_with_the_command(tmp_path):
    """It has the most pixels and scans that are let through, and would take longer than the 5 s."""
    folder = tmp_path / "started"
    folder.mkdir()
    side = math.isqrt(images.MAX_PIXELS)
    picture = Image.new("RGB", (side, side), (10, 200, 30))
    (tmp_path / "slow.jpg").write_bytes(repeated_scans(picture, images.MAX_SCANS, subsampling=0))
    check_that_workers_end_with_their_command(IN_PARALLEL.format(busy="busy_decoding"), folder)
    assert not (folder / "done").exists()


def test_a_program_that_workers_cannot_import_is_told_what_to_do(tmp_path):
    """They import it to find its functions, and must not do again what it does."""
    program = tmp_path / "program.py"
    program.write_text(
        "from operator import neg; from resdavenet_vq.data.workers import in_parallel\n"
        "print(sum(in_parallel(range(20), neg, 2, ['operator'], lambda *_: 0)))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "InputError: worker processes cannot begin" in done.stderr
    program.write_text(program.read_text().replace("print(", "if __name__ == '__main__': print("))
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "-190\n"
