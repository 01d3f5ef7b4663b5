"""Hardware in the loop layer by layer: what a training loop of someone else's wraps its layers with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from crossbar import ArraySpec, LevelGrid, to_matrix
from mapping.chips import strips_of_chip
from mapping.conditions import Conditions
from mapping.hardware_aware import compute, with_weights
from mapping.inputs import Inputs
from mapping.pieces import Piece, pieces_of
from mapping.place import place
from mapping.placement import LayerPlacement

Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Parts:
    """A network that is being compressed, as `place` takes it."""

    model: nn.Module
    masks: Mapping[str, Tensor]
    grids: Mapping[str, LevelGrid]


class LayersOnArrays:
    """Lets Conv2d and Linear layers compute on arrays while they are trained; the `wrap` of `admm.compress`.

    array: the arrays, with the errors to train against; example_input: sets the ranges, as in `mapping.place`;
    conditions: of reading. chips: "step" draws another chip at every call of a layer, "epoch" at every `prepare`.
    `prepare` takes tiles, ranges and level grids from the network as it is; between two of them only the weights on the
    cells follow. Chips are drawn from torch's generator, so that what seeds an epoch seeds its chips. Gradients are
    those of `mapping.HardwareAware`; layers that arrays cannot compute compute as ever.
    """

    def __init__(
        self,
        array: ArraySpec,
        example_input: Inputs,
        *,
        conditions: Conditions | None = None,
        chips: Literal["step", "epoch"] = "step",
    ) -> None:
        """Set up without a network; `prepare` must come before the first layer is wrapped."""
        self.array, self.example_input, self.chips = array, example_input, chips
        self.conditions = conditions or Conditions()
        self._placed: dict[int, tuple[LayerPlacement, int]] = {}
        self._chip = 0

    def prepare(self, model: nn.Module, masks: Mapping[str, Tensor], grids: Mapping[str, LevelGrid]) -> None:
        """Place the network as it is: weights where masks say, on the levels of grids where there are any.

        Raises UserError as `mapping.place` does.
        """
        placement = place(_Parts(model, masks, grids), self.array, self.example_input, snap=True, free_unused=False)
        self._placed, self._placement, first = {}, placement, 0
        for name, layer in placement.layers.items():
            module = model.get_submodule(name)
            if name in masks:  # a weight at a zero level has no cell now, but may have one later
                live = np.ascontiguousarray(
                    to_matrix(layer.geometry.lowered(masks[name].detach().cpu()).numpy(), layer.geometry.groups)
                )
                layer = replace(layer, live=live)
            self._placed[id(module.weight)] = layer, first
            first = max((piece.array + 1 for piece in self._pieces(layer, first)), default=first)
        self._chip = _drawn()

    def __call__(self, module: nn.Module) -> Forward:
        """What computes the outputs of a layer of the prepared network; module: the layer, or a twin of its weight."""
        found = self._placed.get(id(module.weight))
        if found is None:
            return module.forward
        return partial(self._forward, module, *found)

    def _forward(self, module: nn.Module, placed: LayerPlacement, first: int, input: Tensor) -> Tensor:
        chip = _drawn() if self.chips == "step" else self._chip
        with torch.no_grad():
            now = with_weights(placed, module, self.array, skip_zeros=True)
            pieces = list(self._pieces(now, first))
            strips = strips_of_chip(now, pieces, self.array, chip, self.conditions, input.device)
        return compute(module, placed, self.array, strips, chip, input)

    def _pieces(self, layer: LayerPlacement, first: int) -> Iterator[Piece]:
        """The pieces of one layer, its arrays numbered from `first`."""
        return pieces_of(replace(self._placement, layers={layer.name: layer}), first)


def _drawn() -> int:
    """A chip's seed, from torch's generator."""
    return int(torch.randint(2**63 - 1, (1,)))
