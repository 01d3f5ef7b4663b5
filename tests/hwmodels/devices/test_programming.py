import numpy as np
import pytest
from scipy import stats

from hwmodels import Device, UserError, fault_map, program, write_verify
from hwmodels.devices.device import ConstantError, InverseError, SaturatingError, TableError
from hwmodels.devices.effects import WriteVerify

G_MIN, G_MAX = 1e-6, 1e-5


def device(error=None, how=None, **changes):
    spec = Device(name="test", g_min_s=G_MIN, g_max_s=G_MAX, levels=16, write_verify=how, **changes)
    return spec if error is None else spec.with_(programming_error=error)


def accepting(q, n, **changes):
    return WriteVerify(accept=q, max_pulses=n, pulse_s=1e-6, pulse_energy_j=30e-12, **changes)


def within(window, n):
    return WriteVerify(window_s=window, max_pulses=n, pulse_s=1e-6, pulse_energy_j=30e-12)


@pytest.mark.parametrize(("q", "n"), [(0.117331, 64), (0.5, 4), (1.0, 3), (0.01, 10)])
def test_pulses_are_geometric_and_cut_off(q, n):
    out = write_verify(np.full((4, 128, 128), 4e-6), device(how=accepting(q, n)), seed=1)
    k = np.arange(1, n + 1)
    law = q * (1 - q) ** (k - 1)
    law[-1] = (1 - q) ** (n - 1)  # the last pulse is the last, accepted or not
    found = np.bincount(out.pulses.reshape(-1), minlength=n + 1)[1:]
    keep = law * out.pulses.size > 5
    assert found[~keep].sum() < 50
    if keep.sum() > 1:
        assert stats.chisquare(found[keep], law[keep] / law[keep].sum() * found[keep].sum()).pvalue > 1e-3
    failed = (1 - q) ** n
    assert 1 - out.accepted.mean() == pytest.approx(failed, abs=5 * np.sqrt(failed / out.pulses.size) + 1e-12)
    assert out.mean_pulses.mean() == pytest.approx((1 - failed) / q, rel=5 / np.sqrt(out.pulses.size) / q)
    assert out.yield_.shape == out.energy_j.shape == (4,)


def test_neurram_takes_the_published_pulses_and_the_time_of_its_slowest_cells():
    spec = Device.load("neurram")
    out = write_verify(np.full((20, 128, 128), 20e-6), spec, seed=3)
    assert out.mean_pulses.mean() == pytest.approx(8.52, rel=0.01)
    assert out.energy_j.mean() == pytest.approx(16384 * 8.52 * 30e-12, rel=0.01)
    assert out.time_cell_serial_s.mean() == pytest.approx(16384 * 8.52e-6, rel=0.01)
    # E max of 128 truncated geometrics = Σ P(max > k)
    q, n = spec.write_verify.accept, 64
    longest = sum(1 - (1 - (1 - q) ** k) ** 128 for k in range(n))
    assert longest == pytest.approx(43.7, abs=0.3)
    assert out.time_row_parallel_s.mean() == pytest.approx(128 * longest * 1e-6, rel=0.021)  # 5 σ of 2560 rows
    assert np.array_equal(out.g, program(np.full((20, 128, 128), 20e-6), spec, seed=3))


def test_costs_add_up_by_hand():
    how = accepting(1.0, 3, verify_s=2e-6, verify_energy_j=5e-12)
    g = np.full((4, 6), 4e-6)
    g[0, :3] = 0.0  # open crossings take no pulse
    out = write_verify(g, device(how=how))
    assert np.array_equal(out.pulses, (g > 0).astype(int))
    assert out.energy_j == pytest.approx(21 * 35e-12)
    assert out.time_cell_serial_s == pytest.approx(21 * 3e-6)
    assert out.time_row_parallel_s == pytest.approx(4 * 3e-6)
    assert out.yield_ == out.mean_pulses == 1.0
    assert out.energy_j.shape == ()


def test_a_faulty_cell_is_never_accepted():
    spec = device(how=accepting(0.9, 5), stuck_at_hrs=0.1)
    out = write_verify(np.full((64, 64), 4e-6), spec, seed=2)
    stuck = fault_map((64, 64), spec, seed=2) > 0
    assert np.all(out.pulses[stuck] == 5)
    assert not out.accepted[stuck].any()


@pytest.mark.parametrize("window", [1e-7, 3e-7, 1e-6])
def test_within_a_window_the_error_is_a_cut_normal(window):
    sigma, target = 3e-7, 5e-6
    spec = device(ConstantError(sigma_s=sigma), within(window, 200))
    out = write_verify(np.full((128, 128), target), spec, seed=4)
    assert out.accepted.all()
    assert np.abs(out.g - target).max() <= window
    law = stats.truncnorm(-window / sigma, window / sigma, loc=target, scale=sigma)
    assert stats.kstest(out.g.reshape(-1), law.cdf).pvalue > 1e-3
    q = 2 * stats.norm.cdf(window / sigma) - 1
    assert out.mean_pulses == pytest.approx(1 / q, rel=5 / 128 / np.sqrt(q))
    assert np.array_equal(program(np.full((128, 128), target), spec, seed=4), out.g), "program writes that way"


def test_an_endless_window_changes_nothing():
    g = np.random.default_rng(0).uniform(G_MIN, G_MAX, size=(2, 40, 50))
    plain = device(ConstantError(sigma_s=3e-7), stuck_at_lrs=0.1)
    out = write_verify(g, plain.with_(write_verify=within(1.0, 9)), seed=6)
    assert np.array_equal(out.g, program(g, plain, seed=6))
    assert np.all(out.pulses == 1)


def test_without_a_second_try_the_first_stays():
    g = np.full((64, 64), 5e-6)
    plain = device(ConstantError(sigma_s=3e-7))
    out = write_verify(g, plain.with_(write_verify=within(1e-12, 1)), seed=6)
    assert np.array_equal(out.g, program(g, plain, seed=6))
    assert out.yield_ < 0.01


def test_a_device_that_does_not_say_how_it_is_written_is_refused():
    with pytest.raises(UserError, match=r"'test' does not say how its cells are written: give it a \[write_verify\]"):
        write_verify(np.full((2, 2), 4e-6), device())


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"accept": 0.5, "window_s": 1e-7}, "give either `accept`"),
        ({}, "give either `accept`"),
        ({"accept": 1.5}, r"write_verify\.accept = 1\.5"),
        ({"accept": 0.5, "max_pulses": 0}, r"write_verify\.max_pulses = 0"),
        ({"accept": 0.5, "max_pulses": 10**6}, r"write_verify\.max_pulses = 1000000"),
    ],
)
def test_mistakes_in_the_table_are_named(table, words):
    full = {"max_pulses": 5, "pulse_s": 1e-6, "pulse_energy_j": 0.0} | table
    with pytest.raises(UserError, match=words):
        device().with_(write_verify=full)


# the error kinds that came after the first four; `test_mismatch` holds the battery of those
@pytest.mark.parametrize(
    ("error", "sigma"),
    [
        (InverseError(sigma=0.01), lambda t: 0.01 * G_MAX**2 / t),
        (SaturatingError(top_s=3e-7, scale_s=2e-6), lambda t: 3e-7 * (1 - np.exp(-t / 2e-6))),
        (TableError(g_s=(2e-6, 6e-6), sigma_s=(1e-7, 3e-7)), lambda t: np.interp(t, [2e-6, 6e-6], [1e-7, 3e-7])),
    ],
)
@pytest.mark.parametrize("target", [1.5e-6, 4e-6, G_MAX])
def test_cells_follow_the_distribution_of_their_kind(error, sigma, target):
    g = program(np.full((2, 128, 128), target), device(error), seed=3).reshape(-1)
    law = stats.norm(target, sigma(target))
    keep = g > 0  # a wide inverse error reaches below 0 S, where conductance is cut off
    assert keep.mean() == pytest.approx(law.sf(0), abs=5 / np.sqrt(g.size))
    cut = stats.truncnorm(-target / sigma(target), np.inf, target, sigma(target))
    assert stats.kstest(g[keep], cut.cdf).pvalue > 1e-3
    assert np.array_equal(program(np.full((8, 8), target), device(error).scaled_error(0), 6), np.full((8, 8), target))
    half = program(np.full((8, 8), target), device(error).scaled_error(0.01), 6) - target
    full = program(np.full((8, 8), target), device(error).scaled_error(0.02), 6) - target
    np.testing.assert_allclose(full, 2 * half, rtol=1e-9)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"kind": "table", "g_s": (1e-6, 2e-6), "sigma_s": (1e-7,)}, "they go in pairs"),
        ({"kind": "table", "g_s": (2e-6, 1e-6), "sigma_s": (1e-7, 1e-7)}, "does not ascend"),
        ({"kind": "inverse", "sigma": -1.0}, r"programming_error\.sigma = -1\.0"),
        ({"kind": "invers", "sigma": 1.0}, "programming_error"),
    ],
)
def test_mistakes_in_an_error_table_are_named(table, words):
    with pytest.raises(UserError, match=words):
        device().with_(programming_error=table)
