"""A source that harms the process that reads it; its module is light, as every worker imports it."""

import os
import re
import signal

from resdavenet_vq.data.sources import Media


def never_return():
    """One native call, which does not let other threads run."""
    re.match("(a|a)*$", 60 * "a" + "b")


def busy(folder):
    """Leaves a file with the name of this process, and never returns."""
    (folder / str(os.getpid())).touch()
    never_return()


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
