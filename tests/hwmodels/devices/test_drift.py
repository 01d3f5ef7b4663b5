import numpy as np
import pytest
from scipy import stats

from hwmodels import Device, UserError, drift_to, global_drift_compensation
from hwmodels.devices.curves import Polynomial, constant
from hwmodels.devices.effects import LogDecay, PowerLaw, SpreadGrowth

G_MIN, G_MAX, DAY = 1e-6, 1e-5, 86400.0
SHAPE = (2, 128, 128)


def device(drift):
    return Device(name="test", g_min_s=G_MIN, g_max_s=G_MAX, levels=16, drift=drift)


POWER = PowerLaw(t0_s=20.0, nu=constant(0.06), nu_sigma=constant(0.01))
GROWTH = SpreadGrowth(
    times_s=(1.0, DAY, 2 * DAY),
    curves=tuple(Polynomial(coeffs=(c,)) for c in (0.01, 0.02, 0.04)),
    shifts=tuple(Polynomial(coeffs=(0.0, c)) for c in (0.0, -0.01, -0.03)),
)
DECAY = LogDecay(t0_s=1.0, shift_s=-8.9e-8, sigma_s=4.1e-7, sigma_slope_s=4.2e-8)


@pytest.mark.parametrize(
    ("spec", "t", "expected"),
    [
        (POWER, 3600.0, lambda g: stats.lognorm(0.01 * np.log(180), scale=g * 180**-0.06)),
        (GROWTH, DAY, lambda g: stats.norm(g * 0.99, 1e-5 * np.sqrt(0.02**2 - 0.01**2))),
        (GROWTH, 2 * DAY, lambda g: stats.norm(g * 0.97, 1e-5 * np.sqrt(0.04**2 - 0.01**2))),
        (DECAY, np.e, lambda g: stats.norm(g - 8.9e-8, 4.52e-7)),
    ],
)
def test_cells_follow_the_distribution_of_their_time(spec, t, expected):
    g = drift_to(np.full(SHAPE, 6e-6), device(spec), t, seed=2).reshape(-1)
    law = expected(6e-6)
    assert stats.kstest(g, law.cdf).pvalue > 1e-3
    assert g.mean() == pytest.approx(law.mean(), abs=5 * law.std() / np.sqrt(g.size))
    assert g.std() == pytest.approx(law.std(), rel=5 / np.sqrt(g.size))


def test_between_two_times_the_spread_is_interpolated_in_their_logarithm():
    spec = device(GROWTH)
    t = np.sqrt(DAY * 2 * DAY)
    g = drift_to(np.full(SHAPE, 6e-6), spec, t).reshape(-1)
    assert g.std() == pytest.approx(1e-5 * np.sqrt(0.03**2 - 0.01**2), rel=5 / np.sqrt(g.size))


@pytest.mark.parametrize(("spec", "t0"), [(POWER, 20.0), (GROWTH, 1.0), (DECAY, 1.0)])
def test_up_to_the_first_time_nothing_moves(spec, t0):
    g = np.linspace(G_MIN, G_MAX, 60).reshape(6, 10)
    for t in (0.0, t0 / 2, t0):
        assert np.array_equal(drift_to(g, device(spec), t), g)


@pytest.mark.parametrize("spec", [POWER, GROWTH])
def test_drift_sets_in_without_a_jump(spec):
    g = np.linspace(G_MIN, G_MAX, 60).reshape(6, 10)
    t0 = spec.t0_s if isinstance(spec, PowerLaw) else spec.times_s[0]
    steps = [np.abs(drift_to(g, device(spec), t0 * (1 + h)) - g).max() for h in (1e-3, 1e-7)]
    assert steps[1] < 0.02 * steps[0]


def test_power_law_halves_log_conductance_on_a_straight_line():
    g = np.full((8, 8), 5e-6)
    spec = device(POWER)
    slopes = [np.log(drift_to(g, spec, t, 3) / g) / np.log(t / 20.0) for t in (40.0, 1e4, 1e8)]
    np.testing.assert_allclose(slopes[0], slopes[1], rtol=1e-9)
    np.testing.assert_allclose(slopes[0], slopes[2], rtol=1e-9)


def test_noise_of_zero_leaves_the_exact_law():
    spec = device(PowerLaw(t0_s=1.0, nu=constant(0.1), nu_sigma=constant(0.0)))
    g = np.linspace(G_MIN, G_MAX, 60).reshape(6, 10)
    np.testing.assert_allclose(drift_to(g, spec, 1000.0), g * 1000**-0.1, rtol=1e-13)


def test_drift_depends_on_the_state_as_the_source_says():
    # PCM of Nandakumar et al.: ν = -0.0155 ln x + 0.0244 within 0.049 … 0.1, so x = 0.1 drifts with 0.0601
    spec = Device.load("pcm-like")
    quiet = spec.with_(drift=PowerLaw(t0_s=20.0, nu=spec.drift.nu, nu_sigma=constant(0.0)))
    for x, nu in ((0.1, -0.0155 * np.log(0.1) + 0.0244), (1.0, 0.049), (0.005, 0.1)):
        g = np.full((1, 1), x * spec.g_max_s)
        assert drift_to(g, quiet, 20.0 * np.e)[0, 0] == pytest.approx(g[0, 0] * np.exp(-nu), rel=1e-12)


def test_hermes_has_two_branches():
    for name, t0, split, above in (("pcm-hermes", 200, 0.3039, 0.0104), ("pcm-hermes-2", 300, 0.3055, 0.0073)):
        drift = Device.load(name).drift
        assert (drift.t0_s, drift.nu.above, drift.nu_sigma.above, drift.nu_sigma.coeffs[0]) == (
            t0,
            0.0945,
            split,
            above,
        )
        # the published branches of the mean meet at x = 0.0945 to within 0.1 %
        low = np.clip(-0.0387 * np.log(0.0945) - 0.0182, 0.0720, 0.13)
        assert low == pytest.approx(0.0736 - 0.0126 * 0.0945 - 0.0436 * 0.0945**2, rel=2e-2)


def test_neurram_widens_to_the_published_spread():
    spec = Device.load("neurram")
    x = 0.5
    at = {
        t: sum(c * x**i for i, c in enumerate(k.coeffs)) * 40
        for t, k in zip(spec.drift.times_s, spec.drift.curves, strict=True)
    }
    assert at[1.0] == pytest.approx(2.023, abs=2e-3)
    assert at[DAY] == pytest.approx(3.909, abs=2e-3)
    g = drift_to(np.full(SHAPE, 20e-6), spec, DAY).reshape(-1) * 1e6
    assert g.std() == pytest.approx(np.sqrt(at[DAY] ** 2 - at[1.0] ** 2), rel=5 / np.sqrt(g.size))
    with pytest.raises(UserError, match=r"'neurram' is known up to 172800 s after programming, not for t_s = 1e\+06"):
        drift_to(np.full((2, 2), 20e-6), spec, 1e6)


def test_sonos_shifts_as_its_source_computes():
    # CrossSim's polynomial at day 1 for I = 800 nA, evaluated with numpy in its own units
    source = [6.83650e-01, 6.51250e-03, -4.03163e-04, 3.37944e-06, -1.87435e-08, 5.88902e-11, -1.07685e-13]
    source += [1.17751e-16, -7.60016e-20, 2.67255e-23, -3.94954e-27]
    shift = np.polynomial.polynomial.polyval(800.0, source)
    spec = Device.load("sonos")
    g = drift_to(np.full(SHAPE, 8e-6), spec, DAY).reshape(-1)
    assert g.mean() == pytest.approx(8e-6 + shift * 1e-8, abs=5 * g.std() / np.sqrt(g.size))


def test_draws_of_a_cell_do_not_depend_on_the_time_and_are_independent_of_their_neighbours():
    spec, g = device(POWER), np.full((128, 128), 5e-6)
    early, late = (np.log(drift_to(g, spec, t, 1)).reshape(-1) for t in (100.0, 1e6))
    assert np.corrcoef(early, late)[0, 1] > 1 - 1e-9
    other = np.log(drift_to(g, spec, 100.0, 2)).reshape(-1)
    assert abs(np.corrcoef(early, other)[0, 1]) < 5 / 128
    assert abs(np.corrcoef(early[1:], early[:-1])[0, 1]) < 5 / 128


def test_global_compensation_puts_the_mean_output_right():
    spec = Device.load("pcm-like")
    g = np.random.default_rng(0).uniform(5e-6, 25e-6, size=(3, 128, 64))
    now = drift_to(g, spec, DAY, seed=4)
    factor = global_drift_compensation(g, now)
    assert factor.shape == (3,)
    v = np.random.default_rng(1).uniform(0, 0.2, size=(200, 128))
    for a in range(3):
        raw, put_right = (np.abs((v @ (f * now[a]) - v @ g[a]) / (v @ g[a])).mean() for f in (1.0, factor[a]))
        assert raw > 0.3
        assert put_right < 0.02
    assert global_drift_compensation(g[0], g[0]) == 1.0
    np.testing.assert_allclose(global_drift_compensation(g, 0.5 * g), 2.0)


def test_compensation_of_what_is_no_array_is_refused():
    with pytest.raises(UserError, match="they are one array"):
        global_drift_compensation(np.ones((2, 3)), np.ones((3, 2)))
    with pytest.raises(UserError, match="Array 0 conducts nothing now"):
        global_drift_compensation(np.ones((2, 3)), np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"kind": "power-law", "t0_s": 0.0, "nu": {}, "nu_sigma": {}}, r"drift\.t0_s = 0\.0"),
        ({"kind": "growth"}, "drift"),
        (
            {"kind": "spread-growth", "times_s": (1.0, 1.0), "curves": (constant(0.1),) * 2},
            "times_s = .* does not ascend",
        ),
        ({"kind": "spread-growth", "times_s": (1.0, 2.0), "curves": (constant(0.1),) * 3}, "3 curves for 2 times"),
        ({"kind": "spread-growth", "times_s": (0.0, 2.0), "curves": (constant(0.1),) * 2}, "no logarithm"),
        (
            {"kind": "spread-growth", "times_s": (1.0, 2.0), "curves": (constant(0.1), Polynomial(coeffs=(0.1, 0.2)))},
            "different shapes",
        ),
    ],
)
def test_mistakes_in_a_drift_table_are_named(table, words):
    with pytest.raises(UserError, match=words):
        device(None).with_(drift=table)
