"""Relatives of ADMM that share its copies, duals and projections.

Surrogate Lagrangian relaxation (SLR; Gurevin et al. 2021, arXiv 2012.10079) moves the multipliers Λ = ρU by steps of
its own, and only where the augmented Lagrangian

    L(W, Z, Λ) = f(W) + ⟨Λ, W − Z⟩ + ρ/2 ‖W − Z‖²

fell ("surrogate optimality"), W − Z over all layers and copies as one vector. At update k = 1, 2, …

    1. if L(Wᵏ, Zᵏ⁻¹, Λ) < L(Wᵏ⁻¹, Zᵏ⁻¹, Λ):  s ← aₖ s ‖Wᵏ⁻¹ − Zᵏ⁻¹‖ / ‖Wᵏ − Zᵏ⁻¹‖,   Λ ← Λ + s (Wᵏ − Zᵏ⁻¹)
    2. Zᵏ ← projection of Wᵏ + Λ/ρ
       if L(Wᵏ, Zᵏ, Λ) < L(Wᵏ, Zᵏ⁻¹, Λ):      s ← aₖ s ‖Wᵏ − Zᵏ⁻¹‖ / ‖Wᵏ − Zᵏ‖,       Λ ← Λ + s (Wᵏ − Zᵏ)

with aₖ = 1 − 1/(M k^(1 − 1/kʳ)). The published formula of step 2 has ‖Wᵏ⁻¹ − Zᵏ⁻¹‖ above the line; here each step
contracts s times the gap by aₖ from the gap just before it, which is what the method's theory asks (steps otherwise
grow without bound as W and Z meet). On convex problems it converges, fastest with s⁰ near ρ and M below 10; with s⁰
far below ρ and a small M the steps shrink before the multipliers have arrived. f is the mean training loss in
evaluation mode.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from admm import solver
from admm.plan import Schedule
from admm.solver import Copies, Residuals

FIRST_STEP, M, R = 0.01, 300.0, 0.1
"""Options of the authors' public code as the literature notes report them."""


@dataclass
class Surrogate:
    """Where SLR stands: k updates are behind us; step: s; gap: ‖W − Z‖; value: L, both at the last W, Z and Λ."""

    step: float
    k: int = 0
    gap: float = math.nan
    value: float = math.nan
    accepted: int = 0

    def note(self, copies: Iterable[Copies], rho: float, loss: float) -> None:
        """Remember gap and Lagrangian of the state as it is, f(W) = loss."""
        copies = list(copies)
        self.gap, self.value = gap(copies), loss + penalty(copies, rho)


def begin(copies: Iterable[Copies], rho: float, loss: float, schedule: Schedule) -> Surrogate:
    """The state of SLR before its first update."""
    found = Surrogate(step=schedule.slr_step or FIRST_STEP)
    found.note(copies, rho, loss)
    return found


def factor(k: int, schedule: Schedule) -> float:
    """The contraction aₖ of the step, between 0 and 1, towards 1."""
    m, r = schedule.slr_m or M, schedule.slr_r or R
    return 1 - 1 / (m * k ** (1 - 1 / k**r))


def update(
    copies: Mapping[str, Copies],
    rho: float,
    state: Surrogate,
    loss: float,
    schedule: Schedule,
    choose: Callable[[], Mapping[str, Tensor]],
) -> list[Residuals]:
    """One update of all copies and duals by SLR, in place; loss: f at the weights as they are.

    choose(): what the Y-steps keep of W + U, once the multipliers have made their first move.
    """
    state.k += 1
    everything = list(copies.values())
    a, before = factor(state.k, schedule), gap(everything)
    if loss + penalty(everything, rho) < state.value:
        _move(everything, rho, state, a * state.gap, before)
    old = penalty(everything, rho)
    live = choose()
    found = [r for name, each in copies.items() for r in solver.project(each, rho, live.get(name))]
    if penalty(everything, rho) < old:
        _move(everything, rho, state, a * before, gap(everything))
    else:
        for each in everything:
            solver.ascend(each, 0.0)
    return found


def gap(copies: Iterable[Copies]) -> float:
    """‖W − Z‖ over all copies, dead entries of quantised layers left out."""
    return math.hypot(*(float(difference.norm()) for difference, _ in _gaps(copies)))


def penalty(copies: Iterable[Copies], rho: float) -> float:
    """⟨Λ, W − Z⟩ + ρ/2 ‖W − Z‖² over all copies."""
    return sum(rho * float((d * dual).sum() + d.square().sum() / 2) for d, dual in _gaps(copies))


def _move(copies: list[Copies], rho: float, state: Surrogate, above: float, below: float) -> None:
    """Λ ← Λ + s (W − Z) with s ← s · above / below; nothing to move where W and Z have met."""
    if not below:
        return
    state.step *= above / below
    state.accepted += 1
    for each in copies:
        solver.ascend(each, state.step / rho)


def _gaps(copies: Iterable[Copies]) -> list[tuple[Tensor, Tensor]]:
    """Difference and scaled dual of every copy."""
    found = []
    for each in copies:
        w = each.layer.weight.detach()
        if each.y is not None and each.u is not None:
            found.append((w - each.y, each.u))
        if each.z is not None and each.v is not None:
            found.append(((w - each.z).masked_fill(~each.live, 0), each.v))
    return found
