"""What a run costs: formulas against PyTorch's own counters, real stores and real checkpoints; the command and its page."""

import io
import json
import os
import re
from contextlib import ExitStack, nullcontext
from itertools import pairwise
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode
from training_child import MODEL, TRAINING, train, write_stores
from typer.testing import CliRunner

from resdavenet_vq import config
from resdavenet_vq.commands import app, plan  # noqa: F401 - adds its commands
from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data.dataset import Batch
from resdavenet_vq.data.store import Store
from resdavenet_vq.data.store_writer import StoreWriter
from resdavenet_vq.errors import InputError, message
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.model import quantizer
from resdavenet_vq.model.dual_encoder import DualEncoder
from resdavenet_vq.training import train as training_module
from resdavenet_vq.training.state import Run, State
from resdavenet_vq.training.step import step_losses, update
from resdavenet_vq.workflow.configuration import read_files
from resdavenet_vq.workflow.estimate import estimate as numbers
from resdavenet_vq.workflow.estimate import lines
from resdavenet_vq.workflow.estimate.speed import (
    FILE,
    Machine,
    exchanged,
    pair_seconds,
    roofline,
    step,
    unit_costs,
)
from resdavenet_vq.workflow.estimate.work import work

REPO = Path(__file__).resolve().parents[2]
PUBLISHED = config.Model(
    audio=config.AudioModel(widths=(128, 256, 256, 512, 1024)), image=config.ImageModel(architecture="resnet50")
)
SMALL = config.Model(
    audio=config.AudioModel(widths=(8, 12, 16, 20, 24), blocks_per_stage=3, kernel_size=5),
    image=config.ImageModel(architecture="thin_resnet", widths=(8, 8, 12, 20), crop=61, resize=72),
    quantizer=config.QuantizerModel(codebook_size=[10, 20, 30, 40, 50]),
)
FROZEN = PUBLISHED.model_copy(update={"image": config.ImageModel(architecture="resnet50", train_embedder_only=True)})
ROWS = {"train": 402_385, "val": 1000}
SHIPPED = ["config.yaml", *(f"configs/{file.name}" for file in sorted((REPO / "configs").glob("*.yaml")))]
FAST = config.Compute(precision="bfloat16", compile=True)


def encoder(model, quantizers):
    """The network, shapes alone."""
    with torch.device("meta"):
        return DualEncoder(model, quantizers)


@pytest.mark.parametrize(
    ("model", "quantizers", "frames"),
    [
        (PUBLISHED, (2, 3), 2048),
        (PUBLISHED, (), 1000),
        (FROZEN, (3,), 512),
        (SMALL, (1, 2, 3, 4, 5), 333),
        (MODEL, (2,), 70),
    ],
    ids=["published", "no quantizers", "frozen trunk", "all quantizers", "tests' own"],
)
def test_flop_are_those_that_pytorch_counts(model, quantizers, frames):
    network = encoder(model, quantizers).train()
    images = torch.zeros(2, 3, model.image.crop, model.image.crop, device="meta")
    counter = FlopCounterMode(display=False)
    limits = [x for x in vars(quantizer).values() if isinstance(x, dict) and "cuda" in x]  # by kind of device
    plain = mock.patch.object(torch, "autocast", return_value=nullcontext())  # there is none for shapes alone
    with ExitStack() as stack, plain, counter:
        for by_device in limits:
            stack.enter_context(mock.patch.dict(by_device, meta=by_device["cuda"]))
        audio = network.audio(torch.zeros(2, 40, frames, device="meta"), torch.full((2,), frames, device="meta"))
        (network.embed_speech(audio).sum() + network.embed_image(network.image(images)).sum()).backward()
    assert work(model, quantizers, frames).flop * 2 == counter.get_total_flops()


def test_the_published_network_has_85_gflop_a_pair():
    w = work(PUBLISHED, (2, 3), 2048)
    assert round(w.flop / 1e9, 1) == 84.7
    assert (round(w.outputs("image") / 1e6, 2), round(w.outputs("audio") / 1e6, 2)) == (11.16, 3.54)


@pytest.mark.parametrize("model", [PUBLISHED, FROZEN, SMALL], ids=["published", "frozen", "small"])
def test_parameters_and_bytes_are_those_of_the_network(model):
    network, w = encoder(model, (1, 3)), work(model, (1, 3), 64)
    assert w.trained_parameters == sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert w.model_bytes == sum(x.numel() * x.element_size() for x in network.state_dict().values())


def test_activations_are_kept_twice():
    """What autograd keeps for the backward pass: each convolution's output, and what normalization makes of it."""
    model, batch, frames = SMALL, 4, 320
    network, kept = DualEncoder(model, (2,)).train(), {}

    def keep(x):
        kept[x.untyped_storage().data_ptr()] = x, x.untyped_storage().nbytes()  # x keeps its memory from a second use
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        speech = network.audio(torch.zeros(batch, 40, frames), torch.full((batch,), frames))
        images = network.image(torch.rand(batch, 3, model.image.crop, model.image.crop))
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    own = sum(size for pointer, (_, size) in kept.items() if pointer not in weights)
    w = work(model, (2,), frames)
    assert speech.frames.requires_grad
    assert images.requires_grad
    assert 0.85 < own / (batch * 2 * 4 * (w.outputs("audio") + w.outputs("image"))) < 1.3


# -- stores and checkpoints ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "n", "captions"), [("float16", 7, 1), ("float32", 200, 5)])
def test_the_size_of_a_store_is_that_of_its_file(tmp_path, precision, n, captions):
    random = np.random.default_rng(n)
    with StoreWriter(tmp_path, precision) as writer:
        for i in range(n):
            name = f"picture {i // captions}.jpg"
            if i % captions == 0:
                with io.BytesIO() as f:
                    Image.fromarray(random.integers(0, 256, (20, 30, 3), np.uint8)).save(f, "JPEG")
                    writer.add_image(name, f.getvalue())
            utterance = Utterance(f"utterance {i}", Path(f"{i}.wav"), Path(name), name, "s", "a b", None, None)
            features = random.uniform(-80, 0, (int(random.integers(5, 90)), 40))
            writer.add(utterance, features, 160 * len(features))
        writer.write(tmp_path / "s.h5", 2048, "a test")
    store = Store(tmp_path / "s.h5")
    utterances = [store.utterance(i) for i in range(n)]
    lengths = {
        "logmel": int(store.n_frames.sum()),
        "manifest": sum(len(json.dumps(u.to_dict(), ensure_ascii=False)) for u in utterances),
        "ids": sum(map(len, store.ids)),
        "image": sum(len(store.image(i)) for i in range(len(store.image_ids))),
        "image_ids": sum(map(len, store.image_ids)),
    }
    expected = numbers.store_bytes(n, len(store.image_ids), lengths, precision, "store")
    assert 0 <= (tmp_path / "s.h5").stat().st_size - expected < 16_384


def test_a_store_takes_its_size_once_more_while_it_is_written(tmp_path):
    """In the writer's files without names, which are there until the store has its own."""
    sizes = []

    def measured(writer, path, attributes):
        columns = [column._file for column in writer._columns.values()]
        for file in columns:
            file.flush()
        sizes.append(sum(os.fstat(file.fileno()).st_size for file in columns))
        return before(writer, path, attributes)

    before = StoreWriter._write
    with mock.patch.object(StoreWriter, "_write", measured):
        write_stores(tmp_path)
    ratios = [size / (tmp_path / name).stat().st_size for size, name in zip(sizes, ("train.h5", "val.h5"), strict=True)]
    assert all(0.7 < ratio <= 1 for ratio in ratios), ratios  # the rest is the header, and HDF5's structure


def test_the_size_of_a_checkpoint_is_that_of_its_file(tmp_path):
    folder = write_stores(tmp_path)
    with mock.patch.object(State, "discard"):
        train(folder, lineage="{2,3}", epochs=1)
    (file,) = (folder / "a/state").glob("*/checkpoint-*.pt")
    e = estimate_of({"model": MODEL})
    lineage = Lineage.parse("{2,3}")
    n_tensors = 2 * len(encoder(MODEL, (2, 3)).state_dict()) + 3 * len([*encoder(MODEL, (2, 3)).parameters()])
    assert 0 < file.stat().st_size - e.checkpoint_bytes(lineage) < 600 * n_tensors
    weights = (folder / "a/model/model.safetensors").stat().st_size
    assert 0 < weights - e.work(lineage).model_bytes < 200 * n_tensors


def test_a_killed_training_loses_at_most_the_time_between_checkpoints():
    source = Path(training_module.__file__).read_text()
    assert re.search(r"^CHECKPOINT_SECONDS = ([\d.]+)$", source, re.MULTILINE)[1] == f"{numbers.KILL_SECONDS:.1f}"


# -- times --------------------------------------------------------------------------------------------------


def places(**changes):
    """configs/places.yaml with other settings of its training."""
    settings = read_files([REPO / "configs/places.yaml"])
    training = settings.training.model_copy(update={"compute": FAST} | changes)
    return settings.model_copy(update={"training": training})


def estimate_of(updates=None, machine=None, **changes):
    settings = places(**changes).model_copy(update=updates or {})
    sizes = numbers.mean_sizes(settings, None, None)
    return numbers.Estimate(settings, machine or Machine("h200"), ROWS, *sizes)


def test_the_roofline_and_the_parts_of_a_pair():
    """By hand: 3 x 19.68 GFLOP at 790 TFLOP/s and 32 B x 11.16 M at 4.3 TB/s; 60 % of the peak; 16 passes of 2 B."""
    w = work(PUBLISHED, (2, 3), 2048)
    assert roofline(w, "h200") == pytest.approx(1 / (3 * 19.68e9 / 790e12 + 32 * 11.164e6 / 4.3e12), rel=1e-3)
    parts = pair_seconds(w, places().training, 0.31e6, "h200")
    by_hand = {"audio convolutions": 125, "image convolutions": 52.5, "activations": 109, "quantizers": 25, "copies": 6}
    assert [round(1e6 * x) for x in parts.values()] == pytest.approx([*by_hand.values()], abs=3)
    slower = pair_seconds(w, places(compute=config.Compute()).training, 0.31e6, "h200")
    assert all(slower[part] >= parts[part] for part in parts)


def test_a_step_is_as_long_as_what_bounds_it():
    w, training = work(PUBLISHED, (2, 3), 2048), places(gpus=8).training
    one = step(w, places().training, Machine("h200"), 3e5, 2e-3)
    eight = step(w, training, Machine("h200", 8), 3e5, 2e-3)
    over_nodes = step(w, training, Machine("h200", 4, 2, network=12.5e9), 3e5, 2e-3)
    assert (one.exchanging, one.seconds) == (0, max(one.computing, one.loading))
    assert eight.computing < eight.launching  # eight pairs are less work than their launches
    assert eight.seconds == eight.launching + eight.exchanging
    assert eight.exchanging == pytest.approx(154 * 20e-6 + 1.27e-3, rel=0.01)  # 291 MB x 2 x 7/8 at 400 GB/s
    assert over_nodes.exchanging == pytest.approx(154 * 50e-6 + 1.27e-3 * 400 / 12.5, rel=0.01)
    starved = step(w, places(workers=1).training, Machine("h200"), 3e5, 2e-3)
    assert starved.seconds == starved.loading == pytest.approx(64 * 2e-3)
    alone = step(w, places(workers=0).training, Machine("h200"), 3e5, 2e-3)
    assert alone.seconds == pytest.approx(alone.computing + 64 * 2e-3)


def test_the_shipped_settings_of_places_are_fast_and_fed():
    """bfloat16, compiled, deterministic as by default: the GPU is the slowest part, and not the data workers."""
    settings = read_files([REPO / "configs/places.yaml"])
    e = numbers.Estimate(settings, Machine("h200"), ROWS, *numbers.mean_sizes(settings, None, None))
    step_ = e.step(Lineage.parse("{2,3}"))
    assert settings.training.compute.deterministic
    assert step_.loading < step_.seconds == step_.computing < 64 / 2100


def test_a_ring_sends_nothing_for_one_and_nearly_twice_everything_for_many():
    w, training = work(PUBLISHED, (), 2048), places(batch_norm="process").training
    assert exchanged(w, training, 1) == (0, 0)
    embeddings = 64 * 2 * 1024 * 4
    for n in (2, 8):
        by_hand = (n - 1) / n * (2 * 4 * w.trained_parameters + embeddings)
        assert exchanged(w, training, n) == (2, pytest.approx(by_hand))


def test_batch_normalization_over_all_processes_is_148_exchanges_in_a_step():
    """Of two sums a channel in float64, forward with a count: 53 normalizations of images and 21 of speech."""
    w = work(PUBLISHED, (2, 3), 2048)
    of_all, of_each = (exchanged(w, places(batch_norm=kind).training, 8) for kind in ("global", "process"))
    assert len(w.normalized_widths) == 74
    assert of_all.number - of_each.number == 148
    assert of_all.n_bytes - of_each.n_bytes == pytest.approx(2 * 7 / 8 * 8 * (4 * sum(w.normalized_widths) + 74))
    assert work(FROZEN, (3,), 512).normalized_widths == w.normalized_widths[:21]


@pytest.mark.parametrize("batch_norm", ["global", "process"])
@pytest.mark.parametrize("quantizers", [(), (2, 3)])
@pytest.mark.parametrize("frozen", [True, False])
def test_exchanges_are_those_of_a_step(monkeypatch, batch_norm, quantizers, frozen):
    """Their number and bytes, in one of three processes, of which the others are made up."""
    world, n, sent = 3, 6, []

    def all_reduce(x, *_):
        sent.append(2 * x.numel() * x.element_size() * (world - 1) / world)

    def all_gather(parts, x):
        sent.append(sum(part.copy_(x).numel() * x.element_size() for part in parts) * (world - 1) / world)

    others = {"is_initialized": True, "get_world_size": world, "get_rank": 0}
    for name, value in others.items():
        monkeypatch.setattr(torch.distributed, name, lambda value=value: value)
    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    monkeypatch.setattr(torch.distributed, "all_gather", all_gather)
    model = MODEL.model_copy(update={"image": MODEL.image.model_copy(update={"train_embedder_only": frozen})})
    training = TRAINING.model_copy(update={"batch_norm": batch_norm, "batch_size": n})
    run = Run.start(model, quantizers, config.Recipe(), training, None, torch.device("cpu"))
    crop = model.image.crop
    images = torch.zeros(2, 3, crop, crop, dtype=torch.uint8)
    batch = Batch(torch.zeros(2, 40, 64), torch.full((2,), 64), images, torch.arange(2))
    assert update(run.model, run.optimizer, step_losses(run.model, batch, n, (1, 0), config.Recipe(), training))
    expected = exchanged(work(model, quantizers, 64), training, world)
    assert (len(sent), sum(sent)) == (expected.number, pytest.approx(expected.n_bytes))


@pytest.mark.parametrize("at_once", [1, 2, 3, 8, 16])
def test_trainings_wait_for_their_parents_and_for_a_free_place(at_once):
    chains = {"{}": 3.0, "{}->{2}": 5.0, "{}->{2}->{2,3}": 2.0, "{}->{3}": 1.0, "{2}": 4.0, "{2}->{2,3}": 4.0}
    seconds = {Lineage.parse(text): s for text, s in chains.items()}
    parents = {lineage: lineage.parent for lineage in seconds}
    end = numbers._schedule(seconds, parents, at_once)
    total, critical = sum(chains.values()), 10.0
    assert max(total / at_once, critical) <= end <= total / at_once + critical
    assert {1: total, 8: critical, 16: critical}.get(at_once, end) == end


def test_more_of_a_machine_never_takes_longer():
    spans = [
        estimate_of(machine=Machine("h200", gpus, nodes)).training_hours()[1]
        for gpus, nodes in ((1, 1), (2, 1), (8, 1), (8, 2))
    ]
    assert all(more <= fewer for fewer, more in pairwise(spans))
    assert spans[-1] == pytest.approx(3 * spans[0] / 10, rel=0.05)  # ten trainings in turn; three generations


def test_a_smaller_stored_picture_costs_preparation_and_saves_loading():
    sizes = {"rows": ROWS, "seconds": 4.0, "picture": numbers.Picture(640, 480)}
    settings = places()
    small = settings.preparation.model_copy(update={"image_size": 256})
    plain = numbers.Estimate(settings, Machine("h200"), **sizes)
    reduced = numbers.Estimate(settings.model_copy(update={"preparation": small}), Machine("h200"), **sizes)
    assert reduced.preparation_seconds > plain.preparation_seconds
    assert reduced.load_seconds(256) < plain.load_seconds(None)
    assert plain.picture.reduced(256) == (341, 256)
    assert plain.picture.reduced(500) == (640, 480)


def test_the_page_says_what_the_estimate_says():
    """Its tables are generated; these numbers are in its prose."""
    page = (REPO / "docs/at_scale.md").read_text()
    fast, slow = (
        {line.quantity: line.value for _, section in lines.lines(e) for line in section}
        for e in (estimate_of(), estimate_of(compute=config.Compute()))
    )
    one, two = (estimate_of(machine=Machine("h200", 1, n), gpus=n, compute=config.Compute()) for n in (1, 2))
    lineage = Lineage.parse("{2}->{2,3}->{2,3,4}")
    claims = {
        r"A GPU needs ([\d.]+) GB": fast["a GPU"],
        r"bfloat16 and ([\d.]+) GB in float32": slow["a GPU"],
        r"process ([\d.]+) GB": fast["a training process"],
        r"Stores take (\d+) GB": fast["stores"],
        r"ten models ([\d.]+) GB": fast["models"],
        r"a checkpoint ([\d.]+) GB": fast["a checkpoint"],
        r"(\d+) MB/s come from its store": fast["reading the store"],
        r"= ([\d,]+) pairs/s: F": fast["roofline"],
        r"float32 ([\d.]+) times as fast": str(one.step(lineage).seconds / two.step(lineage).seconds),
    }
    for pattern, value in claims.items():
        (number,) = re.findall(pattern, page)
        expected = float(value.split()[0].replace(",", ""))
        assert float(number.replace(",", "")) == pytest.approx(expected, rel=0.04), pattern
    speeds = re.findall(
        r"\| ([\d,]+) \|$", (REPO / "docs/training.md").read_text().split("predicted pairs/s")[1], re.MULTILINE
    )
    assert speeds[:2] == [e["speed"].split()[0] for e in (slow, fast)]
    exchanges = {n: estimate_of(machine=Machine("h200", 8 // n, n), gpus=8).step(lineage).exchanging for n in (1, 8)}
    assert "of the 4.4 ms of eight GPUs in a node" in page
    assert round(1e3 * exchanges[1], 1) == 4.4
    assert [round(148 * 1e3 * s, 1) for s in unit_costs()["gpu"]["latency"].values()] == [3.0, 7.4]
    assert "3.0 ms of the 4.4 ms" in page
    assert "7.4 ms among nodes" in page
    assert "four GPUs are done as soon as sixteen" in page
    spans = [estimate_of(machine=Machine("h200", *shape)).training_hours()[1] for shape in ((4,), (8, 2))]
    assert spans[0] == pytest.approx(spans[1])


# -- unit costs ---------------------------------------------------------------------------------------------


def test_measured_unit_costs_are_those_of_the_measurement():
    """Straight lines through all pictures, within a quarter: the machine is shared."""
    measured = json.loads((REPO / "benchmarks/results/unit_costs.json").read_text())
    load, prepared = unit_costs()["loading"], unit_costs()["preparation"]
    for what, milliseconds in measured["load_ms"].items():
        if "image_size" not in what:
            assert load["pair_ms"] + load["megapixel_ms"] * _megapixels(what) == pytest.approx(milliseconds, rel=0.25)
    for what, milliseconds in measured["prepare_ms"].items():
        pixels, seconds = _megapixels(what), int(what.split(", ")[1].removesuffix(" s"))
        each = prepared["megapixel_ms"] + prepared["reduce_megapixel_ms"] * ("image_size" in what)
        cost = prepared["pair_ms"] + prepared["audio_second_ms"] * seconds + each * pixels
        assert cost == pytest.approx(milliseconds, rel=0.25), what
    assert unit_costs()["cpu"]["training_flop"] == pytest.approx(measured["training_flop_per_s"], rel=0.25)
    assert unit_costs()["disk"]["sha256"] == pytest.approx(measured["sha256_bytes_per_s"], rel=0.25)


def _megapixels(what):
    width, height = what.split(",")[0].split(" x ")
    return int(width) * int(height) / 1e6


def test_every_basis_is_a_known_word():
    words = {section["basis"] for section in unit_costs().values() if "basis" in section}
    assert words <= {"measured", "predicted", "assumed"}
    assert set(unit_costs()["corpora"]) - {"longest"} == {"places", "spoken_coco", "flickr8k", "spoken_scenes"}
    assert yaml.safe_load(FILE.read_text()) == unit_costs()


# -- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch):
    """What the command prints; its error where it fails."""
    monkeypatch.chdir(REPO)

    def run(*options):
        done = CliRunner().invoke(app, ["estimate", *map(str, options)])
        if done.exception is None:
            return done.stdout
        assert isinstance(done.exception, InputError), done.exception
        return f"error: {message(str(done.exception))}"

    return run


def test_the_command_says_each_number_with_its_formula_and_basis(run, tmp_path):
    fast = tmp_path / "fast.yaml"
    fast.write_text("training: {compute: {precision: bfloat16, compile: true}, gpus: 8}\n")
    files = ("--configfile", "configs/places.yaml", "--configfile", fast)
    text = run(*files, "--rows", "train=402385", "--rows", "val=1000", "--gpus", 8)
    titles = [line for line in text.splitlines() if line and not line.startswith(" ")][1:]
    assert titles == ["preparation", "training", "memory", "disk", "network", "failures"]
    for expected in ("402,385", "GFLOP", "roofline", "between GPUs of a node", "a checkpoint", "a killed preparation"):
        assert expected in text
    rows = [line for line in text.splitlines() if line.startswith("  ")]
    assert all(any(word in row for word in ("measured", "predicted", "assumed", "counted", "given")) for row in rows)


def test_the_command_takes_the_demo_as_it_is(run):
    text = run("--configfile", "config.yaml", "--device", "cpu", "--cores", 2)
    assert "train 2,000 + val 200 + test 200 + unseen 200" in text
    assert "roofline" not in text
    assert "3 lineages, 34 epochs" in text


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("configs/none.yaml",), "configs/none.yaml: no such file"),
        (("configs/places.yaml",), "--rows train=N"),
        (("configs/places.yaml", "--rows", "dev=5"), "--rows: the corpus has no split 'dev'; known are train, val"),
        (("configs/places.yaml", "--rows", "train"), "--rows train: expected NAME=NUMBER"),
        (("configs/places.yaml", "--rows", "train=0"), "'0' is not a positive whole number"),
        (("config.yaml", "--picture", "640*480"), "--picture 640*480: expected"),
        (("README.md",), "README.md: "),
    ],
)
def test_the_command_refuses_with_one_line_and_the_remedy(run, options, fault):
    text = run("--configfile", *options)
    assert text.startswith("error: ")
    assert fault in text
    assert "Traceback" not in text


def test_rows_are_those_of_the_corpus_lists(tmp_path):
    list_file = tmp_path / "train.json"
    row = {"wav": "a.wav", "image": "a.jpg", "speaker": "s", "asr_text": "a"}
    list_file.write_text(json.dumps({"data": [{**row, "uttid": str(i), "wav": f"{i}.wav"} for i in range(7)]}))
    settings = places()
    corpus = settings.corpus.model_copy(update={"metadata": {"train": list_file, "val": list_file}})
    assert numbers.rows_of(settings.model_copy(update={"corpus": corpus}), {"val": 3}) == {"train": 7, "val": 3}
    with pytest.raises(InputError, match="--rows train=N"):
        numbers.rows_of(settings, {"val": 3})


@pytest.mark.parametrize("device", ["h200", "h100", "a100", "cpu"])
@pytest.mark.parametrize("file", [f for f in SHIPPED if "corpus" in yaml.safe_load((REPO / f).read_text())])
def test_every_shipped_configuration_has_an_estimate(file, device):
    settings = read_files([REPO / file])
    rows = dict.fromkeys(numbers.splits_of(settings), 1000)
    e = numbers.Estimate(settings, Machine(device, 2, 2), rows, *numbers.mean_sizes(settings, None, None))
    for _, section in lines.lines(e):
        assert section
        assert all(line.value and line.basis for line in section)
