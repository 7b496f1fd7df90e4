import numpy as np
import pytest

from resdavenet_vq import config
from resdavenet_vq.training.schedule import Schedule


def schedule(n_pairs=17, batch_size=4, **settings):
    training = config.Training(split="t", validation_split="v", batch_size=batch_size, **settings)
    return Schedule(training, n_pairs)


def rates(plan):
    return [plan.learning_rate(e, s) for e in range(1, plan.epochs + 1) for s in range(plan.steps(e))]


@pytest.mark.parametrize(
    ("length", "epochs", "last"),
    [({"epochs": 3}, 3, 5), ({"steps": 15}, 3, 5), ({"steps": 16}, 4, 1), ({"steps": 4}, 1, 4), ({"steps": 1}, 1, 1)],
)
def test_a_length_in_steps_ends_within_a_pass(length, epochs, last):
    plan = schedule(**length)
    assert (plan.steps_a_pass, plan.epochs, plan.steps(epochs)) == (5, epochs, last)
    assert all(plan.steps(e) == 5 for e in range(1, epochs))
    assert len(rates(plan)) == plan.total == length.get("steps", 5 * length.get("epochs", 0))


@pytest.mark.parametrize("total", [1, 2, 19, 20, 200, 777])
def test_cosine_rises_over_a_twentieth_and_falls_to_a_hundredth(total):
    found = rates(schedule(steps=total, learning_rate=0.5, learning_rate_schedule="cosine"))
    warm_up = max(1, round(total / 20))
    expected = [
        0.5 * (s + 1) / warm_up if s < warm_up else 0.25 * (1 + np.cos(np.pi * (s - warm_up) / (total - warm_up)))
        for s in range(total)
    ]
    assert found == pytest.approx(np.maximum(expected, 0.005))
    assert np.argmax(found) in (warm_up - 1, warm_up)
    assert max(found) == 0.5
    assert total < 100 or found[-1] == 0.005


def test_cosine_is_the_same_for_epochs_and_as_many_steps():
    assert rates(schedule(steps=15, learning_rate_schedule="cosine")) == rates(
        schedule(epochs=3, learning_rate_schedule="cosine")
    )


@pytest.mark.parametrize(
    ("recalls", "patience", "expected"),
    [
        ([], 1, False),
        ([0.1], 1, False),
        ([0.1, 0.1], 1, True),
        ([0.1, 0.2], 1, False),
        ([0.3, 0.2, 0.3], 3, False),
        ([0.3, 0.2, 0.3, 0.3], 3, True),
        ([0.5, 0.1, 0.1, 0.6], 2, False),
        ([0.5] * 99, None, False),
    ],
)
def test_patience(recalls, patience, expected):
    assert schedule(patience=patience).is_out_of_patience(recalls) is expected
