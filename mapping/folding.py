"""Batch normalisation folded into the layers before it, where that is the same network."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.utils import fusion

from crossbar.paths import Paths
from hwmodels.errors import UserError
from mapping.inputs import Arguments
from mapping.rewriting import LEAVES, replaced

Folded = tuple[tuple[str, str], ...]
"""Pairs of layer and normalisation, by module name."""


def fold_batch_norm(network: nn.Module, example: Arguments, gridded: Iterable[str]) -> Folded:
    """Fold every batch normalisation that may be, in place; the normalisations become nn.Identity.

    One may be folded into a convolution (not a transposed one) or linear layer that runs once and whose output nobody
    else reads, if it runs once itself and keeps running statistics; outputs stay equal up to rounding. Others stay.
    gridded: layers with level grids of their own, which folding would break.
    Raises UserError for a network whose paths cannot be followed, and for a layer with a grid before a normalisation.
    """
    paths = Paths(network, positional(example), LEAVES)
    pairs = []
    for name in paths.layers:
        norm = paths.sole_norm(name)
        module = None if norm is None else paths.module(norm)
        if norm is None or module is None or module.running_mean is None or module.running_var is None:
            continue
        if name in gridded:
            raise UserError(
                f"Layer {name!r} has a level grid of its own, and folding the normalisation {norm!r} into it would "
                "take its weights off the grid; fold before compressing, or place without fold_batch_norm."
            )
        _fold(paths.module(name), module)
        pairs.append((name, norm))
    take_out(network, tuple(pairs))
    return tuple(pairs)


def positional(example: Arguments) -> tuple[torch.Tensor, ...]:
    """The example's tensors for a call by position; UserError for one by keyword, whose paths are not followed."""
    if example.kwargs:
        raise UserError(
            "The paths of a network that is called by keywords are not followed; pass the example by position."
        )
    return example.args


@torch.no_grad()
def _fold(layer: nn.Module, norm: nn.Module) -> None:
    fuse = fusion.fuse_linear_bn_weights if isinstance(layer, nn.Linear) else fusion.fuse_conv_bn_weights
    layer.weight, layer.bias = fuse(  # type: ignore[arg-type]
        layer.weight,  # type: ignore[arg-type]
        layer.bias,  # type: ignore[arg-type]
        norm.running_mean,  # type: ignore[arg-type]
        norm.running_var,  # type: ignore[arg-type]
        norm.eps,  # type: ignore[arg-type]
        norm.weight,  # type: ignore[arg-type]
        norm.bias,  # type: ignore[arg-type]
    )


def take_out(network: nn.Module, folded: Folded) -> None:
    """Put nn.Identity in the place of folded normalisations, and see that their layers have a bias."""
    for name, norm in folded:
        replaced(network, norm, nn.Identity())
        layer = network.get_submodule(name)
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        if layer.bias is None:
            layer.bias = nn.Parameter(weight.new_zeros(weight.shape[0]))
