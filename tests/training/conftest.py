import pytest
import torch
from training_child import write_store


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def stores(tmp_path):
    """A folder with train.h5 of 18 utterances, 17 of them pairs, and val.h5."""
    write_store(tmp_path / "train.h5", 18, 0)
    write_store(tmp_path / "val.h5", 12, 1)
    return tmp_path
