"""The knapsack against every choice there is, and its bound against the linear program."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from admm.constraints import knapsack
from admm.constraints.knapsack import choose
from hwmodels.errors import UserError

ITEM = st.lists(st.tuples(st.integers(0, 12), st.floats(0, 10)), min_size=1, max_size=5)
ITEMS = st.lists(ITEM, min_size=1, max_size=4)


def _arrays(items):
    return [np.array([v for _, v in item]) for item in items], [np.array([c for c, _ in item], float) for item in items]


def _best(values, costs, limit):
    """(largest value within the limit, smallest cost that reaches it)."""
    sums = [
        (sum(v[i] for v, i in zip(values, chosen, strict=True)), sum(c[i] for c, i in zip(costs, chosen, strict=True)))
        for chosen in itertools.product(*(range(len(v)) for v in values))
    ]
    return max(value for value, cost in sums if cost <= limit)


@settings(deadline=None, max_examples=60)
@given(items=ITEMS, share=st.floats(0, 1))
def test_the_choice_is_the_best_and_within_the_limit(items, share):
    values, costs = _arrays(items)
    low, high = sum(c.min() for c in costs), sum(c.max() for c in costs)
    limit = low + share * (high - low) + 1e-9
    found = choose(values, costs, limit)
    assert found.exact
    assert found.value == pytest.approx(_best(values, costs, limit), abs=1e-9)
    assert found.cost <= limit * (1 + 1e-9)
    picked = [v[i] for v, i in zip(values, found.options, strict=True)]
    assert found.value == pytest.approx(sum(picked), abs=1e-9)
    assert found.cost == pytest.approx(sum(c[i] for c, i in zip(costs, found.options, strict=True)), abs=1e-9)


@settings(deadline=None, max_examples=25)
@given(items=ITEMS, share=st.floats(0, 1))
def test_the_bound_is_the_linear_relaxation(items, share):
    """Of a multiple-choice knapsack the Lagrangian dual and the linear program have one value."""
    values, costs = _arrays(items)
    low, high = sum(c.min() for c in costs), sum(c.max() for c in costs)
    limit = low + share * (high - low) + 1e-6
    sizes = [len(v) for v in values]
    one_each = np.zeros((len(sizes), sum(sizes)))
    for i, (start, size) in enumerate(zip(np.cumsum([0, *sizes]), sizes, strict=False)):
        one_each[i, start : start + size] = 1
    program = linprog(
        -np.concatenate(values), A_ub=[np.concatenate(costs)], b_ub=[limit], A_eq=one_each, b_eq=np.ones(len(sizes))
    )
    found = choose(values, costs, limit)
    assert found.bound == pytest.approx(-program.fun, rel=1e-6, abs=1e-6)
    assert found.bound >= found.value


@st.composite
def _chains(draw):
    """Items that hand on one of up to three states; the last one, and now and then another, hands on nothing."""
    values, costs, states, before = [], [], [], 1
    for _ in range(draw(st.integers(1, 4))):
        count = draw(st.integers(1, 4))
        table = [draw(st.lists(st.floats(0, 10), min_size=count, max_size=count)) for _ in range(before)]
        values.append(np.array(table if before > 1 else table[0]))
        costs.append(np.array(draw(st.lists(st.integers(0, 12), min_size=count, max_size=count)), float))
        handed = draw(st.none() | st.lists(st.integers(0, 2), min_size=count, max_size=count))
        states.append(None if handed is None else np.array(handed))
        before = 1 if handed is None else max(handed) + 1
    return values, costs, states


def _all_choices(values, costs, states):
    """(value, cost) of every choice there is, state by state."""
    for chosen in itertools.product(*(range(len(c)) for c in costs)):
        value, cost, state = 0.0, 0.0, 0
        for v, c, s, option in zip(values, costs, states, chosen, strict=True):
            value += v[state, option] if v.ndim == 2 else v[option]
            cost, state = cost + c[option], 0 if s is None else s[option]
        yield value, cost


@settings(deadline=None, max_examples=150)
@given(chains=_chains(), share=st.floats(0, 1))
def test_chained_items_are_chosen_best_and_bounded_by_the_least_of_the_lagrangian(chains, share):
    """The bound against scipy's minimum of the largest line, v + λ (limit − c) of every choice, over λ."""
    values, costs, states = chains
    low, high = sum(c.min() for c in costs), sum(c.max() for c in costs)
    limit = low + share * (high - low) + 1e-6
    found = choose(values, costs, limit, states)
    value, cost = (np.array(each) for each in zip(*_all_choices(values, costs, states), strict=True))
    assert found.exact
    assert found.value == pytest.approx(value[cost <= limit].max(), abs=1e-9)
    program = linprog([1, 0], A_ub=np.column_stack([-np.ones_like(value), limit - cost]), b_ub=-value,
                      bounds=[(None, None), (0, None)])  # fmt: skip
    assert found.bound == pytest.approx(program.fun, rel=1e-6, abs=1e-6)


def test_thinned_chains_stay_sound(monkeypatch):
    """Whatever thinning leaves, also nothing: the choice fits, is one of the chains', and the bound holds."""
    for seed in range(40):
        draw = np.random.default_rng(seed)
        costs = [draw.random(20) for _ in range(8)]
        values = [draw.random((4, 20)) * costs[0].size for _ in range(7)]
        values = [draw.random(20), *values]
        states = [draw.integers(0, 4, 20) for _ in range(7)]
        states = [np.concatenate([np.arange(4), each[4:]]) for each in states]
        best = choose(values, costs, 2.0, [*states, None])
        monkeypatch.setattr(knapsack, "MOST_TRIPLES", 2)
        found = choose(values, costs, 2.0, [*states, None])
        monkeypatch.undo()
        assert best.exact
        assert found.cost <= 2.0
        assert found.value <= best.value * (1 + 1e-12) <= best.bound * (1 + 1e-12)
        assert found.value == best.value or not found.exact
        before = [0, *(s[o] for s, o in zip(states, found.options, strict=False))]
        total = sum(np.atleast_2d(v)[b, o] for v, b, o in zip(values, before, found.options, strict=True))
        assert found.value == pytest.approx(total)


def test_forbidden_options_are_not_taken():
    values = [np.array([1.0, 9.0]), np.array([[2.0, 3.0], [-np.inf, 4.0]])]
    costs = [np.array([1.0, 1.0]), np.array([1.0, 5.0])]
    found = choose(values, costs, 2.0, [np.array([0, 1]), None])
    assert (found.options, found.value, found.exact) == ((0, 0), 3.0, True)
    assert choose(values, costs, 6.0, [np.array([0, 1]), None]).options == (1, 1)
    with pytest.raises(UserError, match=r"No choice of the cheapest options is allowed"):
        choose([values[0], -np.inf * np.ones((2, 2))], costs, 2.0, [np.array([0, 1]), None])


def test_an_impossible_limit_names_the_cheapest():
    with pytest.raises(UserError, match=r"cheapest options cost 5 together, more than the limit of 4"):
        choose([np.ones(1), np.ones(1)], [np.array([2.0]), np.array([3.0])], 4.0)


def test_thinned_states_stay_sound(monkeypatch):
    """With one state left at each step the choice need not be the best, but it says so, fits, and the bound holds."""
    short = 0
    for seed in range(8):
        draw = np.random.default_rng(seed)
        costs = [np.sort(draw.random(30)) for _ in range(12)]
        values = [c**0.5 + 0.05 * draw.random(30) for c in costs]
        best = choose(values, costs, 5.0)
        with monkeypatch.context() as patch:
            patch.setattr(knapsack, "MOST_TRIPLES", 1)
            found = choose(values, costs, 5.0)
        assert best.exact
        assert found.cost <= 5.0
        assert 0.9 * best.value <= found.value <= best.value <= best.bound == found.bound
        assert found.value == best.value or not found.exact
        assert found.cost == pytest.approx(sum(c[i] for c, i in zip(costs, found.options, strict=True)))
        assert found.value == pytest.approx(sum(v[i] for v, i in zip(values, found.options, strict=True)))
        short += not found.exact
    assert short >= 4
