import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from resdavenet_vq.config import AudioModel, QuantizerModel
from resdavenet_vq.errors import InputError
from resdavenet_vq.lineage import frame_stride
from resdavenet_vq.model.audio import AudioEncoder, DisplacedFrames, ReceptiveField, jittered_times, receptive_field

AUDIO = AudioModel(widths=(4, 4, 6, 6, 8), blocks_per_stage=1, kernel_size=3)


def encoder(quantizers=(2, 3), **changes):
    torch.manual_seed(1)
    return AudioEncoder(AUDIO, QuantizerModel(codebook_size=9), quantizers, **changes)


N_FRAMES = torch.tensor([64, 40])


def logmel(b=2, t=64):
    return torch.randn(b, 40, t, generator=torch.Generator().manual_seed(0))


def test_layers_and_lengths():
    out = encoder().eval()(logmel(4, 50), torch.tensor([50, 31, 16, 3]))
    assert list(out.layers) == ["conv1", "conv2", "quant2", "conv3", "quant3", "conv4", "conv5"]
    assert out.frames is out.layers["conv5"].vectors
    assert out.frames.shape == (4, 8, 4)
    for layer, shape, n_frames in (
        ("conv1", (4, 50), [50, 31, 16, 3]),
        ("conv2", (4, 25), [25, 15, 8, 1]),
        ("quant2", (4, 25), [25, 15, 8, 1]),
        ("conv3", (6, 13), [12, 7, 4, 1]),
        ("conv4", (6, 7), [6, 3, 2, 1]),
        ("conv5", (8, 4), [3, 1, 1, 1]),
    ):
        assert (out.layers[layer].vectors.shape[1:], out.layers[layer].n_frames.tolist()) == (shape, n_frames)
    assert out.layers["quant2"].counts.sum() == 25 + 15 + 8 + 1
    assert out.layers["conv2"].codes is None


@pytest.mark.parametrize("t", [1, 2, 15, 17])
def test_short_utterances(t):
    out = encoder((1, 2, 3, 4, 5)).eval()(logmel(1, t), torch.tensor([t]))
    assert out.n_frames.tolist() == [1]
    assert out.frames.shape[2] == -(-t // 16)


def test_published_size():
    with torch.device("meta"):
        model = AudioEncoder(AudioModel(widths=(128, 256, 256, 512, 1024)), QuantizerModel(), (2, 3))
    shapes = {name: tuple(x.shape) for name, x in model.state_dict().items()}
    assert shapes["stages.0.0.weight"] == (128, 1, 40, 1)
    assert shapes["stages.4.1.conv2.weight"] == (1024, 1024, 1, 9)
    assert shapes["quantizers.quant2.codebook"] == (1024, 256)


def test_initial_weights_follow_he():
    torch.manual_seed(0)
    model = AudioEncoder(
        AudioModel(widths=(64, 64, 64, 64, 64), blocks_per_stage=1), QuantizerModel(codebook_size=2), ()
    )
    for name, x in model.named_parameters():
        if x.ndim == 4:
            n = x.shape[2] * x.shape[3] * x.shape[0]
            assert x.std().item() == pytest.approx(np.sqrt(2 / n), rel=0.1), name


@pytest.mark.parametrize("layer", ["conv1", "conv3", "quant3"])
def test_until_stops_there_with_the_same_result(layer):
    model = encoder().eval()
    expected = model(logmel(), N_FRAMES).layers
    out = model(logmel(), N_FRAMES, until=layer)
    assert list(out.layers)[-1] == layer
    assert out.frames is out.layers[layer].vectors
    for name, found in out.layers.items():
        assert torch.equal(found.vectors, expected[name].vectors)


@pytest.mark.parametrize("layer", ["quant4", "conv6", "melspec"])
def test_until_an_unknown_layer(layer):
    with pytest.raises(InputError, match=rf"no layer '{layer}'; its layers are conv1, conv2, quant2"):
        encoder().eval()(logmel(), N_FRAMES, until=layer)


def test_padding_is_felt_only_near_the_end():
    model = encoder().eval()
    alone = model(logmel(1, 64), torch.tensor([64]), until="conv3").layers["conv3"].vectors
    longer = torch.nn.functional.pad(logmel(1, 64), (0, 32))
    padded = model(longer, torch.tensor([64]), until="conv3").layers["conv3"].vectors
    torch.testing.assert_close(padded[..., :13], alone[..., :13])
    assert not torch.allclose(padded[..., :16], alone)


@pytest.mark.parametrize("quantizers", [(), (1, 2, 3, 4, 5)])
@pytest.mark.parametrize("features", ["published", "normalized"])
def test_in_an_isolated_batch_padding_and_batch_mates_change_nothing(quantizers, features):
    """Odd lengths at every stage, one shorter than a frame of the last layer, and whatever the padding holds."""
    torch.manual_seed(1)
    settings = AudioModel(widths=(4, 4, 6, 6, 8), blocks_per_stage=2, kernel_size=5, features=features)
    model = AudioEncoder(settings, QuantizerModel(codebook_size=9), quantizers).eval()
    n_frames = torch.tensor([63, 64, 37, 1])
    batch = logmel(4, 80)
    with torch.inference_mode():
        together = model(batch, n_frames, isolated=True).layers
        alone = [model(batch[i : i + 1, :, :n], n_frames[i : i + 1]).layers for i, n in enumerate(n_frames.tolist())]
        not_isolated = model(batch, n_frames).layers["conv5"]
    for name, layer in together.items():
        for i, n in enumerate(layer.n_frames.tolist()):
            expected = alone[i][name]
            torch.testing.assert_close(layer.vectors[i, :, :n], expected.vectors[0, :, :n], rtol=1e-4, atol=1e-5)
            if layer.codes is not None:
                assert torch.equal(layer.codes[i, :n], expected.codes[0, :n])
    assert not torch.allclose(not_isolated.vectors[2, :, :2], alone[2]["conv5"].vectors[0, :, :2])


def test_half_precision_features():
    model = encoder().eval()
    half = logmel().half()
    assert torch.equal(model(half, N_FRAMES).frames, model(half.float(), N_FRAMES).frames)


@pytest.mark.parametrize(("name", "offsets"), [("published", [0, 1, 2]), ("centred", [-1, 0, 1])])
def test_jitter_distribution_and_ends(name, offsets):
    n = 50_000
    model = encoder(jitter=0.12, jitter_offsets=name)
    times = jittered_times(n, 0.12, model.jitter_offsets, torch.Generator().manual_seed(4))
    found, counts = np.unique((times - torch.arange(n))[2:-2], return_counts=True)
    assert found.tolist() == offsets
    np.testing.assert_allclose(counts / n, [0.12, 0.76, 0.12], atol=0.01)
    for length in (1, 2, 3):
        drawn = torch.stack(
            [jittered_times(length, 0.5, model.jitter_offsets, torch.Generator().manual_seed(s)) for s in range(50)]
        )
        assert drawn.unique().tolist() == list(range(length))[-(length if name == "centred" else 3) :]


@pytest.mark.parametrize("quantizers", [(), (1,), (2, 3)])
def test_jitter_follows_positions_one_and_two_in_training(quantizers, monkeypatch):
    """With every time moved by one, what enters stages 2 and 3 is what left the stages before, one frame later."""
    model = encoder(quantizers, jitter=0.5, jitter_offsets="published").train()
    drawn = []

    def later(n, probability, offsets, generator):
        assert (probability, offsets) == (0.5, (0, 1, 2))
        drawn.append(n)
        return (torch.arange(n) + 1).clamp(max=n - 1)

    monkeypatch.setattr("resdavenet_vq.model.audio.jittered_times", later)
    entering = []
    for stage in model.stages:
        stage.register_forward_pre_hook(lambda _, inputs: entering.append(inputs[0][:, :, 0]))
    out = model(logmel(), N_FRAMES, torch.Generator())
    assert drawn == [64, 32]
    for position in (1, 2):
        left = out.layers.get(f"quant{position}", out.layers[f"conv{position}"]).vectors
        torch.testing.assert_close(entering[position][..., :-1], left[..., 1:])
        torch.testing.assert_close(entering[position][..., -1], left[..., -1])
    torch.testing.assert_close(entering[3], out.layers.get("quant3", out.layers["conv3"]).vectors)


class Operations(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.__name__.split(".")[0])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["published", "centred"])
@pytest.mark.parametrize("n", [1, 2, 3, 40])
def test_gradient_of_jitter_on_a_gpu_has_the_bits_of_an_index_without_its_sort(name, n):
    """The gradient of an index is `index_add`, for which a GPU would sort; and the model's own frames are the same."""
    model = encoder((), jitter=0.4, jitter_offsets=name)
    for seed in range(20):
        x = torch.randn(3, 5, 1, n, requires_grad=True)
        times = jittered_times(n, 0.4, model.jitter_offsets, torch.Generator().manual_seed(seed))
        upstream = torch.randn(3, 5, 1, n)
        (expected,) = torch.autograd.grad(x[..., times], x, upstream)
        with Operations() as operations:
            frames = x[:, :, 0].transpose(1, 2)
            displaced = DisplacedFrames.apply(frames, times, model.jitter_offsets).transpose(1, 2)[:, :, None]
            (gradient,) = torch.autograd.grad(displaced, x, upstream)
        assert torch.equal(displaced, x[..., times])
        assert torch.equal(model._jittered(x, torch.Generator().manual_seed(seed)), displaced)
        assert torch.equal(gradient, expected)
        assert not {"index_add", "index_add_", "index_put", "_index_put_impl_"} & operations.names


def test_jitter_is_of_training_alone_and_follows_its_generator():
    model = encoder(jitter=0.3)
    model.eval()
    assert torch.equal(model(logmel(), N_FRAMES, torch.Generator()).frames, model(logmel(), N_FRAMES).frames)
    model.train()
    for quantizer in model.quantizers.values():
        quantizer.eval()  # so that the runs are alike
    a, b, c = (model(logmel(), N_FRAMES, torch.Generator().manual_seed(seed)).frames for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.allclose(a, c)
    with pytest.raises(ValueError, match="generator"):
        model(logmel(), N_FRAMES)


@pytest.mark.parametrize(("widths", "last"), [((16, 16, 16, 24, 32), True), ((16, 8, 16, 24, 32), False)])
def test_activations_and_weights_are_channels_last_where_that_is_safe(widths, last):
    audio = AudioModel(widths=widths, blocks_per_stage=1, kernel_size=3)
    model = AudioEncoder(audio, QuantizerModel(codebook_size=8), (2,)).eval()
    layers = model(logmel(), N_FRAMES).layers
    for n in range(1, 6):
        assert (layers[f"conv{n}"].vectors.stride(1) == 1) == last
    convolutions = [module for module in model.stages[1:].modules() if isinstance(module, torch.nn.Conv2d)]
    assert len(convolutions) == 12
    assert {(module.weight.stride(1) == 1) for module in convolutions if module.kernel_size != (1, 1)} == {last}


@pytest.mark.parametrize(("kernel", "blocks"), [(9, 2), (9, 1), (3, 1), (5, 2)])
@pytest.mark.parametrize("layer", ["conv1", "conv2", "conv3", "conv5"])
def test_frames_in_the_receptive_field_matter_and_no_others(kernel, blocks, layer):
    torch.manual_seed(0)
    audio = AudioModel(widths=(4, 4, 4, 4, 4), blocks_per_stage=blocks, kernel_size=kernel)
    network = AudioEncoder(audio, QuantizerModel(codebook_size=4), ()).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data.abs_()  # nothing cancels, no ReLU closes
    stride, around = frame_stride(layer), receptive_field(network, layer)
    total = -(-(2 * (around.last - around.first) + 64) // stride) * stride
    f = total // 2 // stride
    x = torch.rand(1, 40, total).add(1).requires_grad_()
    output = network(x, torch.tensor([total]), until=layer)
    output.frames[0, :, f].sum().backward()
    touched = x.grad[0].abs().sum(dim=0).nonzero().flatten()
    assert (int(touched.min()), int(touched.max())) == (stride * f + around.first, stride * f + around.last)


def test_the_receptive_fields_of_the_published_network():
    audio = AudioEncoder(AudioModel(widths=(4, 4, 4, 4, 4)), QuantizerModel(codebook_size=4), ())
    for n, reach in enumerate((0, 28, 84, 196, 420), start=1):
        assert receptive_field(audio, f"quant{n}") == ReceptiveField(-reach, reach)
