"""Writing a file so that it is there whole or not at all, also after a kill or a power cut."""

from __future__ import annotations

import os
from pathlib import Path

PART = ".part"
"""How the name of a file ends while it is being written; an interrupted write may leave one behind."""


def write(path: Path, content: bytes | str) -> None:
    """Write a file through a temporary one beside it; the folder is made if it is missing.

    Raises OSError when the folder cannot be written; the old file, if any, then stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    part = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself must reach the disk before anything relies on it
    finally:
        os.close(folder)
