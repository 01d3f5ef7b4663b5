"""The batches that training and evaluation draw from a data set.

Order and augmentation follow from a seed and an epoch: a resumed run meets the same batches as one that was never
interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from hwmodels.errors import UserError, unknown

Samples = tuple[Tensor, Tensor]
"""Inputs (n, channels, height, width), float32 in [0, 1] or uint8 in 0 … 255, and labels (n,), int64."""

# What a stream of random numbers is for; those of a split are in experiments.data, and no two are the same.
_ORDER, _AUGMENT, _CUTOUT = 3, 4, 5


def as_float(x: Tensor) -> Tensor:
    """Images as networks take them: bytes become float32 in [0, 1], floats stay as they are."""
    return x.float() / 255 if x.dtype == torch.uint8 else x


@dataclass(frozen=True)
class _Motion:
    """Random changes of an image: up to `pad` pixels each way (black comes in), mirrored half of the time or never.

    hole: side of a black square around a random pixel, cut off at the edges; 0: none.
    """

    pad: int
    flip: bool
    hole: int = 0


def _motion(name: str, shape: tuple[int, int]) -> _Motion | None:
    """What an augmentation does to images of (height, width).

    The crop is that of He et al. 2016, section 4.2; the hole, half an image wide, that of T. DeVries, G. W. Taylor 2017
    (arXiv:1708.04552), section 4.1.
    """
    kinds = {
        "none": None,
        "shift": _Motion(2 if min(shape) >= 16 else 1, False),
        "crop-flip": _Motion(4, True),
        "crop-flip-cutout": _Motion(4, True, min(shape) // 2),
    }
    if name not in kinds:
        raise unknown("augmentation", name, kinds)
    return kinds[name]


@final
class Batches:
    """Batches of (inputs, labels), again and again.

    x, y: see `Samples`; inputs come out as float32, bytes divided by 255, labels as they are. batch_size: samples
    of a batch, the last one may be smaller. shuffle: a new order each epoch. augment: None or "none", "crop-flip"
    (moved by up to 4 pixels and mirrored half of the time), "crop-flip-cutout" (with a black square in it besides) or
    "shift" (moved by up to 1 pixel, 2 from 16 × 16 on). mean, std: per channel, inputs become (x - mean) / std after
    augmentation. device: where the samples are kept and batches are made; only random numbers are drawn on the CPU, the
    same for every device.

    Order and augmentation follow from (seed, epoch) alone: what happens to a sample in an epoch depends neither on
    the batch size nor on how often the batches were gone through. Call `set_epoch` before each epoch; without it
    every pass is the same.
    Raises UserError for lengths that differ, a batch size below 1, an unknown augmentation, or a mean and std that
    are not one positive std per channel.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        augment: str | None = None,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        """Check the arguments; nothing is drawn before the first pass."""
        if len(x) != len(y) or not len(x):
            raise UserError(f"Batches need as many labels as inputs, at least one; got {len(x)} and {len(y)}.")
        if batch_size < 1:
            raise UserError(f"The batch size must be at least 1, not {batch_size!r}.")
        if augment is not None and x.ndim != 4:
            raise UserError(f"Augmentation {augment!r} moves images (n, channels, h, w), not {tuple(x.shape)}.")
        self.x, self.y = x.to(device), y.to(device)
        self.batch_size = batch_size
        self.epoch = 0
        self._seed = seed
        self._shuffle = shuffle
        self._motion = None if augment is None else _motion(augment, (x.shape[2], x.shape[3]))
        self._scale = _scale(x, mean, std, device)
        self._device = device

    def __len__(self) -> int:
        """Batches of one pass."""
        return -(-len(self.x) // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order and the augmentation of the passes from here on."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Samples]:
        """One pass: every sample once."""
        n = len(self.x)
        order = torch.arange(n)
        if self._shuffle:
            order = torch.randperm(n, generator=_generator(self._seed, _ORDER, self.epoch))
        order = order.to(self._device)
        motion = self._motion
        moves = None if motion is None else self._draw_moves(motion, n).to(self._device)
        holes = None if motion is None or not motion.hole else self._draw_holes(n).to(self._device)
        for start in range(0, n, self.batch_size):
            chosen = order[start : start + self.batch_size]
            x = self.x[chosen]
            if moves is not None:
                x = _moved(x, moves[chosen])
            if motion is not None and holes is not None:
                x = _cut(x, holes[chosen], motion.hole)
            x = as_float(x)
            if self._scale is not None:
                x = (x - self._scale[0]) / self._scale[1]
            yield x, self.y[chosen]

    def _draw_moves(self, motion: _Motion, n: int) -> Tensor:
        """int64 (n, 3): rows down, columns right, mirrored or not, for every sample of this epoch."""
        generator = _generator(self._seed, _AUGMENT, self.epoch)
        shifts = torch.randint(-motion.pad, motion.pad + 1, (n, 2), generator=generator)
        mirrored = torch.randint(0, 2, (n, 1), generator=generator) * int(motion.flip)
        return torch.cat((shifts, mirrored), dim=1)

    def _draw_holes(self, n: int) -> Tensor:
        """int64 (n, 2): row and column of the pixel that a hole lies around, for every sample of this epoch."""
        generator = _generator(self._seed, _CUTOUT, self.epoch)
        height, width = self.x.shape[2], self.x.shape[3]
        sizes = ((height, (n, 1)), (width, (n, 1)))
        return torch.cat([torch.randint(0, most, shape, generator=generator) for most, shape in sizes], dim=1)


def _moved(x: Tensor, moves: Tensor) -> Tensor:
    """Images (b, c, h, w) of any type moved and mirrored by `moves` (b, 3); what comes in from outside is 0."""
    b, _, h, w = x.shape
    rows = torch.arange(h, device=x.device) - moves[:, 0:1]
    cols = torch.arange(w, device=x.device) - moves[:, 1:2]
    inside = ((rows >= 0) & (rows < h))[:, :, None] & ((cols >= 0) & (cols < w))[:, None, :]
    cols = torch.where(moves[:, 2:3] == 1, w - 1 - cols, cols)
    sample = torch.arange(b, device=x.device)[:, None, None]
    # The advanced indices stand on both sides of the channels, so torch puts the channels last.
    found = x[sample, :, rows.clamp(0, h - 1)[:, :, None], cols.clamp(0, w - 1)[:, None, :]]
    return (found * inside[..., None]).permute(0, 3, 1, 2).contiguous()


def _cut(x: Tensor, centres: Tensor, side: int) -> Tensor:
    """Images (b, c, h, w) with a black square of `side` pixels around `centres` (b, 2), as far as it lies inside."""
    inside = []
    for axis, size in enumerate(x.shape[2:]):
        first = centres[:, axis : axis + 1] - side // 2
        place = torch.arange(size, device=x.device)
        inside.append((place >= first) & (place < first + side))
    return x.masked_fill((inside[0][:, :, None] & inside[1][:, None, :])[:, None], 0)


def _scale(
    x: Tensor, mean: tuple[float, ...] | None, std: tuple[float, ...] | None, device: str | torch.device
) -> tuple[Tensor, Tensor] | None:
    """Mean and std, each (channels, 1, 1), or None when inputs stay in [0, 1]."""
    if mean is None and std is None:
        return None
    if mean is None or std is None or len(mean) != x.shape[1] or len(std) != x.shape[1] or min(std) <= 0:
        raise UserError(
            f"Normalising needs a mean and a positive std for each of {x.shape[1]} channels, not {mean!r} and {std!r}."
        )
    tensors = (torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1) for values in (mean, std))
    first, second = (tensor.to(device) for tensor in tensors)
    return first, second


def _generator(*key: int) -> torch.Generator:
    """A generator whose stream belongs to this key alone."""
    seed = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed >> np.uint64(1)))
