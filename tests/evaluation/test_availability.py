"""The words for what is not available."""

from resdavenet_vq.evaluation import availability
from resdavenet_vq.evaluation.availability import remedy


def test_every_reason_has_a_short_form():
    reasons = {value for name, value in vars(availability).items() if name.startswith("NO_")}
    assert {remedy(reason) for reason in reasons} == {
        *("needs aligned words", "needs aligned phones", "needs aligned syllables"),
        *("needs speakers", "needs images", "needs an image branch"),
    }
    assert remedy("a reason of another version") == "a reason of another version"
