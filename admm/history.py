"""What a compression's history can count beside accuracy and residuals: see the argument `cost` of `compress`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from torch import Tensor, nn

from crossbar.tiling import to_matrix

Masks = Mapping[str, Tensor]
Count = Callable[[np.ndarray], float]


def per_layer(model: nn.Module, counts: Mapping[str, Count]) -> Callable[[Masks], dict[str, float]]:
    """A `cost` that counts layer by layer on the lowered matrices and adds up.

    model: tells how many groups a convolution has. counts: name of the column → function of the live entries of one
    layer, bool (groups, rows, cols), rows being word lines (`crossbar.tiling`).
    """
    groups = {name: int(getattr(module, "groups", 1)) for name, module in model.named_modules()}

    def cost(masks: Masks) -> dict[str, float]:
        live = [to_matrix(mask.cpu(), groups[name]).numpy() for name, mask in masks.items()]
        lowered = [each.reshape(-1, *each.shape[-2:]) for each in live]
        return {column: float(sum(count(each) for each in lowered)) for column, count in counts.items()}

    return cost


def live_rows(live: np.ndarray) -> float:
    """Word lines with a live weight."""
    return float(live.any(axis=2).sum())


def live_cols(live: np.ndarray) -> float:
    """Bit lines with a live weight."""
    return float(live.any(axis=1).sum())
