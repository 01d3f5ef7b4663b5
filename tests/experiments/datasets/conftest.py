"""Tiny files of MNIST and CIFAR-10, as their makers wrote them."""

from __future__ import annotations

import gzip
import lzma
import pickle
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

PACK = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}
IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
CIFAR = (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch")


def idx(array: np.ndarray) -> bytes:
    """An array of bytes as an IDX file."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def old_pickle(data: np.ndarray, labels: list[int]) -> bytes:
    """A batch as Python 2 and numpy 1 wrote it: protocol 2, every name and content a byte string."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    sizes = b"(M" + struct.pack("<H", data.shape[0]) + b"M" + struct.pack("<H", data.shape[1]) + b"t"
    dtype = b"cnumpy\ndtype\n(" + text(b"u1") + b"K\x00K\x01tR"
    dtype += b"(K\x03" + text(b"|") + b"NNN" + 2 * b"J\xff\xff\xff\xff" + b"K\x00tb"
    content = b"T" + struct.pack("<i", data.size) + data.tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85" + text(b"b") + b"tR"
    array += b"(K\x01" + sizes + dtype + b"\x89" + content + b"tb"
    listed = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + listed + b"u."


def new_pickle(data: np.ndarray, labels: list[int]) -> bytes:
    """A batch as Python 3 writes it."""
    return pickle.dumps({"data": data, "labels": labels}, protocol=4)


def write_mnist(root: Path, ending: str = "", **changed: bytes) -> tuple[np.ndarray, ...]:
    """Tiny MNIST files; `changed` replaces the content of the file whose name begins so."""
    rng = np.random.default_rng(1)
    arrays = (
        rng.integers(0, 256, (12, 28, 28)),
        np.arange(12) % 10,
        rng.integers(0, 256, (5, 28, 28)),
        np.arange(5),
    )
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(IDX, arrays, strict=True):
        key = name.partition("-idx")[0].replace("-", "_")
        (folder / (name + ending)).write_bytes(PACK[ending](changed.get(key, idx(array))))
    return arrays


PICKLES = {"new_pickle": new_pickle, "old_pickle": old_pickle}


def write_cifar(
    root: Path, ending: str = "", write: str = "new_pickle", **changed: bytes
) -> tuple[np.ndarray, np.ndarray]:
    """Tiny CIFAR-10 files; the five training batches behind each other, then the test batch."""
    rng = np.random.default_rng(2)
    data, labels = rng.integers(0, 256, (6, 4, 3072), dtype=np.uint8), rng.integers(0, 10, (6, 4))
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(CIFAR):
        content = changed.get(name, PICKLES[write](data[number], labels[number].tolist()))
        (folder / (name + ending)).write_bytes(PACK[ending](content))
    return data.reshape(6, 4, 3, 32, 32), labels


@pytest.fixture(scope="session")
def files():
    """What writes such files: contents (`idx`, `new_pickle`), packed (`pack`), or all of a set (`mnist`, `cifar`)."""
    return SimpleNamespace(
        idx=idx, new_pickle=new_pickle, pack=lambda ending, content: PACK[ending](content),
        mnist=write_mnist, cifar=write_cifar, mnist_names=IDX,
    )  # fmt: skip
