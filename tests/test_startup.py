"""A command imports what it uses: the heavy packages of each, and how many modules it loads before its work begins.

Modules are counted, not seconds. The counts are those of the versions in constraints.txt and a tenth more.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from resdavenet_vq.config import AudioModel, ImageModel, Model, QuantizerModel
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.dual_encoder import DualEncoder

HEAVY = (
    "fastabx h5py jinja2 librosa matplotlib numpy pandas PIL plotly polars pydantic requests scipy sklearn snakemake "
    "soundfile soxr sympy tensorboard torch torchvision triton yaml"
)
FILES = "h5py numpy pydantic"
STORES = f"{FILES} PIL soundfile soxr"

COMMANDS = {
    "": ("", 215),  # the command line itself, and --help
    "plan": ("", 220),  # Snakemake is imported when it is called
    "estimate": (f"{STORES} yaml", 570),
    "prepare": (STORES, 600),
    "prepare-part": (STORES, 600),
    "prepare-noisy": (STORES, 600),
    "make-corpus": ("numpy PIL pydantic scipy soundfile soxr", 770),
    "verify": (STORES, 550),
    "train": (f"{STORES} requests tensorboard torch", 1950),
    "import-released": ("numpy pydantic torch", 1510),
    "fetch-released": ("pydantic requests", 530),
    "encode": (f"{STORES} torch", 1610),
    "encode-folder": (f"{STORES} torch", 1620),
    "encode-split": (f"{STORES} torch", 1600),
    "make-untrained": (f"{STORES} torch", 1590),
    "encode-logmel": (STORES, 570),
    "import-units": (STORES, 580),
    "export-units": (FILES, 520),
    "export-alignments": ("pydantic", 380),
    "score-retrieval": (FILES, 515),
    "score-matchmap": (FILES, 515),
    "make-items": (STORES, 570),
    "score-abx": (STORES, 580),  # fastabx and PyTorch are imported once the input has been checked
    "detect-words": (f"{FILES} pandas", 900),
    "pack-submission": (f"{FILES} yaml", 555),
    "summarize": (f"{FILES} pandas", 890),
    "summarize-noise": (f"{FILES} pandas", 890),
    "compare": (f"{FILES} pandas scipy", 1100),
    "table": (f"{STORES} pandas", 940),
    "figure": (f"{STORES} matplotlib pandas scipy", 1400),
    "write-report": (f"{STORES} jinja2 matplotlib pandas scipy", 1440),
}


def run(*arguments):
    """The standard output of a Python process."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def loaded():
    return json.loads(run(Path(__file__).with_name("started.py"), *filter(None, COMMANDS)))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda name: name or "--help")
def test_a_command_imports_what_it_uses(command, loaded):
    packages, most = COMMANDS[command]
    assert set(HEAVY.split()) & {module.split(".")[0] for module in loaded[command]} == set(packages.split())
    assert len(loaded[command]) <= most


def test_encoding_speech_and_images_loads_no_compiler_and_no_torchvision(tmp_path):
    model = Model(
        audio=AudioModel(widths=(16, 16, 16, 16, 32), blocks_per_stage=1),
        image=ImageModel(architecture="thin_resnet", widths=(16, 16, 16, 16), crop=32, resize=36),
        quantizer=QuantizerModel(codebook_size=8),
    )
    checkpoint.save(tmp_path, DualEncoder(model, (2,)), {})
    code = f"""
import sys
from pathlib import Path
import torch
import resdavenet_vq.encode.split
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.precision import true_float32

network, _ = checkpoint.load(Path({str(tmp_path)!r}))
with torch.inference_mode(), true_float32():
    speech = network.audio(torch.zeros(2, 40, 64), torch.full((2,), 64))
    images = network.image(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
print(tuple(speech.frames.shape), tuple(images.shape[:2]))
print({{"torch._dynamo", "sympy", "torchvision"}} & set(sys.modules))
"""
    shapes, compilers = run("-c", code).splitlines()
    assert shapes == "(2, 32, 4) (2, 32)"
    assert compilers == "set()"


def test_a_model_of_shapes_alone_has_the_tensors_of_a_real_one():
    model = Model(
        audio=AudioModel(widths=(16, 16, 16, 16, 32), blocks_per_stage=1),
        image=ImageModel(architecture="resnet50"),
        quantizer=QuantizerModel(codebook_size=8),
    )
    with torch.device("meta"):
        shapes = DualEncoder(model, (2, 3)).state_dict()
    real = DualEncoder(model, (2, 3)).state_dict()
    assert [(name, x.shape, x.dtype) for name, x in shapes.items()] == [(n, x.shape, x.dtype) for n, x in real.items()]
    assert all(x.is_meta for x in shapes.values())
