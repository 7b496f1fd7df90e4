import torch

from resdavenet_vq.model.precision import true_float32


def test_precision_is_true_float32_and_put_back():
    before = torch.backends.cudnn.conv.fp32_precision
    with true_float32():
        assert torch.backends.cudnn.conv.fp32_precision == torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert torch.backends.cudnn.conv.fp32_precision == before
