import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from admm import solver
from admm.constraints import Column, Filter, Levels, Unstructured
from admm.layers import Layer

LEVELS = Levels((-1.0, -0.5, 0.5, 1.0), 1.0)


def layer(weights, prune=(), levels=None):
    module = nn.Linear(weights.shape[1], weights.shape[0])
    with torch.no_grad():
        module.weight.copy_(weights)
    return Layer("fc", module, tuple(prune), levels)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.floats(1e-4, 10.0))
def test_pull_is_the_gradient_of_the_squared_penalties(seed, rho):
    weights, y, u, z, v = (randn(4, 6, seed=seed + i) for i in range(5))
    it = layer(weights, [Filter(0.5)], LEVELS)
    live = randn(4, 6, seed=seed + 9) > 0
    copies = solver.Copies(it, live, y=y, u=u, z=z, v=v)
    penalty = rho / 2 * (it.weight - y + u).square().sum() + rho / 2 * (it.weight - z + v)[live].square().sum()
    (expected,) = torch.autograd.grad(penalty, it.weight)
    it.weight.grad = torch.ones_like(weights)
    solver.pull(copies, rho)
    torch.testing.assert_close(it.weight.grad, expected + 1)


def test_an_update_is_the_textbook_step():
    w, u, v = randn(4, 6), randn(4, 6, seed=1), randn(4, 6, seed=2)
    it = layer(w, [Filter(2), Column(3)], LEVELS)
    y0, z0 = randn(4, 6, seed=3), randn(4, 6, seed=4)
    copies = solver.Copies(it, torch.ones(4, 6, dtype=torch.bool), y=y0, u=u, z=z0, v=v)
    prune, quantise = solver.update(copies, 0.25)
    y = Column(3).project(Filter(2).project(w + u))
    live = y != 0
    z = torch.where(live, LEVELS.project(w + v), w + v)
    assert torch.equal(copies.y, y)
    assert torch.equal(copies.live, live)
    assert torch.equal(copies.z, z)
    torch.testing.assert_close(copies.u, u + w - y)
    torch.testing.assert_close(copies.v, torch.where(live, v + w - z, torch.zeros(())))
    assert (copies.v[~live] == 0).all()
    assert prune.primal == pytest.approx(float((w - y).norm()))
    assert prune.dual == pytest.approx(0.25 * float((y - y0).norm()))
    assert quantise.primal == pytest.approx(float((w - z)[live].norm()))
    assert quantise.dual == pytest.approx(0.25 * float((z - z0)[live].norm()))
    assert prune.norm == pytest.approx(float(w.norm()))


def solve(target, prune, levels, rho=1.5, rounds=400):
    """ADMM on f(W) = ½‖W − A‖², whose W-step has a closed form."""
    it = layer(target, prune, levels)
    copies = solver.begin(it, None, prune=True, quantise=True)
    primal = []
    for _ in range(rounds):
        numerator, denominator = target.clone(), torch.ones_like(target)
        if copies.y is not None:
            numerator += rho * (copies.y - copies.u)
            denominator += rho
        if copies.z is not None:
            numerator += rho * copies.live * (copies.z - copies.v)
            denominator += rho * copies.live
        with torch.no_grad():
            it.weight.copy_(numerator / denominator)
        primal.append(max(r.primal for r in solver.update(copies, rho)))
    return it, copies, primal


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31))
def test_admm_finds_the_closed_form_solution_of_a_quadratic(seed):
    # min ½‖W − A‖² over a set is the projection of A on it; a gap between kept and dropped makes it robust.
    target = randn(4, 5, seed=seed).sign() * torch.linspace(0.05, 1.0, 20).reshape(5, 4).T
    it, _, primal = solve(target, [Unstructured(8)], None)
    torch.testing.assert_close(it.weight.detach(), Unstructured(8).project(target), atol=1e-4, rtol=0)
    assert primal[-1] < 1e-4 < primal[0]


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31))
def test_two_copies_agree_on_levels_where_zero_is_no_level(seed):
    generator = torch.Generator().manual_seed(seed)
    offset = torch.rand(4, 5, generator=generator) * 0.2 - 0.1
    level = torch.tensor([-1.0, -0.5, 0.5, 1.0])[torch.randint(0, 4, (4, 5), generator=generator)]
    target = level + offset
    target[:, :2] *= 0.1  # weak columns, to be pruned
    it, copies, primal = solve(target, [Column(3)], LEVELS)
    w = it.weight.detach()
    assert primal[-1] < 1e-3
    assert torch.allclose(w[:, :2], torch.zeros(()), atol=1e-3)
    assert torch.allclose(w[:, 2:], level[:, 2:], atol=1e-3)
    assert torch.equal(copies.live, Column(3).mask(target))


def test_a_growing_rho_leaves_the_unscaled_duals_alone():
    it = layer(randn(3, 4), [Filter(1)], LEVELS)
    copies = solver.begin(it, None, prune=True, quantise=True)
    solver.update(copies, 0.1)
    assert copies.u is not None
    assert copies.v is not None
    before = 0.1 * copies.u, 0.1 * copies.v
    solver.rescale(copies, 1.3)
    torch.testing.assert_close(0.13 * copies.u, before[0])
    torch.testing.assert_close(0.13 * copies.v, before[1])


def test_the_mask_takes_over_from_the_pruning_copy():
    w = randn(3, 4)
    it = layer(w, [Filter(1)], LEVELS)
    copies = solver.begin(it, None, prune=True, quantise=True)
    solver.update(copies, 1.0)
    assert copies.v is not None
    mask = ~copies.live
    mask[0] = True
    after = solver.under_mask(copies, mask)
    assert after.y is None
    assert after.v is not None
    assert after.z is not None
    carried = mask & copies.live
    assert torch.equal(after.v[carried], copies.v[carried])
    assert (after.v[~carried] == 0).all()
    assert torch.equal(after.z[mask], LEVELS.project(w + after.v)[mask])


def test_layers_with_nothing_to_do_have_no_copy():
    copies = solver.begin(layer(randn(2, 3), [], LEVELS), None, prune=True, quantise=False)
    assert copies.y is None
    assert copies.z is None
    assert copies.live.all()
    assert solver.update(copies, 1.0) == []
