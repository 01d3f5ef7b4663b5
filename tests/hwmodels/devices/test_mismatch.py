import hashlib
import os
import subprocess
import sys
import textwrap

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hwmodels import Device, UserError, program, program_reference
from hwmodels.devices.device import ConstantError, LognormalError, NoError, PolynomialError, ProportionalError

G_MIN, G_MAX = 1e-6, 1e-5


def device(error=None, **changes):
    return Device(name="test", g_min_s=G_MIN, g_max_s=G_MAX, levels=16, programming_error=error or NoError(), **changes)


# kind, error, the distribution of g at a target t: one row buys a kind every test below
KINDS = [
    ("constant", ConstantError(sigma_s=2e-8), lambda t: stats.norm(t, 2e-8)),
    ("proportional", ProportionalError(sigma=0.03), lambda t: stats.norm(t, 0.03 * t)),
    ("lognormal", LognormalError(sigma=0.1), lambda t: stats.lognorm(0.1, scale=t)),
    (
        "polynomial",
        PolynomialError(coeffs_s=(2e-8, 3e-7, -1e-7)),
        lambda t: stats.norm(t, 2e-8 + 3e-7 * (t / G_MAX) - 1e-7 * (t / G_MAX) ** 2),
    ),
]
ERRORS = [error for _, error, _ in KINDS]
NAMES = [name for name, _, _ in KINDS]


@pytest.mark.parametrize(("name", "error", "distribution"), KINDS, ids=NAMES)
@pytest.mark.parametrize("target", [G_MIN, 4e-6, G_MAX])
def test_cells_follow_the_distribution_of_their_kind(name, error, distribution, target):
    g = program(np.full((2, 128, 128), target), device(error), seed=3).reshape(-1)
    expected = distribution(target)
    assert stats.kstest(g, expected.cdf).pvalue > 1e-3
    assert g.mean() == pytest.approx(expected.mean(), abs=5 * expected.std() / np.sqrt(g.size))
    assert g.std() == pytest.approx(expected.std(), rel=5 / np.sqrt(g.size))


@pytest.mark.parametrize("error", ERRORS, ids=NAMES)
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**64 - 1),
    first=st.tuples(*[st.integers(0, 2**32 - 40)] * 3),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 17), st.integers(1, 33)),
    rates=st.sampled_from([(0.0, 0.0), (0.1, 0.2), (0.5, 0.5), (1.0, 0.0)]),
)
def test_kernel_equals_its_plain_twin(error, seed, first, shape, rates):
    spec = device(error, stuck_at_lrs=rates[0], stuck_at_hrs=rates[1])
    g = np.random.default_rng(0).choice([0.0, *spec.level_conductances()], size=shape)
    fast = program(g, spec, seed, *first)
    slow = program_reference(g, spec, seed, *first)
    np.testing.assert_allclose(fast, slow, rtol=1e-13, atol=0)
    stuck = np.isin(slow, [G_MIN, G_MAX])
    assert np.array_equal(fast[stuck], slow[stuck])


@pytest.mark.parametrize("error", ERRORS, ids=NAMES)
def test_a_slab_programmed_alone_equals_the_slab_of_the_whole(error):
    spec = device(error, stuck_at_lrs=0.05, stuck_at_hrs=0.05)
    g = np.random.default_rng(1).choice(spec.level_conductances(), size=(4, 30, 41))
    whole = program(g, spec, 9, array=2, row=5, col=7)
    for a, r, c in [(0, 0, 0), (1, 3, 5), (3, 29, 40), (2, 11, 17)]:
        part = program(g[a:, r:, c:], spec, 9, array=2 + a, row=5 + r, col=7 + c)
        assert np.array_equal(part, whole[a:, r:, c:])
    assert np.array_equal(program(g[1], spec, 9, array=3, row=5, col=7), whole[1])


def test_the_number_of_threads_changes_nothing():
    spec = device(LognormalError(sigma=0.2), stuck_at_lrs=0.1)
    g = np.full((3, 64, 65), 5e-6)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = program(g, spec, 4)
        numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
        two = program(g, spec, 4)
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(one, two)


def test_seeds_and_arrays_are_independent():
    spec = device(ConstantError(sigma_s=1e-8))
    g = np.full((2, 100, 100), 5e-6)
    draws = np.stack([program(g, spec, seed).reshape(2, -1) for seed in (0, 1, 2**32)]).reshape(6, -1)
    assert np.abs(np.corrcoef(draws) - np.eye(6)).max() < 5 / 100


@pytest.mark.parametrize(("lrs", "hrs"), [(0.0175, 0.0904), (0.001, 0.001), (0.5, 0.5), (0.0, 0.3), (0.3, 0.0)])
def test_fault_rates_are_exact_in_bulk(lrs, hrs):
    g = np.full((16, 128, 128), 4e-6)
    out = program(g, device(stuck_at_lrs=lrs, stuck_at_hrs=hrs), seed=11)
    for value, rate in ((G_MAX, lrs), (G_MIN, hrs)):
        low, high = stats.binom(g.size, rate).ppf([1e-4, 1 - 1e-4])
        assert low <= np.count_nonzero(out == value) <= high
    assert np.all(np.isin(out, [4e-6, G_MAX, G_MIN]))


def test_a_rate_of_one_catches_every_cell():
    assert np.all(program(np.full((9, 9), 4e-6), device(stuck_at_hrs=1.0)) == G_MIN)
    assert np.all(program(np.full((9, 9), 4e-6), device(stuck_at_lrs=1.0)) == G_MAX)


def test_faults_do_not_move_the_errors_of_the_other_cells():
    g = np.full((64, 64), 4e-6)
    plain = program(g, device(LognormalError(sigma=0.1)), 5)
    faulty = program(g, device(LognormalError(sigma=0.1), stuck_at_lrs=0.2), 5)
    healthy = faulty != G_MAX
    assert 0 < healthy.sum() < g.size
    assert np.array_equal(plain[healthy], faulty[healthy])


@pytest.mark.parametrize("error", ERRORS, ids=NAMES)
def test_open_crossings_stay_open(error):
    out = program(np.zeros((8, 8)), device(error, stuck_at_lrs=0.5, stuck_at_hrs=0.5), 1)
    assert np.all(out == 0.0)


def test_conductance_never_falls_below_zero():
    out = program(np.full((64, 64), G_MIN), device(ConstantError(sigma_s=1e-5)), 2)
    assert out.min() == 0.0
    assert np.count_nonzero(out == 0) / out.size == pytest.approx(stats.norm.cdf(-0.1), abs=0.04)


@pytest.mark.parametrize("name", ["ideal", "isaac"])
def test_a_device_without_error_lands_exactly_and_copies(name):
    spec = Device.load(name)
    g = np.random.default_rng(0).choice(spec.level_conductances(), size=(2, 5, 6))
    out = program(g, spec, 8)
    assert np.array_equal(out, g)
    assert not np.shares_memory(out, g)


@pytest.mark.parametrize("error", ERRORS, ids=NAMES)
def test_scaled_error_scales_the_spread(error):
    g = np.full((128, 128), 5e-6)
    base, double = (np.log(program(g, device(error).scaled_error(f), 6) / g).std() for f in (0.1, 0.2))
    assert double / base == pytest.approx(2.0, rel=1e-2)
    assert np.array_equal(program(g, device(error).scaled_error(0), 6), g)


def test_single_precision_and_whole_numbers_are_taken_as_they_are():
    g = np.full((3, 4), 4e-6, dtype=np.float32)
    assert program(g, device()).dtype == np.float64
    assert np.array_equal(program(g, device()), g.astype(np.float64))


@pytest.mark.parametrize(
    ("g", "words"),
    [
        (np.full((2, 2), -1e-6), "4 target conductances are negative or not finite; the first is -1e-06 S"),
        (np.array([[1e-6, np.nan]]), r"the first is nan S at array, row, column \(0, 0, 1\)"),
        (np.array([[np.inf]]), "the first is inf S"),
        (np.zeros(3), r"not float64 of shape \(3,\)"),
        (np.zeros((2, 2), dtype=complex), r"not complex128 of shape \(2, 2\)"),
        (np.array([["a"]]), "real numbers"),
    ],
)
def test_targets_that_are_no_conductances_are_refused(g, words):
    with pytest.raises(UserError, match=words):
        program(g, device())


@pytest.mark.parametrize("place", [{"array": -1}, {"row": 1.5}, {"col": 2**32 - 1}, {"row": True}])
def test_places_that_do_not_exist_are_refused(place):
    with pytest.raises(UserError, match=rf"^{next(iter(place))} "):
        program(np.zeros((2, 2)), device(), **place)


def test_bad_seeds_are_refused_even_where_nothing_is_drawn():
    with pytest.raises(UserError, match="A seed is a whole number"):
        program(np.zeros((2, 2)), device(), seed=-1)


def test_programming_works_where_no_cache_can_be_written():
    # numba raises while decorating when it finds no folder for its cache, as on a read-only install
    script = """
        import numba.core.caching as caching
        caching.CacheImpl._locator_classes = []
        import numpy as np
        from hwmodels import Device, program
        spec = Device.load("yuan2019")
        g = program(np.full((4, 4), 5e-7), spec, 3)
        print(repr(g.sum()))
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, env=os.environ, check=False
    )
    assert run.returncode == 0, run.stderr
    assert repr(program(np.full((4, 4), 5e-7), Device.load("yuan2019"), 3).sum()) == run.stdout.strip()


@pytest.mark.parametrize("spec", [device(), device(ERRORS[2], stuck_at_lrs=0.1)], ids=["exact", "with error"])
@pytest.mark.parametrize("shape", [(5, 6), (2, 5, 6)])
def test_the_result_goes_where_the_caller_wants_it(spec, shape):
    g = np.full(shape, 4e-6)
    out = np.empty(shape)
    assert program(g, spec, 3, out=out) is out
    assert np.array_equal(out, program(g, spec, 3))
    for wrong in (np.empty((6, 5)), np.empty(shape, np.float32), np.empty((*shape[:-1], 12))[..., ::2]):
        with pytest.raises(UserError, match="a C-contiguous float64 array of shape"):
            program(g, spec, 3, out=wrong)


def test_the_draws_stay_what_they_are():
    # bits of an earlier version, so that results stay reproducible from a seed over versions and machines
    digest = hashlib.sha256()
    for error in ERRORS:
        g = np.arange(2 * 13 * 17).reshape(2, 13, 17) * 2.0**-26
        spec = device(error, stuck_at_lrs=0.05, stuck_at_hrs=0.05)
        digest.update(program(g, spec, 2**40 + 7, array=3, row=5, col=9).tobytes())
    assert digest.hexdigest()[:16] == "fb1cba255b209ee7"
