"""ADMM in scaled form with two auxiliary copies per layer: Y for pruning, Z for quantisation.

minimise f(W) subject to W ∈ P, W ∈ Q becomes, with copies Y ∈ P, Z ∈ Q and scaled duals U, V,

    W-step:  f(W) + ρ/2 ‖W − Y + U‖² + ρ/2 ‖W − Z + V‖²     by stochastic gradients (`pull` adds the penalties')
    Y-step:  Y ← P-projection of W + U        Z-step:  Z ← Q-projection of W + V
    duals:   U ← U + W − Y                    V ← V + W − Z

with squared Frobenius norms, one ρ for both (Yuan et al. 2019, arXiv 1908.11691; Boyd et al. 2011, section 3).

Zero need not be a level, and then P and Q have no point in common. Quantisation therefore binds only what
pruning keeps: an entry is at a level where Y keeps its group, and free where Y prunes it. Free means that Z
follows (Z = W + V, V = 0, so Z = W from then on) and its penalty vanishes; Y alone pulls the entry to zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from admm.constraints import Shared, Solution, nearest
from admm.layers import Layer, masks_of


@dataclass(frozen=True)
class Residuals:
    """How far one copy of one layer is from consensus after an update.

    primal: ‖W − Y‖ or ‖W − Z‖ (live entries); dual: ρ‖Y − Y_before‖ or ρ‖Z − Z_before‖ (Boyd et al. 2011,
    section 3.3, for W = Y); norm: ‖W‖. Frobenius norms.
    """

    layer: str
    copy: str
    primal: float
    dual: float
    norm: float


@dataclass
class Copies:
    """Copies and scaled duals of one layer; y and u are None when nothing prunes, z and v when nothing quantises.

    signs: int8 of the weight's shape, the signs that the fragments of a polarised layer have now; updates: how many
    updates of the copies are behind us, by which `Polarised.refresh` counts.
    """

    layer: Layer
    live: Tensor
    y: Tensor | None = None
    u: Tensor | None = None
    z: Tensor | None = None
    v: Tensor | None = None
    signs: Tensor | None = None
    updates: int = 0

    def tree(self) -> dict[str, Any]:
        """The state as nested tensors, for a checkpoint."""
        return dict(vars(self), layer=None)


def begin(layer: Layer, mask: Tensor | None, *, prune: bool, quantise: bool, signs: Tensor | None = None) -> Copies:
    """Copies at the projections of the weights as they are, duals zero.

    mask: the entries that are live when pruning is fixed (or decided for several layers together), signs: those of
    the fragments then; None: Y decides (prune) or all are live.
    """
    w = layer.weight.detach()
    if prune and signs is None:
        signs = layer.signs(w)
    if mask is None:
        mask = layer.mask(w, signs) if prune else torch.ones_like(w, dtype=torch.bool)
    copies = Copies(layer, mask, signs=signs)
    if prune and layer.prunes:
        copies.y, copies.u = w.masked_fill(~mask, 0), torch.zeros_like(w)
    if quantise and layer.levels is not None:
        copies.z, copies.v = _quantised(layer, w, mask, signs), torch.zeros_like(w)
    return copies


def under_mask(copies: Copies, mask: Tensor, signs: Tensor | None = None) -> Copies:
    """The copies once pruning is fixed: Y is gone; Z and V go on where they were live and are fresh elsewhere."""
    layer, w = copies.layer, copies.layer.weight.detach()
    if copies.v is None:
        return Copies(layer, mask, signs=signs)
    v = copies.v.masked_fill(~(mask & copies.live), 0)
    return Copies(layer, mask, z=_quantised(layer, w + v, mask, signs), v=v, signs=signs)


def pull(copies: Copies, rho: float) -> None:
    """Add the gradient of the penalties, ρ(W − Y + U) + ρ(W − Z + V), to the weight's gradient."""
    weight = copies.layer.weight
    w = weight.detach()
    if weight.grad is None:
        weight.grad = torch.zeros_like(w)
    if copies.y is not None and copies.u is not None:
        weight.grad.add_(w - copies.y + copies.u, alpha=rho)
    if copies.z is not None and copies.v is not None:
        weight.grad.add_((w - copies.z + copies.v).masked_fill_(~copies.live, 0), alpha=rho)


def choose(
    copies: Mapping[str, Copies],
    budgets: tuple[Shared, ...] = (),
    solutions: list[Solution] | None = None,
    curvature: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """What the Y-steps of all layers keep of W + U; signs of fragments are chosen anew where their time has come.

    solutions: gets the account of every hardware budget. curvature: see `layers.masks_of`.
    """
    targets = {}
    for name, each in copies.items():
        if each.u is not None:
            targets[name] = each.layer.weight.detach() + each.u
            each.updates += 1
            if each.layer.polarised and each.updates % each.layer.polarised.refresh == 0:
                each.signs = each.layer.signs(targets[name])
    layers = {name: copies[name].layer for name in targets}
    signs = {name: s for name in targets if (s := copies[name].signs) is not None}
    return masks_of(layers, targets, signs, budgets, solutions, curvature)


def update(copies: Copies, rho: float, live: Tensor | None = None) -> list[Residuals]:
    """Y-step, Z-step and both dual steps of a layer, in place; returns the residuals.

    live: what the Y-step keeps, as `choose` found it for all layers; None: the layer decides by itself.
    """
    found = project(copies, rho, live)
    ascend(copies)
    return found


def project(copies: Copies, rho: float, live: Tensor | None = None) -> list[Residuals]:
    """Y-step and Z-step alone; see `update`."""
    layer, w = copies.layer, copies.layer.weight.detach()
    found = []
    norm = float(w.norm())
    if copies.y is not None and copies.u is not None:
        before, moved = copies.y, w + copies.u
        copies.live = choose({layer.name: copies})[layer.name] if live is None else live
        copies.y = moved.masked_fill(~copies.live, 0)
        found.append(
            Residuals(layer.name, "prune", float((w - copies.y).norm()), rho * float((copies.y - before).norm()), norm)
        )
    if copies.z is not None and copies.v is not None:
        live, before = copies.live, copies.z
        copies.z = _quantised(layer, w + copies.v, live, copies.signs)
        primal, dual = (w - copies.z)[live].norm(), (copies.z - before)[live].norm()
        found.append(Residuals(layer.name, "quantise", float(primal), rho * float(dual), norm))
    return found


def ascend(copies: Copies, step: float = 1.0) -> None:
    """Both dual steps, U ← U + step · (W − Y) and V ← V + step · (W − Z), V = 0 where Z is free; ADMM's step is 1."""
    w = copies.layer.weight.detach()
    if copies.y is not None and copies.u is not None:
        copies.u = copies.u + w - copies.y if step == 1 else copies.u + step * (w - copies.y)
    if copies.z is not None and copies.v is not None:
        moved = copies.v + w - copies.z if step == 1 else copies.v + step * (w - copies.z)
        copies.v = moved.masked_fill(~copies.live, 0)


def rescale(copies: Copies, growth: float) -> None:
    """Divide the scaled duals by the growth of ρ: U = λ/ρ, and λ does not jump (Boyd et al. 2011, section 3.4.1)."""
    if copies.u is not None:
        copies.u = copies.u / growth
    if copies.v is not None:
        copies.v = copies.v / growth


def _quantised(layer: Layer, target: Tensor, live: Tensor, signs: Tensor | None) -> Tensor:
    """Z-step: live entries at their nearest level (of their fragment's sign), the others where they are.

    The scale is fitted if the plan says so, to the live entries whatever their signs.
    """
    assert layer.levels is not None
    return torch.where(live, nearest(target, layer.levels.grid(target, live, layer.groups), signs=signs), target)
