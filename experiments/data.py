"""Data sets in memory: which there are, where they come from, and how they are split.

A data set is read once, whole, from files that are already there; small images take tens of megabytes as bytes.
Everything random here (a split, a limit) follows from a seed, and so do the batches drawn from it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor

from experiments.datasets.batches import Batches as Batches
from experiments.datasets.batches import Samples as Samples
from experiments.datasets.batches import as_float as as_float
from experiments.datasets.cifar import read_cifar10
from experiments.datasets.fsdd import FEATURES, read_fsdd
from experiments.datasets.idx import read_mnist
from experiments.progress import SILENT, Progress
from hwmodels.errors import UserError, unknown

Part = Literal["train", "validation", "test"]

# What a stream of random numbers is for; two purposes never share one.
_SPLIT, _LIMIT, _VALIDATION = range(3)

_TEST_FRACTION = 0.2
"""Share of the handwritten digits that is kept for testing; the set has no split of its own."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Labelled images in memory, or sounds as spectrograms.

    train, test, validation: see `Samples`; validation is None until `split` takes it out of train.
    classes: labels are 0 … classes - 1. channels, shape: of one image, shape = (height, width) in pixels; of a
    spectrogram (bands, frames), low bands and early frames first.
    mean, std: per channel, of the training images on the scale [0, 1]. normalise: whether batches are
    (x - mean) / std unless told; without it inputs stay in [0, 1], which a crossbar drives in one phase, while
    signed inputs cost a second one. description, source: for the report.
    """

    name: str
    train: Samples
    test: Samples
    validation: Samples | None = None
    classes: int
    channels: int
    shape: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    normalise: bool
    description: str
    source: str

    @property
    def image_size(self) -> int | tuple[int, int]:
        """Pixels each way where images are square, else (height, width): what a network's factory is given."""
        height, width = self.shape
        return height if height == width else self.shape

    def split(self, validation_fraction: float, *, seed: int = 0) -> Dataset:
        """The same data with `validation_fraction` of the training samples held out as `validation`.

        The classes keep their shares; the choice follows from the seed. Raises UserError for a fraction outside
        (0, 1) or one that leaves either side without a sample.
        """
        x, y = self.train
        if not 0 < validation_fraction < 1:
            raise UserError(f"The validation fraction must lie between 0 and 1, not be {validation_fraction!r}.")
        count = round(validation_fraction * len(y))
        if not 0 < count < len(y):
            raise UserError(
                f"A validation fraction of {validation_fraction!r} takes {count} of {len(y)} training samples; "
                "both sides need at least one."
            )
        held = _stratified(y, count, (seed, _VALIDATION))
        kept = _others(held, len(y))
        return replace(self, train=(x[kept], y[kept]), validation=(x[held], y[held]))

    def held_out(self, fraction: float, *, seed: int = 0) -> Dataset:
        """The same data tested on a share of the training samples, held out, in the place of the test set.

        For choosing settings without a look at the test set. Raises UserError as `split`.
        """
        kept = self.split(fraction, seed=seed)
        assert kept.validation is not None
        told = f"{self.description}; tested on {len(kept.validation[1])} held-out training samples, not on its test set"
        return replace(kept, test=kept.validation, validation=None, description=told)

    def batches(
        self,
        part: Part,
        batch_size: int,
        *,
        seed: int = 0,
        augment: str | None = None,
        normalise: bool | None = None,
        device: str | torch.device = "cpu",
    ) -> Batches:
        """Batches of one part, the training part shuffled, the others in order; normalise None: as the set says.

        Raises UserError as `Batches` does, and for a validation part that `split` has not made.
        """
        samples = {"train": self.train, "validation": self.validation, "test": self.test}[part]
        if samples is None:
            raise UserError(f"{self.name} has no validation part; hold one out with split(validation_fraction).")
        scaled = self.normalise if normalise is None else normalise
        return Batches(
            samples[0],
            samples[1],
            batch_size,
            seed=seed,
            shuffle=part == "train",
            augment=augment,
            mean=self.mean if scaled else None,
            std=self.std if scaled else None,
            device=device,
        )


def names() -> tuple[str, ...]:
    """Names that `load` knows."""
    return tuple(sorted(_SETS))


def load(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    seed: int = 0,
    train_limit: int | None = None,
    test_limit: int | None = None,
    progress: Progress = SILENT,
) -> Dataset:
    """Read a data set: "digits", "mnist", "cifar10" or "fsdd" (spoken digits).

    data_dir: the folder that holds the set in torchvision's layout (`MNIST/raw/…`, `cifar-10-batches-py/…`, each
    file plain, `.gz` or `.xz`), or as `FSDD/recordings` (a folder, `.tar`, `.tar.gz` or `.tar.xz`); the digits ship
    inside scikit-learn and need none. seed: chooses the digits' test samples and the samples of a limit. train_limit,
    test_limit: so many samples only, the classes in their shares.
    Raises UserError for an unknown name, missing, damaged or mismatching files, and a limit that cannot be met.
    """
    if name not in _SETS:
        raise unknown("data set", name, _SETS)
    folder = None if data_dir is None else Path(data_dir).expanduser()
    dataset = _SETS[name](folder, seed, progress)
    return replace(
        dataset,
        train=_limited(dataset.train, train_limit, seed, f"training samples of {name}"),
        test=_limited(dataset.test, test_limit, seed, f"test samples of {name}"),
    )


def _limited(samples: Samples, limit: int | None, seed: int, what: str) -> Samples:
    x, y = samples
    if limit is None:
        return samples
    if not 1 <= limit <= len(y):
        raise UserError(f"A limit of {limit!r} {what}: there are {len(y)}; choose 1 to {len(y)}.")
    chosen = _stratified(y, limit, (seed, _LIMIT))
    return x[chosen], y[chosen]


def _stratified(y: Tensor, count: int, key: tuple[int, ...]) -> Tensor:
    """Indices (count,), ascending, of a random choice in which every class has its share, rounded.

    Shares are rounded by largest remainder, a tie going to the smaller label, so that they add up to count.
    """
    labels = y.numpy()
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
    shares = np.bincount(labels) * count  # in units of 1 / n, exactly
    quotas = shares // len(labels)
    by_remainder = np.argsort(-(shares % len(labels)), kind="stable")
    quotas[by_remainder[: count - quotas.sum()]] += 1
    chosen = [generator.permutation(np.flatnonzero(labels == c))[:quota] for c, quota in enumerate(quotas)]
    return torch.from_numpy(np.sort(np.concatenate(chosen)))


def _others(chosen: Tensor, n: int) -> Tensor:
    """Indices of 0 … n - 1 that are not chosen, ascending."""
    left = torch.ones(n, dtype=torch.bool)
    left[chosen] = False
    return left.nonzero().squeeze(1)


def _digits(_: Path | None, seed: int, progress: Progress) -> Dataset:
    with progress.task("Reading digits", 1) as task:
        from sklearn.datasets import load_digits  # a second of imports that other sets do not need

        pixels, labels = load_digits(return_X_y=True)
        task.advance()
    x = torch.from_numpy(np.asarray(pixels, dtype=np.float32)).reshape(-1, 1, 8, 8) / 16
    y = torch.from_numpy(np.asarray(labels, dtype=np.int64))
    test = _stratified(y, round(_TEST_FRACTION * len(y)), (seed, _SPLIT))
    train = _others(test, len(y))
    return Dataset(
        name="digits",
        train=(x[train], y[train]),
        test=(x[test], y[test]),
        classes=10,
        channels=1,
        shape=(8, 8),
        mean=(0.3053,),
        std=(0.3760,),
        normalise=False,
        description="handwritten digits, 1797 scans of 8 × 8 pixels with 17 grey levels",
        source="E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, "
        "1998 (its test part, as shipped with scikit-learn), doi:10.24432/C50P49",
    )


def _mnist(data_dir: Path | None, _: int, progress: Progress) -> Dataset:
    folder = _needed(data_dir, "mnist", "MNIST/raw/train-images-idx3-ubyte.gz")
    with progress.task("Reading MNIST", 1) as task:
        x, y, test_x, test_y = read_mnist(folder)
        task.advance()
    return Dataset(
        name="mnist",
        train=_samples(x[:, None], y, 10, f"the training files of MNIST in {folder}"),
        test=_samples(test_x[:, None], test_y, 10, f"the test files of MNIST in {folder}"),
        classes=10,
        channels=1,
        shape=(x.shape[1], x.shape[2]),
        mean=(0.1307,),
        std=(0.3081,),
        normalise=False,
        description="MNIST handwritten digits, 60 000 + 10 000 images of 28 × 28 pixels",
        source="Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document recognition, "
        "Proc. IEEE 86 (11), 1998, doi:10.1109/5.726791",
    )


def _cifar10(data_dir: Path | None, _: int, progress: Progress) -> Dataset:
    folder = _needed(data_dir, "cifar10", "cifar-10-batches-py/data_batch_1")
    x, y, test_x, test_y = read_cifar10(folder, progress)
    return Dataset(
        name="cifar10",
        train=_samples(x, y, 10, f"the training batches of CIFAR-10 in {folder}"),
        test=_samples(test_x, test_y, 10, f"the test batch of CIFAR-10 in {folder}"),
        classes=10,
        channels=3,
        shape=(x.shape[2], x.shape[3]),
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        normalise=True,
        description="CIFAR-10, 50 000 + 10 000 colour photographs of 32 × 32 pixels",
        source="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, University of Toronto, 2009",
    )


def _fsdd(data_dir: Path | None, _: int, progress: Progress) -> Dataset:
    folder = _needed(data_dir, "fsdd", "FSDD/recordings/0_george_0.wav", "a folder or .tar, .tar.gz, .tar.xz")
    x, y, test_x, test_y = read_fsdd(folder, progress)
    return Dataset(
        name="fsdd",
        train=_samples(x[:, None], y, 10, f"the training recordings of FSDD in {folder}"),
        test=_samples(test_x[:, None], test_y, 10, f"the test recordings of FSDD in {folder}"),
        classes=10,
        channels=1,
        shape=(FEATURES.bands, FEATURES.frames),
        mean=(0.2303,),
        std=(0.2997,),
        normalise=False,
        description="Free Spoken Digit Dataset, 2 700 + 300 recordings of ten digits by six speakers as log-mel "
        f"spectrograms of {FEATURES.bands} bands in {FEATURES.frames} frames",
        source="Z. Jackson et al., https://github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0",
    )


_SETS: dict[str, Callable[[Path | None, int, Progress], Dataset]] = {
    "digits": _digits,
    "mnist": _mnist,
    "cifar10": _cifar10,
    "fsdd": _fsdd,
}


def _needed(data_dir: Path | None, name: str, example: str, forms: str = "plain, .gz or .xz") -> Path:
    if data_dir is None:
        raise UserError(
            f"The data set {name!r} is read from a folder: give the one that holds {example} ({forms}) "
            "with --data-dir DIR, or data.dir in the configuration."
        )
    return data_dir


def _samples(x: np.ndarray, y: np.ndarray, classes: int, what: str) -> Samples:
    """Images and labels as tensors; UserError when they do not belong together."""
    if len(x) != len(y):
        raise UserError(f"There are {len(x)} images and {len(y)} labels in {what}: not one data set.")
    wrong = np.flatnonzero((y < 0) | (y >= classes))
    if wrong.size:
        raise UserError(f"Label {y[wrong[0]]} (number {wrong[0]}) in {what}: labels are 0 to {classes - 1}.")
    return torch.from_numpy(np.require(x, requirements=("C", "W"))), torch.from_numpy(y.astype(np.int64))
