"""What macOS, Windows and file servers leave in the folders of people."""

APPLE_DOUBLE = bytes.fromhex("00051607 00020000") + b"Mac OS X        " + bytes(90)
"""The beginning of a `._NAME` that macOS writes beside NAME on a disk of others."""


def litter(folder, name):
    """Leaves clutter of all kinds beside a file and in folders of its own; returns the number of its files."""
    suffix = name.rpartition(".")[2]
    paths = [
        f"._{name}",
        ".DS_Store",
        "Thumbs.db",
        f".snapshot/{name}",
        f"@eaDir/{name}/x.{suffix}",
        f"__MACOSX/._{name}",
    ]
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(APPLE_DOUBLE)
    return len(paths)
