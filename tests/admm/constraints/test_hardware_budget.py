"""Hardware budgets against all choices of small layers, and what a projection must keep to."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from admm import Plan
from admm.constraints import Budget, Option
from admm.constraints.hardware_budget import MOST_STEPS, steps
from crossbar.tiling import LayerShape, arrays_needed, to_matrix
from hwmodels.errors import UserError

R, C = 3, 2


def arrays(shape, rows, cols):
    """Arrays of R × C for the kept part."""
    return shape.groups * np.vectorize(lambda r, c: float(arrays_needed(r, c, R, C)))(rows, cols)


def _layers(seed):
    draw = torch.Generator().manual_seed(seed)
    weights = {
        "conv": torch.randn(4, 1, 2, 2, generator=draw),
        "grouped": 0.5 * torch.randn(6, 2, 2, 2, generator=draw),
        "fc": torch.randn(5, 9, generator=draw),
    }
    groups = {"conv": 1, "grouped": 2, "fc": 1}
    shapes = {name: LayerShape(rows=w[0].numel(), cols=len(w) // groups[name], groups=groups[name])
              for name, w in weights.items()}  # fmt: skip
    return weights, groups, shapes


def _nested_energy(w, groups, rows, cols):
    """What the first rows and columns by falling energy keep, written out group by group."""
    kept = 0.0
    for matrix in to_matrix(w.double(), groups).square():
        r = matrix.sum(1).argsort(descending=True, stable=True)[:rows]
        c = matrix.sum(0).argsort(descending=True, stable=True)[:cols]
        kept += float(matrix[r][:, c].sum())
    return kept


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), limit=st.integers(8, 30))
def test_the_choice_is_the_best_of_all_numbers_of_rows_and_columns(seed, limit):
    """Every (rows, columns) is tried here, not only the options: those that fill no array are never better."""
    weights, groups, shapes = _layers(seed)
    budget = Budget.of(shapes, arrays, float(limit), array=(R, C))
    found = budget.solve(weights, groups)
    tables = []
    for name, shape in shapes.items():
        sizes = itertools.product(range(1, shape.rows + 1), range(1, shape.cols + 1))
        tables.append(
            [(_nested_energy(weights[name], groups[name], r, c), float(arrays(shape, r, c))) for r, c in sizes]
        )
    pareto = []
    for table in tables:
        best = {}
        for value, cost in table:
            best[cost] = max(value, best.get(cost, 0.0))
        pareto.append(list(best.items()))
    value = max(
        sum(v for _, v in choice) for choice in itertools.product(*pareto) if sum(c for c, _ in choice) <= limit
    )
    assert found.choice.exact
    assert found.choice.value == pytest.approx(value, rel=1e-9)
    assert found.choice.bound >= found.choice.value
    assert found.choice.cost == sum(option.cost for option in found.options.values()) <= limit


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), limit=st.integers(8, 30), measure=st.sampled_from(["energy", "share"]))
def test_a_projection_is_in_the_set_whole_lines_and_keeps_at_least_the_nested_energy(seed, limit, measure):
    weights, groups, shapes = _layers(seed)
    budget = Budget.of(shapes, arrays, float(limit), array=(R, C), measure=measure)
    found = budget.solve(weights, groups)
    for name, w in weights.items():
        mask, option = to_matrix(found.masks[name], groups[name]), found.options[name]
        lines = mask.any(2)[:, :, None] & mask.any(1)[:, None, :]
        assert torch.equal(mask, lines)
        assert mask.any(2).sum(1).tolist() == [option.rows] * groups[name]
        assert mask.any(1).sum(1).tolist() == [option.cols] * groups[name]
        kept = float(w.double()[found.masks[name]].square().sum())
        assert kept >= _nested_energy(w, groups[name], option.rows, option.cols) * (1 - 1e-12)
    projected = budget.project(weights, groups)
    assert budget.holds(projected, groups)
    assert sum(budget.cost(projected, groups).values()) <= limit
    again = budget.project(projected, groups)
    assert all(torch.equal(again[name], projected[name]) for name in weights)
    assert budget.holds(weights, groups) == (limit >= budget.largest)


def _chain(seed):
    """Two convolutions and two linear layers, each reading the one before; fc1 reads four pixels of every channel."""
    draw = torch.Generator().manual_seed(seed)
    weights = {
        "conv1": torch.randn(4, 1, 2, 2, generator=draw),
        "conv2": torch.randn(3, 4, 2, 2, generator=draw),
        "fc1": 0.5 * torch.randn(5, 12, generator=draw),
        "fc2": torch.randn(3, 5, generator=draw),
    }
    shapes = {name: LayerShape(rows=w[0].numel(), cols=len(w)) for name, w in weights.items()}
    return weights, shapes, {"conv2": "conv1", "fc1": "conv2", "fc2": "fc1"}


def _chained_energy(matrices, feeds, sizes, fewest):
    """What sizes keep along the orders, written out: no row of a filter that is gone.

    fewest: columns that a layer cannot go below; more of them than its reader has rows are not allowed.
    """
    total, alive = 0.0, {}
    for name, matrix in matrices.items():
        reader = next((each for each, source in feeds.items() if source == name), None)
        worth = matrix.sum(0)
        if reader is not None:
            worth = worth + matrices[reader].sum(1).reshape(len(worth), -1).sum(1)
        cols = worth.argsort(descending=True, stable=True)[: sizes[name][1]].tolist()
        rows = matrix.sum(1).argsort(descending=True, stable=True).tolist()
        if name in feeds:
            if sizes[name][0] < len(alive[feeds[name]]) > fewest:
                return -math.inf
            span = len(rows) // matrices[feeds[name]].shape[1]
            rows = [row for row in rows if row // span in alive[feeds[name]]]
        alive[name] = set(cols)
        total += float(matrix[rows[: sizes[name][0]]][:, cols].sum())
    return total


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), limit=st.integers(8, 30))
def test_layers_that_read_one_another_are_chosen_together_and_best(seed, limit):
    """Against every choice of options; no row of a filter that is gone is kept, so nothing is paid for it."""
    weights, shapes, feeds = _chain(seed)
    budget = Budget.of(shapes, arrays, float(limit), array=(R, C), whole_cols=["fc2"], feeds=feeds)
    found = budget.solve(weights)
    matrices = {name: to_matrix(w.double())[0].square() for name, w in weights.items()}
    best = max(
        _chained_energy(matrices, feeds, dict(zip(weights, chosen, strict=True)), fewest=1)
        for chosen in itertools.product(*budget.options.values())
        if sum(option.cost for option in chosen) <= limit
    )
    assert found.choice.exact
    assert found.choice.value == pytest.approx(best, rel=1e-9)
    assert found.choice.value <= found.choice.bound * (1 + 1e-12)
    assert sum(float(w.double()[found.masks[n]].square().sum()) for n, w in weights.items()) >= best * (1 - 1e-12)
    for name, source in feeds.items():
        rows = to_matrix(found.masks[name])[0].any(1)
        filters = to_matrix(found.masks[source])[0].any(0)
        assert not (rows.reshape(shapes[source].cols, -1).any(1) & ~filters).any()
        assert filters.sum() <= rows.sum() <= found.options[name].rows
    projected = budget.project(weights)
    assert budget.holds(projected)
    again = budget.project(projected)
    assert all(torch.equal(again[name], projected[name]) for name in weights)


@pytest.mark.parametrize("limit", [6, 9, 14])
def test_no_numbers_of_rows_and_columns_beyond_the_options_are_better(limit):
    """In a chain fewer columns can be worth more at the same cost, so options keep all numbers of them."""
    for seed in range(4):
        weights, shapes, feeds = _chain(seed)
        del weights["fc2"], shapes["fc2"], feeds["fc2"]
        found = Budget.of(shapes, arrays, float(limit), array=(R, C), whole_cols=["fc1"], feeds=feeds).solve(weights)
        matrices = {name: to_matrix(w.double())[0].square() for name, w in weights.items()}
        sizes = [itertools.product(range(1, s.rows + 1), range(1, s.cols + 1)) for s in shapes.values()]
        sizes[-1] = [(r, shapes["fc1"].cols) for r in range(1, shapes["fc1"].rows + 1)]
        best = max(
            _chained_energy(matrices, feeds, dict(zip(weights, chosen, strict=True)), fewest=1)
            for chosen in itertools.product(*sizes)
            if sum(arrays_needed(r, c, R, C) for r, c in chosen) <= limit
        )
        assert found.choice.value == pytest.approx(best, rel=1e-9)


def test_the_smallest_chain_is_possible_where_its_reader_has_fewer_rows():
    """Arrays of 2 × 64: the first layer keeps at least 16 columns, and the cheapest reader two rows."""
    draw = torch.Generator().manual_seed(0)
    weights = {"a": torch.randn(64, 4, generator=draw), "b": torch.randn(8, 64, generator=draw)}
    shapes = {"a": LayerShape(rows=4, cols=64), "b": LayerShape(rows=64, cols=8)}

    def cost(shape, rows, cols):
        return np.ceil(rows / 2) * np.ceil(cols / 64)

    budget = Budget.of(shapes, cost, 2.0, array=(2, 64), feeds={"b": "a"})
    assert budget.smallest == 2
    found = budget.solve(weights)
    assert (found.choice.cost, found.options["a"].cols, found.options["b"].rows) == (2, 16, 2)
    assert budget.holds(budget.project(weights))


def test_feeds_that_cannot_be_are_refused():
    weights, shapes, _ = _chain(0)

    def solve(feeds):
        return Budget.of(shapes, arrays, 30.0, array=(R, C), feeds=feeds).solve(weights)

    with pytest.raises(UserError, match=r"feeds name 'conv3', which is none of its layers"):
        solve({"conv2": "conv3"})
    with pytest.raises(UserError, match=r"'fc2' with 5 rows cannot read the 4 columns of 'conv1' alone"):
        solve({"fc2": "conv1"})
    with pytest.raises(UserError, match=r"feeds let two layers read 'conv1'"):
        solve({"conv2": "conv1", "fc1": "conv1"})
    with pytest.raises(UserError, match=r"feeds go in a circle"):
        Budget.of({"fc": LayerShape(rows=4, cols=4)}, arrays, 9.0, array=(R, C), feeds={"fc": "fc"}).solve(
            {"fc": torch.randn(4, 4)}
        )


def test_options_that_free_no_array_are_not_there():
    shape = LayerShape(rows=40, cols=70)
    budget = Budget.of({"fc": shape}, lambda s, r, c: np.ceil(r / 16) * np.ceil(c / 32), 9.0, array=(16, 32))
    assert [option[:2] for option in budget.options["fc"]] == list(itertools.product((16, 32, 40), (32, 64, 70)))
    whole = Budget.of({"fc": shape}, lambda s, r, c: r * c * 1.0, 9.0, array=(16, 32), whole_cols=["fc"])
    assert {option.cols for option in whole.options["fc"]} == {70}
    assert [option.rows for option in whole.options["fc"]] == [4, 8, 12, 16, 20, 24, 28, 32, 36, 40]


@given(total=st.integers(1, 5000), size=st.integers(1, 256))
def test_steps_end_at_the_total_and_are_few(total, size):
    found = steps(total, size)
    assert found[-1] == total
    assert found[0] >= 1
    assert (np.diff(found) > 0).all()
    assert len(found) <= MOST_STEPS
    strips = np.arange(size, total, size)
    if len(strips) < MOST_STEPS:
        assert np.isin(strips, found).all()


def test_shares_do_not_depend_on_the_scale_of_a_layer():
    weights, groups, shapes = _layers(3)
    scaled = weights | {"fc": 0.01 * weights["fc"]}
    share, energy = (Budget.of(shapes, arrays, 12.0, array=(R, C), measure=m) for m in ("share", "energy"))
    assert share.solve(weights, groups).options == share.solve(scaled, groups).options
    assert energy.solve(weights, groups).options != energy.solve(scaled, groups).options


@given(seed=st.integers(0, 10**6), limit=st.integers(8, 30))
def test_the_loss_does_not_depend_on_the_scale_of_weights(seed, limit):
    """What normalisation behind a layer undoes, curvature undoes too: k times the weights, 1/k² the curvature."""
    weights, groups, shapes = _layers(seed)
    draw = np.random.default_rng(seed)
    scales = {name: torch.tensor(2.0 ** draw.integers(-6, 7, w.shape), dtype=w.dtype) for name, w in weights.items()}
    scaled = {name: w * scales[name] for name, w in weights.items()}
    energy = Budget.of(shapes, arrays, float(limit), array=(R, C))
    loss = replace(energy, measure="loss")
    plain, freed = energy.solve(weights, groups), loss.solve(scaled, groups, {n: k**-2 for n, k in scales.items()})
    assert plain.options == freed.options
    assert all(torch.equal(plain.masks[name], freed.masks[name]) for name in weights)
    # Without a curvature every weight counts alike, and other measures do not read it.
    assert loss.solve(weights, groups).options == plain.options
    assert energy.solve(weights, groups, {n: k**2 for n, k in scales.items()}).options == plain.options


def test_a_budget_is_data():
    _, shapes, feeds = _chain(0)
    plan = Plan(budgets=(Budget.of(shapes, arrays, 12.0, array=(R, C), feeds=feeds),))
    kind = TypeAdapter(Plan)
    assert kind.validate_json(kind.dump_json(plan)) == plan


def test_mistakes_are_named():
    weights, groups, shapes = _layers(0)
    with pytest.raises(UserError, match=r"budget of 3 is impossible: .* cost 4\. Give at least that"):
        Budget.of(shapes, arrays, 3.0, array=(R, C)).solve(weights, groups)
    with pytest.raises(UserError, match=r"'fc' falls when more rows or columns are kept"):
        Budget.of(shapes, {"conv": arrays, "grouped": arrays, "fc": lambda s, r, c: 1.0 / r + c}, 5.0, array=(R, C))
    with pytest.raises(UserError, match=r"'conv' is not finite"):
        Budget.of(shapes, lambda s, r, c: r * math.nan, 5.0, array=(R, C))
    with pytest.raises(UserError, match=r"'fc' reach to 10 × 5 .* its matrix has 9 × 5"):
        Budget(options={"fc": (Option(10, 5, 2.0),)}, limit=3.0).solve({"fc": weights["fc"]})
    with pytest.raises(UserError, match=r"curvature of shape \(2,\) is none of weights"):
        replace(Budget.of(shapes, arrays, 12.0, array=(R, C)), measure="loss").solve(
            weights, groups, {"fc": torch.ones(2)}
        )
    with pytest.raises(UserError, match="NaN"):
        Budget.of(shapes, arrays, 12.0, array=(R, C)).solve({**weights, "fc": weights["fc"] * math.nan}, groups)
