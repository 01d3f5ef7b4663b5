"""The bisection over budgets: it closes in on the least that keeps the floor, where accuracy rises with the budget."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.targeting.floor_search import Bracket


def _search(bracket, needed, tries):
    seen = []
    while len(seen) < tries and (limit := bracket.middle()) is not None:
        seen.append(limit)
        row = {"limit": limit, "cost": limit, "held_out": float(limit >= needed)}
        bracket.narrowed(len(seen) - 1, row, 0.5)
    return seen


@settings(deadline=None, max_examples=60)
@given(smallest=st.integers(1, 50), more=st.integers(1, 400), share=st.floats(0, 1), step=st.sampled_from([1, 2, 6]))
def test_counts_are_found_exactly(smallest, more, share, step):
    needed = smallest + round(share * (more - 1))
    bracket = Bracket.of(step * smallest, step * (smallest + more), step)
    seen = _search(bracket, step * needed, 40)
    assert all(step * smallest <= limit < step * (smallest + more) and limit % step == 0 for limit in seen)
    assert len(set(seen)) == len(seen)
    assert bracket.high == pytest.approx(step * needed, rel=2e-3), seen


@settings(deadline=None, max_examples=60)
@given(smallest=st.floats(0.01, 10), ratio=st.floats(1.1, 1000), share=st.floats(0, 1))
def test_six_tries_leave_a_sixty_fourth_of_the_range_in_logarithms(smallest, ratio, share):
    needed = smallest * ratio**share
    bracket = Bracket.of(smallest, smallest * ratio, 0)
    seen = _search(bracket, needed, 6)
    assert all(limit >= smallest for limit in seen)
    assert bracket.high <= max(needed, smallest) * ratio ** (1 / 64) * (1 + 5e-3)


def test_no_success_leaves_no_best():
    bracket = Bracket.of(2.0, 16.0, 0)
    _search(bracket, 1e9, 6)
    assert bracket.best is None
    assert bracket.high == 16.0
