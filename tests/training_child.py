"""Trainings on tiny stores, in this process or in one of its own that tests can kill."""

import contextlib
import csv
import io
import multiprocessing
import os
import sys
import time
from datetime import timedelta
from multiprocessing import forkserver
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image

from resdavenet_vq import config
from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data import loader
from resdavenet_vq.data.conversion import LOADED
from resdavenet_vq.data.store_writer import StoreWriter
from resdavenet_vq.errors import InputError
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.training import train as module
from resdavenet_vq.training.state import State

# 16 channels: oneDNN up to at least 3.13 writes out of bounds in the gradient of narrower strided 1 x 1 convolutions
MODEL = config.Model(
    audio=config.AudioModel(widths=(16, 16, 16, 16, 16), blocks_per_stage=1, kernel_size=3),
    image=config.ImageModel(
        architecture="thin_resnet", widths=(16, 16, 16, 16), crop=32, resize=36, training_crop="same_scale"
    ),
    quantizer=config.QuantizerModel(codebook_size=12, init_nonnegative=True),
)
TRAINING = config.Training(
    split="train", validation_split="val", epochs=3, batch_size=4, learning_rate=2e-3, pad_to="batch", workers=0
)


@contextlib.contextmanager
def float64():
    """The package computes in float64: what it would turn to float32 is turned to float64."""
    torch.set_default_dtype(torch.float64)
    try:
        with mock.patch.object(torch.Tensor, "float", torch.Tensor.double):
            yield
    finally:
        torch.set_default_dtype(torch.float32)


FRESH = multiprocessing.get_context("forkserver")
OWN = []
"""The id of the server that `start_forkserver` has started."""


def start_forkserver():
    """Imports torch once, for all the processes that tests start, with its compiler, which every optimizer imports.

    Preparing a split starts a server, too, which has imported neither: there is one at a time, so this one serves both.
    """
    server = forkserver._forkserver
    if [server._forkserver_pid] != OWN:
        server._stop()
        FRESH.set_forkserver_preload(["training_child", "torch._dynamo", *LOADED])
        with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):  # Python 3.12's server does not get it
            server.ensure_running()
        OWN[:] = [server._forkserver_pid]


def in_fork(do):
    """The exit status of `do` in a process of its own; negative for a signal."""
    pid = os.fork()
    if pid == 0:
        try:
            do()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def write_store(path, n, seed, frames=(33, 70), spoil=None, bad_image=None):
    """A store of n utterances of noise; the first two share an image and, of more than three, the fourth has none.

    `spoil` may change the features of an utterance: spoil(number, features). `bad_image` is the number of one that does
    not decode.
    """
    random = np.random.default_rng(seed)
    with StoreWriter(path.parent, "float16") as writer:
        for i in range(n):
            with io.BytesIO() as f:
                Image.fromarray(random.integers(0, 256, (40, 44, 3), np.uint8)).save(f, "JPEG")
                writer.add_image(f"{i}.jpg", f.getvalue()[:: -1 if i == bad_image else 1])
            image = None if i == 3 else f"{0 if i == 1 else i}.jpg"
            utterance = Utterance(f"u{i}", Path(f"u{i}.wav"), image and Path(image), image, "s", "a", None, None)
            features = random.uniform(-80, 0, (int(random.integers(*frames)), 40))
            if spoil is not None:
                spoil(i, features)
            writer.add(utterance, features, len(features) * 160)
        writer.write(path, 2048, "test")
    return path


def write_stores(folder):
    """train.h5 of 18 utterances, 17 of them pairs, and val.h5; returns the folder."""
    write_store(folder / "train.h5", 18, 0)
    write_store(folder / "val.h5", 12, 1)
    return folder


def history(folder, name="a", *, timings=True):
    """The rows of history.csv as numbers."""
    with (folder / name / "model" / "history.csv").open() as f:
        return [
            {k: float(v) for k, v in row.items() if timings or k not in module.TIMINGS} for row in csv.DictReader(f)
        ]


def train(folder, name="a", *, lineage="{2,3}", checkpoint_seconds=0.0, timeout=600.0, **options):
    """Trains on `folder`/train.h5 into `folder`/`name`; `options` are arguments of `train` or changes to TRAINING.

    `timeout`, in seconds, is for data workers and for other processes of the training.
    """
    defaults = {"model": MODEL, "recipe": config.Recipe(), "parent": None, "code": ""}
    arguments = {key: options.pop(key, default) for key, default in defaults.items()}
    with (
        mock.patch.object(module, "CHECKPOINT_SECONDS", checkpoint_seconds),
        mock.patch.object(module.distributed, "TIMEOUT", timedelta(seconds=timeout)),
        mock.patch.object(loader, "STALLED_SECONDS", timeout),
    ):
        module.train(
            lineage=Lineage.parse(lineage),
            training=config.Training.model_validate(TRAINING.model_dump() | options),
            train_store=folder / "train.h5",
            validation_store=folder / "val.h5",
            out=folder / name / "model",
            state=folder / name / "state",
            **arguments,
        )


class Child:
    """A training in a process of its own, which may have `environment` and keeps the state of a finished training.

    Before each step it sleeps for `pause` seconds and calls `before(number, model)`, the step's number from 1 on.

    Attributes: steps, how many it has begun; pid; text, its standard error.
    """

    def __init__(self, folder, name="a", environment=None, pause=0.0, before=None, **options):
        start_forkserver()
        self.log = folder / f"{name}.{time.monotonic_ns()}.log"
        self.count = FRESH.Value("i", 0)
        self.process = FRESH.Process(
            target=_in_child, args=(self.count, self.log, environment or {}, pause, before, folder, name, options)
        )
        self.process.start()
        self.pid = self.process.pid

    @property
    def text(self):
        return self.log.read_text()

    def wait_for_step(self, n):
        """Until n steps have begun, or the process has ended."""
        while self.count.value < n and self.process.is_alive():
            time.sleep(0.002)

    def signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def end(self, timeout=60):
        """The exit status; negative for a signal."""
        self.process.join(timeout)
        assert self.process.exitcode is not None, f"still running after {timeout} s\n{self.text}"
        return self.process.exitcode


def _in_child(count, log, environment, pause, before, folder, name, options):
    os.setsid()
    descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    os.environ.update(environment)
    torch.set_num_threads(1)
    step_losses, State.discard = module.step.step_losses, lambda _: None

    def counted(model, *args):
        count.value += 1
        time.sleep(pause)
        if before is not None:
            before(count.value, model)
        return step_losses(model, *args)

    module.step.step_losses = counted
    try:
        train(folder, name, **options)
    except InputError as e:
        print(e, file=sys.stderr)
        sys.exit(1)
