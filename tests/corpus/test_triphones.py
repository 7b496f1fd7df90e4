"""Triphones out of aligned phones."""

from resdavenet_vq.corpus import triphones
from resdavenet_vq.corpus.manifest import Interval


def test_short_ones_and_those_over_a_noise_are_no_items():
    # the first takes 70 ms; the next one 69.9
    phones = [(0.0, 0.1, "A"), (0.1, 0.2, "B"), (0.2, 0.3, "SPN")]
    phones += [(0.3, 0.32, "A"), (0.32, 0.34, "B"), (0.34, 0.37, "C"), (0.37, 0.3899, "D")]
    tokens = triphones.triphones(Interval(*phone) for phone in phones)
    lines = [triphones.line("u", token, "s") for token in tokens if triphones.lasts(token)]
    assert lines == ["u 0.3000 0.3700 B A C s"]
