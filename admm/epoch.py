"""One pass over the training data, the same for every stage."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hwmodels.errors import UserError

Loss = Callable[[Any, Tensor], Tensor]
Nothing = Callable[[], None]


class DivergenceError(UserError):
    """The loss or a weight became NaN or infinite."""


def train_epoch(
    forward: Callable[[Tensor], Any],
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Loss,
    optimiser: torch.optim.Optimizer,
    *,
    device: torch.device,
    before_step: Nothing,
    after_step: Nothing,
) -> float:
    """Mean loss per sample of one training pass; the penalties are no part of it.

    forward: inputs → outputs; before_step: changes gradients after the backward pass; after_step: changes
    weights after the optimiser's step. Raises DivergenceError when a batch's loss is not finite.
    """
    total, samples = 0.0, 0
    for inputs, targets in checked(batches):
        optimiser.zero_grad()
        value = loss(forward(inputs.to(device)), targets.to(device))
        number = float(value.detach())
        if not math.isfinite(number):
            raise DivergenceError(f"the loss became {number}")
        value.backward()
        before_step()
        optimiser.step()
        after_step()
        total += number * len(inputs)
        samples += len(inputs)
    return total / samples


@torch.no_grad()
def mean_loss(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], loss: Loss, device: torch.device) -> float:
    """Mean loss per sample in evaluation mode, nothing trained; infinite if it is not a number."""
    model.eval()
    total, samples = 0.0, 0
    for inputs, targets in checked(batches):
        total += float(loss(model(inputs.to(device)), targets.to(device))) * len(inputs)
        samples += len(inputs)
    return total / samples if math.isfinite(total) else math.inf


def checked(batches: Iterable[Any]) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches, each a pair of tensors, at least one of them; else UserError."""
    empty = True
    for batch in batches:
        if not (isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(t, Tensor) for t in batch)):
            raise UserError(f"train must give pairs of tensors (inputs, targets), not {type(batch).__name__}.")
        empty = False
        yield batch[0], batch[1]
    if empty:
        raise UserError("train gave no batch. It must be iterable again and again: a DataLoader or a list.")


@contextmanager
def own_randomness(model: nn.Module) -> Iterator[Callable[[int, int], None]]:
    """Gives `reseed(seed, epoch)`; the caller's generators are as before when the block ends.

    Every epoch starts from its own seed (dropout, a shuffling DataLoader), so that a resumed run draws what
    the uninterrupted one would have drawn.
    """
    devices = sorted({p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices):

        def reseed(seed: int, epoch: int) -> None:
            torch.manual_seed((seed * 1_000_003 + epoch) % 2**63)

        yield reseed
