"""Triphones out of aligned phones."""

from resdavenet_vq.corpus import triphones as items
from resdavenet_vq.corpus.manifest import Interval


def lines(*phones):
    return [
        items.line("u", token, "s") for token in items.triphones(Interval(*p) for p in phones) if items.lasts(token)
    ]


def test_short_ones_are_no_items():
    # the first takes 70 ms; the next one 69.9
    assert lines((0.0, 0.1, "SIL"), (0.3, 0.32, "A"), (0.32, 0.34, "B"), (0.34, 0.37, "C"), (0.37, 0.3899, "D")) == [
        "u 0.3000 0.3700 B A C s"
    ]


def test_none_reaches_over_a_pause_or_a_noise():
    for pause in ("SIL", "SPN"):
        assert lines((0, 1, "A"), (1, 2, "B"), (2, 3, pause), (3, 4, "C"), (4, 5, "D"), (5, 6, "E")) == [
            "u 3.0000 6.0000 D C E s"
        ]
    assert lines((0, 1, "A"), (1, 2, "B")) == []
