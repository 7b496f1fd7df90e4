"""Slow, obvious twins of what the corpus room computes."""

import json
import math
import re

from hypothesis import strategies as st

from resdavenet_vq.errors import InputError


def parse_alignment(text):
    """Intervals as tuples, and the number of bad tokens."""
    good, bad = [], 0
    number = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
    for token in text.split():
        parts = token.split("__")
        fine = len(parts) == 3 and parts[1] != "" and number.fullmatch(parts[0]) and number.fullmatch(parts[2])
        if fine:
            start, end = float(parts[0]), float(parts[2])
            fine = start >= 0 and end >= start and not math.isinf(end)
        if fine:
            good.append((start, end, parts[1]))
        else:
            bad += 1
    return (tuple(good) or None), bad


def item_file(rows):
    """The lines of an item file from the rows of a JSON file, times counted in whole tenths of milliseconds."""
    lines = ["#file onset offset #phone prev-phone next-phone speaker"]
    for row in rows:
        phones = [token.split("__") for token in row["phone_alignment"].split()]
        for i in range(1, len(phones) - 1):
            before, phone, after = phones[i - 1], phones[i], phones[i + 1]
            if before[1] == "SIL" or phone[1] == "SIL" or after[1] == "SIL":
                continue
            if int(after[2].replace(".", "")) - int(before[0].replace(".", "")) < 700:
                continue
            lines.append(" ".join([row["uttid"], before[0], after[2], phone[1], before[1], after[1], row["speaker"]]))
    return lines


def trailing_ones(number):
    digits = f"{number:064b}"
    return len(digits) - len(digits.rstrip("1"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def check_read_or_refused(read, where):
    """The law of every importer: a fault names the corpus's folder, or each row is read or refused once and all can be written."""
    manifest, fault = None, ""
    try:
        manifest = read()
    except InputError as e:
        fault = str(e)
    if manifest is None:
        assert str(where) in fault, fault
        return
    taken = {refusal.row for refusal in manifest.refused}
    assert len(taken) == len(manifest.refused), manifest.refused
    assert all(0 <= row < len(taken) + len(manifest.utterances) for row in taken), taken
    assert len({u.id for u in manifest.utterances}) == len(manifest.utterances), manifest.utterances
    json.dumps(
        [u.to_dict() for u in manifest.utterances] + manifest.refused + [manifest.noticed], ensure_ascii=False
    ).encode()
