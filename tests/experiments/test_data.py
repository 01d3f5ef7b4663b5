"""Data sets by name: limits and splits take what they say; the real files, where they are."""

from __future__ import annotations

import os

import pytest
import torch

from experiments.data import Dataset, load, names
from hwmodels.errors import UserError


def test_names():
    assert names() == ("cifar10", "digits", "fsdd", "mnist")


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_no_folder_given(name):
    with pytest.raises(UserError, match=rf"^The data set '{name}' is read from a folder.*--data-dir DIR"):
        load(name)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UserError, match=r"^Unknown data set 'cifar-10'. Did you mean 'cifar10'\?$"):
        load("cifar-10")


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
