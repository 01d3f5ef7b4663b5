"""What a network is called with: a tensor, a tuple of tensors, or keywords."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hwmodels.errors import UserError

Inputs = Tensor | tuple[Tensor, ...] | Mapping[str, Any]
"""What a network is called with: a tensor, a tuple of tensors (by position), or a mapping (by keyword; beside tensors
also plain values such as flags). The first axis of the first tensor is the batch, unless said otherwise."""


@dataclass(frozen=True)
class Arguments:
    """The arguments of one call."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @classmethod
    def of(cls, example_input: Inputs) -> Arguments:
        """The arguments that an example stands for.

        Raises UserError for anything but tensors with a batch of at least one sample and finite values.
        """
        if isinstance(example_input, Mapping):
            made = cls((), dict(example_input))
            fits = bool(made.tensors)
        else:
            args = (example_input,) if isinstance(example_input, Tensor) else example_input
            fits = isinstance(args, tuple) and bool(args) and all(isinstance(item, Tensor) for item in args)
            made = cls(args if fits else (), {})
        if not fits:
            raise UserError(
                "The example input is a tensor, a tuple of tensors, or a mapping from keywords to tensors, "
                f"not a {type(example_input).__name__}."
            )
        made._check()
        return made

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors, in order."""
        return [item for item in (*self.args, *self.kwargs.values()) if isinstance(item, Tensor)]

    def _check(self) -> None:
        first = self.tensors[0]
        if first.dim() == 0 or first.shape[0] == 0:
            raise UserError(f"The example input of shape {tuple(first.shape)} has no samples; give at least one.")
        for item in self.tensors:
            if item.is_floating_point() and not bool(torch.isfinite(item).all()):
                raise UserError("The example input holds NaN or infinite values; ranges cannot be calibrated on it.")

    def batch(self, axis: int = 0) -> int:
        """How many samples there are, counted along this axis of the first tensor."""
        first = self.tensors[0]
        if not 0 <= axis < first.dim():
            raise UserError(f"batch_axis = {axis} is not an axis of the example input of shape {tuple(first.shape)}.")
        return first.shape[axis]

    def call(self, model: nn.Module) -> Any:
        """What the model gives for these arguments."""
        return model(*self.args, **self.kwargs)


@contextmanager
def quiet_eval(model: nn.Module) -> Iterator[None]:
    """Run a model in evaluation mode without gradients, and put every module's mode back."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def first_input(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The input of a layer that takes one, however it was passed."""
    return args[0] if args else next(iter(kwargs.values()))
