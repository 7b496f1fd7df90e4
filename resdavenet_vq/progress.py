"""Progress of long work: a bar on a terminal, a line every 15 seconds in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized

from tqdm import tqdm

from resdavenet_vq.errors import printable, shortened

SECONDS_BETWEEN_LINES = 15.0


def track[T](items: Iterable[T], label: str, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Yields `items` and prints to standard error their number, the speed and the remaining time."""
    label = printable(shortened(label, 80))
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        yield from tqdm(items, desc=label, total=total, unit=unit, dynamic_ncols=True)
        return
    start = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            rate = done / (now - start)
            left = f", {(total - done) / rate:.0f} s left" if total else ""
            print(
                f"{label}: {done}{f'/{total}' if total else ''} {unit}, {rate:.1f} {unit}/s{left}",
                file=sys.stderr,
                flush=True,
            )
    print(f"{label}: {done} {unit} in {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
