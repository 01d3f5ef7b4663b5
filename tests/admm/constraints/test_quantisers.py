"""The quantisation sets with a formula and the one with learned values: closed forms against sweeps and brute force."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from admm.constraints import Binary, Cluster, Levels, PowerOfTwo, Ternary, Uniform, nearest
from admm.constraints.clusters import optimal_clusters
from crossbar.levels import LevelGrid
from crossbar.scale import SCALE_BITS, fit_scale
from hwmodels.errors import UserError

STEP = 2.0**-SCALE_BITS
SCALED = {
    "uniform": Uniform(3),
    "uniform_zero": Uniform(3, zero=True),
    "power": PowerOfTwo(3),
    "power_zero": PowerOfTwo(2, zero=True, shift=False),
    "binary": Binary(),
    "ternary": Ternary(),
}
ALL = {**SCALED, "cluster": Cluster(3)}
arrays = st.builds(
    lambda seed, size, spread: np.random.default_rng(seed).standard_normal(size) * spread,
    st.integers(0, 2**31),
    st.integers(1, 40),
    st.sampled_from([1e-3, 0.05, 1.0, 40.0]),
)


def error(w, projected):
    return float((w.double() - projected.double()).square().sum())


def to_levels(w, table):
    return float(np.min((w[:, None] - table) ** 2, axis=1).sum())


@settings(deadline=None, max_examples=80)
@given(st.sampled_from(sorted(ALL)), arrays, st.integers(0, 2**31))
def test_projection_is_feasible_idempotent_and_binds_live_weights_only(name, w, seed):
    weight = torch.from_numpy(w).float()
    live = torch.rand(w.size, generator=torch.Generator().manual_seed(seed)) < 0.7
    projected = ALL[name].project(weight, live)
    assert ALL[name].holds(projected, live)
    assert torch.equal(ALL[name].project(projected, live), projected)
    assert (projected[~live] == 0).all()
    assert torch.equal(projected[live], ALL[name].project(weight[live]))
    off = projected.clone()
    off[0] = 1e-20
    assert not ALL[name].holds(off, torch.zeros_like(live))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(SCALED)), arrays)
def test_no_scale_on_a_fine_grid_is_better(name, w):
    quantiser, weight = SCALED[name], torch.from_numpy(w)
    top = np.abs(w).max() * 40
    scales = 2.0 ** np.arange(-60, 20) if name == "power" else np.geomspace(top / 4000, top, 1500)
    best = min(to_levels(w, s * quantiser.unit()) for s in scales)
    assert error(weight, quantiser.project(weight)) <= best * (1 + 1e-6) + 4 * STEP * float(w @ w)


@settings(deadline=None, max_examples=60)
@given(arrays)
def test_closed_forms_are_the_global_optima_of_the_general_search(w):
    for quantiser in (Binary(), Ternary()):
        found = quantiser.fit_scale(torch.from_numpy(w))
        assert to_levels(w, found * quantiser.unit()) == pytest.approx(
            to_levels(w, fit_scale(w, quantiser.unit()) * quantiser.unit()), rel=1e-6, abs=1e-12
        )
    assert Binary().fit_scale(torch.from_numpy(w)) == pytest.approx(np.abs(w).mean(), rel=STEP)


@settings(deadline=None, max_examples=30)
@given(arrays)
def test_ternary_agrees_with_every_count_of_live_weights(w):
    magnitudes = np.sort(np.abs(w))[::-1]
    by_count = [float(w @ w) - magnitudes[:k].sum() ** 2 / k for k in range(1, w.size + 1)]
    found = Ternary().project(torch.from_numpy(w))
    assert error(torch.from_numpy(w), found) == pytest.approx(min(by_count), rel=1e-6, abs=STEP * float(w @ w))


def test_a_generic_solver_finds_no_better_binary_scale():
    w = np.random.default_rng(4).standard_normal(500)
    found = minimize_scalar(lambda a: to_levels(w, a * np.array([-1, 1])), bounds=(0, 5), method="bounded")
    assert Binary().fit_scale(torch.from_numpy(w)) == pytest.approx(found.x, abs=1e-4)


def test_the_level_values():
    assert (Uniform(3).unit() * 4).tolist() == [-4, -3, -2, -1, 1, 2, 3, 4]
    assert (Uniform(3, zero=True).unit() * 3).tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert Uniform(1).unit().tolist() == Binary().unit().tolist() == [-1, 1]
    assert Uniform(2, zero=True).unit().tolist() == Ternary().unit().tolist() == [-1, 0, 1]
    assert PowerOfTwo(3).unit().tolist() == [-1, -0.5, -0.25, 0.25, 0.5, 1]
    assert PowerOfTwo(2, zero=True).unit().tolist() == [-1, -0.5, 0, 0.5, 1]


@settings(deadline=None, max_examples=40)
@given(arrays, st.booleans())
def test_shifts_are_powers_of_two(w, zero):
    q = PowerOfTwo(4, zero=zero).project(torch.from_numpy(w).float())
    mantissa = np.frexp(np.abs(q[q != 0].numpy()))[0]
    assert (mantissa == 0.5).all()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(-20, 20), min_size=1, max_size=9), st.integers(2, 4))
def test_clusters_are_the_best_of_all_partitions(numbers, count):
    x = np.unique(np.array(numbers, dtype=float))
    times = np.array([numbers.count(int(v)) for v in x])
    best = min(
        sum(
            float(np.sum(t * (v - np.average(v, weights=t)) ** 2))
            for v, t in zip(np.split(x, cuts), np.split(times, cuts), strict=True)
        )
        for cuts in itertools.combinations(range(1, x.size), min(count, x.size) - 1)
    )
    means = optimal_clusters(x, times, count)
    assert to_levels(np.array(numbers, dtype=float), means) == pytest.approx(best, abs=1e-9)
    assert (np.diff(means) > 0).all()


def test_many_weights_are_binned_and_then_lloyd_comes_close(monkeypatch):
    w = np.random.default_rng(0).standard_normal(20_000)
    exact = error(torch.from_numpy(w), Cluster(16).project(torch.from_numpy(w)))
    monkeypatch.setattr("admm.constraints.clusters.EXACT_LIMIT", 100)
    found = error(torch.from_numpy(w), Cluster(16).project(torch.from_numpy(w)))
    assert exact <= found <= 1.01 * exact


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    "quantiser", [Uniform(3, per="channel"), Binary(per="channel"), Levels((-1.0, 0.5), "fit", per="channel")]
)
def test_a_scale_per_channel_is_each_filters_own(quantiser, groups):
    w = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor([1, 5, 0.1, 2]).reshape(
        4, 1, 1, 1
    )
    live = torch.rand(w.shape, generator=torch.Generator().manual_seed(2)) < 0.6
    projected = quantiser.project(w, live)
    alone = type(quantiser)(**{**vars(quantiser), "per": "layer"})
    for i in range(4):
        assert torch.equal(projected[i], alone.project(w[i], live[i]))
    assert quantiser.holds(projected, live)
    assert not alone.holds(projected, live)
    assert torch.equal(quantiser.project(projected, live), projected)
    grid = quantiser.grid(w, live, groups)
    assert grid.scale.shape == ((4,) if groups == 1 else (2, 2))
    assert torch.equal(nearest(w, grid, live), projected)
    matrix = projected.reshape(groups, 4 // groups, -1).swapaxes(1, 2).numpy()
    snapped = grid.weights(grid.index(matrix))  # the mapping's own reading of the grid
    assert (snapped == matrix)[matrix != 0].all()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.sampled_from([(-1.0, -0.2, 0.6, 1.0), (-1.0, 0.0, 1.0), (-0.3, 0.9, 1.0)]))
def test_a_sign_asked_for_is_kept(seed, values):
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(30, generator=generator)
    signs = torch.randint(-1, 2, (30,), generator=generator).to(torch.int8)
    table = np.array(values, dtype=np.float32)
    found = nearest(w, LevelGrid(np.array(values), np.array(1.0)), signs=signs)
    for x, sign, q in zip(w.tolist(), signs.tolist(), found.tolist(), strict=True):
        allowed = table if sign == 0 else table[table * sign >= 0]
        assert abs(x - q) == pytest.approx(np.abs(x - allowed).min())
        assert q in allowed


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(0), "greater than or equal to 1"),
        (lambda: Uniform(1, zero=True), "bits of at least 2"),
        (lambda: PowerOfTwo(0), "greater than or equal to 1"),
        (lambda: PowerOfTwo(3, scale=0.3), "0.3 is no power of two: give one, or shift = False"),
        (lambda: Binary(-1.0), "greater than 0"),
        (lambda: Binary(0.5, "channel"), r"per = \"channel\" fits a scale .* scale = 0\.5 must be \"fit\""),
        (lambda: Levels((-1.0, 1.0), 0.5, per="channel"), 'must be "fit"'),
        (lambda: Ternary(per="row"), "'layer' or 'channel'"),  # type: ignore[arg-type]
        (lambda: Cluster(1), "greater than or equal to 2"),
    ],
)
def test_bad_sets_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", sorted(ALL))
def test_weights_that_are_not_finite_are_named(name):
    with pytest.raises(UserError, match="NaN or infinity cannot be quantised"):
        ALL[name].project(torch.tensor([1.0, float("inf")]))


def test_mistakes_are_named():
    with pytest.raises(UserError, match=r"shape \(3,\) have no filters to scale one by one"):
        Binary(per="channel").project(torch.ones(3))


def test_zeros_and_empty_masks_fit_anywhere():
    for quantiser in ALL.values():
        assert quantiser.project(torch.zeros(3), torch.zeros(3, dtype=torch.bool)).tolist() == [0, 0, 0]
        assert quantiser.holds(quantiser.project(torch.zeros(4)))


@pytest.mark.parametrize("name", sorted(SCALED))
def test_one_weight_off_its_level_is_seen(name):
    w = SCALED[name].project(torch.randn(60, generator=torch.Generator().manual_seed(3)))
    assert SCALED[name].holds(w)
    w[7] = torch.nextafter(w[w.abs().argmax()], torch.tensor(9.0))
    assert not SCALED[name].holds(w)
