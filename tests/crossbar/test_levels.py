import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbar import ArraySpec, LevelGrid, fit_scale
from crossbar.levels import embedding, evenly_spaced
from hwmodels.errors import UserError


def test_index_undoes_weights():
    grid = LevelGrid(np.linspace(-1, 1, 31), np.float64(0.37))
    index = np.arange(31, dtype=np.uint8).reshape(1, 31, 1)
    assert np.array_equal(grid.index(grid.weights(index)), index)


def test_a_scale_per_column():
    grid = LevelGrid(np.array([-1.0, 0.0, 1.0]), np.array([1.0, 10.0]))
    index = np.array([[0, 2], [1, 1]], dtype=np.uint8)
    assert np.array_equal(grid.weights(index), np.array([[-1, 10], [0, 0]], dtype=np.float32))
    assert np.array_equal(grid.index(grid.weights(index)), index)


@pytest.mark.parametrize("values", [[0.0], [1.0, 0.5], [0.1, 0.1], [[0.0, 1.0]]])
def test_levels_must_ascend(values):
    with pytest.raises(ValueError, match="strictly ascending"):
        LevelGrid(np.array(values), np.float64(1))


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_a_scale_must_be_positive(scale):
    with pytest.raises(ValueError, match="must be positive"):
        LevelGrid(np.array([-1.0, 1.0]), np.float64(scale))


@given(seed=st.integers(0, 2**31), count=st.sampled_from([2, 5, 16]), zero=st.booleans())
def test_the_fitted_scale_is_near_the_best_of_a_fine_grid(seed, count, zero):
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 0.05, 200)
    positive = np.linspace(0.1, 1, count)
    values = np.concatenate([-positive[::-1], [0.0] if zero else [], positive])

    def error(scale):
        nearest = values[np.abs(weights[:, None] / scale - values).argmin(axis=1)]
        return float(((weights - scale * nearest) ** 2).sum())

    best = min(error(scale) for scale in np.geomspace(1e-3, 1, 800))
    assert error(fit_scale(weights, values)) <= best * 1.0001 + 1e-12


def test_weights_on_their_levels_are_fitted_exactly():
    values = np.concatenate([-np.linspace(0.1, 1, 16)[::-1], np.linspace(0.1, 1, 16)])
    weights = 0.123 * values[np.random.default_rng(0).integers(0, 32, 500)]
    scale = fit_scale(weights, values)
    assert np.allclose(scale * values[np.abs(weights[:, None] / scale - values).argmin(1)], weights, rtol=3e-5)


def test_nothing_to_fit():
    assert fit_scale(np.zeros(0), np.array([-1.0, 1.0])) == 1.0
    assert fit_scale(np.zeros(5), np.array([-1.0, 1.0])) == 1.0


@given(seed=st.integers(0, 2**31), count=st.sampled_from([2, 4, 16]), skew=st.sampled_from([-0.05, 0.0, 0.05]))
def test_the_scale_is_fitted_to_levels_that_reach_further_down(seed, count, skew):
    """Offset codes −N/2 … N/2 − 1: the largest positive weight has no level as far out as its negative twin."""
    weights = np.random.default_rng(seed).normal(skew, 0.05, 200)
    values = np.arange(-count // 2, count // 2) / (count // 2)

    def error(scale):
        nearest = values[np.abs(weights[:, None] / scale - values).argmin(axis=1)]
        return float(((weights - scale * nearest) ** 2).sum())

    best = min(error(scale) for scale in np.geomspace(1e-3, 1, 800))
    assert error(fit_scale(weights, values)) <= best * 1.0001 + 1e-12


LINEAR = np.arange(-15, 16) / 15
OPEN = ArraySpec(device="yuan2019").weight_levels()  # ±0.1, ±0.16 … ±1, without zero


@given(
    factor=st.sampled_from([value for value in OPEN.tolist() if value > 0]),
    chosen=st.sets(st.integers(0, OPEN.size - 1), min_size=2, max_size=12),
)
def test_a_subset_at_any_scale_is_found_at_one_no_smaller(factor, chosen):
    values = OPEN[sorted(chosen)]
    found = embedding(values / factor, OPEN)
    assert found is not None
    assert found >= factor * (1 - 1e-12)
    apart = np.abs(found * values[:, None] / factor - OPEN).min(axis=1)
    assert apart.max() < 1e-9


@given(st.lists(st.floats(0.05, 1), min_size=2, max_size=5, unique=True))
def test_an_embedding_agrees_with_trying_every_level(values):
    values = np.sort(values)
    tried = [
        level / values[-1]
        for level in LINEAR[LINEAR > 0]
        if all(np.abs(LINEAR - value * level / values[-1]).min() < 1e-9 for value in values)
    ]
    found = embedding(values, LINEAR)
    assert (found is None) == (not tried)
    if tried:
        assert found == pytest.approx(max(tried))


def test_what_is_part_of_linear_levels():
    assert embedding(np.array([-1.0, 1.0]), LINEAR) == 1
    assert embedding(np.array([-1.0, 0.0, 1.0]), OPEN) == 1  # zero needs no cell
    assert embedding(np.array([-4.0, -3, -2, -1, 1, 2, 3, 4]) / 4, LINEAR) == pytest.approx(12 / 15)
    assert embedding(np.array([0.125, 0.25, 0.5, 1.0]), LINEAR) == pytest.approx(8 / 15)
    assert embedding(np.array([0.0625, 0.125, 0.25, 0.5, 1.0]), LINEAR) is None
    assert embedding(np.array([0.5, 1.0]), OPEN) is None


def test_levels_by_count_are_the_arrays_own_evenly_spread():
    assert np.allclose(evenly_spaced(LINEAR, 31), LINEAR)
    assert np.allclose(evenly_spaced(LINEAR, 2), [-1, 1])
    assert np.allclose(evenly_spaced(LINEAR, 10) * 15, [-15, -12, -9, -6, -3, 3, 6, 9, 12, 15])
    assert np.allclose(evenly_spaced(LINEAR, 3), [-1, 0, 1])
    for count in range(2, 33, 2):
        chosen = evenly_spaced(OPEN, count)
        assert chosen.size == count
        assert np.isin(chosen, OPEN).all()


def test_more_levels_than_there_are_and_a_missing_zero_are_refused():
    with pytest.raises(UserError, match=r"count = 34 levels of both signs: the array has 32; use 2 … 32"):
        evenly_spaced(OPEN, 34)
    with pytest.raises(UserError, match=r"count = 5 has a zero, and the array's levels have none"):
        evenly_spaced(OPEN, 5)
