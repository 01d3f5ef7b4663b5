"""The batches of CIFAR-10 are read exactly or refused, and no pickle runs anything."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch

from experiments.data import load
from experiments.datasets.cifar import read_batch
from hwmodels.errors import UserError


@pytest.mark.parametrize("ending", ["", ".gz", ".xz"])
@pytest.mark.parametrize("write", ["new_pickle", "old_pickle"])
def test_cifar_is_read_exactly(tmp_path, ending, write, files):
    x, y = files.cifar(tmp_path, ending, write)
    data = load("cifar10", data_dir=str(tmp_path))
    assert torch.equal(data.train[0], torch.from_numpy(x[:5].reshape(-1, 3, 32, 32)))
    assert data.train[1].tolist() == y[:5].ravel().tolist()
    assert torch.equal(data.test[0], torch.from_numpy(x[5]))
    assert data.test[1].tolist() == y[5].tolist()
    assert (data.classes, data.channels, data.shape, data.normalise) == (10, 3, (32, 32), True)


def test_an_array_in_fortran_order_is_read_in_its_own_order(tmp_path, files):
    data = np.asfortranarray(np.random.default_rng(0).integers(0, 256, (4, 3072), dtype=np.uint8))
    path = tmp_path / "data_batch_1"
    path.write_bytes(files.new_pickle(data, [0, 1, 2, 3]))
    assert np.array_equal(read_batch(path)[0].reshape(4, 3072), data)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"data": np.zeros((4, 3071), np.uint8), "labels": [0] * 4}, r"shape \(n, 3072\), not of shape \(4, 3071\)"),
        ({"data": [1, 2], "labels": [0] * 2}, r"not a list"),
        ({"labels": [0] * 2}, r"not a NoneType"),
        ({"data": np.zeros((4, 3072), np.uint8), "labels": [0] * 3}, r"holds 4 images and 3 labels"),
        ({"data": np.zeros((4, 3072), np.uint8), "labels": ["cat"] * 4}, r"must be a list of whole numbers"),
        ({"data": np.zeros((4, 3072)), "labels": [0] * 4}, r"not of unsigned bytes"),
        ([1, 2], r"holds a list, a CIFAR-10 batch is a dict"),
    ],
)
def test_batches_that_hold_other_things(tmp_path, fields, words):
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps(fields, protocol=4))
    with pytest.raises(UserError, match=words):
        read_batch(path)


def test_a_cifar_label_out_of_range(tmp_path, files):
    files.cifar(tmp_path, test_batch=files.new_pickle(np.zeros((2, 3072), np.uint8), [3, -1]))
    with pytest.raises(UserError, match=r"^Label -1 \(number 1\) in the test batch of CIFAR-10"):
        load("cifar10", data_dir=tmp_path)


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_wants_to_run_something_is_refused_and_not_run(tmp_path, protocol, files):
    witness = tmp_path / "ran"
    evil = pickle.dumps({"data": Evil(f"touch {witness}"), "labels": [0]}, protocol=protocol)
    pickle.loads(evil)  # the test itself is sound: an ordinary unpickler runs the command
    assert witness.exists()
    witness.unlink()
    files.cifar(tmp_path, data_batch_3=evil)
    with pytest.raises(UserError, match=r"data_batch_3 is refused: its pickle asks for (posix|nt)\.system"):
        load("cifar10", data_dir=tmp_path)
    assert not witness.exists()


@pytest.mark.parametrize("wanted", ["builtins eval", "numpy.core.multiarray scalar", "numpy load", "numpy.ndarray x"])
def test_every_other_name_is_refused(tmp_path, wanted):
    path = tmp_path / "batch"
    path.write_bytes(b"\x80\x02c" + wanted.replace(" ", "\n").encode() + b"\n.")
    with pytest.raises(UserError, match="is refused: its pickle asks for " + wanted.replace(" ", r"\.")):
        read_batch(path)
