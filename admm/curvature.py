"""How much the loss minds a change of a weight: the diagonal of the Fisher information, a mean for every filter."""

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
"""Batches that the means are taken over, at most; LeNet-5's filters stand to about a tenth after so many."""


def filter_curvature(
    model: nn.Module,
    layers: Mapping[str, Layer],
    batches: Iterable[Any],
    loss: Loss,
    device: torch.device,
    precision: Literal["full", "bfloat16"] = "full",
) -> dict[str, tuple[float, ...]]:
    """Name → for each filter (output), the mean over its weights of E[g²], g the gradient of one sample's loss.

    Half of E[g²] · w² estimates what zeroing a weight of a trained network costs in loss (the Fisher information in the
    place of the Hessian's diagonal in LeCun, Denker, Solla 1990; Theis et al. 2018, arXiv:1801.05787). Where the
    gradients of a trained network average to nothing, a batch of b samples with mean gradient ḡ has E[b · ḡ²] = E[g²],
    so one backward pass a batch is enough; of a network that is not trained it is an overestimate. In evaluation mode;
    the gradients are gone afterwards. In a process group the mean of all ranks.
    """
    squares = {name: torch.zeros(layer.weight.shape[0], dtype=torch.float64) for name, layer in layers.items()}
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
                    squares[name] += len(inputs) * _mean_square(gradient)
            count += 1
    return {name: tuple(distributed.mean(v, device) for v in (s / count).tolist()) for name, s in squares.items()}


def _mean_square(gradient: Tensor) -> Tensor:
    return gradient.double().square().flatten(1).mean(1).cpu()
