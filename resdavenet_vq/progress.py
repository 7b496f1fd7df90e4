"""Progress of long work: a bar or a clock on a terminal, a line every 15 seconds in a log."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager, suppress

from resdavenet_vq.errors import printable, shortened

SECONDS_BETWEEN_LINES = 15.0
SECONDS_OF_SILENCE = 2.0
"""For which nobody wonders whether a command has begun."""


def track[T](items: Iterable[T], label: str, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Yields `items` and prints to standard error their number, the speed and the remaining time."""
    label = printable(shortened(label, 80))
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        from tqdm import tqdm  # commands that count nothing start without it

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


@contextmanager
def waiting(label: str) -> Iterator[None]:
    """Prints to standard error how long the block has been running: of work that has no steps to count.

    On a terminal it is a clock, which begins after SECONDS_OF_SILENCE and is removed at the end.
    """
    label, stream, is_over = printable(shortened(label, 80)), sys.stderr, threading.Event()
    on_terminal, start = stream.isatty(), time.monotonic()
    first, pause = (SECONDS_OF_SILENCE, 1.0) if on_terminal else (SECONDS_BETWEEN_LINES, SECONDS_BETWEEN_LINES)
    before, after, at_end = ("\r", "", "\r\x1b[K") if on_terminal else ("", "\n", "")

    def tell() -> None:
        if is_over.wait(first):
            return
        with suppress(OSError, ValueError):  # nobody reads, or the stream is closed
            while True:
                text = f"{before}{label}: {time.monotonic() - start:.0f} s{after}"
                print(text, end="", file=stream, flush=True)
                if is_over.wait(pause):
                    break
            print(at_end, end="", file=stream, flush=True)

    clock = threading.Thread(target=tell, daemon=True)
    clock.start()
    try:
        yield
    finally:
        is_over.set()
        clock.join()
