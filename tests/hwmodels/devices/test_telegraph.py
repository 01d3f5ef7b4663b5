from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import linalg, stats

from hwmodels import Device, UserError, conductances_at, telegraph_noise
from hwmodels.devices import plain, torch_twins
from hwmodels.devices.cells import Cells
from hwmodels.devices.effects import TelegraphNoise
from hwmodels.devices.faults import threshold
from hwmodels.devices.random import philox4x32, seed_of_window
from hwmodels.devices.telegraph import COUNTS, windows

CAPTURE, EMISSION = 3e-3, 1e-3
RATE, DUTY = 1 / CAPTURE + 1 / EMISSION, 0.25
CELLS = 2 * 128 * 128


def device(**changes):
    noise = {"amplitude": 0.2, "capture_s": CAPTURE, "emission_s": EMISSION} | changes
    return Device(name="test", g_min_s=1e-6, g_max_s=1e-5, levels=16, telegraph_noise=TelegraphNoise(**noise))


def full(t_s, seed=0, spec=None, shape=(2, 128, 128), **place):
    g = np.full(shape, 4e-6)
    return telegraph_noise(g, spec or device(), read=0, t_s=t_s, seed=seed, **place) < 4e-6


@pytest.mark.parametrize("start", [0.0, 0.3 / RATE, 1000.77 / RATE])
@pytest.mark.parametrize("lag", [0.02, 0.3, 1.0, 2.5])
def test_states_at_two_reads_are_those_of_the_markov_process(start, lag):
    one, two = full(start, seed=3), full(start + lag / RATE, seed=3)
    generator = np.array([[-1 / CAPTURE, 1 / CAPTURE], [1 / EMISSION, -1 / EMISSION]])
    joint = np.array([1 - DUTY, DUTY])[:, None] * linalg.expm(generator * lag / RATE)
    found = np.array([[np.count_nonzero((one == i) & (two == j)) for j in (0, 1)] for i in (0, 1)])
    for count, probability in zip(found.reshape(-1), joint.reshape(-1), strict=True):
        assert stats.binomtest(int(count), CELLS, probability).pvalue > 1e-4
    error = 5 / np.sqrt(CELLS)
    assert np.corrcoef(one.reshape(-1), two.reshape(-1))[0, 1] == pytest.approx(np.exp(-lag), abs=error)


def test_three_reads_have_no_memory_beyond_the_middle_one():
    """P(full at t₂ | t₁, t₀) does not depend on t₀, also where the three lie in one window."""
    for times in ((5.1, 5.4, 5.7), (5.6, 6.2, 6.8)):
        first, middle, last = (full(t / RATE, seed=4) for t in times)
        step = np.exp(-(times[2] - times[1]))
        for before in (False, True):
            chosen = last[(middle) & (first == before)]
            expected = DUTY + (1 - DUTY) * step
            assert stats.binomtest(int(chosen.sum()), chosen.size, expected).pvalue > 1e-4


def test_dwell_times_are_exponential_with_their_means():
    step = 0.1 / RATE
    path = np.stack([full(n * step, seed=5, shape=(16, 16)).reshape(-1) for n in range(600)])
    for state, mean in ((True, EMISSION), (False, CAPTURE)):
        runs = []
        for cell in path.T:
            edges = np.flatnonzero(np.diff(cell.astype(int))) + 1
            # whole runs that begin in the first half, so that hardly any is cut off by the end
            runs += [b - a for a, b in pairwise(edges) if cell[a] == state and a < 300]
        runs = np.array(runs)
        stay = linalg.expm(np.array([[-1 / CAPTURE, 1 / CAPTURE], [1 / EMISSION, -1 / EMISSION]]) * step)
        expected = 1 / (1 - stay[int(state), int(state)])  # of a process looked at in steps: geometric
        cut = 300 * step / mean
        assert np.mean(runs) == pytest.approx(expected, rel=5 / np.sqrt(runs.size) + 2 * np.exp(-cut) * cut)
    assert path.mean() == pytest.approx(DUTY, abs=0.03)


def test_close_reads_are_equal_and_far_ones_forget():
    one = full(1.0)
    assert np.array_equal(one, full(1.0 + 1e-12))
    assert np.array_equal(one, full(1.0)), "asked again, the same"
    assert abs(np.corrcoef(one.reshape(-1), full(2.0).reshape(-1))[0, 1]) < 5 / np.sqrt(CELLS)
    assert abs(np.corrcoef(one.reshape(-1), full(1.0, seed=1).reshape(-1))[0, 1]) < 5 / np.sqrt(CELLS)
    assert np.abs(np.corrcoef(one.reshape(-1, 4).T) - np.eye(4)).max() < 5 / np.sqrt(CELLS / 4)


def test_the_number_of_the_read_does_not_matter_but_its_time_does():
    g, spec = np.full((40, 40), 4e-6), device()
    reads = [conductances_at(g, spec, t_s=t, read=n) for t, n in ((0.1, 0), (0.1, 7), (0.2, 7))]
    assert np.array_equal(reads[0], reads[1])
    assert not np.array_equal(reads[1], reads[2])


@pytest.mark.parametrize("t_s", [0.0, 1e-4, 0.0123, 86400.0])
def test_kernel_numpy_and_torch_agree_bit_for_bit_and_in_pieces(t_s):
    spec = device(share=0.7)
    g = np.random.default_rng(0).uniform(1e-6, 1e-5, size=(2, 9, 23))
    place = {"seed": 2**63 + 5, "array": 3, "row": 2**32 - 20, "col": 1}
    fast = telegraph_noise(g, spec, read=3, t_s=t_s, **place)
    cells = Cells(place["seed"], (3, 2**32 - 20, 1), g.shape)
    assert np.array_equal(fast, plain.telegraph(plain.NUMPY, spec.telegraph_noise, cells, g, 3, t_s))
    twin = torch_twins.conductances_at(torch.as_tensor(g), spec, t_s=t_s, read=3, **place).numpy()
    assert np.array_equal(fast, twin)
    part = telegraph_noise(g[1:, 4:, 6:], spec, 3, t_s, place["seed"], 4, 2**32 - 16, 7)
    assert np.array_equal(part, fast[1:, 4:, 6:])


def test_without_an_event_the_first_state_stays():
    where = windows(device().telegraph_noise, 1, 0.0)
    assert where.ends == (0,)
    cells, limit = Cells(1, (0, 0, 0), (1, 50, 50)), threshold(DUTY)
    start = plain.words(plain.NUMPY, plain.Purpose.TELEGRAPH, cells) < limit
    assert np.array_equal(plain.full_in_time(plain.NUMPY, cells, where, limit), start)


def test_events_of_a_window_are_poisson():
    words = philox4x32(np.stack([np.arange(10**5), *[np.zeros(10**5, int)] * 3], axis=-1), (1, 2)).reshape(-1)
    counts = np.sum(words[:, None] >= np.array(COUNTS), axis=1)
    law = stats.poisson(1).pmf(np.arange(7)) * counts.size
    assert (
        stats.chisquare(np.bincount(counts, minlength=7)[:7], law * counts[counts < 7].size / law.sum()).pvalue > 1e-3
    )
    np.testing.assert_allclose(np.array(COUNTS) / 2**32, stats.poisson(1).cdf(np.arange(len(COUNTS))), atol=2**-32)


def test_windows_have_seeds_of_their_own():
    seeds = [seed_of_window(seed, number) for seed in (0, 1, 2**64 - 1) for number in (0, 1, 2**32, 2**64 - 1)]
    assert len(set(seeds)) == 12
    assert all(0 <= seed < 2**64 for seed in seeds)


@pytest.mark.parametrize(
    "table",
    [{}, {"duty": 0.5, "capture_s": 1.0, "emission_s": 1.0}, {"capture_s": 1.0}, {"duty": 0.5, "emission_s": 1.0}],
)
def test_the_two_ways_of_giving_the_duty_do_not_mix(table):
    with pytest.raises(UserError, match="give either `duty` or both `capture_s` and `emission_s`"):
        Device.load("ideal").with_(telegraph_noise={"amplitude": 0.1} | table)


def test_dwell_times_too_short_for_the_time_are_refused():
    with pytest.raises(UserError, match=r"t_s = 1e\+12 is more than 2\*\*52 dwell times after programming"):
        full(1e12, spec=device(capture_s=1e-6, emission_s=1e-6))
