import pytest
import torch
from training_child import MODEL, train, write_stores

from resdavenet_vq import config


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


@pytest.fixture(scope="session")
def quick():
    """A model with a codebook whose unused codes are dead after a few steps."""
    return MODEL.model_copy(update={"quantizer": config.QuantizerModel(codebook_size=40, decay=0.5)})


@pytest.fixture(scope="session")
def parent(tmp_path_factory, quick):
    """The folder of a model {2}, trained on stores like `stores`."""
    folder = write_stores(tmp_path_factory.mktemp("parent"))
    train(folder, lineage="{2}", epochs=1, model=quick)
    return folder / "a" / "model"
