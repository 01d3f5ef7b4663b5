"""The files of MNIST are read exactly or refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from experiments.data import load
from experiments.datasets.idx import read_idx
from hwmodels.errors import UserError


@pytest.mark.parametrize("ending", ["", ".gz", ".xz"])
def test_mnist_is_read_exactly(tmp_path, ending, files):
    x, y, test_x, test_y = files.mnist(tmp_path, ending)
    data = load("mnist", data_dir=tmp_path)
    assert data.train[0].dtype == torch.uint8
    assert data.train[1].dtype == torch.int64
    assert torch.equal(data.train[0], torch.from_numpy(x).to(torch.uint8)[:, None])
    assert torch.equal(data.test[0], torch.from_numpy(test_x).to(torch.uint8)[:, None])
    assert data.train[1].tolist() == y.tolist()
    assert data.test[1].tolist() == test_y.tolist()
    assert (data.classes, data.channels, data.shape) == (10, 1, (28, 28))


@pytest.mark.parametrize("ending", [".gz", ".xz"])
def test_a_corrupt_stream_is_refused(tmp_path, ending, files):
    content = bytearray(files.pack(ending, files.idx(np.arange(784 * 3).reshape(3, 28, 28) % 251)))
    content[len(content) // 2] ^= 0xFF
    path = tmp_path / f"file{ending}"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"file\.\w\w is cut short or corrupt .*; fetch it again\.$"):
        read_idx(path, 3)


def test_a_wrong_magic_number_is_refused(tmp_path, files):
    labels = files.idx(np.arange(12) % 10)
    files.mnist(tmp_path, train_images=labels)
    with pytest.raises(UserError, match=r"begins with 00000801, not with 00000803"):
        load("mnist", data_dir=tmp_path)


def test_more_bytes_than_promised_and_no_bytes_at_all(tmp_path, files):
    path = tmp_path / "file"
    path.write_bytes(files.idx(np.zeros((2, 3, 3))) + b"\0")
    with pytest.raises(UserError, match=r"holds 19 values, its header promises 18 \(sizes \(2, 3, 3\)\)"):
        read_idx(path, 3)
    path.write_bytes(files.idx(np.zeros((0, 3, 3))))
    with pytest.raises(UserError, match=r"holds nothing"):
        read_idx(path, 3)


def test_images_and_labels_that_do_not_belong_together(tmp_path, files):
    files.mnist(tmp_path, train_labels=files.idx(np.arange(11) % 10))
    with pytest.raises(UserError, match=r"^There are 12 images and 11 labels in the training files of MNIST"):
        load("mnist", data_dir=tmp_path)
    files.mnist(tmp_path, t10k_images=files.idx(np.zeros((5, 14, 14))))
    with pytest.raises(UserError, match=r"images of \(28, 28\), .* of \(14, 14\)"):
        load("mnist", data_dir=tmp_path)
    files.mnist(tmp_path, t10k_labels=files.idx(np.array([0, 1, 2, 10, 4])))
    with pytest.raises(UserError, match=r"^Label 10 \(number 3\) in the test files of MNIST.*labels are 0 to 9\.$"):
        load("mnist", data_dir=tmp_path)
