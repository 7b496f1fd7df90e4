"""Slow, obvious twins of what the report computes."""

from __future__ import annotations


def read_long_textgrid(text: str) -> dict[str, list[tuple[float, float, str]]]:
    """The tiers of a TextGrid in the long format, empty intervals included, read by its key names."""
    tiers: dict[str, list[tuple[float, float, str]]] = {}
    position = 0

    def value(key: str) -> str:
        nonlocal position
        start = text.index(key + " = ", position) + len(key) + 3
        if text[start] == '"':
            stop = start + 1
            while text[stop] != '"' or text[stop + 1] == '"':
                stop += 2 if text[stop] == '"' else 1
            position = stop + 1
            return text[start + 1 : stop].replace('""', '"')
        stop = text.index("\n", start)
        position = stop
        return text[start:stop]

    value("xmin"), value("xmax")
    for _ in range(int(value("size"))):
        value("class")
        name = value("name")
        value("xmin"), value("xmax")
        count = int(value("intervals: size"))
        tiers[name] = [(float(value("xmin")), float(value("xmax")), value("text")) for _ in range(count)]
    return tiers
