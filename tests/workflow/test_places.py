"""configs/places.yaml on a few pairs in the layout of Places Audio, with a small network, from its JSON files to the report."""

import json

import pandas as pd
import pytest
import yaml
from workflow.running import REPO, snakemake

from resdavenet_vq.config import SpokenScenes
from resdavenet_vq.demo import corpus as spoken_scenes
from resdavenet_vq.evaluation.summary import read_scores


def reduced(corpus, lineages):
    """The published configuration, with the sizes and paths of a stand-in for the corpus."""
    values = yaml.safe_load((REPO / "configs/places.yaml").read_text())
    values["corpus"]["metadata"] = {split: str(corpus / f"{split}.json") for split in ("train", "val")}
    values["lineages"] = lineages
    values["model"]["audio"] |= {"widths": [16, 16, 16, 24, 32], "blocks_per_stage": 1}
    values["model"]["image"] = {"architecture": "thin_resnet", "widths": [16, 16, 16, 16], "crop": 32, "resize": 36}
    values["model"]["quantizer"] = {"codebook_size": 32}
    values["training"] |= {"epochs": 1, "batch_size": 12, "workers": 1, "threads": 1}
    values["abx"] = {"splits": ["val"], "convolutional_layers": [], "variants": ["segment"]}
    return values


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("places")
    settings = SpokenScenes(
        layout="spoken_scenes", name="stand_in", seed=3, pairs={"train": 24, "val": 12}, image_size=48
    )
    for split in settings.pairs:
        spoken_scenes.make(settings, split, folder, 1)
    return folder


@pytest.mark.parametrize(
    "compiled", [False, pytest.param(True, marks=pytest.mark.thorough)], ids=["not compiled", "as shipped"]
)
def test_the_published_recipe_runs_to_its_end_on_a_stand_in(corpus, forking, tmp_path, compiled):
    """With compiled branches, as it is shipped, most of the time is a compiler's."""
    values = reduced(corpus, ["{3}->{2,3}"])
    assert values["training"]["compute"]["compile"]
    values["training"]["compute"]["compile"] = compiled
    file = tmp_path / "places.yaml"
    file.write_text(yaml.safe_dump(values, sort_keys=False))
    snakemake(tmp_path, configfiles=[file], **forking)
    scores = read_scores(tmp_path / "results/places/scores.csv")
    abx = scores.query("task == 'abx' and condition == 'within'")
    layers = {"raw log-mel": ["logmel"], "normalized log-mel": ["logmel"]}
    layers |= {f"k-means of {source}": ["quant2", "quant3"] for source in ("log-mel", "untrained")}
    layers["{3}->{2,3}"] = ["quant2", "segment2", "quant3", "segment3"]
    assert abx.groupby("lineage")["layer"].agg(list).to_dict() == layers
    assert abx["split"].eq("val").all()
    assert abx["value"].between(0, 100).all()
    assert len(scores.query("task == 'retrieval' and condition == 'mean' and score == 'recall_at_10'")) == 1
    units = scores.query("task == 'words' and condition == 'published' and score == 'mean_f1'")
    assert units.groupby("lineage")["layer"].nunique().to_dict() == {
        name: 2 for name in layers if "log-mel" not in name or name.startswith("k-means")
    }
    results = (tmp_path / "results/places").glob("*/abx/val/*.json")
    assert len({json.loads(file.read_text())["representation"] for file in results}) == 3
    # no item file was named: it was made from the phones of the rows, as the stand-in's own was
    assert (tmp_path / "results/places/items/val.item").read_bytes() == (corpus / "val.item").read_bytes()
    assert pd.read_csv(tmp_path / "results/places/3-23/abx/val/quant3.phones.csv")["within_cells"].sum() > 0
    assert (tmp_path / "results/places/3/model/model.json").is_file()
    assert (tmp_path / "results/places/report/index.html").is_file()
