"""Faster steps do not change the method: bfloat16, compiled branches, and steps that never wait for a GPU."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training_child import MODEL, TRAINING, train, write_store
from waiting import NothingWaits

from resdavenet_vq import config
from resdavenet_vq.data.dataset import training_batches
from resdavenet_vq.data.store import Store
from resdavenet_vq.model.quantizer import Quantizer
from resdavenet_vq.training import compute
from resdavenet_vq.training.state import Run
from resdavenet_vq.training.step import quantizers_of, step_losses, update
from resdavenet_vq.training.validation import recalls

CPU = torch.device("cpu")
STEPS = 3


NORMALIZED = MODEL.model_copy(update={"audio": MODEL.audio.model_copy(update={"features": "normalized"})})


def trained(
    store,
    pad_to="batch",
    *,
    same_sizes=False,
    lineage=(2, 3),
    recipe=None,
    mode=nullcontext,
    model=MODEL,
    augmentation="none",
    beside=None,
    **settings,
):
    """A run after a few steps, and their losses; sizes differ between steps, and the last batch is a single pair."""
    arithmetic = config.Compute(**settings)
    changes = {"compute": arithmetic, "pad_to": pad_to, "augmentation": augmentation, "batch_size": 8}
    training = TRAINING.model_copy(update=changes)
    recipe = recipe or config.Recipe()
    run = Run.start(model, lineage, recipe, training, None, CPU)
    batches = training_batches(
        Store(store), MODEL.image, batch_size=8, pad_to=pad_to, pad_value=0.0, seed=1, epoch=1, workers=0
    )
    losses, healthy = [], torch.tensor(True)
    for step, batch in enumerate([next(iter(batches))] * STEPS if same_sizes else batches):
        with mode():
            result = step_losses(run.model, batch, len(batch.index), (1, step), recipe, training, beside)
            healthy &= update(run.model, run.optimizer, result)
            run.totals.add(result, len(batch.index))
        losses.append(result.parts.numpy())
    assert healthy
    assert len(losses) == STEPS
    return run, np.array(losses)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("data") / "train.h5", 18, 0)


def graphs():
    """How many graphs were traced so far."""
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def traced_kernels(monkeypatch):
    """A set that gets the kernel sizes of all convolutions that are traced; traces are then run as they are."""
    kernels = set()

    def backend(graph, inputs):
        kernels.update(tuple(x.shape[2:]) for x in inputs if isinstance(x, torch.nn.Parameter) and x.ndim == 4)
        return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)

    monkeypatch.setattr(compute, "COMPILER", backend)
    return kernels


def test_compiled_branches_give_the_same_losses_and_names(store, monkeypatch):
    """Traced whole, as for any compiler; what the traces hold is then run as it is, because compiling takes minutes."""
    kernels = traced_kernels(monkeypatch)
    eager_run, eager = trained(store, "max_frames", same_sizes=True)
    torch.compiler.reset()
    run, compiled = trained(store, "max_frames", same_sizes=True, compile=True)
    assert np.abs(compiled - eager).max() < 1e-5
    assert list(run.model.state_dict()) == list(eager_run.model.state_dict())
    for name, quantizer in quantizers_of(run.model).items():
        torch.testing.assert_close(quantizer.codebook, quantizers_of(eager_run.model)[name].codebook, atol=1e-5, rtol=0)
    assert kernels == {(40, 1), (1, 3), (1, 1), (3, 3)}  # of the stem, the other stages, and the image branch
    before = graphs()
    assert not torch._dynamo.utils.counters["graph_break"]
    with compute.uncompiled(config.Compute(compile=True)), torch.inference_mode():
        run.model.eval().audio(torch.randn(1, 40, 50), torch.tensor([50]))
    assert graphs() == before


@pytest.mark.parametrize("pad_to", [pytest.param("batch", marks=pytest.mark.thorough), "max_frames"])
def test_a_training_compiles_in_its_first_step_alone(stores, monkeypatch, pad_to):
    """Not in later steps of other lengths, nor in an epoch's short last batch, nor in the validation.

    It would take minutes, while other processes wait.
    """
    monkeypatch.setattr(compute, "COMPILER", "aot_eager")
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    after_steps = []

    def counted(*args):
        result = update(*args)
        after_steps.append(graphs())
        return result

    monkeypatch.setattr("resdavenet_vq.training.step.update", counted)
    train(stores, pad_to=pad_to, epochs=2, compute={"compile": True})
    counters = torch._dynamo.utils.counters
    print(pad_to, after_steps, graphs(), {name: dict(counts) for name, counts in counters.items()})
    assert len(after_steps) == 2 * 5
    assert 0 < after_steps[0] <= 6  # five stages, of which some may share one, and the image branch
    assert after_steps[-1] == graphs() == after_steps[0]
    assert not counters["graph_break"]


@pytest.mark.parametrize("augmentation", ["none", "masks"])
def test_branches_side_by_side_give_the_same_bits(store, augmentation):
    expected, losses = trained(store, augmentation=augmentation)
    with ThreadPoolExecutor(1) as thread:
        run, others = trained(store, augmentation=augmentation, beside=thread)
    np.testing.assert_array_equal(others, losses)
    for name, weights in expected.model.state_dict().items():
        assert torch.equal(run.model.state_dict()[name], weights), name


def test_bfloat16_stays_finite_and_near(store):
    _, expected = trained(store)
    run, losses = trained(store, precision="bfloat16")
    assert np.isfinite(losses).all()
    assert np.abs(losses - expected).max() > 0
    np.testing.assert_allclose(losses[0], expected[0], rtol=0.05, atol=0.02)
    assert {x.dtype for x in run.model.state_dict().values()} <= {torch.float32, torch.int64}


def test_codes_are_those_of_float32_whatever_the_branches_compute_in(store, monkeypatch):
    """The frames are rounded, but their nearest codes are found in float32: by float64 distances no code is nearer."""
    seen = []
    forward = Quantizer.forward

    def watched(self, x, mask):
        codebook = self.codebook.clone()
        out = forward(self, x, mask)
        with torch.autocast("cpu", enabled=False):
            distances = torch.cdist(x.detach().transpose(1, 2).double(), codebook.double()[None])
        near = distances.gather(2, out.codes[:, :, None])[:, :, 0] - distances.amin(dim=2)
        seen.append((x.dtype, near.max(), out.vectors.dtype))
        return out

    monkeypatch.setattr(Quantizer, "forward", watched)
    trained(store, precision="bfloat16")
    assert len(seen) == 2 * STEPS
    for entering, beyond_the_nearest, leaving in seen:
        assert entering == torch.bfloat16
        assert beyond_the_nearest < 1e-5
        assert leaving == torch.float32


@pytest.mark.parametrize("settings", [{"precision": "bfloat16"}, {"precision": "tf32", "deterministic": False}])
def test_a_whole_training(stores, settings):
    for name in "ab":
        train(stores, name, compute=settings, epochs=1)
    a, b = (load_file(stores / name / "model" / "model.safetensors") for name in "ab")
    assert all(torch.equal(x, b[name]) for name, x in a.items())
    assert all(x.isfinite().all() for x in a.values())


@pytest.mark.parametrize(("pad_to", "fixed"), [("batch", False), ("max_frames", True)])
def test_algorithms_are_measured_for_batches_of_one_length_alone(stores, monkeypatch, pad_to, fixed):
    """Else a GPU would measure them again for each length, and in the validation, whose lengths are all."""
    calls = []

    def arithmetic(settings, device, *, fixed_shapes):
        calls.append(fixed_shapes)
        return original(settings, torch.device("cuda"), fixed_shapes=fixed_shapes)

    def between(*args):
        calls.append(torch.backends.cudnn.benchmark)
        return recalls(*args)

    original = compute.arithmetic
    monkeypatch.setattr(compute, "arithmetic", arithmetic)
    monkeypatch.setattr("resdavenet_vq.training.train.recalls", between)
    train(stores, pad_to=pad_to, epochs=1, compute={"deterministic": False})
    assert calls == [fixed, False]


@pytest.mark.parametrize(("precision", "expected"), [("float32", "ieee"), ("bfloat16", "ieee"), ("tf32", "tf32")])
@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("fixed_shapes", [True, False])
def test_what_a_gpu_is_told(precision, expected, deterministic, fixed_shapes, monkeypatch):
    """Matrix products, which are those of similarities and distances, are true float32 in any case."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")  # a person's own choice stays

    def settings_of_torch():
        precisions = [kind.fp32_precision for kind in (torch.backends.cudnn.conv, torch.backends.cuda.matmul)]
        return precisions, torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled()

    before = settings_of_torch()
    settings = config.Compute(precision=precision, deterministic=deterministic)
    with compute.arithmetic(settings, torch.device("cuda"), fixed_shapes=fixed_shapes):
        measures = fixed_shapes and not deterministic
        assert settings_of_torch() == ([expected, "ieee"], measures, deterministic)
        assert torch.get_float32_matmul_precision() == "highest"  # a former flag, which raises where new ones differ
        with compute.uncompiled(settings):  # the validation
            assert settings_of_torch() == ([expected, "ieee"], False, deterministic)
        assert settings_of_torch() == ([expected, "ieee"], measures, deterministic)
    assert settings_of_torch() == before
    with compute.arithmetic(settings, CPU):
        assert settings_of_torch() == before


@pytest.mark.parametrize(
    "what", [lambda x: x.sum().item(), lambda x: bool(x.any()), lambda x: x[x > 0], lambda x: x.long().bincount()]
)
def test_what_waits_is_found(what):
    with pytest.raises(AssertionError, match="waits for the GPU"), NothingWaits():
        what(torch.ones(3))


@pytest.mark.parametrize("lineage", [(), (1, 2, 3, 4, 5)])
@pytest.mark.parametrize(
    ("recipe", "precision", "deterministic"),
    [
        ({}, "float32", True),
        ({}, "bfloat16", True),
        ({"semi_hard": "masked", "jitter": "centred"}, "bfloat16", False),
    ],
)
def test_no_step_waits_for_its_gpu(store, lineage, recipe, precision, deterministic, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    settings = {"precision": precision, "deterministic": deterministic}
    with compute.arithmetic(config.Compute(**settings), torch.device("cuda")):  # other operations if deterministic
        trained(store, lineage=lineage, recipe=config.Recipe(**recipe), mode=NothingWaits, **settings)


@pytest.mark.parametrize("model", [MODEL, NORMALIZED])
def test_neither_do_masks_nor_normalised_features(store, model):
    trained(store, model=model, augmentation="masks", mode=NothingWaits)
