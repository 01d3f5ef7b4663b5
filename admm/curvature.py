"""How much the loss minds a change of each weight: the diagonal of the Fisher information."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor, nn

from admm import distributed
from admm.epoch import Loss, checked
from admm.layers import Layer

BATCHES = 128
"""Batches that the means are taken over, at most: squares of normal numbers are then known to √(2 / 128) = 12 %."""


def weight_curvature(
    model: nn.Module,
    layers: Mapping[str, Layer],
    batches: Iterable[Any],
    loss: Loss,
    device: torch.device,
    precision: Literal["full", "bfloat16"] = "full",
) -> dict[str, Tensor]:
    """Name → E[g²] of every weight, float32 of its shape, g the gradient of one sample's loss.

    Half of E[g²] · w² estimates what zeroing a weight of a trained network costs in loss (the Fisher information in the
    place of the Hessian's diagonal in LeCun, Denker, Solla 1990; Theis et al. 2018, arXiv:1801.05787). Where the
    gradients of a trained network average to nothing, a batch of b samples with mean gradient ḡ has E[b · ḡ²] = E[g²],
    so one backward pass a batch is enough; of a network that is not trained it is an overestimate. In evaluation mode;
    no gradient is left behind. In a process group the mean over all ranks. Cost: one pass over at most `BATCHES`
    batches.
    """
    squares = {name: torch.zeros_like(layer.weight) for name, layer in layers.items()}
    weights = [layer.weight for layer in layers.values()]
    model.eval()
    count = 0
    # cuDNN runs recurrent layers backwards in training mode only.
    with torch.backends.cudnn.flags(enabled=False), torch.enable_grad():
        for inputs, targets in islice(checked(batches), BATCHES):
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                value = loss(model(inputs.to(device)), targets.to(device))
            for name, gradient in zip(layers, torch.autograd.grad(value, weights, allow_unused=True), strict=True):
                if gradient is not None:
                    squares[name].addcmul_(gradient, gradient, value=len(inputs))
            count += 1
    for each in squares.values():
        distributed.average(each.div_(count))
    return squares
