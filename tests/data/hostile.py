"""Sources that harm the process that reads them; the module is light, as every worker imports it."""

import os
import re
import signal
from pathlib import Path

from resdavenet_vq.data import images
from resdavenet_vq.data.sources import Media


def most_memory():
    """The largest number of bytes that this process had in memory; what `getrusage` says may be its parent's."""
    with Path("/proc/self/status").open() as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM"))


def never_return():
    """One native call, which does not let other threads run."""
    re.match("(a|a)*$", 60 * "a" + "b")


def busy(folder):
    """Leaves a file with the name of this process, and never returns."""
    (folder / str(os.getpid())).touch()
    never_return()


def busy_decoding(folder):
    """As `busy`, but with an image whose bytes are in the file `slow.jpg` beside the folder."""
    data = folder.with_name("slow.jpg").read_bytes()
    (folder / str(os.getpid())).touch()
    images.check(data)
    (folder / "done").touch()


class Busy:
    """A data set that leaves a file with the name of the process that reads it, and never returns."""

    def __init__(self, folder):
        self.folder = folder

    def __getitem__(self, step):
        busy(self.folder)


class Hostile(Media):
    """Wav files, of which some do to the process that reads them what their name says."""

    def logmel(self, wav, row):
        match wav.stem:
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "crashed":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "ended":
                os._exit(3)
            case "endless":
                never_return()
            case "memory":
                raise MemoryError
        return super().logmel(wav, row)
