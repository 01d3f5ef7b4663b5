"""Sections on the dense network, its data and training, on running chips, and on the report."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict

from experiments.sections.section import section
from hwmodels.quantities import Count, Fraction, NonNegative, NonNegativeInt, Positive


@section
class Network:
    """What is compressed and placed."""

    name: str = "digits-conv"
    """A packaged model, or your own as `package.module:factory`."""
    weights: str | None = None
    """Safetensors file with trained weights; training then starts from them."""


@section
class Data:
    """What it is trained and tested on."""

    name: str = "digits"
    """digits (inside scikit-learn, no download), mnist, cifar10, or fsdd (spoken digits)."""
    dir: str | None = None
    """Folder that holds the data set (images in torchvision's layout); same as --data-dir."""
    train_limit: Count | None = None
    """Use only this many training samples (for a quick look)."""
    test_limit: Count | None = None
    """Use only this many test samples."""
    held_out: Annotated[float, Strict(), Field(gt=0, lt=1)] | None = None
    """Test on this share of the training samples, held out, and not on the test set: for choosing settings."""


@section
class Train:
    """Training of the dense network, before any compression."""

    epochs: NonNegativeInt = 20
    """Passes over the training set; 0 takes the weights as they are."""
    batch_size: Count = 64
    lr: Positive = 1e-3
    """Learning rate at the start."""
    optimizer: Literal["adam", "sgd"] = "adam"
    momentum: Annotated[float, Strict(), Field(ge=0, lt=1)] = 0.9
    """Momentum of SGD, the first beta of Adam."""
    weight_decay: NonNegative = 0.0
    schedule: Literal["cosine", "constant"] = "cosine"
    label_smoothing: Fraction = 0.0
    augment: Literal["none", "shift", "crop-flip", "crop-flip-cutout"] = "none"
    """Random changes of the training images, drawn anew each epoch."""
    nesterov: Annotated[bool, Strict()] | None = None
    """Nesterov's momentum, for optimizer = "sgd"; default: false."""
    warmup_epochs: Count | None = None
    """Epochs over which the learning rate rises to lr, before its schedule; default: none."""
    average: Annotated[float, Strict(), Field(gt=0, lt=1)] | None = None
    """Share that the running mean of the weights keeps at every step; that mean is the network. Default: no mean."""
    device: Literal["cpu", "cuda"] | None = None
    """Where training and compression run, data and augmentation too; cuda: a GPU. Default: cpu."""
    precision: Literal["full", "bfloat16"] | None = None
    """bfloat16: forward passes in mixed precision, the weights stay float32; default: full."""


@section
class Simulate:
    """Running the placed network with device errors."""

    seeds: Count = 10
    """Chips (device seeds) to run; the interval is over them."""
    batch_size: Count = 256
    calibration_samples: Count = 128
    """Training images that the converter and input ranges are measured on."""
    t_s: NonNegative = 0.0
    """Time between programming and reading [s], over which cells drift (86400: a day)."""
    temperature_k: Positive | None = None
    """Temperature of the cells [K]; default: the reference temperature of the device."""
    read_noise: bool = True
    """Draw the device's read noise anew at every read, where it has data on it."""


@section
class Report:
    """What the report looks like."""

    title: str | None = None
    """Heading of the page; default: the configuration's name."""
    figures: tuple[Literal["svg", "png", "pdf"], ...] = ("svg", "png")
    """Formats of the pictures beside the page."""
    waterfall: Annotated[bool, Strict()] = True
    """Show where accuracy is lost: run the chips again with errors switched on in turn, and each alone."""
    waterfall_chips: Count | None = None
    """Chips for that; default: all of simulate.seeds."""
    waterfall_samples: Count | None = None
    """Test samples for that, the first ones; default: all."""
