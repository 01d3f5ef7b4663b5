"""Retraining under fixed masks, and on fixed levels.

Masks: gradients of dead weights are zeroed, and the weights again after every step, since momentum or decay
gathered earlier would still move them.

Levels: the forward pass sees every live weight at its nearest level, and the gradient goes straight through to
the latent weight behind it (straight-through estimator, Bengio et al. 2013, arXiv 1308.3432). Biases and
normalisation layers train along freely.

Signs: a live weight of a polarised fragment may shrink to 0 but not cross it, and its level has the fragment's sign.

Hardware in the loop: `wrapped` lets every layer compute as a wrapper of the caller's says (device noise, wires,
converters), while its weight stays the parameter that is trained.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from admm.constraints import nearest
from admm.constraints.levels import tables
from admm.layers import Layer
from crossbar.levels import LevelGrid

Masks = Mapping[str, Tensor]
Grids = Mapping[str, LevelGrid]
Signs = Mapping[str, Tensor]
NO_SIGNS: Signs = MappingProxyType({})
Wrap = Callable[[nn.Module], Callable[[Tensor], Tensor]]
"""A layer → what computes its outputs from its inputs instead; see `wrapped` and `prepare`."""


def fit_grids(layers: Mapping[str, Layer], masks: Masks) -> dict[str, LevelGrid]:
    """The final grid of every layer that is quantised: its scale fitted (or given) for the live weights as they are."""
    return {
        name: layer.levels.grid(layer.weight, masks[name], layer.groups)
        for name, layer in layers.items()
        if layer.levels is not None
    }


def mask_gradients(layers: Mapping[str, Layer], masks: Masks) -> None:
    """Zero the gradients of dead weights."""
    for name, mask in masks.items():
        grad = layers[name].weight.grad
        if grad is not None:
            grad.masked_fill_(~mask, 0)


@torch.no_grad()
def apply_masks(layers: Mapping[str, Layer], masks: Masks, signs: Signs = NO_SIGNS) -> None:
    """Set dead weights, and those that crossed to the other sign than their fragment's, to exactly 0."""
    for name, mask in masks.items():
        layers[name].weight.masked_fill_(~mask, 0)
    for name, asked in signs.items():
        layers[name].weight.masked_fill_(layers[name].weight * asked < 0, 0)


@torch.no_grad()
def clamp_latent(layers: Mapping[str, Layer], grids: Grids) -> None:
    """Keep latent weights between the outermost levels; beyond, a weight could wander off and never come back."""
    for name, grid in grids.items():
        weight = layers[name].weight
        ends = torch.from_numpy(tables(grid)[:, [0, -1]]).to(weight.device, weight.dtype)
        ends = ends.reshape(-1, *[1] * (weight.ndim - 1), 2)  # one pair, or one for every filter
        weight.clamp_(ends[..., 0], ends[..., 1])


def on_levels(layers: Mapping[str, Layer], masks: Masks, grids: Grids, signs: Signs = NO_SIGNS) -> dict[str, Tensor]:
    """Parameter name → projected weight whose gradient goes straight through to the latent one."""
    replaced = {}
    for name, grid in grids.items():
        replaced[f"{name}.weight"] = _StraightThrough.apply(layers[name].weight, grid, masks[name], signs.get(name))
    return replaced


class _StraightThrough(torch.autograd.Function):
    """Projection forward, identity on live weights backward; `w + (q − w)` would miss the level by a rounding."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, grid: LevelGrid, live: Tensor, signs: Tensor | None) -> Tensor:
        ctx.live = live
        return nearest(w, grid, live, signs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        return grads[0].masked_fill(~ctx.live, 0), None, None, None


@torch.no_grad()
def project_weights(layers: Mapping[str, Layer], masks: Masks, grids: Grids, signs: Signs = NO_SIGNS) -> None:
    """Put every live weight exactly on its nearest level and every dead one to 0."""
    for name, grid in grids.items():
        layers[name].weight.copy_(nearest(layers[name].weight, grid, masks[name], signs.get(name)))
    apply_masks(layers, masks, signs)


@contextmanager
def projected(layers: Mapping[str, Layer], masks: Masks, grids: Grids, signs: Signs = NO_SIGNS) -> Iterator[None]:
    """The model on its levels for the length of the block; latent weights come back after it."""
    latent = {name: layers[name].weight.detach().clone() for name in grids}
    project_weights(layers, masks, grids, signs)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, weight in latent.items():
                layers[name].weight.copy_(weight)


def prepare(wrap: Wrap | None, model: nn.Module, masks: Masks, grids: Grids) -> None:
    """Tell a wrapper that has a method `prepare` what stands before an epoch: the model, its masks and level grids."""
    begin = getattr(wrap, "prepare", None)
    if begin is not None:
        begin(model, masks, grids)


@contextmanager
def wrapped(layers: Mapping[str, Layer], wrap: Wrap | None) -> Iterator[None]:
    """Every planned layer computes as `wrap` says for the length of the block; None: as ever.

    wrap(module) gets a twin of the layer that shares its parameters, also while they are replaced by their levels, and
    returns a callable inputs → outputs. Gradients that it lets through reach the layer's own weight.
    """
    if wrap is None:
        yield
        return
    try:
        for layer in layers.values():
            layer.module.forward = wrap(copy.copy(layer.module))
        yield
    finally:
        for layer in layers.values():
            layer.module.__dict__.pop("forward", None)
