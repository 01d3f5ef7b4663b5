"""One pass over the training data, the same for every stage."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from admm import distributed
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
    accumulate: int = 1,
    precision: Literal["full", "bfloat16"] = "full",
) -> float:
    """Mean loss per sample of one training pass; the penalties are no part of it.

    forward: inputs → outputs; before_step: changes gradients after the backward pass; after_step: changes
    weights after the optimiser's step. accumulate: batches per step, whose gradients weigh by their samples (a last
    step takes what is left). precision: "bfloat16" runs `forward` and `loss` in autocast. In a process group all
    ranks step with the mean of their gradients. Raises DivergenceError when a batch's loss is not finite.
    """
    total, samples, gathered, since = 0.0, 0, 0, 0

    def step() -> None:
        if accumulate > 1:
            _divide_gradients(optimiser, gathered)
        distributed.average_gradients(optimiser)
        before_step()
        optimiser.step()
        after_step()

    for inputs, targets in checked(batches):
        if since == 0:
            optimiser.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            value = loss(forward(inputs.to(device)), targets.to(device))
        number = distributed.mean(float(value.detach()), device)
        if not math.isfinite(number):
            raise DivergenceError(f"the loss became {number}")
        (value if accumulate == 1 else value * len(inputs)).backward()
        gathered, since = gathered + len(inputs), since + 1
        if since == accumulate:
            step()
            gathered = since = 0
        total += number * len(inputs)
        samples += len(inputs)
    if since:
        step()
    return total / samples


def _divide_gradients(optimiser: torch.optim.Optimizer, by: int) -> None:
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad.div_(by)


@torch.no_grad()
def mean_loss(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], loss: Loss, device: torch.device) -> float:
    """Mean loss per sample in evaluation mode, nothing trained; infinite if it is not a number."""
    model.eval()
    total, samples = 0.0, 0
    for inputs, targets in checked(batches):
        total += float(loss(model(inputs.to(device)), targets.to(device))) * len(inputs)
        samples += len(inputs)
    value = distributed.mean(total / samples, device)
    return value if math.isfinite(value) else math.inf


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
    the uninterrupted one would have drawn; the ranks of a process group draw different numbers.
    """
    devices = sorted({p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices):

        def reseed(seed: int, epoch: int) -> None:
            torch.manual_seed((seed * 1_000_003 + epoch + distributed.rank() * 10**12) % 2**63)

        yield reseed
