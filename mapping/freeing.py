"""Rows and columns that masks free in other layers: channels that carry nothing, filters that nobody reads."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from crossbar.paths import KINDS, Paths, weight_by_input
from crossbar.unused import Removal
from hwmodels.errors import UserError
from mapping.folding import positional
from mapping.inputs import Arguments, Inputs, quiet_eval
from mapping.rewriting import LEAVES


def free_unused(network: nn.Module, masks: dict[str, Any], example: Arguments) -> tuple[dict[str, Any], list[str]]:
    """Free across layers, in place, what the zeros of a network leave unused (`crossbar.unused.Removal`).

    Outputs stay equal up to rounding. Returns the masks, those of changed layers replaced, and notes: a sentence for
    every layer that lost something, or one that says why the network's paths could not be followed. Networks without a
    filter or channel that is zero as a whole have nothing to free and are not looked into.
    """
    if not has_holes(network):
        return masks, []
    try:
        paths = Paths(network, positional(example), LEAVES)
    except UserError as error:
        return masks, [f"Filters without weights free nothing in other layers: {error}"]
    live = {name: masks[name].clone().bool() if name in masks else _live(paths.module(name)) for name in paths.layers}
    before = {name: mask.clone() for name, mask in live.items()}
    removal = Removal(paths, live)
    removal.free_all()
    notes = [
        _note(name, before[name], mask) for name, mask in removal.masks.items() if bool((before[name] & ~mask).any())
    ]
    return masks | {name: mask for name, mask in removal.masks.items() if name in masks}, notes


def feeds(network: nn.Module, example_input: Inputs) -> dict[str, str]:
    """Layer → the layer whose filters it alone reads (`crossbar.paths.Paths.feeds`).

    Raises UserError, naming the reason, for networks whose paths cannot be followed.
    """
    with quiet_eval(network):
        return Paths(network, positional(Arguments.of(example_input)), LEAVES).feeds()


def has_holes(network: nn.Module) -> bool:
    """Whether a convolution or linear layer has a filter or an input channel without any weight."""
    return any(isinstance(module, KINDS) and _has_hole(module) for module in network.modules())


def _live(module: nn.Module) -> Tensor:
    assert isinstance(module.weight, Tensor)
    return module.weight.detach() != 0


def _has_hole(module: nn.Module) -> bool:
    """Whether a filter or an input channel has no weight at all."""
    if isinstance(module.weight, nn.parameter.UninitializedParameter):
        return False
    with torch.no_grad():
        live = weight_by_input(module).bool().any(3)
    return not bool(live.any(2).all() and live.any(1).all())


def _note(name: str, before: Tensor, after: Tensor) -> str:
    """What a layer lost, in its weight's first two axes."""

    def counts(mask: Tensor) -> tuple[int, int, int]:
        flat = mask.flatten(2) if mask.dim() > 2 else mask.unsqueeze(2)
        return int(flat.any(2).any(1).sum()), int(flat.any(2).any(0).sum()), int(mask.sum())

    filters, channels, weights = (a - b for a, b in zip(counts(before), counts(after), strict=True))
    return f"Layer {name!r}: {filters} filters, {channels} input channels, {weights} weights freed across layers."
