"""Batches repeat exactly: their order, their augmentation, and what normalising makes of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.data import Batches, as_float, load
from hwmodels.errors import UserError


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


def test_the_batches_of_a_data_set(tmp_path, files):
    digits = load("digits")
    train = digits.split(0.1).batches("train", 64, seed=5)
    order = torch.cat([labels for _, labels in train])
    assert len(order) == 1294
    assert not torch.equal(order, digits.split(0.1).train[1])
    test, _ = next(iter(digits.batches("test", 359)))
    assert torch.equal(test, digits.test[0])
    assert next(iter(digits.batches("test", 359, normalise=True)))[0].mean().abs() < 0.05
    with pytest.raises(UserError, match=r"^digits has no validation part"):
        digits.batches("validation", 64)
    files.cifar(tmp_path)
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
