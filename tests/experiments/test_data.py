"""Data files are read exactly or refused; batches repeat exactly."""

from __future__ import annotations

import gzip
import lzma
import os
import pickle
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.data import Batches, Dataset, as_float, load, names
from experiments.datasets.cifar import read_batch
from experiments.datasets.files import contents
from experiments.datasets.idx import read_idx
from hwmodels.errors import UserError

PACK = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}
IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
CIFAR = (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch")


def idx(array: np.ndarray) -> bytes:
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


def write_cifar(root: Path, ending: str = "", write=new_pickle, **changed: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Tiny CIFAR-10 files; the five training batches behind each other, then the test batch."""
    rng = np.random.default_rng(2)
    data, labels = rng.integers(0, 256, (6, 4, 3072), dtype=np.uint8), rng.integers(0, 10, (6, 4))
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(CIFAR):
        content = changed.get(name, write(data[number], labels[number].tolist()))
        (folder / (name + ending)).write_bytes(PACK[ending](content))
    return data.reshape(6, 4, 3, 32, 32), labels


# ---------------------------------------------------------------- exact contents


def test_names():
    assert names() == ("cifar10", "digits", "fsdd", "mnist")


@pytest.mark.parametrize("ending", PACK)
def test_mnist_is_read_exactly(tmp_path, ending):
    x, y, test_x, test_y = write_mnist(tmp_path, ending)
    data = load("mnist", data_dir=tmp_path)
    assert data.train[0].dtype == torch.uint8
    assert data.train[1].dtype == torch.int64
    assert torch.equal(data.train[0], torch.from_numpy(x).to(torch.uint8)[:, None])
    assert torch.equal(data.test[0], torch.from_numpy(test_x).to(torch.uint8)[:, None])
    assert data.train[1].tolist() == y.tolist()
    assert data.test[1].tolist() == test_y.tolist()
    assert (data.classes, data.channels, data.shape) == (10, 1, (28, 28))


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("write", [new_pickle, old_pickle])
def test_cifar_is_read_exactly(tmp_path, ending, write):
    x, y = write_cifar(tmp_path, ending, write)
    data = load("cifar10", data_dir=str(tmp_path))
    assert torch.equal(data.train[0], torch.from_numpy(x[:5].reshape(-1, 3, 32, 32)))
    assert data.train[1].tolist() == y[:5].ravel().tolist()
    assert torch.equal(data.test[0], torch.from_numpy(x[5]))
    assert data.test[1].tolist() == y[5].tolist()
    assert (data.classes, data.channels, data.shape, data.normalise) == (10, 3, (32, 32), True)


def test_an_array_in_fortran_order_is_read_in_its_own_order(tmp_path):
    data = np.asfortranarray(np.random.default_rng(0).integers(0, 256, (4, 3072), dtype=np.uint8))
    path = tmp_path / "data_batch_1"
    path.write_bytes(new_pickle(data, [0, 1, 2, 3]))
    assert np.array_equal(read_batch(path)[0].reshape(4, 3072), data)


def test_plain_files_come_before_packed_ones(tmp_path):
    write_mnist(tmp_path, ".gz")
    x, *_ = write_mnist(tmp_path)
    (tmp_path / "MNIST/raw/train-images-idx3-ubyte.gz").write_bytes(b"not looked at")
    assert torch.equal(load("mnist", data_dir=tmp_path).train[0][:, 0], torch.from_numpy(x).to(torch.uint8))


def test_nothing_is_written_into_the_data_folder(tmp_path):
    write_cifar(tmp_path, ".xz")
    write_mnist(tmp_path, ".gz")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    load("cifar10", data_dir=tmp_path)
    load("mnist", data_dir=tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


# ---------------------------------------------------------------- refusals


def test_missing_files_name_the_folder_every_path_and_the_way_out(tmp_path):
    with pytest.raises(UserError) as caught:
        load("mnist", data_dir=tmp_path)
    message = str(caught.value)
    for name in IDX:
        assert str(tmp_path / "MNIST/raw" / name) in message
    assert ".gz or .xz" in message
    for words in ("no such folder", "yann.lecun.com", "--data-dir", "holds MNIST/raw/"):
        assert words in message
    write_mnist(tmp_path)
    (tmp_path / "MNIST/raw" / IDX[3]).unlink()
    with pytest.raises(UserError, match=IDX[3]) as caught:
        load("mnist", data_dir=tmp_path)
    assert IDX[0] not in str(caught.value)
    with pytest.raises(UserError, match=r"CIFAR-10 is not complete.*cs\.toronto\.edu.*--data-dir"):
        load("cifar10", data_dir=tmp_path)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_no_folder_given(name):
    with pytest.raises(UserError, match=rf"^The data set '{name}' is read from a folder.*--data-dir DIR"):
        load(name)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UserError, match=r"^Unknown data set 'cifar-10'. Did you mean 'cifar10'\?$"):
        load("cifar-10")


@settings(max_examples=40, deadline=None)
@given(ending=st.sampled_from(sorted(PACK)), share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused(tmp_path_factory, ending, share):
    folder = tmp_path_factory.mktemp("cut")
    rng = np.random.default_rng(3)
    whole_idx = PACK[ending](idx(rng.integers(0, 256, (3, 28, 28))))
    whole_batch = PACK[ending](new_pickle(rng.integers(0, 256, (2, 3072), dtype=np.uint8), [1, 2]))
    path = folder / f"file{ending}"
    path.write_bytes(whole_idx[: int(share * len(whole_idx))])
    with pytest.raises(UserError, match=r"cut short|corrupt|begins with"):
        read_idx(path, 3)
    path.write_bytes(whole_batch[: int(share * len(whole_batch))])
    with pytest.raises(UserError, match=r"cut short or"):
        read_batch(path)


@pytest.mark.parametrize("ending", [".gz", ".xz"])
def test_a_corrupt_stream_is_refused(tmp_path, ending):
    content = bytearray(PACK[ending](idx(np.arange(784 * 3).reshape(3, 28, 28) % 251)))
    content[len(content) // 2] ^= 0xFF
    path = tmp_path / f"file{ending}"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"file\.\w\w is cut short or corrupt .*; fetch it again\.$"):
        read_idx(path, 3)


def test_a_wrong_magic_number_is_refused(tmp_path):
    labels = idx(np.arange(12) % 10)
    write_mnist(tmp_path, train_images=labels)
    with pytest.raises(UserError, match=r"begins with 00000801, not with 00000803"):
        load("mnist", data_dir=tmp_path)


def test_more_bytes_than_promised_and_no_bytes_at_all(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(idx(np.zeros((2, 3, 3))) + b"\0")
    with pytest.raises(UserError, match=r"holds 19 values, its header promises 18 \(sizes \(2, 3, 3\)\)"):
        read_idx(path, 3)
    path.write_bytes(idx(np.zeros((0, 3, 3))))
    with pytest.raises(UserError, match=r"holds nothing"):
        read_idx(path, 3)


def test_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot be read"):
        contents(tmp_path)


def test_images_and_labels_that_do_not_belong_together(tmp_path):
    write_mnist(tmp_path, train_labels=idx(np.arange(11) % 10))
    with pytest.raises(UserError, match=r"^There are 12 images and 11 labels in the training files of MNIST"):
        load("mnist", data_dir=tmp_path)
    write_mnist(tmp_path, t10k_images=idx(np.zeros((5, 14, 14))))
    with pytest.raises(UserError, match=r"images of \(28, 28\), .* of \(14, 14\)"):
        load("mnist", data_dir=tmp_path)
    write_mnist(tmp_path, t10k_labels=idx(np.array([0, 1, 2, 10, 4])))
    with pytest.raises(UserError, match=r"^Label 10 \(number 3\) in the test files of MNIST.*labels are 0 to 9\.$"):
        load("mnist", data_dir=tmp_path)


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


def test_a_cifar_label_out_of_range(tmp_path):
    write_cifar(tmp_path, test_batch=new_pickle(np.zeros((2, 3072), np.uint8), [3, -1]))
    with pytest.raises(UserError, match=r"^Label -1 \(number 1\) in the test batch of CIFAR-10"):
        load("cifar10", data_dir=tmp_path)


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_wants_to_run_something_is_refused_and_not_run(tmp_path, protocol):
    witness = tmp_path / "ran"
    evil = pickle.dumps({"data": Evil(f"touch {witness}"), "labels": [0]}, protocol=protocol)
    pickle.loads(evil)  # the test itself is sound: an ordinary unpickler runs the command
    assert witness.exists()
    witness.unlink()
    write_cifar(tmp_path, data_batch_3=evil)
    with pytest.raises(UserError, match=r"data_batch_3 is refused: its pickle asks for (posix|nt)\.system"):
        load("cifar10", data_dir=tmp_path)
    assert not witness.exists()


@pytest.mark.parametrize("wanted", ["builtins eval", "numpy.core.multiarray scalar", "numpy load", "numpy.ndarray x"])
def test_every_other_name_is_refused(tmp_path, wanted):
    path = tmp_path / "batch"
    path.write_bytes(b"\x80\x02c" + wanted.replace(" ", "\n").encode() + b"\n.")
    with pytest.raises(UserError, match="is refused: its pickle asks for " + wanted.replace(" ", r"\.")):
        read_batch(path)


# ---------------------------------------------------------------- digits, limits, splits


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits")


def ids(x: torch.Tensor) -> set[bytes]:
    return {row.numpy().tobytes() for row in x}


def test_digits_are_the_scans_of_scikit_learn(digits):
    x = torch.cat((digits.train[0], digits.test[0]))
    assert x.dtype == torch.float32
    assert x.shape == (1797, 1, 8, 8)
    assert set((x * 16).unique().tolist()) == set(range(17))
    assert digits.mean[0] == pytest.approx(x.mean().item(), abs=5e-5)
    assert digits.std[0] == pytest.approx(x.double().std(correction=0).item(), abs=5e-5)


def test_the_digits_split_is_stratified_repeatable_and_seeded(digits):
    (x, y), (test_x, test_y) = digits.train, digits.test
    assert (len(y), len(test_y)) == (1438, 359)
    assert not ids(x) & ids(test_x)
    for label in range(10):
        n, held = (y == label).sum() + (test_y == label).sum(), (test_y == label).sum()
        assert abs(held - 0.2 * n) < 1
    assert torch.equal(load("digits").test[0], test_x)
    assert ids(load("digits", seed=1).test[0]) != ids(test_x)


def test_limits_take_a_part_with_every_class(digits):
    small = load("digits", train_limit=100, test_limit=50)
    assert (len(small.train[1]), len(small.test[1])) == (100, 50)
    assert small.train[1].bincount(minlength=10).min() >= 9
    assert ids(small.train[0]) <= ids(digits.train[0])
    assert ids(small.test[0]) <= ids(digits.test[0])
    whole = load("digits", train_limit=1438, test_limit=359)
    assert torch.equal(whole.train[0], digits.train[0])


@pytest.mark.parametrize(("limit", "side"), [(0, "train"), (1439, "train"), (360, "test"), (-1, "test")])
def test_limits_that_cannot_be_met(limit, side):
    with pytest.raises(UserError, match=rf"^A limit of {limit} {side}\w* samples of digits: there are \d+; choose"):
        load("digits", **{f"{side}_limit": limit})


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_split_holds_out_a_part_of_the_training_samples(digits, fraction):
    halves = digits.split(fraction, seed=3)
    assert halves.validation is not None
    assert len(halves.validation[1]) == round(fraction * 1438)
    assert len(halves.train[1]) + len(halves.validation[1]) == 1438
    assert ids(halves.train[0]) | ids(halves.validation[0]) == ids(digits.train[0])
    assert halves.test is digits.test
    assert torch.equal(halves.train[0], digits.split(fraction, seed=3).train[0])
    assert digits.validation is None


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan"), 1e-9])
def test_splits_that_leave_a_side_empty(digits, fraction):
    with pytest.raises(UserError, match=r"validation fraction"):
        digits.split(fraction)


# ---------------------------------------------------------------- batches


def numbered(n: int, shape: tuple[int, ...] = (1, 8, 8), seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, *shape, generator=generator), torch.arange(n)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 60), batch_size=st.integers(1, 70), epoch=st.integers(0, 9), shuffle=st.booleans())
def test_every_sample_comes_once(n, batch_size, epoch, shuffle):
    x, y = numbered(n)
    batches = Batches(x, y, batch_size, shuffle=shuffle)
    batches.set_epoch(epoch)
    passes = [list(batches) for _ in range(2)]
    assert len(passes[0]) == len(batches)
    labels = torch.cat([labels for _, labels in passes[0]])
    assert sorted(labels.tolist()) == list(range(n))
    assert torch.equal(torch.cat([images for images, _ in passes[0]]), x[labels])
    assert torch.equal(labels, torch.cat([labels for _, labels in passes[1]]))
    assert shuffle or torch.equal(labels, y)


def whole(batches: Batches, epoch: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """One pass in the order of the labels, which number the samples."""
    batches.set_epoch(epoch)
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return images[labels.argsort()], labels


def test_order_follows_seed_and_epoch():
    x, y = numbered(200)
    orders = {tuple(whole(Batches(x, y, 16, seed=seed), epoch)[1].tolist()) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


@pytest.mark.parametrize("augment", ["crop-flip", "crop-flip-cutout", "shift"])
def test_augmentation_does_not_depend_on_the_batch_size_or_on_earlier_passes(augment):
    x, y = numbered(50, (3, 32, 32))
    ahead = Batches(x, y, 7, augment=augment)
    whole(ahead, 1)
    images, _ = whole(ahead, 2)
    assert images.shape == x.shape
    assert torch.equal(images, whole(Batches(x, y, 50, augment=augment), 2)[0])
    assert not torch.equal(images, whole(ahead, 1)[0])
    assert not torch.equal(images, whole(Batches(x, y, 7, seed=1, augment=augment), 2)[0])


@pytest.mark.parametrize(
    ("augment", "size", "pad", "flips"), [("shift", 8, 1, 1), ("shift", 28, 2, 1), ("crop-flip", 32, 4, 2)]
)
def test_augmentation_is_a_crop_of_the_padded_image_mirrored_or_not(augment, size, pad, flips):
    x, y = numbered(400, (2, size, size))
    images, _ = whole(Batches(x, y, 64, augment=augment))
    padded = torch.nn.functional.pad(x, (pad,) * 4)
    crops = {
        (top, left, mirrored): crop.flip(-1) if mirrored else crop
        for top in range(2 * pad + 1)
        for left in range(2 * pad + 1)
        for crop in [padded[:, :, top : top + size, left : left + size]]
        for mirrored in range(flips)
    }
    same = torch.stack([(images == crop).flatten(1).all(dim=1) for crop in crops.values()])
    assert same.any(dim=0).all(), "every image is some crop of its own original"
    assert same.any(dim=1).float().mean() > 0.8, "and nearly every crop turns up"


def test_a_cutout_is_one_black_square_cut_off_at_the_edges():
    x, y = torch.ones(4000, 1, 32, 32, dtype=torch.uint8), torch.arange(4000)
    moved, cut = (whole(Batches(x, y, 500, augment=f"crop-flip{more}"))[0][:, 0] > 0 for more in ("", "-cutout"))
    assert not (cut & ~moved).any(), "the moves are those of crop-flip; only black is added"
    x[:] = 255
    batches = Batches(x, y, 500, augment="crop-flip-cutout")
    batches._motion = replace(batches._motion, pad=0)
    black = whole(batches)[0][:, 0] == 0
    rows, cols = black.any(2), black.any(1)
    assert torch.equal(black, rows[:, :, None] & cols[:, None, :])
    heights = rows.sum(1)
    assert set(heights.tolist()) == set(range(8, 17)), "a centre at the edge leaves half of the square"
    assert (heights == 16).float().mean() == pytest.approx(17 / 32, abs=0.05)  # centres 8 to 24 of 32 leave all of it
    assert not torch.equal(rows, cols)


def test_batches_are_made_on_the_device_they_are_asked_for():
    """Meta tensors refuse to be mixed with those of the CPU, so nothing but random numbers comes from there."""
    x, y = torch.zeros(20, 3, 32, 32, dtype=torch.uint8), torch.arange(20)
    made = Batches(x, y, 8, augment="crop-flip-cutout", mean=(0.5,) * 3, std=(0.5,) * 3, device="meta")
    for images, labels in made:
        assert images.device.type == labels.device.type == "meta"


def test_bytes_become_floats_and_normalising_comes_last():
    x = torch.arange(2 * 2 * 64, dtype=torch.int64).to(torch.uint8).reshape(2, 2, 8, 8)
    y = torch.arange(2)
    plain, _ = whole(Batches(x, y, 2))
    assert plain.dtype == torch.float32
    assert torch.equal(plain, x.float() / 255)
    assert torch.equal(as_float(plain), plain)
    scaled, _ = whole(Batches(x, y, 2, mean=(0.5, 0.25), std=(0.5, 2.0)))
    assert torch.equal(scaled[:, 0], (plain[:, 0] - 0.5) / 0.5)
    assert torch.equal(scaled[:, 1], (plain[:, 1] - 0.25) / 2.0)
    moved, _ = whole(Batches(torch.zeros_like(x), y, 2, augment="shift", mean=(0.5, 0.5), std=(0.5, 0.5)))
    assert torch.equal(moved, torch.full_like(moved, -1.0)), "what comes in from outside is black, then normalised"


def test_the_batches_of_a_data_set(digits, tmp_path):
    train = digits.split(0.1).batches("train", 64, seed=5)
    order = torch.cat([labels for _, labels in train])
    assert len(order) == 1294
    assert not torch.equal(order, digits.split(0.1).train[1])
    test, _ = next(iter(digits.batches("test", 359)))
    assert torch.equal(test, digits.test[0])
    assert next(iter(digits.batches("test", 359, normalise=True)))[0].mean().abs() < 0.05
    with pytest.raises(UserError, match=r"^digits has no validation part"):
        digits.batches("validation", 64)
    write_cifar(tmp_path)
    assert next(iter(load("cifar10", data_dir=tmp_path).batches("test", 4)))[0].min() < 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_size": 0}, r"^The batch size must be at least 1, not 0\.$"),
        ({"augment": "flip"}, r"^Unknown augmentation 'flip'\. "),
        ({"augment": "crop_flip"}, r"Did you mean 'crop-flip'\?$"),
        ({"mean": (0.5,)}, r"^Normalising needs a mean and a positive std for each of 1 channels"),
        ({"mean": (0.5,), "std": (0.0,)}, r"^Normalising needs"),
        ({"mean": (0.5, 0.5), "std": (1.0, 1.0)}, r"^Normalising needs"),
        ({"y": torch.arange(3)}, r"as many labels as inputs, at least one; got 4 and 3"),
        ({"x": torch.zeros(4, 9), "augment": "shift"}, r"moves images \(n, channels, h, w\), not \(4, 9\)"),
    ],
)
def test_batches_that_cannot_be_made(change, words):
    x, y = numbered(4)
    with pytest.raises(UserError, match=words):
        Batches(**({"x": x, "y": y, "batch_size": 2} | change))


# ---------------------------------------------------------------- the real files, where they are


@pytest.fixture(scope="module")
def real() -> str:
    folder = os.environ.get("OHMWEAVE_DATA_DIR")
    if not folder:
        pytest.skip("set OHMWEAVE_DATA_DIR to a folder with the real MNIST and CIFAR-10 to run this")
    return folder


@pytest.mark.parametrize(
    ("name", "sizes"), [("mnist", ((60_000, 1, 28, 28), 10_000)), ("cifar10", ((50_000, 3, 32, 32), 10_000))]
)
def test_the_real_data_sets(real, name, sizes):
    data = load(name, data_dir=real)
    x, y = data.train
    assert (tuple(x.shape), len(data.test[1])) == sizes
    assert data.test[1].bincount().tolist() == (
        [1000] * 10 if name == "cifar10" else [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    )
    assert y.bincount().tolist() == (
        [5000] * 10 if name == "cifar10" else [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    )
    values = torch.arange(256) / 255
    for channel in range(data.channels):  # from the histogram: every pixel, in bytes
        share = torch.bincount(x[:, channel].flatten(), minlength=256).double() / x[:, channel].numel()
        mean = (share * values).sum()
        assert data.mean[channel] == pytest.approx(mean.item(), abs=6e-5)
        assert data.std[channel] == pytest.approx((share * (values - mean) ** 2).sum().sqrt().item(), abs=6e-5)
