"""What a run that did not finish advises, by Snakemake's own log."""

import pytest

from resdavenet_vq.workflow.jobs import INTERRUPTIONS, advice

FAILED = """Error in rule train:
    message: None
    jobid: 1
    log: {} (check log file(s) for error details)
    shell:
        python
"""


@pytest.mark.parametrize("interruption", INTERRUPTIONS)
@pytest.mark.parametrize(
    "own", ["", "epoch 1/2: loss 3\nerror: {}: stopped by SIGINT at epoch 2, step 1; the state is saved\n", None]
)
def test_an_interrupted_job_has_not_failed(interruption, own, tmp_path):
    log = tmp_path / "train.log"
    if own is not None:
        log.write_text(own)
    text = advice(f"{interruption}, this might take some time.\n" + FAILED.format(log), tmp_path)
    assert text.startswith("Interrupted; the same command goes on")
    assert str(log) not in text


def test_a_job_that_failed_before_an_interruption_is_named(tmp_path):
    log = tmp_path / "train.log"
    log.write_text("error: u/a.wav: is empty (0 bytes)\n")
    text = advice(FAILED.format(log) + f"{INTERRUPTIONS[0]}, this might take some time.\n", tmp_path)
    assert text.startswith("Interrupted, after jobs had failed")
    assert f"  train: {log}" in text


def test_a_failure_names_the_logs(tmp_path):
    text = advice(FAILED.format("a.log") * 2, tmp_path)
    assert text.startswith("Not finished.")
    assert text.count("  train: a.log") == 1
    assert f"{tmp_path}/logs/RULE/" in advice("", tmp_path)
