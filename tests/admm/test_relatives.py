"""ADMM, with every rule for rho, and SLR on convex problems: least squares with weights that must be zero."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from admm import Schedule, relatives, solver
from admm.constraints import Levels, Unstructured
from admm.constraints.support import Support
from admm.layers import Layer
from admm.schedules import converged, next_rho


@dataclass(frozen=True)
class Subspace(Support):
    """A convex set: weights outside a given support are zero."""

    support: torch.Tensor

    def cells(self, shape, groups=1):
        return torch.zeros(tuple(shape), dtype=torch.int64)

    def cover(self, w, groups=1):
        return self.support

    def holds(self, w, groups=1):
        return not bool((w[~self.support] != 0).any())

    def mask(self, w, groups=1):
        return self.support

    def check(self, shape, groups=1):
        pass


class LeastSquares:
    """½‖W A − B‖² over W (3, 5), with W-steps in closed form, W zero outside a support."""

    def __init__(self, seed):
        generator = torch.Generator().manual_seed(seed)
        self.a = torch.randn(5, 12, generator=generator, dtype=torch.float64) / 3
        self.b = torch.randn(3, 12, generator=generator, dtype=torch.float64)
        self.support = torch.rand(3, 5, generator=generator) < 0.5
        module = nn.Linear(5, 3, dtype=torch.float64)
        self.layer = Layer("fc", module, (Subspace(self.support),), None)
        with torch.no_grad():
            module.weight.copy_(self.minimum(torch.zeros(3, 5, dtype=torch.float64), 1e-9))

    def loss(self):
        return float((self.layer.weight.detach() @ self.a - self.b).square().sum() / 2)

    def minimum(self, target, rho):
        """argmin of the loss + rho/2 ‖W − target‖²."""
        normal = self.a @ self.a.T + rho * torch.eye(5, dtype=torch.float64)
        return torch.linalg.solve(normal, (self.b @ self.a.T + rho * target).T).T

    def step(self, copies, rho):
        with torch.no_grad():
            self.layer.weight.copy_(self.minimum(copies.y - copies.u, rho))

    def truth(self):
        """By scipy, row by row: bounds pin what must be zero."""
        rows = []
        for support, b in zip(self.support.numpy(), self.b.numpy(), strict=True):
            row = np.zeros(5)
            if support.any():
                row[support] = scipy.optimize.lsq_linear(self.a.numpy()[support].T, b).x
            rows.append(row)
        return torch.tensor(np.array(rows))


@settings(deadline=None, max_examples=3, derandomize=True)
@given(st.integers(0, 2**31), st.sampled_from(["grow", "balance"]))
def test_admm_finds_the_optimum_with_every_rule_for_rho(seed, rule):
    problem = LeastSquares(seed)
    schedule = Schedule(rho=0.05, rho_rule=rule, rho_growth=1.0 if rule == "grow" else 2.0)
    copies, rho = solver.begin(problem.layer, None, prune=True, quantise=False), schedule.rho
    for _ in range(1500):
        problem.step(copies, rho)
        found = solver.update(copies, rho)
        if converged(found, rho, 1e-9):
            break
        after = next_rho(rho, schedule, found)
        solver.rescale(copies, after / rho)
        rho = after
    torch.testing.assert_close(copies.y, problem.truth(), atol=1e-5, rtol=1e-4)


@settings(deadline=None, max_examples=3, derandomize=True)
@given(st.integers(0, 2**31))
def test_slr_finds_the_optimum(seed):
    problem = LeastSquares(seed)
    schedule = Schedule(solver="slr", slr_step=1.2, slr_m=8.0, slr_r=0.1)
    rho = 2.0
    copies = solver.begin(problem.layer, None, prune=True, quantise=False)
    everything = {"fc": copies}
    state = relatives.begin([copies], rho, problem.loss(), schedule)
    for _ in range(600):
        problem.step(copies, rho)
        loss = problem.loss()
        relatives.update(everything, rho, state, loss, schedule, lambda: solver.choose(everything))
        state.note([copies], rho, loss)
        if state.gap < 1e-6:
            break
    assert state.accepted > 0
    torch.testing.assert_close(copies.y, problem.truth(), atol=1e-3, rtol=1e-2)


def test_the_step_rule_of_slr():
    schedule = Schedule(solver="slr", slr_m=50.0, slr_r=0.3)
    factors = [relatives.factor(k, schedule) for k in range(1, 400)]
    assert factors[0] == pytest.approx(1 - 1 / 50)  # k^0
    assert factors[9] == pytest.approx(1 - 1 / (50 * 10 ** (1 - 10**-0.3)))
    assert all(0 < a < b < 1 for a, b in itertools.pairwise(factors))
    assert math.prod(factors) < 0.9  # steps may shrink without end


def test_multipliers_move_only_where_the_lagrangian_fell():
    problem = LeastSquares(1)
    schedule = Schedule(solver="slr")
    copies = solver.begin(problem.layer, None, prune=True, quantise=False)
    state = relatives.begin([copies], 0.3, problem.loss(), schedule)
    with torch.no_grad():
        problem.layer.weight.add_(10.0)  # a W-step that went wrong
    u = copies.u.clone()
    state.value = -1.0
    copies.y = copies.layer.weight.detach().masked_fill(~problem.support, 0)  # nothing to gain in the Z-step either
    relatives.update({"fc": copies}, 0.3, state, problem.loss(), schedule, lambda: {"fc": problem.support})
    assert state.accepted == 0
    assert state.step == relatives.FIRST_STEP
    assert torch.equal(copies.u, u)


@settings(deadline=None, max_examples=3, derandomize=True)
@given(st.integers(0, 2**31), st.floats(0.01, 5.0))
def test_penalty_and_gap_are_those_of_both_copies(seed, rho):
    generator = torch.Generator().manual_seed(seed)
    w, y, u, z, v = (torch.randn(3, 4, generator=generator) for _ in range(5))
    module = nn.Linear(4, 3)
    with torch.no_grad():
        module.weight.copy_(w)
    live = torch.rand(3, 4, generator=generator) < 0.7
    layer = Layer("fc", module, (Unstructured(0.5),), Levels((-1.0, 1.0), 1.0))
    copies = solver.Copies(layer, live, y=y, u=u, z=z, v=v)
    gaps = torch.cat([(w - y).flatten(), (w - z)[live]])
    duals = rho * torch.cat([u.flatten(), v[live]])
    assert relatives.gap([copies]) == pytest.approx(float(gaps.norm()), rel=1e-5)
    expected = float(duals @ gaps + rho / 2 * gaps.square().sum())
    assert relatives.penalty([copies], rho) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_residuals_out_of_balance_move_rho():
    def residuals(primal, dual):
        return [solver.Residuals("fc", "prune", primal, dual, 1.0)]

    schedule = Schedule(rho_rule="balance", rho_growth=2.0)
    assert next_rho(1.0, schedule, residuals(11.0, 1.0)) == 2.0
    assert next_rho(1.0, schedule, residuals(1.0, 11.0)) == 0.5
    assert next_rho(1.0, schedule, residuals(9.0, 1.0)) == 1.0
    tight = Schedule(rho_rule="balance", rho_growth=2.0, rho_threshold=5.0)
    assert next_rho(1.0, tight, residuals(9.0, 1.0)) == 2.0
    assert not converged(residuals(0.1, 0.0), 1.0, None)
    assert converged(residuals(0.1, 0.1), 1.0, 0.1)
    assert not converged(residuals(0.1, 0.1), 0.5, 0.1)
    assert not converged([], 1.0, 0.1)
