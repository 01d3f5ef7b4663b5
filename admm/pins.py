"""Cells that are stuck pin the weights that stand on them: training for one chip with a known fault map.

A pinned weight is what its cells represent, whatever training wants; the free weights around it learn to live with
it. Only masked stages know of pins: what pruning removes is not placed, so a stuck cell under a dead weight pins
nothing, and a pin at 0 makes its weight dead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from admm.constraints.levels import Scaled
from admm.layers import Layer
from crossbar.levels import LevelGrid
from hwmodels.errors import UserError, unknown


@dataclass(frozen=True, eq=False)
class Stuck:
    """Where the weights of a layer are pinned, and at what.

    where: bool of the weight's shape. value: float of the weight's shape, read where `where` is True: for a layer
    with levels a level value or 0, in units of the largest (the weight is scale · value); without, the weight.
    """

    where: Tensor
    value: Tensor


def check(stuck: Mapping[str, Stuck], layers: Mapping[str, Layer]) -> None:
    """UserError, naming the layer, for pins that do not fit the planned layers."""
    for name, pin in stuck.items():
        if name not in layers:
            raise unknown("layer", name, layers)
        layer, shape = layers[name], tuple(layers[name].weight.shape)
        if pin.where.dtype != torch.bool or tuple(pin.where.shape) != shape or tuple(pin.value.shape) != shape:
            raise UserError(f"Stuck cells of layer {name!r} need a bool and a float tensor of its shape {shape}.")
        values = pin.value[pin.where].double().cpu().numpy()
        if not np.isfinite(values).all():
            raise UserError(f"Stuck cells of layer {name!r} have values that are NaN or infinite.")
        if layer.polarised:
            raise UserError(f"Layer {name!r} is polarised: pins may have the other sign. Leave one of the two out.")
        if layer.levels is not None:
            _check_values(name, layer, values)


def _check_values(name: str, layer: Layer, values: np.ndarray) -> None:
    if not isinstance(layer.levels, Scaled):
        raise UserError(f"Layer {name!r} learns its levels; stuck cells need levels that are given.")
    off = values[~np.isin(values.astype(np.float32), np.append(layer.levels.unit(), 0.0).astype(np.float32))]
    if off.size:
        raise UserError(
            f"The stuck value {off[0]:g} of layer {name!r} is none of its levels (in units of the largest)."
        )


def alive(stuck: Mapping[str, Stuck], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The masks without weights that are pinned at 0."""
    return {
        name: mask & ~(stuck[name].where & (stuck[name].value == 0)).to(mask.device) if name in stuck else mask
        for name, mask in masks.items()
    }


def free(stuck: Mapping[str, Stuck], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The live weights that are not pinned, to fit a scale to; all live ones where every one is pinned."""
    found = dict(masks)
    for name, pin in stuck.items():
        left = masks[name] & ~pin.where.to(masks[name].device)
        found[name] = left if bool(left.any()) else masks[name]
    return found


def pinned(
    stuck: Mapping[str, Stuck], grids: Mapping[str, LevelGrid], layers: Mapping[str, Layer]
) -> dict[str, Tensor]:
    """Name → what pinned weights are, of the weight's shape; bit for bit on the layer's grid if it has one."""
    found = {}
    for name, pin in stuck.items():
        weight = layers[name].weight
        value = pin.value.to(weight.device, torch.float64)
        if name in grids:
            scale = torch.from_numpy(np.array(grids[name].scale)).to(weight.device).reshape(-1)
            value = (value * scale.reshape(-1, *[1] * (weight.ndim - 1))).to(torch.float32)
        found[name] = value.to(weight.dtype)
    return found


@torch.no_grad()
def hold(
    stuck: Mapping[str, Stuck], values: Mapping[str, Tensor], layers: Mapping[str, Layer], masks: Mapping[str, Tensor]
) -> None:
    """Put pinned live weights back to their values."""
    for name, value in values.items():
        weight = layers[name].weight
        where = stuck[name].where.to(weight.device) & masks[name]
        weight.copy_(torch.where(where, value, weight))
