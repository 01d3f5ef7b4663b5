"""The python batches of CIFAR-10, read without trusting them.

A batch is a pickle of a dict with `data`, uint8 (n, 3072) in the order channel, row, column, and `labels`, a list
of n class numbers. Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009,
https://www.cs.toronto.edu/~kriz/cifar.html.
A pickle is a program. The unpickler here admits the names that rebuild a numpy array, each by a stand-in of ours,
and refuses every other name before anything is imported.
"""

from __future__ import annotations

import io
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from experiments.datasets.files import contents, locate
from experiments.progress import SILENT, Progress
from hwmodels.errors import UserError

_FOLDER = "cifar-10-batches-py"
_ORIGIN = "https://www.cs.toronto.edu/~kriz/cifar.html (CIFAR-10 python version)"
_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEST = ("test_batch",)
_SHAPE = (3, 32, 32)


class _Bytes:
    """Stands for numpy's dtype; images are unsigned bytes, and no other type is let in."""

    def __init__(self, name: str | bytes, *_: object) -> None:
        if name not in ("u1", b"u1", "uint8", b"uint8"):
            raise pickle.UnpicklingError(f"an array of dtype {name!r}, not of unsigned bytes")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Unsigned bytes have no byte order and no fields: nothing of the state matters."""


class _Array:
    """Stands for numpy's array: made empty, then filled by the state that the pickle gives."""

    def __init__(self, *_: object) -> None:
        self.values: np.ndarray = np.empty(0, dtype=np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """state: (version, shape, dtype, whether in Fortran order, content)."""
        _, shape, dtype, fortran, content = state
        if not (isinstance(dtype, _Bytes) and isinstance(content, bytes)):
            raise pickle.UnpicklingError("an array that is not of unsigned bytes")
        self.values = np.frombuffer(content, dtype=np.uint8).reshape(shape, order="F" if fortran else "C")


class _ArraysOnly(pickle.Unpickler):
    """Admits what rebuilds a numpy array, and nothing else; numpy's own C code never sees the file."""

    _admitted: dict[tuple[str, str], type] = {  # noqa: RUF012 - never changed
        ("numpy.core.multiarray", "_reconstruct"): _Array,  # the name up to numpy 1
        ("numpy._core.multiarray", "_reconstruct"): _Array,
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Bytes,
    }

    def find_class(self, module_name: str, global_name: str, /) -> type:
        """The stand-in for an admitted name; any other name is refused unseen."""
        try:
            return self._admitted[module_name, global_name]
        except KeyError:
            raise _RefusedError(f"{module_name}.{global_name}") from None


class _RefusedError(Exception):
    """A pickle asked for a name that is not admitted."""


def read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """One batch: images uint8 (n, 3, 32, 32) and labels int64 (n,).

    Raises UserError when the file is truncated, wants anything but numpy arrays, or holds other things than such
    images and labels.
    """
    fields = _unpickle(path)
    data, labels = fields.get("data"), fields.get("labels")
    if not isinstance(data, _Array) or data.values.ndim != 2 or data.values.shape[1] != math.prod(_SHAPE):
        held = f"of shape {data.values.shape}" if isinstance(data, _Array) else f"a {type(data).__name__}"
        raise UserError(f"{path}: 'data' must be an array of shape (n, {math.prod(_SHAPE)}), not {held}.")
    if not isinstance(labels, list) or not all(isinstance(label, int) for label in labels):
        raise UserError(f"{path}: 'labels' must be a list of whole numbers.")
    if len(labels) != len(data.values) or not labels:
        raise UserError(f"{path} holds {len(data.values)} images and {len(labels)} labels.")
    return data.values.reshape(-1, *_SHAPE), np.asarray(labels, dtype=np.int64)


def _unpickle(path: Path) -> dict[str, Any]:
    raw = contents(path)
    try:
        fields = _ArraysOnly(io.BytesIO(raw), encoding="bytes").load()
    except _RefusedError as error:
        raise UserError(
            f"{path} is refused: its pickle asks for {error}, and a CIFAR-10 batch needs numpy arrays only. "
            f"Do not trust this file; get it from {_ORIGIN}."
        ) from None
    except Exception as error:  # a broken pickle raises almost anything
        raise UserError(f"{path} is cut short or no CIFAR-10 batch ({error!r}); fetch it again.") from error
    if not isinstance(fields, dict):
        raise UserError(f"{path} holds a {type(fields).__name__}, a CIFAR-10 batch is a dict.")
    return {
        key.decode(errors="replace") if isinstance(key, bytes) else str(key): value for key, value in fields.items()
    }


def read_cifar10(data_dir: Path, progress: Progress = SILENT) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """CIFAR-10 from `data_dir/cifar-10-batches-py`: training images (n, 3, 32, 32) uint8, labels (n,), and test.

    Raises UserError for missing, truncated, refused or mismatching files.
    """
    paths = locate(data_dir, _FOLDER, (*_TRAIN, *_TEST), "CIFAR-10", _ORIGIN)
    batches = [read_batch(path) for path in progress.track(paths, "Reading CIFAR-10")]
    images = np.concatenate([images for images, _ in batches[: len(_TRAIN)]])
    labels = np.concatenate([labels for _, labels in batches[: len(_TRAIN)]])
    return images, labels, *batches[-1]
