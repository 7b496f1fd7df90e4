"""What the benchmarks of scorers share: times in turn, and where a result goes."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def measure(sides: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Medians of CPU seconds of each side, measured in turn."""
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(repeats):
        for side, run in sides.items():
            start = time.process_time()
            run()
            seconds[side].append(time.process_time() - start)
    return {side: round(statistics.median(times), 4) for side, times in seconds.items()}


def write(name: str, result: Mapping[str, Any]) -> None:
    """Writes results/NAME.json, with the date and the processor."""
    out = Path(__file__).parent / "results" / f"{name}.json"
    about = {"date": datetime.now(UTC).date().isoformat(), "cpu": _cpu()}
    out.write_text(json.dumps(about | dict(result), indent=1) + "\n", encoding="utf-8")


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
