"""Systems have one folder and one notation, and either leads to the other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resdavenet_vq.lineage import Lineage
from resdavenet_vq.system import Reference, has_shown_codes, parse, system

FOLDERS = [
    *("baseline", "baseline-normalized", "untrained", "kmeans", "kmeans-k64", "kmeans-of-none", "kmeans-of-none-2-k64"),
    *("kmeans-of-untrained", "kmeans-of-untrained-k8", "external-hubert", "external-a.b_c", "none", "none-2-23", "2"),
]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_notation_is_that_of_one_folder(folder):
    assert parse(str(system(folder))) == system(folder)
    assert system(folder).folder == folder


@given(st.text())
def test_any_text_is_a_system_or_refused(text):
    try:
        found = parse(text)
    except ValueError:
        return
    assert parse(str(found)) == found


def test_a_family_is_clusters_of_one_source():
    families = {folder: s.family for folder in FOLDERS if isinstance(s := system(folder), Reference)}
    assert families["kmeans"] == families["kmeans-k64"] == "k-means of log-mel"
    assert families["kmeans-of-none-2-k64"] == "k-means of {}->{2}"
    assert families["external-hubert"] == "hubert"


def test_codes_of_models_of_what_was_made_elsewhere_and_of_one_kmeans_are_shown():
    shown = [folder for folder in FOLDERS if has_shown_codes(system(folder))]
    assert shown == ["kmeans", "external-hubert", "external-a.b_c", "none", "none-2-23", "2"]
    assert all(isinstance(system(folder), Reference | Lineage) for folder in FOLDERS)
