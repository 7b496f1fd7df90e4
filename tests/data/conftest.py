import oracles.data as oracle_data
import pytest

from resdavenet_vq.config import Preparation
from resdavenet_vq.data.preparation import prepare
from resdavenet_vq.data.store import Store


@pytest.fixture(scope="session")
def manifest(tmp_path_factory):
    return oracle_data.make_manifest(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def store_path(manifest, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    prepare(manifest, Preparation(), folder / "train.h5", folder / "train.report.json", workers=1)
    return folder / "train.h5"


@pytest.fixture
def store(store_path):
    return Store(store_path)
