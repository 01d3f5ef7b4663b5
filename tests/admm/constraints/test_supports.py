"""The pruning sets that bind small parts, signs or kernels, against brute force; the groups of arrays by hand."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from admm.constraints import (
    NM,
    ArrayColumn,
    ArrayRow,
    ColumnBalanced,
    Filter,
    Joint,
    Kernel,
    Levels,
    Pattern,
    Polarised,
    Unstructured,
    is_nested,
    nested_mask,
)
from admm.constraints.nested import alternating_mask, kept_energy
from crossbar.tiling import to_matrix
from hwmodels.errors import UserError

LIBRARY = ((0, 1), (1, 3), (2, 3))
SETS = {
    "kernel": Kernel(0.5),
    "array_row": ArrayRow(cols=2, keep=0.4),
    "array_column": ArrayColumn(rows=3, keep=0.4),
    "n_m_rows": NM(1, 3, "rows"),
    "n_m_channels": NM(1, 2, "channels"),
    "n_m_cols": NM(1, 2, "cols"),
    "balanced": ColumnBalanced(rows=3, live=2),
    "pattern": Pattern(2, 3, LIBRARY),
    "polarised_w": Polarised(3, "W"),
    "polarised_h": Polarised(3, "H"),
    "polarised_c": Polarised(3, "C"),
}
SHAPES = [((2, 2, 2, 2), 1), ((4, 1, 2, 2), 2), ((3, 1, 2, 2), 1)]
TINY = [((2, 1, 2, 2), 1), ((1, 2, 2, 2), 1), ((2, 1, 2, 2), 2)]  # 2^8 subsets
cases = st.tuples(st.sampled_from(sorted(SETS)), st.sampled_from(SHAPES), st.integers(0, 2**31))


def draw(case):
    """A set and integer weights (so that ties and zeros happen)."""
    name, (shape, groups), seed = case
    w = torch.randint(-3, 4, shape, generator=torch.Generator().manual_seed(seed)).float()
    return SETS[name], w, groups


def subsets(w):
    """Every tensor that keeps some of the weights of w and zeroes the others."""
    flat = w.reshape(-1)
    bits = torch.tensor(list(itertools.product([0.0, 1.0], repeat=flat.numel())))
    return (bits * flat).reshape(-1, *w.shape)


@settings(deadline=None, max_examples=60)
@given(st.tuples(st.sampled_from(sorted(SETS)), st.sampled_from(TINY), st.integers(0, 2**31)))
def test_projection_is_the_best_of_all_subsets_that_hold(case):
    # A nearest point only zeroes weights: to move another one could not help, in any of these sets.
    constraint, w, groups = draw(case)
    candidates = subsets(w)
    distance = (candidates - w).square().flatten(1).sum(1)
    best = next(float(distance[i]) for i in distance.sort().indices if constraint.holds(candidates[i], groups))
    assert float((w - constraint.project(w, groups)).square().sum()) == best


@settings(deadline=None, max_examples=100)
@given(cases)
def test_projection_is_feasible_idempotent_and_covered_by_its_mask(case):
    constraint, w, groups = draw(case)
    projected = constraint.project(w, groups)
    assert constraint.holds(projected, groups)
    assert torch.equal(constraint.project(projected, groups), projected)
    mask = constraint.mask(w, groups)
    assert torch.equal(projected, torch.where(mask, w, torch.zeros(())))
    assert torch.equal(constraint.cover(projected, groups) & mask, constraint.cover(projected, groups))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from("WHC"), st.integers(1, 5), st.integers(0, 2**31))
def test_polarity_of_given_signs_is_convex_and_its_projection_nowhere_stretches(order, fragment, seed):
    generator = torch.Generator().manual_seed(seed)
    a, b, c = torch.randn(3, 3, 2, 2, 2, generator=generator)
    constraint = Polarised(fragment, order)
    signs = constraint.signs(c)
    pa, pb = (w.masked_fill(~constraint.mask(w, 1, signs), 0) for w in (a, b))
    assert (pa - pb).norm() <= (a - b).norm() * (1 + 1e-6)
    assert constraint.holds(pa)
    assert constraint.holds((pa + pb) / 2)
    free = constraint.project(a)
    assert (a - free).norm() <= (a - pa).norm() + 1e-6  # over all signs at least as near


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(2, 5))
def test_balanced_columns_agree_with_an_integer_program(seed, live, rows):
    w = torch.randn(3, 7, generator=torch.Generator().manual_seed(seed))
    live = min(live, rows)
    columns = [(c, range(r, min(r + rows, 7))) for c in range(3) for r in range(0, 7, rows)]
    a = np.array([[float(c == f and r in strip) for f in range(3) for r in range(7)] for c, strip in columns])
    found = milp(
        -w.double().square().numpy().reshape(-1),
        constraints=LinearConstraint(a, ub=live),
        bounds=Bounds(0, 1),
        integrality=np.ones(21),
    )
    kept = ColumnBalanced(rows, live).mask(w)
    assert kept_energy(w, kept) == pytest.approx(-found.fun)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31))
def test_patterns_agree_with_an_integer_program(seed):
    w = torch.randn(3, 2, 2, 2, generator=torch.Generator().manual_seed(seed))
    e = w.double().square().reshape(6, 4).numpy()
    gain = np.array([[sum(kernel[list(p)]) for p in LIBRARY] for kernel in e])
    one_each = np.kron(np.eye(6), np.ones(3))
    found = milp(
        -gain.reshape(-1), constraints=LinearConstraint(one_each, ub=1), bounds=Bounds(0, 1), integrality=np.ones(18)
    )
    assert kept_energy(w, Pattern(2, 3, LIBRARY).mask(w)) == pytest.approx(-found.fun)


def test_where_the_parts_lie():
    shape = (4, 4, 1, 3)  # M: 12 rows (channel, kw), 4 columns
    row = to_matrix(ArrayRow(cols=3, keep=1.0).labels(shape))[0]
    assert row[5].tolist() == [10, 10, 10, 11]
    column = to_matrix(ArrayColumn(rows=5, keep=1.0).labels(shape))[0]
    assert column[:, 1].tolist() == [1] * 5 + [5] * 5 + [9] * 2
    assert torch.equal(to_matrix(ColumnBalanced(5, 1).cells(shape))[0], column)
    assert Kernel(1.0).count(shape) == 16
    assert to_matrix(Kernel(1.0).labels(shape))[0][:, 2].tolist() == [8] * 3 + [9] * 3 + [10] * 3 + [11] * 3
    by_rows, by_channels, by_cols = (to_matrix(NM(1, 2, axis).cells(shape))[0] for axis in ("rows", "channels", "cols"))
    assert by_rows[:6, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert by_channels[:6, 0].tolist() == [0, 2, 4, 0, 2, 4]  # channels 0 and 1 at each kw
    assert by_channels[6:, 0].tolist() == [1, 3, 5, 1, 3, 5]
    assert by_cols[0].tolist() == [0, 0, 1, 1]
    shape = (1, 2, 2, 2)
    fragments = {order: Polarised(2, order).cells(shape).reshape(-1).tolist() for order in "WHC"}
    assert fragments == {"W": [0, 0, 1, 1, 2, 2, 3, 3], "H": [0, 1, 0, 1, 2, 3, 2, 3], "C": [0, 1, 2, 3, 0, 1, 2, 3]}


@pytest.mark.parametrize("name", [name for name in SETS if not name.startswith("polarised")])
def test_one_weight_too_many_is_seen(name):
    constraint = SETS[name]
    w = constraint.project(torch.randn(4, 4, 2, 2, generator=torch.Generator().manual_seed(0)))
    w[tuple((w == 0).nonzero()[0])] = 1e-30
    assert not constraint.holds(w)


def test_the_sum_of_a_fragment_decides_where_the_rule_says_so():
    w = torch.tensor([[3.0, -1.0, -1.0, -1.5, 0.5, -0.5]])  # the sums of both fragments of three: 1 and −1.5
    by_energy, by_sum = Polarised(3), Polarised(3, rule="sum")
    assert by_energy.signs(w).tolist() == [[1, 1, 1, -1, -1, -1]]
    assert by_sum.signs(w).tolist() == [[1, 1, 1, -1, -1, -1]]
    w = torch.tensor([[3.0, -2.0, -2.0, 1.0, -0.5, -0.5]])  # energies 9 : 8, sum −1; a sum of 0 is plus
    assert by_energy.signs(w).tolist() == [[1] * 6]
    assert by_sum.signs(w).tolist() == [[-1, -1, -1, 1, 1, 1]]
    assert by_sum.project(w).tolist() == [[0.0, -2.0, -2.0, 1.0, 0.0, 0.0]]
    assert by_sum.holds(by_sum.project(w))
    assert (w - by_energy.project(w)).norm() < (w - by_sum.project(w)).norm()
    levels = Levels((-1.0, 1.0), 2.0)
    assert Joint((by_sum,), levels).solve(w).signs.tolist() == by_sum.signs(w).tolist()
    assert Joint((by_energy,), levels).exact(w.shape)
    assert not Joint((by_sum,), levels).exact(w.shape)


def test_one_wrong_sign_is_seen():
    w = SETS["polarised_w"].project(torch.randn(4, 4, 2, 2, generator=torch.Generator().manual_seed(0)))
    w[tuple((w == 0).nonzero()[0])] = 1e-30 * -w[0, 0, 0, 0].sign()
    signs = SETS["polarised_w"].signs(w)
    w[0, 0, 0, 0], w[0, 0, 0, 1] = 1e-30, -1e-30
    assert not SETS["polarised_w"].holds(w)
    assert set(signs.unique().tolist()) <= {-1, 1}


def test_the_larger_energy_decides_the_sign_not_the_sum():
    w = torch.tensor([[1.0, 1.0, 1.0, -1.6]])  # the sum is positive; 3 > 2.56 too
    assert Polarised(4).project(w).tolist() == [[1.0, 1.0, 1.0, 0.0]]
    w = torch.tensor([[1.0, 1.0, 1.0, -1.8]])  # the sum is still positive, but dropping −1.8 costs more than the ones
    assert Polarised(4).project(w).tolist() == [[0.0, 0.0, 0.0, pytest.approx(-1.8)]]


def test_a_library_is_the_most_frequent_natural_patterns():
    kernels = {(0, 1): 3, (1, 2): 2, (3, 2): 1}
    w = torch.zeros(6, 1, 2, 2)
    rows = iter(w.reshape(6, 4))
    for positions, times in kernels.items():
        for _ in range(times):
            next(rows)[list(positions)] = torch.tensor([1.0, -2.0])
    chosen = Pattern(2, 2).chosen(w)
    assert chosen.library == ((0, 1), (1, 2))
    assert chosen.chosen(-w * 7) == chosen
    assert Pattern(2, 3).chosen(w).holds(w)
    assert not chosen.holds(w)
    assert chosen.project(w)[5].reshape(-1).tolist() == [0.0, 0.0, -2.0, 0.0]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.sampled_from(["balanced", "n_m_rows", "polarised_w", "pattern"]))
def test_nested_sets_are_projected_on_exactly(seed, name):
    w = torch.randn(2, 1, 2, 2, generator=torch.Generator().manual_seed(seed))
    sets = [Filter(1), SETS[name]]
    assert is_nested(sets, w.shape)
    best = min(float((w - c).square().sum()) for c in subsets(w) if all(s.holds(c) for s in sets))
    kept = nested_mask(w, sets)
    assert float((w - w * kept).square().sum()) == pytest.approx(best)
    assert torch.equal(nested_mask(w, sets[::-1]), kept)  # the order of writing them does not matter


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31))
def test_budgets_on_single_weights_nest_as_a_laminar_matroid(seed):
    w = torch.randn(1, 8, generator=torch.Generator().manual_seed(seed))
    sets = [Unstructured(3), ColumnBalanced(4, 2), NM(1, 2, "rows")]
    assert is_nested(sets, w.shape)
    best = min(float((w - c).square().sum()) for c in subsets(w) if all(s.holds(c) for s in sets))
    assert float((w - w * nested_mask(w, sets)).square().sum()) == pytest.approx(best)


def test_overlapping_sets_are_a_heuristic_and_alternating_is_nearer():
    """Filters and rows of 5 × 6 matrices, two and three of them kept: the gap to the best over 60 matrices."""
    sets, gaps = [Filter(2), ArrayRow(cols=9, keep=3)], {"one by one": [], "alternating": []}
    assert not is_nested(sets, (5, 6))
    for seed in range(60):
        w = torch.randn(5, 6, generator=torch.Generator().manual_seed(seed))
        e = w.double().square()
        best = max(
            float(e[list(f)][:, list(r)].sum())
            for f in itertools.combinations(range(5), 2)
            for r in itertools.combinations(range(6), 3)
        )
        kept, masks = alternating_mask(e, sets)
        assert all(s.holds(w * kept) for s in sets)
        assert torch.equal(kept, masks[0] & masks[1])
        gaps["one by one"].append(1 - kept_energy(w, nested_mask(w, sets)) / best)
        gaps["alternating"].append(1 - kept_energy(w, kept) / best)
    means = {name: float(np.mean(found)) for name, found in gaps.items()}
    assert min(gaps["alternating"]) >= -1e-12
    assert 0.005 < means["alternating"] < means["one by one"] < 0.04, means


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NM(5, 4), "keeps n of every m weights, and 5 of 4 is impossible"),
        (lambda: NM(0, 4), "greater than or equal to 1"),
        (lambda: NM(2, 4, "columns"), "'rows', 'channels' or 'cols'"),  # type: ignore[arg-type]
        (lambda: ColumnBalanced(8, 9), "live = 9 cells do not fit in a column of rows = 8"),
        (lambda: Polarised(0), "greater than or equal to 1"),
        (lambda: Polarised(4, "X"), "'W', 'H' or 'C'"),  # type: ignore[arg-type]
        (lambda: Pattern(2, 1, ((0, 1), (1, 2))), "1 to patterns = 1 different patterns"),
        (lambda: Pattern(2, 2, ((1, 0),)), "entries = 2 ascending positions"),
        (lambda: Pattern(2, 2, ((0,),)), "entries = 2 ascending positions"),
        (lambda: Pattern(2, 2, ((0, 1), (0, 1))), "different patterns"),
    ],
)
def test_impossible_sets_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Kernel(0.5).mask(torch.ones(4, 3)), r"inside the kernels .* shape \(4, 3\) have none\. Leave this"),
        (lambda: Kernel(7).mask(torch.ones(2, 3, 2, 2)), r"asks for 7 groups, but the layer has 6\."),
        (lambda: Pattern(2, 3, LIBRARY).mask(torch.ones(4, 3, 1, 1)), "have none"),
        (lambda: Pattern(5, 1).chosen(torch.ones(1, 1, 2, 2)), "keeps 5 entries, but a kernel has 4"),
        (lambda: Pattern(2, 3, ((0, 8),)).mask(torch.ones(1, 1, 2, 2)), r"beyond a kernel of 4 weights \(0 … 3\)"),
        (lambda: Pattern(2, 3).mask(torch.ones(1, 1, 2, 2)), r"no library yet\. Take one from trained weights"),
        (lambda: NM(1, 2).mask(torch.ones(4)), r"shape \(4,\) are no matrix"),
        (lambda: ColumnBalanced(2, 1).mask(torch.ones(4, 3), groups=3), "4 filters cannot be split into 3 groups"),
        (lambda: Polarised(2).mask(torch.ones(2, 1, 2, 2, 2)), "have no order W, H or C of their weights; two at most"),
        *[
            (lambda c=c, f=f: getattr(c, f)(torch.full((2, 2, 2, 2), float("nan"))), "NaN or infinity")
            for c in SETS.values()
            for f in ("project", "holds")
        ],
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
