"""Files are found plain or packed, read whole, left alone, and refused where they are damaged."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.data import load
from experiments.datasets.cifar import read_batch
from experiments.datasets.files import contents
from experiments.datasets.idx import read_idx
from hwmodels.errors import UserError


def test_plain_files_come_before_packed_ones(tmp_path, files):
    files.mnist(tmp_path, ".gz")
    x, *_ = files.mnist(tmp_path)
    (tmp_path / "MNIST/raw/train-images-idx3-ubyte.gz").write_bytes(b"not looked at")
    assert torch.equal(load("mnist", data_dir=tmp_path).train[0][:, 0], torch.from_numpy(x).to(torch.uint8))


def test_nothing_is_written_into_the_data_folder(tmp_path, files):
    files.cifar(tmp_path, ".xz")
    files.mnist(tmp_path, ".gz")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    load("cifar10", data_dir=tmp_path)
    load("mnist", data_dir=tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_missing_files_name_the_folder_every_path_and_the_way_out(tmp_path, files):
    with pytest.raises(UserError) as caught:
        load("mnist", data_dir=tmp_path)
    message = str(caught.value)
    for name in files.mnist_names:
        assert str(tmp_path / "MNIST/raw" / name) in message
    assert ".gz or .xz" in message
    for words in ("no such folder", "yann.lecun.com", "--data-dir", "holds MNIST/raw/"):
        assert words in message
    files.mnist(tmp_path)
    (tmp_path / "MNIST/raw" / files.mnist_names[3]).unlink()
    with pytest.raises(UserError, match=files.mnist_names[3]) as caught:
        load("mnist", data_dir=tmp_path)
    assert files.mnist_names[0] not in str(caught.value)
    with pytest.raises(UserError, match=r"CIFAR-10 is not complete.*cs\.toronto\.edu.*--data-dir"):
        load("cifar10", data_dir=tmp_path)


@settings(max_examples=40, deadline=None)
@given(ending=st.sampled_from(["", ".gz", ".xz"]), share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused(tmp_path_factory, ending, share, files):
    folder = tmp_path_factory.mktemp("cut")
    rng = np.random.default_rng(3)
    whole_idx = files.pack(ending, files.idx(rng.integers(0, 256, (3, 28, 28))))
    whole_batch = files.pack(ending, files.new_pickle(rng.integers(0, 256, (2, 3072), dtype=np.uint8), [1, 2]))
    path = folder / f"file{ending}"
    path.write_bytes(whole_idx[: int(share * len(whole_idx))])
    with pytest.raises(UserError, match=r"cut short|corrupt|begins with"):
        read_idx(path, 3)
    path.write_bytes(whole_batch[: int(share * len(whole_batch))])
    with pytest.raises(UserError, match=r"cut short or"):
        read_batch(path)


def test_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot be read"):
        contents(tmp_path)
