import pytest
import torch
from training_child import write_stores


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def stores(tmp_path):
    """A folder with train.h5 of 18 utterances, 17 of them pairs, and val.h5."""
    return write_stores(tmp_path)
