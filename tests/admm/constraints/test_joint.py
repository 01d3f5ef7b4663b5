"""Pruning and levels as one set, and one budget for several layers: against brute force and an integer program."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from admm.constraints import (
    NM,
    Binary,
    Channel,
    Cluster,
    Column,
    ColumnBalanced,
    Filter,
    GlobalBudget,
    Joint,
    Kernel,
    Levels,
    Pattern,
    Polarised,
    Ternary,
    Uniform,
    Unstructured,
    nearest,
)
from hwmodels.errors import UserError

OPEN = Levels((-1.0, -0.4, 0.4, 1.0), 1.5)  # zero is not among them
PAIR = Levels((-1.0, -0.5, 0.0, 0.5, 1.0), 1.5)
LOPSIDED = Levels((-1.0, -0.1, 0.7), 1.5)
SETS = {
    "unstructured": (Unstructured(3),),
    "filter": (Filter(1),),
    "column": (Column(2),),
    "kernel": (Kernel(2),),
    "balanced": (ColumnBalanced(2, 1),),
    "n_m": (NM(1, 2, "rows"),),
    "pattern": (Pattern(2, 2, ((0, 1), (1, 2))),),
    "polarised": (Polarised(2),),
    "balanced in filter": (Filter(1), ColumnBalanced(2, 1)),
    "polarised in filter": (Filter(1), Polarised(3)),
}
TINY = (2, 1, 1, 3)
cases = st.tuples(st.sampled_from(sorted(SETS)), st.sampled_from([OPEN, PAIR, LOPSIDED]), st.integers(0, 2**31))


def error(w, projected):
    return float((w.double() - projected.double()).square().sum())


def brute_force(w, joint, grid):
    """The distance to the nearest member among those with every weight dead or at a nearest level of some sign."""
    ones = torch.ones_like(w, dtype=torch.int8)
    choices = [torch.zeros_like(w), nearest(w, grid), nearest(w, grid, signs=ones), nearest(w, grid, signs=-ones)]
    each = [sorted({c.reshape(-1)[i].item() for c in choices}) for i in range(w.numel())]
    points = torch.tensor(list(itertools.product(*each))).reshape(-1, *w.shape)
    distance = (points - w).double().square().flatten(1).sum(1)
    return next(float(distance[i]) for i in distance.sort().indices if joint.holds(points[i]))


@settings(deadline=None, max_examples=60)
@given(cases)
def test_with_given_levels_the_projection_is_the_nearest_member(case):
    name, levels, seed = case
    joint = Joint(SETS[name], levels)
    w = torch.randn(TINY, generator=torch.Generator().manual_seed(seed))
    assert joint.exact(w.shape)
    projected = joint.project(w)
    assert joint.holds(projected)
    assert torch.equal(joint.project(projected), projected)
    assert error(w, projected) == pytest.approx(brute_force(w, joint, levels.grid(w)), rel=1e-5, abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from(sorted(SETS)), st.sampled_from([Binary(), Ternary(), Uniform(2), Cluster(3)]), st.integers(0, 2**31)
)
def test_with_fitted_levels_it_is_a_member_and_never_worse_than_one_after_the_other(name, levels, seed):
    if not levels.both_signs and any(isinstance(s, Polarised) for s in SETS[name]):
        return
    joint = Joint(SETS[name], levels)
    w = torch.randn(4, 2, 1, 3, generator=torch.Generator().manual_seed(seed))
    assert not joint.exact(w.shape)
    projected = joint.project(w)
    assert joint.holds(projected)
    assert torch.equal(joint.project(projected), projected)
    pruned = Joint(SETS[name]).solve(w)
    grid = levels.grid(w, pruned.live)
    assert error(w, projected) <= error(w, nearest(w, grid, pruned.live, pruned.signs)) * (1 + 1e-6)


def test_the_gap_of_a_fitted_scale_to_the_optimum():
    """Three of six weights at ±a: the best a for each of the 20 supports is their mean magnitude, a closed form."""
    gaps = []
    for seed in range(100):
        w = torch.randn(1, 6, generator=torch.Generator().manual_seed(seed))
        m = w.abs().double().reshape(-1)
        saved = [m[list(s)].sum() ** 2 / n for n in (1, 2, 3) for s in itertools.combinations(range(6), n)]
        best = float((m**2).sum() - max(saved))
        gaps.append(error(w, Joint((Unstructured(3),), Binary()).project(w)) / best - 1)
    assert min(gaps) > -1e-4  # a fitted scale has 16 bits
    assert np.mean(gaps) < 0.02
    assert max(gaps) < 0.5


def test_what_gains_most_stays_not_what_is_largest():
    levels = Levels((-1.0, 1.0), 1.0)
    w = torch.tensor([[3.0, 1.0, 0.4]])
    assert Joint((Unstructured(1),), levels).project(w).tolist() == [[1.0, 0.0, 0.0]]  # 9 − 4 against 1 − 0
    w = torch.tensor([[0.4, 0.3, -0.2]])
    assert Joint((Unstructured(2),), levels).project(w).tolist() == [[0.0, 0.0, 0.0]]  # at most two, and none is best
    w = torch.tensor([[1.0, 0.45], [0.8, 0.8]])
    assert Filter(1).project(w).tolist() == [[0.0, 0.0], [pytest.approx(0.8)] * 2]
    w = torch.tensor([[1.0, 0.6], [1.18, 0.1]])
    assert Filter(1).project(w)[0].tolist() == [0.0, 0.0]  # the second filter is larger
    assert Joint((Filter(1),), levels).project(w).tolist() == [[1.0, 1.0], [0.0, 0.0]]  # but nearer to its levels


def test_overlapping_sets_take_turns():
    joint = Joint((Filter(2), Channel(2)), OPEN)
    w = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    assert not joint.exact(w.shape)
    assert joint.holds(joint.project(w))
    assert joint.solve(w).live.sum() <= 4


def test_mistakes_are_named():
    w = torch.ones(2, 4)
    with pytest.raises(UserError, match="at most one Polarised"):
        Joint((Polarised(2), Polarised(4))).project(w)
    with pytest.raises(UserError, match=r"Polarised needs levels above and below zero"):
        Joint((Polarised(2),), Levels((0.5, 1.0))).project(w)
    with pytest.raises(UserError, match="NaN or infinity"):
        Joint((Filter(1),)).project(w * float("nan"))
    assert not Joint((Filter(1),), OPEN).holds(w)
    assert not Joint((Filter(2),), OPEN).holds(w)


# One budget for several layers ----------------------------------------------------------------------------------------


def layers(seed, shapes=((3, 2), (2, 3), (2, 2))):
    generator = torch.Generator().manual_seed(seed)
    return {f"fc{i}": torch.randn(shape, generator=generator) for i, shape in enumerate(shapes)}


def supports(weights, of):
    """Every choice of groups over all layers: their number, and the energy that each keeps."""
    energies = []
    for name, w in weights.items():
        labels = of.labels(w.shape)
        energies += [
            (name, w[labels == g].double().square().sum().item(), int((labels == g).sum()))
            for g in range(int(labels.max()) + 1)
        ]
    return energies


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.sampled_from([Filter, Column]), st.integers(3, 6), st.integers(0, 1))
def test_a_shared_budget_keeps_the_best_groups_of_all_layers(seed, kind, keep, floor):
    weights = layers(seed)
    budget = GlobalBudget(layers=("*",), of=kind(keep), floor=floor)
    groups = supports(weights, budget.of)
    best = max(
        sum(groups[i][1] for i in chosen)
        for chosen in itertools.combinations(range(len(groups)), keep)
        if not floor or {groups[i][0] for i in chosen} == set(weights)
    )
    projected = budget.project(weights)
    assert sum(float(w.double().square().sum()) for w in projected.values()) == pytest.approx(best)
    assert budget.holds(projected)
    again = budget.project(projected)
    assert all(torch.equal(again[name], projected[name]) for name in weights)
    assert not floor or all((w != 0).any() for w in projected.values())


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.floats(0.2, 0.9))
def test_a_budget_of_weights_is_short_of_the_knapsack_by_less_than_one_group(seed, keep):
    weights = layers(seed, ((3, 2), (2, 5), (4, 3)))
    budget = GlobalBudget(layers=("*",), of=Filter(keep), cost="weights", floor=0)
    groups = supports(weights, budget.of)
    gain, size = np.array([g[1] for g in groups]), np.array([g[2] for g in groups], dtype=float)
    room = max(1, int(keep * size.sum() + 1e-9))
    found = milp(
        -gain, constraints=LinearConstraint(size, ub=room), bounds=Bounds(0, 1), integrality=np.ones(len(gain))
    )
    projected = budget.project(weights)
    kept = sum(float(w.double().square().sum()) for w in projected.values())
    assert sum(int((w != 0).sum()) for w in projected.values()) <= room
    assert -found.fun - gain.max() <= kept <= -found.fun + 1e-9
    assert budget.holds(projected)


def test_one_group_too_many_over_all_layers_is_seen():
    budget = GlobalBudget(layers=("a", "b"), of=Unstructured(3))
    assert budget.holds({"a": torch.ones(1, 2), "b": torch.tensor([[1.0, 0.0]])})
    assert not budget.holds({"a": torch.ones(1, 2), "b": torch.ones(1, 2)})


def test_impossible_budgets_are_named():
    weights = layers(0)
    with pytest.raises(UserError, match=r"asks for 8 groups, but the layers together have 7\."):
        GlobalBudget(layers=("*",), of=Filter(8)).project(weights)
    with pytest.raises(
        UserError, match=r"leaves less than floor = 1 groups for each of 3 layers\. Keep more, or lower"
    ):
        GlobalBudget(layers=("*",), of=Filter(2)).project(weights)
    with pytest.raises(UserError, match="NaN or infinity"):
        GlobalBudget(layers=("*",), of=Filter(2)).holds({"a": torch.full((2, 2), float("nan"))})
    with pytest.raises(ValueError, match="at least 1 item"):
        GlobalBudget(layers=(), of=Filter(2))
