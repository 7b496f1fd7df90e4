"""Items out of aligned phones, words and syllables."""

from resdavenet_vq.corpus import tokens
from resdavenet_vq.corpus.manifest import Interval


def test_short_ones_and_those_over_a_noise_are_no_items():
    # the first takes 70 ms; the next one 69.9
    phones = [(0.0, 0.1, "A"), (0.1, 0.2, "B"), (0.2, 0.3, "SPN")]
    phones += [(0.3, 0.32, "A"), (0.32, 0.34, "B"), (0.34, 0.37, "C"), (0.37, 0.3899, "D")]
    found = tokens.triphones(Interval(*phone) for phone in phones)
    lines = [tokens.line("u", token, "s") for token in found if tokens.lasts(token)]
    assert lines == ["u 0.3000 0.3700 B A C s"]


def test_a_phoneme_has_its_own_time_and_the_context_of_its_triphone():
    tier = [Interval(*phone) for phone in ((0.0, 0.1, "A"), (0.1, 0.15, "B"), (0.15, 0.3, "C"), (0.3, 0.4, "SIL"))]
    assert list(tokens.phonemes(tier)) == [(0.1, 0.15, "B", "A", "C")]
    assert [(t.label, t.previous, t.following) for t in tokens.triphones(tier)] == [("B", "A", "C")]


def test_whole_tokens_have_no_context_and_pauses_are_none():
    tier = [Interval(0.0, 0.2, "kat"), Interval(0.2, 0.3, "SIL"), Interval(0.3, 0.4, "spn"), Interval(0.4, 0.6, "SP")]
    assert list(tokens.whole(tier)) == [(0.0, 0.2, "kat", "-", "-"), (0.4, 0.6, "SP", "-", "-")]


def test_what_takes_no_time_is_no_item():
    assert not tokens.lasts(tokens.Token(0.1, 0.1, "A", "B", "C"), 0)
    assert not tokens.lasts(tokens.Token(0.1, 0.10004, "A", "B", "C"), 0)  # written as 0.1000 twice
    assert tokens.lasts(tokens.Token(0.1, 0.1001, "A", "B", "C"), 0)
