"""Unused paths of a network go exactly: filters that nobody reads, channels that are zero or a constant that folds.

The method is Ma et al. 2020 (arXiv 1908.10017, section on P-RM). A filter whose weights are all zero puts out a
constant; it frees the next layer's channel when that constant is 0 after bias, normalisation and activation, or when it
folds into the next layer's bias (no zeros padded, no other summand at a join). With zeros padded, a constant is not one
at the edges, and the channel stays.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from crossbar.paths import Paths, added, keeps_constants, weight_by_input


class Removal:
    """Removals from a model in place; its outputs stay equal up to rounding.

    paths: the graph of the model. masks: module name → bool, live weights of the layers that may be changed; follows
    what is removed.
    """

    def __init__(self, paths: Paths, masks: dict[str, Tensor]) -> None:
        self.paths, self.masks = paths, masks
        self.layers = [name for name in paths.layers if name in masks]

    @torch.no_grad()
    def free_all(self) -> None:
        """Exact removals until there are none left."""
        while self.free_channels() or self.free_filters():
            pass

    def free_channels(self) -> bool:
        """Take constant inputs out of the layers that read them; whether there were any."""
        constants = self.paths.constants()
        for name in self.layers:
            module = self.paths.module(name)
            constant = self.paths.inputs_of(name, constants)
            bias = cast("nn.Parameter | None", module.bias)
            gone = constant == 0
            if keeps_constants(module) and bias is not None:
                gone = ~constant.isnan()
            live = (weight_by_input(module) != 0).any(3).any(1).reshape(-1).cpu()
            gone &= live
            if not bool(gone.any()):
                continue
            if bias is not None:
                folded = added(module, constant.masked_fill(~gone, 0)).sum(1)
                bias.add_(folded.to(bias.device, bias.dtype))
            self.drop_channels(name, gone)
            return True  # what follows reads other constants now
        return False

    def free_filters(self) -> bool:
        """Drop filters that nobody reads; whether there were any."""
        changed = False
        for name, needed in self.paths.needed().items():
            module = self.paths.module(name)
            weight = cast(Tensor, module.weight)
            live = (weight != 0).flatten(1).any(1).cpu()
            if name in self.masks and bool((live & ~needed).any()):
                self.drop_filters(name, live & ~needed)
                changed = True
        return changed

    def drop_channels(self, name: str, gone: Tensor) -> None:
        """Remove input channels of a layer; gone: bool (input channels,)."""
        weight = cast(Tensor, self.paths.module(name).weight)
        groups = int(getattr(self.paths.module(name), "groups", 1))
        dead = gone.reshape(groups, 1, -1).expand(-1, weight.shape[0] // groups, -1).reshape(weight.shape[:2])
        self._kill(name, dead.reshape(*weight.shape[:2], *[1] * (weight.ndim - 2)).expand(weight.shape))

    def drop_filters(self, name: str, gone: Tensor) -> None:
        """Remove filters of a layer with their biases; gone: bool (filters,)."""
        module = self.paths.module(name)
        weight, bias = cast(Tensor, module.weight), cast("nn.Parameter | None", module.bias)
        self._kill(name, gone.reshape(-1, *[1] * (weight.ndim - 1)).expand(weight.shape))
        if bias is not None:
            bias.masked_fill_(gone.to(bias.device), 0)

    def _kill(self, name: str, dead: Tensor) -> None:
        weight = cast(Tensor, self.paths.module(name).weight)
        weight.masked_fill_(dead.to(weight.device), 0)
        self.masks[name] &= ~dead.to(self.masks[name].device)
