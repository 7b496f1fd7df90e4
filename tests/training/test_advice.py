import numpy as np
import pytest

from resdavenet_vq import config
from resdavenet_vq.training import advice as module
from resdavenet_vq.training.schedule import Schedule

RISING, FLAT, FALLING = "was still rising at the end", "was no longer rising", "fell at the end"


def advice(recalls, n_pairs=200, **settings):
    settings = settings or {"epochs": len(recalls)}
    return module.advice(recalls, n_pairs, Schedule(config.Training(split="t", validation_split="v", **settings), 100))


@pytest.mark.parametrize(
    ("recalls", "expected"),
    [
        (np.linspace(0.05, 0.4, 12), RISING),
        (np.linspace(0.05, 0.4, 30), RISING),
        (np.full(12, 0.5), FLAT),
        (np.full(12, 1.0), FLAT),
        (np.zeros(12), FLAT),
        ([*np.linspace(0.1, 0.6, 10), *np.full(10, 0.6)], FLAT),
        ([*np.linspace(0.1, 0.6, 10), *np.linspace(0.6, 0.4, 10)], FALLING),
        ([0.1, 0.2, 0.3, 0.4], RISING),
        ([0.4, 0.4, 0.4, 0.41], FLAT),
        (0.5 + 0.002 * np.arange(12), FLAT),
    ],
)
def test_what_it_says(recalls, expected):
    line = advice(list(map(float, recalls)))
    assert expected in line
    assert "\n" not in line
    assert ("train longer" in line) is (expected == RISING)


def test_a_rise_of_three_epochs_in_words():
    recalls = [0.2, 0.3, 0.35, 0.4, 0.41, 0.42, 0.44, 0.45, 0.46]
    assert advice(recalls) == (
        "R@10 was still rising at the end (+4.0 points, from the mean of the 3 before to that of the last 3 epochs; "
        "200 validation pairs give a standard error of 2.9): train longer (training.epochs 9 -> 14)"
    )
    assert "train longer (training.epochs 9 -> 14)" in advice(recalls, 1000)
    assert "(training.steps 9 -> 14)" in advice(recalls, 1000, steps=9)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_too_short_to_tell(n):
    line = advice([0.1, 0.2, 0.3][:n])
    start = "1 epoch is too short" if n == 1 else f"{n} epochs are too few"
    assert line.startswith(
        f"{start} to tell whether R@10 was still rising; compare a longer training (training.epochs "
    )


def test_an_early_end():
    line = advice([0.1, 0.3, 0.2, 0.25], epochs=30, patience=2)
    assert line == (
        "R@10 has not risen for 2 epochs, so the training ended early, after epoch 4; the model is that of epoch 2"
    )
    assert "ended early" not in advice([0.1, 0.3, 0.2, 0.35], epochs=4, patience=2)


def test_the_same_rise_counts_with_more_pairs():
    recalls = [*np.full(6, 0.5), *np.full(6, 0.52)]
    assert FLAT in advice(recalls, 100)
    assert RISING in advice(recalls, 5000)


@pytest.mark.parametrize("n_pairs", [100, 500])
def test_noise_alone_is_seldom_taken_for_a_rise(n_pairs):
    """Even where the epochs' errors are independent, which is the worst case: one standard error, so one in six."""
    rng = np.random.default_rng(0)
    lines = [advice(list(rng.binomial(n_pairs, 0.5, 15) / n_pairs), n_pairs) for _ in range(1000)]
    assert np.mean([RISING in line for line in lines]) < 0.19
    rising = np.linspace(0.2, 0.6, 15)
    lines = [advice(list(rng.binomial(n_pairs, rising) / n_pairs), n_pairs) for _ in range(1000)]
    assert np.mean([RISING in line for line in lines]) > 0.95
