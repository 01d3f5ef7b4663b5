"""The IDX format of MNIST: a magic number, big-endian sizes, unsigned bytes.

Magic number: two zero bytes, 0x08 for unsigned bytes, the number of dimensions; then one big-endian uint32 per
dimension; then the values in C order. Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten
digits", http://yann.lecun.com/exdb/mnist/.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from experiments.datasets.files import contents, locate
from hwmodels.errors import UserError

_ORIGIN = "http://yann.lecun.com/exdb/mnist/ (mirror: https://ossci-datasets.s3.amazonaws.com/mnist/)"
_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """uint8 array (read-only) of `dimensions` axes from one IDX file, plain or compressed.

    Raises UserError for another magic number, an axis of no length, or a length that the sizes do not promise.
    """
    raw = contents(path)
    magic = bytes((0, 0, 8, dimensions))
    header = 4 + 4 * dimensions
    if raw[:4] != magic[: len(raw)] or not raw:
        raise UserError(
            f"{path} begins with {raw[:4].hex() or 'nothing'}, not with {magic.hex()}: "
            f"it is no IDX file of unsigned bytes in {dimensions} dimensions."
        )
    if len(raw) < header:
        raise UserError(f"{path} is cut short: {len(raw)} bytes, and the header alone has {header}.")
    shape = struct.unpack(f">{dimensions}I", raw[4:header])
    promised = math.prod(shape)
    if not promised:
        raise UserError(f"{path} holds nothing: its sizes are {shape}.")
    if len(raw) - header != promised:
        raise UserError(
            f"{path} holds {len(raw) - header} values, its header promises {promised} (sizes {shape}): "
            "it is cut short or corrupt; fetch it again."
        )
    return np.frombuffer(raw, dtype=np.uint8, offset=header).reshape(shape)


def read_mnist(data_dir: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """MNIST from `data_dir/MNIST/raw`: training images (n, 28, 28), labels (n,), test images, labels; all uint8.

    Raises UserError for missing, truncated or mismatching files.
    """
    images, labels, test_images, test_labels = paths = locate(data_dir, "MNIST/raw", _FILES, "MNIST", _ORIGIN)
    train = read_idx(images, 3), read_idx(labels, 1)
    test = read_idx(test_images, 3), read_idx(test_labels, 1)
    if train[0].shape[1:] != test[0].shape[1:]:
        raise UserError(
            f"{paths[0]} has images of {train[0].shape[1:]}, {paths[2]} of {test[0].shape[1:]}: not one data set."
        )
    return *train, *test
