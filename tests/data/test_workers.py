"""Workers end with the command that started them, whatever they are doing."""

import os
import subprocess
import sys
import time
from pathlib import Path

CODE = """
import sys
from pathlib import Path
from data.hostile import busy
from resdavenet_vq.data.workers import in_parallel
list(in_parallel([Path(sys.argv[1])] * 20, busy, 2, "data.hostile"))
"""


def is_running(pid):
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_a_worker_in_a_native_call_ends_with_the_command(tmp_path):
    tests = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": f"{tests.parent}:{tests}"}
    with subprocess.Popen([sys.executable, "-c", CODE, tmp_path], env=environment) as command:
        deadline = time.monotonic() + 30
        while len(started := list(tmp_path.iterdir())) < 2:
            assert command.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        command.kill()
    pids, deadline = [int(path.name) for path in started], time.monotonic() + 5
    while left := [pid for pid in pids if is_running(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)
