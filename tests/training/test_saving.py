"""Checkpoints that are written while the training goes on."""

import threading

import pytest
import torch
from training_child import MODEL, TRAINING

from resdavenet_vq import config
from resdavenet_vq.errors import InputError
from resdavenet_vq.training.saving import Saver
from resdavenet_vq.training.state import Run


def test_the_training_goes_on_while_a_checkpoint_is_written():
    may_write, written = threading.Event(), []

    def save(state):
        assert may_write.wait(30)
        written.append(state["number"])

    with Saver(save) as saver:
        saver.start({"number": 1})
        assert not written
        may_write.set()
        saver.start({"number": 2})  # waits for the first
        assert written[0] == 1
    assert written == [1, 2]
    assert threading.active_count() == 1 or all(t.name != "checkpoint" for t in threading.enumerate())


def full(_):
    raise InputError("the disk is full")


@pytest.mark.parametrize("end", [Saver.wait, lambda saver: saver.start({}), lambda _: None])
def test_what_goes_wrong_is_raised(end):
    def use():
        with Saver(full) as saver:
            saver.start({})
            end(saver)

    with pytest.raises(InputError, match="the disk is full"):
        use()


def test_an_error_of_the_training_comes_first():
    def use():
        with Saver(full) as saver:
            saver.start({})
            raise InputError("diverged")

    with pytest.raises(InputError, match="diverged"):
        use()


def all_parameters(state):
    """In a vector of its own."""
    return torch.cat([x.flatten().double() for x in state.values()])


def test_what_is_saved_does_not_change_afterwards():
    run = Run.start(MODEL, (2, 3), config.Recipe(), TRAINING, None, torch.device("cpu"))
    sum(p.sum() for p in run.model.parameters()).backward()
    run.optimizer.step()
    state = run.to_dict()
    before = all_parameters(run.model.state_dict())
    moments = [x["exp_avg"].clone() for x in run.optimizer.state.values()]
    run.optimizer.step()
    run.history.append({"epoch": 1})
    assert torch.equal(all_parameters(state["model"]), before)
    assert not torch.equal(all_parameters(run.model.state_dict()), before)
    assert all(torch.equal(x["exp_avg"], y) for x, y in zip(state["optimizer"]["state"].values(), moments, strict=True))
    assert state["history"] == []
