import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from admm.constraints import Levels, nearest
from crossbar.levels import LevelGrid
from crossbar.scale import SCALE_BITS, _descend, _Sorted, fit_scale, round_scale
from hwmodels.errors import UserError

OPEN = (-1.0, -0.7, -0.4, -0.1, 0.1, 0.4, 0.7, 1.0)  # zero is not among them
PAIR = (-1.0, -0.5, 0.0, 0.5, 1.0)
UNEVEN = (-0.8, -0.1, 0.3, 1.0)
OFFSET = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75)  # eight codes less four: one further down than up
SETS = [OPEN, PAIR, UNEVEN, OFFSET]
arrays = st.builds(
    lambda seed, size, spread: np.random.default_rng(seed).standard_normal(size) * spread,
    st.integers(0, 2**31),
    st.integers(1, 60),
    st.sampled_from([1e-3, 0.05, 1.0, 40.0]),
)


def distance(w, values, scale):
    """Slow and obvious: every weight against every level."""
    return float(np.min((w[:, None] - scale * np.array(values)) ** 2, axis=1).sum())


@settings(deadline=None, max_examples=60)
@given(arrays, st.sampled_from(SETS), st.floats(1e-3, 10.0))
def test_projection_is_the_nearest_table_entry_bit_for_bit(w, values, scale):
    weight = torch.from_numpy(w).float()
    table = LevelGrid(np.array(values), np.array(scale)).table()
    levels = Levels(values, scale)
    projected = levels.project(weight)
    away = np.abs(weight.double().numpy()[:, None] - table.astype(np.float64))
    assert np.array_equal(projected.numpy(), table[np.argmin(away, axis=1)])  # argmin: the lower level at a tie
    assert levels.holds(projected)
    assert torch.equal(levels.project(projected), projected)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(SETS), st.floats(1e-3, 10.0), st.integers(0, 20))
def test_the_boundary_between_two_levels_is_exact_in_float32(values, scale, steps):
    table = LevelGrid(np.array(values), np.array(scale)).table().astype(np.float64)
    for low, high in itertools.pairwise(table):
        w = np.float32((low + high) / 2)
        for _ in range(steps):
            w = np.nextafter(w, np.float32(-np.inf))
        for _ in range(2 * steps + 1):
            expected = low if 2 * Fraction(float(w)) <= Fraction(low) + Fraction(high) else high
            assert nearest(torch.tensor([w]), LevelGrid(np.array(values), np.array(scale))).item() == expected
            w = np.nextafter(w, np.float32(np.inf))


@settings(deadline=None, max_examples=60)
@given(arrays, st.sampled_from(SETS), st.integers(0, 2**31))
def test_only_live_weights_are_bound(w, values, seed):
    weight = torch.from_numpy(w).float()
    live = torch.rand(w.size, generator=torch.Generator().manual_seed(seed)) < 0.5
    levels = Levels(values, "fit")
    projected = levels.project(weight, live)
    assert (projected[~live] == 0).all()
    assert torch.equal(projected[live], levels.project(weight[live]))
    assert levels.holds(projected, live)
    assert torch.equal(levels.project(projected, live), projected)
    grid = levels.grid(weight, live)
    index = grid.index(projected.numpy())
    assert np.array_equal(grid.weights(index)[live.numpy()], projected.numpy()[live.numpy()])


def test_holds_sees_a_weight_off_its_level_and_a_dead_one_that_is_not_zero():
    levels = Levels(OPEN, 0.3125)  # a scale that fits in SCALE_BITS, as every fitted one does
    w = levels.project(torch.randn(40, generator=torch.Generator().manual_seed(3)))
    live = torch.ones(40, dtype=torch.bool)
    for fit in (levels, Levels(OPEN, "fit")):
        assert fit.holds(w)
        off = w.clone()
        off[7] = torch.nextafter(off[7], torch.tensor(9.0))
        assert not fit.holds(off)
        live[7] = False
        assert not fit.holds(w, live)
        off[7] = 0
        assert fit.holds(off, live)
        assert not fit.holds(off)  # zero is no level
        live[7] = True


@settings(deadline=None, max_examples=60)
@given(arrays, st.sampled_from(SETS))
def test_the_fitted_scale_beats_a_fine_grid_of_scales(w, values):
    scale = fit_scale(w, np.array(values))
    step = 2.0**-SCALE_BITS
    top = np.abs(w).max() * 20
    grid = np.geomspace(top / 2000, top, 2000)
    best = min(distance(w, values, s) for s in grid)
    # rounding the scale moves every level by at most `step` of itself
    assert distance(w, values, scale) <= best * (1 + 1e-9) + step * float(w @ w)


@settings(deadline=None, max_examples=30)
@given(arrays, st.sampled_from(SETS))
def test_the_fitted_scale_is_stationary(w, values):
    scale = fit_scale(w, np.array(values))
    assert _descend(_Sorted(w), scale, np.array(values)) == pytest.approx(
        scale, rel=2.0 ** (2 - SCALE_BITS), abs=0
    ) or (distance(w, values, _descend(_Sorted(w), scale, np.array(values))) >= distance(w, values, scale) * (1 - 1e-4))


@given(arrays, st.sampled_from(SETS), st.floats(0.01, 3))
def test_sums_over_sorted_weights_are_those_over_all(w, values, relative):
    scale = relative * float(np.abs(w).max())
    a, b = _Sorted(w).at(scale, np.array(values))
    q = np.array(values)[np.searchsorted((np.array(values)[1:] + np.array(values)[:-1]) / 2, w / scale)]
    assert a == pytest.approx(float(w @ q), rel=1e-9, abs=1e-12)
    assert b == pytest.approx(float(q @ q))
    assert _Sorted(w).distance(scale, np.array(values)) == pytest.approx(
        distance(w, values, scale), rel=1e-7, abs=1e-12
    )


@pytest.mark.parametrize("values", SETS)
def test_many_weights_and_many_levels_take_the_binned_search(values, monkeypatch):
    w = np.random.default_rng(1).standard_normal(3000) * 0.05
    exact = distance(w, values, fit_scale(w, np.array(values)))
    monkeypatch.setattr("crossbar.scale.EVENT_LIMIT", 100 * len(values))
    assert distance(w, values, fit_scale(w, np.array(values))) <= exact * 1.001


def test_very_many_levels_reach_about_to_the_largest_weight():
    w = np.random.default_rng(1).standard_normal(3000) * 0.05
    fine = np.linspace(-1, 1, 4001)
    scale = fit_scale(w, fine)
    assert distance(w, fine, scale) <= min(distance(w, fine, s) for s in np.abs(w).max() * np.linspace(0.8, 1.2, 41))


def test_weights_on_a_grid_give_their_scale_back():
    values = np.array(OPEN)
    w = values[np.random.default_rng(2).integers(0, 8, 200)] * 0.125
    assert fit_scale(w, values) == 0.125
    assert Levels(OPEN, "fit").fit_scale(torch.from_numpy(w)) == 0.125


def test_zero_weights_fit_at_any_scale():
    assert fit_scale(np.zeros(5), np.array(OPEN)) == 1.0
    assert Levels(PAIR, "fit").holds(torch.zeros(3))


def test_round_scale_is_idempotent_and_close():
    for scale in np.geomspace(1e-6, 1e6, 101):
        rounded = round_scale(scale)
        assert round_scale(rounded) == rounded
        assert abs(rounded / scale - 1) <= 2.0**-SCALE_BITS


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Levels((1.0, 0.5)), "strictly ascending"),
        (lambda: Levels((0.5, 0.5)), "strictly ascending"),
        (lambda: Levels((1.0,)), "at least 2"),
        (lambda: Levels((0.0, float("nan"))), "finite"),
        (lambda: Levels(PAIR, 0.0), "greater than 0"),
        (lambda: Levels(PAIR, -1.0), "greater than 0"),
        (lambda: Levels(PAIR, "fitted"), "'fit'"),  # type: ignore[arg-type]
    ],
)
def test_bad_levels_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_mistakes_are_named():
    with pytest.raises(UserError, match="NaN or infinity cannot be quantised"):
        Levels(PAIR).project(torch.tensor([float("nan")]))
    with pytest.raises(UserError, match="coincide in float32"):
        Levels((1.0, 1.0 + 1e-12)).project(torch.ones(2))
    with pytest.raises(UserError, match="levels of both signs"):
        Levels((0.5, 1.0), "fit").project(-torch.ones(3))


def test_type_is_kept():
    assert Levels(PAIR, "fit").project(torch.randn(3, dtype=torch.float64)).dtype == torch.float64


def test_projected_weights_keep_their_memory_format():
    w = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    grid = Levels((-1.0, -0.5, 0.5, 1.0), 0.1).grid(w)
    kept = nearest(w, grid, torch.rand(w.shape) < 0.5)
    assert kept.stride() == w.stride()
    torch.testing.assert_close(nearest(w, grid), nearest(w.contiguous(), grid), rtol=0, atol=0)
