import oracles.data as oracle_data
import pytest

from resdavenet_vq.data.store import Store


@pytest.fixture(scope="session")
def manifest(tmp_path_factory):
    return oracle_data.make_manifest(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def store_path(manifest, tmp_path_factory):
    return oracle_data.prepared(manifest, tmp_path_factory.mktemp("store")).path


@pytest.fixture
def store(store_path):
    return Store(store_path)
