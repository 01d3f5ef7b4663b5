import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from admm.constraints import Block, Channel, Column, Filter, Unstructured, nested_mask
from crossbar.tiling import to_matrix
from hwmodels.errors import UserError

# One row per constraint; every contract test below runs over all of them. Shapes: (weight shape, groups).
CONSTRAINTS = {
    "unstructured": Unstructured,
    "filter": Filter,
    "channel": Channel,
    "column": Column,
    "block": lambda keep: Block(rows=3, cols=2, keep=keep),
}
SHAPES = [((3, 4), 1), ((3, 2, 2), 1), ((2, 2, 1, 2), 1), ((4, 1, 2), 2), ((4, 1, 3), 4)]

cases = st.tuples(
    st.sampled_from(sorted(CONSTRAINTS)), st.sampled_from(SHAPES), st.integers(0, 2**31), st.integers(1, 99)
)


def draw(case):
    """A constraint that fits a shape, and integer weights (so that ties happen)."""
    name, (shape, groups), seed, share = case
    constraint = CONSTRAINTS[name](share / 99)
    generator = torch.Generator().manual_seed(seed)
    return constraint, torch.randint(-3, 4, shape, generator=generator).float(), groups


@settings(deadline=None, max_examples=80)
@given(cases)
def test_projection_is_the_best_of_all_supports(case):
    constraint, w, groups = draw(case)
    labels = constraint.labels(w.shape, groups)
    total, count = int(labels.max()) + 1, constraint.count(w.shape, groups)
    best = min(
        float((w - w * torch.isin(labels, torch.tensor(support))).square().sum())
        for support in itertools.combinations(range(total), count)
    )
    assert float((w - constraint.project(w, groups)).square().sum()) == best


@settings(deadline=None, max_examples=80)
@given(cases)
def test_projection_is_feasible_and_idempotent_and_matches_its_mask(case):
    constraint, w, groups = draw(case)
    projected = constraint.project(w, groups)
    assert constraint.holds(projected, groups)
    assert torch.equal(constraint.project(projected, groups), projected)
    mask = constraint.mask(w, groups)
    assert torch.equal(projected, torch.where(mask, w, torch.zeros(())))
    assert len(constraint.labels(w.shape, groups)[mask].unique()) == constraint.count(w.shape, groups)


@settings(deadline=None, max_examples=50)
@given(cases, st.integers(0, 2**31))
def test_no_random_feasible_point_is_nearer(case, seed):
    constraint, w, groups = draw(case)
    feasible = constraint.project(torch.randn(w.shape, generator=torch.Generator().manual_seed(seed)), groups)
    feasible = torch.where(feasible != 0, w, feasible)  # the best point with that support
    assert (w - constraint.project(w, groups)).norm() <= (w - feasible).norm() * (1 + 1e-6)


@settings(deadline=None, max_examples=50)
@given(st.permutations(["filter", "column", "channel", "block"]), st.integers(0, 2**31), st.sampled_from([1, 2]))
def test_constraints_one_after_the_other_hold_together(names, seed, groups):
    w = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(seed))
    constraints = [CONSTRAINTS[name](0.6) for name in names[:3]]
    kept = nested_mask(w, constraints, groups)
    assert all(constraint.holds(w * kept, groups) for constraint in constraints)
    stepwise = w
    for constraint in constraints:
        stepwise = constraint.project(stepwise, groups)
    assert torch.equal(stepwise, w.masked_fill(~kept, 0))


def test_no_constraint_keeps_everything():
    assert nested_mask(torch.zeros(2, 3), []).all()


@pytest.mark.parametrize("constraint", [make(0.5) for make in CONSTRAINTS.values()], ids=list(CONSTRAINTS))
def test_one_weight_too_many_is_seen(constraint):
    w = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    assert not constraint.holds(w)
    projected = constraint.project(w)
    dead = (projected == 0).nonzero()[0]
    projected[tuple(dead)] = 1e-30  # its square is 0 in float32
    assert not constraint.holds(projected)


def test_groups_are_rows_columns_and_blocks_of_the_lowered_matrix():
    shape, groups = (4, 3, 2, 2), 2
    rows, cols = 12, 2
    assert Filter(1.0).count(shape, groups) == 4
    assert Channel(1.0).count(shape, groups) == 6
    assert Column(1.0).count(shape, groups) == 24
    assert Block(5, 2, 1.0).count(shape, groups) == 2 * 3
    column = to_matrix(Column(1.0).labels(shape, groups), groups)
    assert torch.equal(column, torch.arange(24).reshape(2, rows, 1).expand(2, rows, cols))
    filters = to_matrix(Filter(1.0).labels(shape, groups), groups)
    assert torch.equal(filters, torch.arange(4).reshape(2, 1, cols).expand(2, rows, cols))
    channel = to_matrix(Channel(1.0).labels(shape, groups), groups)
    assert torch.equal(channel, (torch.arange(24) // 4).reshape(2, rows, 1).expand(2, rows, cols))
    block = to_matrix(Block(5, 1, 1.0).labels(shape, groups), groups)
    first = torch.tensor([[0, 1]] * 5 + [[2, 3]] * 5 + [[4, 5]] * 2)
    assert torch.equal(block, torch.stack([first, first + 6]))


def test_a_plain_convolution_by_hand():
    w = torch.zeros(2, 2, 1, 2)
    w[0, 1, 0, 0], w[1, 1, 0, 0], w[1, 0, 0, 1] = 3.0, 1.0, 2.0
    assert Filter(1).project(w).nonzero().tolist() == [[0, 1, 0, 0]]
    assert Channel(1).project(w).nonzero().tolist() == [[0, 1, 0, 0], [1, 1, 0, 0]]
    assert Column(1).project(w).nonzero().tolist() == [[0, 1, 0, 0], [1, 1, 0, 0]]
    assert Block(2, 1, 1).project(w).nonzero().tolist() == [[0, 1, 0, 0]]
    assert Unstructured(2).project(w).nonzero().tolist() == [[0, 1, 0, 0], [1, 0, 0, 1]]


def test_a_large_block_may_outweigh_a_ragged_one_of_larger_weights():
    w = torch.tensor([[1.0, 1.0, 1.0, 1.5]])  # M has 4 rows: one block of 3, one of 1
    assert Block(3, 1, 1).project(w).tolist() == [[1.0, 1.0, 1.0, 0.0]]


def test_ties_go_to_the_lower_group():
    assert Column(2).mask(torch.ones(3, 5)).tolist() == [[True, True, False, False, False]] * 3


@pytest.mark.parametrize(
    ("keep", "kept"), [(1, 1), (1.0, 100), (3, 3), (0.29, 29), (0.295, 29), (1e-9, 1), (1 / 3, 33), (100, 100)]
)
def test_int_is_a_count_and_float_a_fraction(keep, kept):
    assert Column(keep).count((2, 100)) == kept


def test_fractions_that_binary_cannot_write_count_as_written():
    assert all(Column(k / 100).count((1, 100)) == k for k in range(1, 101))
    assert all(Column(k / n).count((1, n)) == k for n in range(1, 60) for k in range(1, n + 1))


@pytest.mark.parametrize("keep", [True, False, 0, -1, 0.0, 1.5, -0.1, math.nan, math.inf, "3", None])
def test_bad_keep_is_refused(keep):
    with pytest.raises(ValueError, match="keep is a count of groups"):
        Filter(keep)


def test_unknown_field_and_bad_block_are_refused():
    with pytest.raises(ValueError, match="rows"):
        Block(rows=0, cols=2, keep=0.5)
    with pytest.raises(ValueError, match="kind"):
        Filter(0.5, kind="column")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Filter(9).project(torch.ones(4, 3)), r"keep=9.*asks for 9 groups, but the layer has 4\. Give a count"),
        (lambda: Filter(1).project(torch.tensor([[1.0, math.nan]])), "NaN or infinity cannot be projected"),
        (lambda: Filter(1).holds(torch.tensor([[1.0, math.inf]])), "NaN or infinity"),
        (lambda: Filter(1).mask(torch.ones(4)), r"shape \(4,\) are no matrix"),
        (lambda: Column(1).mask(torch.ones(4, 0)), "no matrix"),
        (lambda: Column(1).mask(torch.ones(4, 2), groups=3), "4 filters cannot be split into 3 groups"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_projection_keeps_type_and_leaves_the_argument_alone():
    w = torch.nn.Parameter(torch.randn(3, 4, dtype=torch.float64))
    before = w.detach().clone()
    projected = Filter(1).project(w)
    assert projected.dtype == torch.float64
    assert not projected.requires_grad
    assert torch.equal(w, before)
