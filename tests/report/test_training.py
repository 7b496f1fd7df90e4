"""The page Training: what it says of cost and learning rate is what the histories have."""

import pandas as pd
import pytest
from report import made_up
from report.test_page import write_small

from resdavenet_vq.report import training
from resdavenet_vq.report.assets import Folder
from resdavenet_vq.results import find


def test_hours_are_those_of_all_epochs_alone_and_with_the_ancestors(results, tmp_path):
    rows = training.content(find(results, made_up.FOLDERS), Folder(tmp_path))["costs"]
    histories = [pd.read_csv(results / name / "model/history.csv") for name in made_up.FOLDERS]
    hours = [history["seconds"].sum() / 3600 for history in histories]
    assert [row["hours"] for row in rows] == pytest.approx(hours)
    assert [row["whole"] for row in rows] == pytest.approx([hours[0], sum(hours[:2]), sum(hours)])
    assert [row["epochs"] for row in rows] == [6, 6, 6]
    assert rows[0]["data_wait"] == pytest.approx(histories[0]["data_wait"].median())


def test_without_the_parent_its_hours_are_unknown_and_without_seconds_nothing_is_said(folder, tmp_path):
    (row,) = training.content(find(folder, ["none-2"]), Folder(tmp_path / "a"))["costs"]
    assert row["whole"] is None
    file = folder / "none-2/model/history.csv"
    pd.read_csv(file).drop(columns=["seconds", "pairs_per_second", "data_wait"]).to_csv(file, index=False)
    assert training.content(find(folder, ["none-2"]), Folder(tmp_path / "b"))["costs"] == []
    text = (write_small(folder, tmp_path / "report", ["none-2"]) / "training.html").read_text()
    assert "What it cost" not in text


def test_the_learning_rate_is_drawn(report):
    text = (report / "training.html").read_text()
    assert 'id="chart-learning-rate"' in text
    assert "Learning rate over epochs" in text
    assert '"of Adam, logarithmic"' in text
