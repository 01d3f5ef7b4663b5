"""Joint pruning of weights and architecture (Lee and Lee 2022, Knowledge-Based Systems 239:107988).

Every kernel of a convolution and every output of a linear layer has a gate v, and the layer computes with v · W:

    minimise f(v · W) + α/2 ‖W‖²   subject to   card(W) ≤ l,   v ∈ {0, 1}ᵐ,   Σ v = k

{0, 1}ᵐ with Σ v = k is a box with a fixed sum, cut with the sphere ‖v − ½‖² = m/4 (lp-box ADMM), so that there are
three copies, Z₁ of W and Z₂, Z₃ of v, each with a projection that is exact and a scaled dual. Layer-wise, l and k are
given for every layer; holistic, one number each for all layers together.

This is the textbook form: squared penalties, U ← U + W − Z. The authors' code, from which the method is known here,
takes plain norms and multiplies the dual steps by ρ.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.optimize
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from admm.constraints import GlobalBudget, Unstructured
from admm.epoch import DivergenceError, Loss, own_randomness, train_epoch
from admm.job import OnEpoch
from admm.layers import Layer, resolve
from admm.plan import LayerPlan, Plan
from hwmodels.errors import UserError

Keep = int | float
HISTORY = ("epoch", "loss", "primal_weights", "primal_box", "primal_sphere", "gates_undecided")


@dataclass(frozen=True, eq=False)
class Gated:
    """What joint pruning gives: model (weights outside the masks 0), masks (name → bool of the weight's shape), gates
    (name → bool, kernels (out, in / groups) or outputs (out,) that stay) and a history, a row per epoch: mean loss,
    primal residuals over the norms, and the share of gates further than 0.1 from both 0 and 1.
    """

    model: nn.Module
    masks: dict[str, Tensor]
    gates: dict[str, Tensor]
    history: pd.DataFrame


def prune_jointly(
    model: nn.Module,
    train: Iterable[tuple[Tensor, Tensor]],
    weights: Mapping[str, Keep] | Keep,
    gates: Mapping[str, Keep] | Keep,
    *,
    epochs: int = 10,
    update_every: int = 1,
    rho: float = 1.5e-3,
    alpha: float = 5e-4,
    lr: float = 1e-2,
    momentum: float = 0.9,
    loss: Loss = cross_entropy,
    seed: int = 0,
    on_epoch: OnEpoch | None = None,
) -> Gated:
    """Prune weights and gates of a trained model together; the model given is left as it is.

    train: batches, iterable once per epoch. weights, gates: what to keep, by module name (layer-wise), or one number
    for all convolutions and linear layers (holistic); an int counts, a float is a fraction. The other defaults are
    those of the authors' code for LeNet. on_epoch(row): called after every epoch with its row.
    Retrain with `compress(gated.model, …, masks=gated.masks)`.
    Raises UserError for names or numbers that do not fit the model, and for training that diverges.
    """
    if isinstance(weights, Mapping) != isinstance(gates, Mapping):
        raise UserError("Give weights and gates both by layer or both as one number.")
    if isinstance(weights, Mapping) and isinstance(gates, Mapping) and set(weights) != set(gates):
        raise UserError("Give weights and gates for the same layers.")
    model = copy.deepcopy(model)
    names = tuple(weights) if isinstance(weights, Mapping) else ("*",)
    layers = resolve(Plan(layers=tuple(LayerPlan(name=name, prune=(Unstructured(1.0),)) for name in names)), model)
    run = _Joint(layers, weights, gates, rho)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(
        [{"params": parameters, "weight_decay": alpha}, {"params": list(run.v.values())}], lr=lr, momentum=momentum
    )
    rows = []
    with own_randomness(model) as reseed:
        for epoch in range(1, epochs + 1):
            reseed(seed, epoch)
            set_epoch = getattr(train, "set_epoch", None)
            if set_epoch is not None:
                set_epoch(epoch)
            model.train()
            try:
                mean = train_epoch(
                    lambda inputs: functional_call(model, run.gated(), (inputs,)),
                    train, loss, optimiser,
                    device=next(model.parameters()).device, before_step=run.pull, after_step=_nothing,
                )  # fmt: skip
            except DivergenceError as error:
                raise UserError(
                    f"Joint pruning, epoch {epoch}: {error}. Try a smaller learning rate or rho; "
                    "the model given is as it was."
                ) from None
            if epoch % update_every == 0 or epoch == epochs:
                run.update()
            rows.append({"epoch": epoch, "loss": mean, **run.residuals()})
            if on_epoch is not None:
                on_epoch(rows[-1])
    masks, chosen = run.finish()
    return Gated(model.eval(), masks, chosen, pd.DataFrame(rows, columns=list(HISTORY)))


def box_with_sum(v: np.ndarray, total: float) -> np.ndarray:
    """The nearest z to v (m,) with 0 ≤ z ≤ 1 and Σ z = total: z = clip(v − τ, 0, 1), τ by Brent's method.

    Exact up to rounding (1e-12 in τ). Raises UserError unless 0 ≤ total ≤ m.
    """
    if not 0 <= total <= v.size:
        raise UserError(f"{total:g} of {v.size} gates cannot stay.")
    low, high = float(v.min()) - 1, float(v.max())
    tau = scipy.optimize.brentq(lambda t: np.clip(v - t, 0, 1).sum() - total, low, high, xtol=1e-12)
    return np.clip(v - float(tau), 0, 1)  # type: ignore[arg-type]


def sphere(v: np.ndarray) -> np.ndarray:
    """The nearest z to v (m,) with ‖z − ½‖² = m/4; where v is the centre, all ones."""
    away = v - 0.5
    norm = float(np.linalg.norm(away))
    return 0.5 + np.sqrt(v.size) / 2 * (away / norm if norm else np.full(v.shape, 1 / np.sqrt(v.size)))


class _Joint:
    """Variables, copies and duals of joint pruning."""

    def __init__(
        self,
        layers: Mapping[str, Layer],
        weights: Mapping[str, Keep] | Keep,
        gates: Mapping[str, Keep] | Keep,
        rho: float,
    ) -> None:
        self.layers, self.rho = layers, rho
        self.v = {name: torch.ones_like(_gate_like(layer), requires_grad=True) for name, layer in layers.items()}
        by_layer = isinstance(weights, Mapping)
        self.parts = [(name,) for name in layers] if by_layer else [tuple(layers)]
        self.budgets = [
            GlobalBudget(layers=part, of=Unstructured(weights[part[0]] if isinstance(weights, Mapping) else weights))
            for part in self.parts
        ]
        self.kept = []
        for part in self.parts:
            size = sum(self.v[name].numel() for name in part)
            self.kept.append(Unstructured(gates[part[0]] if isinstance(gates, Mapping) else gates).allowed(size))
        self.z1 = self._weights_projected({name: layer.weight.detach() for name, layer in layers.items()})
        self.z2 = {name: v.detach().clone() for name, v in self.v.items()}
        self.z3 = {name: v.detach().clone() for name, v in self.v.items()}
        self.u1 = {name: torch.zeros_like(z) for name, z in self.z1.items()}
        self.u2, self.u3 = ({name: torch.zeros_like(z) for name, z in self.z2.items()} for _ in range(2))

    def gated(self) -> dict[str, Tensor]:
        """Parameter name → v · W."""
        return {f"{name}.weight": layer.weight * _spread(self.v[name], layer) for name, layer in self.layers.items()}

    @torch.no_grad()
    def pull(self) -> None:
        """Add the penalties' gradients."""
        for name, layer in self.layers.items():
            w, v = layer.weight, self.v[name]
            assert w.grad is not None
            assert v.grad is not None
            w.grad.add_(w - self.z1[name] + self.u1[name], alpha=self.rho)
            v.grad.add_(2 * v - self.z2[name] + self.u2[name] - self.z3[name] + self.u3[name], alpha=self.rho)

    @torch.no_grad()
    def update(self) -> None:
        """All copies and duals."""
        w = {name: layer.weight.detach() for name, layer in self.layers.items()}
        v = {name: each.detach() for name, each in self.v.items()}
        self.z1 = self._weights_projected({name: w[name] + self.u1[name] for name in w})
        for part, kept in zip(self.parts, self.kept, strict=True):
            self.z2 |= _as_one(part, {n: v[n] + self.u2[n] for n in part}, lambda x, k=kept: box_with_sum(x, k))
            self.z3 |= _as_one(part, {n: v[n] + self.u3[n] for n in part}, sphere)
        for name in w:
            self.u1[name] += w[name] - self.z1[name]
            self.u2[name] += v[name] - self.z2[name]
            self.u3[name] += v[name] - self.z3[name]

    def residuals(self) -> dict[str, float]:
        """How far variables and copies are apart, over the norms of the variables."""
        w = {name: layer.weight.detach() for name, layer in self.layers.items()}
        v = {name: each.detach() for name, each in self.v.items()}
        gates = torch.cat([each.flatten() for each in v.values()])
        undecided = torch.minimum(gates.abs(), (gates - 1).abs()) > 0.1
        return {
            "primal_weights": _distance(w, self.z1),
            "primal_box": _distance(v, self.z2),
            "primal_sphere": _distance(v, self.z3),
            "gates_undecided": float(undecided.double().mean()),
        }

    @torch.no_grad()
    def finish(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The largest gates become 1, the others 0, and the weights left are pruned to their number."""
        chosen: dict[str, Tensor] = {}
        for part, kept in zip(self.parts, self.kept, strict=True):
            size = torch.cat([self.v[name].detach().abs().flatten() for name in part])
            mask = torch.zeros_like(size, dtype=torch.bool)
            mask[torch.sort(size, descending=True, stable=True).indices[:kept]] = True
            pieces = mask.split([self.v[name].numel() for name in part])
            chosen |= {n: piece.reshape(self.v[n].shape) for n, piece in zip(part, pieces, strict=True)}
        for name, layer in self.layers.items():
            layer.weight.mul_(_spread(chosen[name].to(layer.weight.dtype), layer))
        final = self._weights_projected({name: layer.weight.detach() for name, layer in self.layers.items()})
        for name, layer in self.layers.items():
            layer.weight.copy_(final[name])
        return {name: z != 0 for name, z in final.items()}, chosen

    def _weights_projected(self, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for budget in self.budgets:
            groups = {name: self.layers[name].groups for name in budget.layers}
            found |= budget.project({name: targets[name] for name in budget.layers}, groups)
        return found


def _as_one(part: tuple[str, ...], v: Mapping[str, Tensor], projection: Any) -> Iterator[tuple[str, Tensor]]:
    """Project the gates of several layers as one vector."""
    flat = torch.cat([v[name].flatten() for name in part])
    moved = torch.from_numpy(projection(flat.double().cpu().numpy())).to(flat.device, flat.dtype)
    pieces = moved.split([v[name].numel() for name in part])
    return ((name, piece.reshape(v[name].shape)) for name, piece in zip(part, pieces, strict=True))


def _gate_like(layer: Layer) -> Tensor:
    weight = layer.weight.detach()
    return weight.flatten(2).sum(2) if weight.ndim > 2 else weight.sum(1)


def _spread(gate: Tensor, layer: Layer) -> Tensor:
    return gate.reshape(*gate.shape, *[1] * (layer.weight.ndim - gate.ndim))


def _distance(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    apart = sum(float((a[name] - b[name]).square().sum()) for name in a)
    return (apart / sum(float(each.square().sum()) for each in a.values())) ** 0.5


def _nothing() -> None:
    pass
