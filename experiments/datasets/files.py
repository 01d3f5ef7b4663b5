"""Finding and reading a data file that may lie there plain, as `.gz` or as `.xz`."""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path

from hwmodels.errors import UserError

_UNPACK: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.decompress, ".xz": lzma.decompress}
"""Endings in the order in which they are looked for, each with what turns the file into its content."""


def locate(root: Path, subfolder: str, names: tuple[str, ...], title: str, origin: str) -> tuple[Path, ...]:
    """Paths of the files `names` in `root/subfolder`, each plain, `.gz` or `.xz`, the first that is there.

    title, origin: what the data set is called and where one gets it, for the message.
    Raises UserError when a file is missing, naming the folder and every path looked for.
    """
    folder = root / subfolder
    tried = {name: [folder / (name + ending) for ending in _UNPACK] for name in names}
    found = {name: next((path for path in paths if path.is_file()), None) for name, paths in tried.items()}
    missing = [str(folder / name) for name in names if found[name] is None]
    if missing:
        raise UserError(
            f"{title} is not complete in {folder}{'' if folder.is_dir() else ' (no such folder)'}. "
            f"Not there, neither plain nor as .gz or .xz: {', '.join(missing)}. Get the files from {origin} and point "
            f"--data-dir (data.dir in the configuration) at the folder that holds {subfolder}/."
        )
    return tuple(path for path in found.values() if path is not None)


def contents(path: Path) -> bytes:
    """The bytes of a file, unpacked by its ending.

    Raises UserError when the file cannot be read or its compressed stream is cut short or corrupt.
    """
    unpack = _UNPACK.get(path.suffix, _UNPACK[""])
    try:
        return unpack(path.read_bytes())
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is cut short or corrupt ({error}); fetch it again.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
