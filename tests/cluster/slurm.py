"""A SLURM cluster of one machine, on the loopback interface, for as long as a test needs it.

Real daemons (munged, slurmctld, a slurmd for each node) run as this user, with all their files in one folder and with
ports of their own: no systemd, no cgroups, no accounting. The nodes claim more cores and memory than there are, and
their GPUs are device files that any machine has: SLURM hands them out, nothing computes on them.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "sinfo", "scancel")
PACKAGES = "slurmctld slurmd slurm-client munge"
HOST = socket.gethostname().split(".")[0]
NODES = (HOST, f"{HOST}-second")  # the first of them resolves: there torch.distributed meets
GPUS = ("/dev/null", "/dev/zero")
CORES = 64
MEMORY_MB = 100_000

PROLOG = """\
#!/bin/sh
# Before each task: GPUs that are none are granted, and hidden, as it would be an error that CUDA does not start on them.
echo "export GRANTED_GPUS=${CUDA_VISIBLE_DEVICES:-$GRANTED_GPUS}"
echo "export CUDA_VISIBLE_DEVICES="
"""

CONFIGURATION = """\
ClusterName=throwaway
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
TaskProlog={folder}/prolog
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=200000
FirstJobId={first}
MinJobAge=600
EnforcePartLimits=ALL
KillWait=30
ReturnToService=2
JobRequeue=1
GresTypes=gpu
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=7-0 State=UP
PartitionName=gpu Nodes=ALL MaxTime=2-0 State=UP
"""


def missing() -> list[str]:
    """Programs of SLURM that are not installed."""
    return [program for program in PROGRAMS if shutil.which(program, path=_path()) is None]


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster that is up. Afterwards no process of it is left, and nothing outside its folder was written."""
    running = Cluster(folder.resolve())
    try:
        running.start()
        yield running
    finally:
        running.stop()


class Cluster:
    """Daemons and their folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{folder}/bin:{_path()}"}
        """What makes SLURM's programs speak to this cluster."""
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Returns when every node is idle."""
        self._write_files()
        self._guard = subprocess.Popen(
            [sys.executable, __file__, self.folder], stdin=subprocess.PIPE, start_new_session=True
        )
        munge = {
            "key-file": "munge.key",
            "socket": "munge.socket",
            "pid-file": "munged.pid",
            "log-file": "munged.log",
            "seed-file": "munge.seed",
        }
        self._spawn(
            "munged", "--foreground", "--force", *(f"--{option}={self.folder / name}" for option, name in munge.items())
        )
        self._wait((self.folder / "munge.socket").exists)
        self._spawn("slurmctld", "-D", "-c")
        for node in NODES:
            self._spawn("slurmd", "-D", "-N", node)
        self._wait(
            lambda: (
                self.ask("sinfo", "-h", "-N", "-p", "main", "-o", "%T", check=False).split() == ["idle"] * len(NODES)
            )
        )

    def stop(self) -> None:
        """Ends jobs, then daemons; SIGKILL for what does not obey, which is an error."""
        if "slurmctld" in self._daemons:
            self.ask("scancel", "--user", getpass.getuser(), check=False)
            with contextlib.suppress(TimeoutError):
                self._wait(
                    lambda: not self.ask("squeue", "-h", "-t", "running,completing", check=False).strip(), seconds=15
                )
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
        for daemon in self._daemons.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(10)
        left = self.processes()
        self._guard.communicate()
        for daemon in self._daemons.values():
            daemon.wait()
        self._daemons.clear()
        assert not left, f"did not end: {left}"

    def ask(self, *command: str, check: bool = True) -> str:
        """What a program of SLURM prints."""
        return subprocess.run(
            command, env=self.environment, stdout=subprocess.PIPE, text=True, timeout=30, check=check
        ).stdout

    def jobs(self) -> list[dict[str, str]]:
        """All jobs, oldest first, as scontrol shows them; requested and granted GPUs are part of it."""
        lines = self.ask("scontrol", "--details", "--oneliner", "show", "job").splitlines()
        return [
            dict(word.split("=", 1) for word in line.split() if "=" in word)
            for line in lines
            if line.startswith("JobId=")
        ]

    def processes(self) -> dict[int, str]:
        """Ids and commands of what lives in this cluster."""
        return processes(self.folder)

    def _write_files(self) -> None:
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        for name in ("controller", "bin"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        ports = _free_ports(1 + len(NODES))
        lines = (
            f"NodeName={node} NodeHostname={HOST} NodeAddr=127.0.0.1 Port={port} CPUs={CORES} RealMemory={MEMORY_MB} Gres=gpu:{len(GPUS)}"
            for node, port in zip(NODES, ports[1:], strict=True)
        )
        values = {
            "host": HOST,
            "user": getpass.getuser(),
            "folder": self.folder,
            "ports": ports,
            "first": secrets.randbelow(10_000) + 1,
            "nodes": "\n".join(lines),
        }
        (self.folder / "slurm.conf").write_text(CONFIGURATION.format(**values))
        (self.folder / "gres.conf").write_text(
            "".join(f"NodeName={node} Name=gpu File={file}\n" for node in NODES for file in GPUS)
        )
        prolog = self.folder / "prolog"
        prolog.write_text(PROLOG)
        prolog.chmod(0o755)
        # job steps of the executor plugin drop SLURM_CONF from srun's environment
        srun = self.folder / "bin/srun"
        srun.write_text(
            f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which("srun", path=_path())} "$@"\n'
        )
        srun.chmod(0o755)

    def _spawn(self, program: str, *arguments: str) -> None:
        """Starts a daemon; what it says goes into a file."""
        name = "-".join((program, *arguments[2:])) if program == "slurmd" else program
        path = shutil.which(program, path=_path())
        with (self.folder / f"{name}.out").open("wb") as out:
            self._daemons[name] = subprocess.Popen(
                [path or program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=self.environment,
                start_new_session=True,
            )

    def _wait(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Until the condition holds. Raises TimeoutError, with what the daemons say, if it does not, or if one of them ends."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or any(daemon.poll() is not None for daemon in self._daemons.values()):
                said = "\n".join(
                    f"--- {file.name}\n{file.read_text()[-2000:]}" for file in sorted(self.folder.glob("*.out"))
                )
                raise TimeoutError(f"the cluster does not get ready\n{said}")
            time.sleep(0.05)


def processes(folder: Path) -> dict[int, str]:
    """Processes, ids and commands, with the cluster's configuration in their environment or its folder in their command."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            command = (entry / "cmdline").read_bytes()  # a zombie has none
            if command and (
                f"SLURM_CONF={folder}/".encode() in (entry / "environ").read_bytes() or f"{folder}/".encode() in command
            ):
                found[int(entry.name)] = command.replace(b"\0", b" ").decode()
    return found


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def _free_ports(number: int) -> list[int]:
    """Ports that nobody listens on, each another."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


if __name__ == "__main__":
    # beside the tests, so that nothing is left of a cluster even if they are killed: waits until they close standard input
    sys.stdin.read()
    for left_over in processes(Path(sys.argv[1])):
        with contextlib.suppress(ProcessLookupError):
            os.kill(left_over, signal.SIGKILL)
