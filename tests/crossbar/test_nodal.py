import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbar import Result, effective_conductance, solve
from hwmodels.errors import UserError

METHODS = ("direct", "cg", "auto")


@st.composite
def arrays(draw, most=12):
    """An array with its inputs: g (rows, cols) [S], v (batch, rows) [V] of both signs."""
    rows, cols, batch = draw(st.integers(1, most)), draw(st.integers(1, most)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    closed = rng.random((rows, cols)) >= draw(st.sampled_from([0.0, 0.3, 0.9]))
    return 10 ** rng.uniform(-6, -3, (rows, cols)) * closed, rng.uniform(-1, 1, (batch, rows))


ohms = st.one_of(st.just(0.0), st.floats(-3, 3).map(lambda x: 10**x))
wires = st.tuples(ohms, ohms, ohms, ohms)
real_wires = st.tuples(*[st.floats(-1, 3).map(lambda x: 10**x)] * 4)


def near(found, expected, share):
    """Equal within a share of the largest expected number."""
    return np.abs(found - expected).max() <= share * np.abs(expected).max()


@pytest.mark.parametrize("method", METHODS)
@given(array=arrays(), resistances=wires)
def test_currents_are_those_of_the_effective_conductance(method, array, resistances):
    g, v = array
    solution = solve(g, v, *resistances, method=method)
    assert solution.result is Result.SOLVED
    assert near(solution.currents, v @ effective_conductance(g, *resistances), 1e-10)
    assert solution.stats["residual"] <= 1e-8


@pytest.mark.parametrize("method", METHODS)
@given(array=arrays(), resistances=real_wires)
def test_kirchhoff_and_ohm_from_the_voltages(method, array, resistances):
    """Every branch current from the voltages that are returned; nothing of the solver is used."""
    g, v = array
    r_word, r_bit, r_source, r_sink = resistances
    solution = solve(g, v, *resistances, method=method)
    batch, rows, cols = solution.v_word.shape
    along_word = np.concatenate([np.broadcast_to(v[:, :, None], (batch, rows, 1)), solution.v_word], axis=2)
    along_bit = np.concatenate([solution.v_bit, np.zeros((batch, 1, cols))], axis=1)
    word = -np.diff(along_word, axis=2) / np.r_[r_source + r_word, np.full(cols - 1, r_word)]
    bit = -np.diff(along_bit, axis=1) / np.r_[np.full(rows - 1, r_bit), r_bit + r_sink][:, None]
    cell = g * (solution.v_word - solution.v_bit)
    scale = max(np.abs(word).max(), 1e-6)
    at_word = word - cell - np.concatenate([word[:, :, 1:], np.zeros((batch, rows, 1))], axis=2)
    at_bit = bit - cell - np.concatenate([np.zeros((batch, 1, cols)), bit[:, :-1]], axis=1)
    assert np.abs(at_word).max() <= 1e-8 * scale
    assert np.abs(at_bit).max() <= 1e-8 * scale
    assert near(bit[:, -1], solution.currents, 1e-8) or np.abs(solution.currents).max() < 1e-9 * scale
    # What the drivers give is what cells and wires turn into heat.
    r_words = np.r_[r_source + r_word, np.full(cols - 1, r_word)]
    r_bits = np.r_[np.full(rows - 1, r_bit), r_bit + r_sink][:, None]
    heat = (cell * (solution.v_word - solution.v_bit) + word**2 * r_words + bit**2 * r_bits).sum(axis=(1, 2))
    np.testing.assert_allclose(solution.power_w, heat, rtol=1e-7, atol=1e-18)


@given(array=arrays(), resistances=wires, factors=st.tuples(st.floats(-2, 2), st.floats(-2, 2)))
def test_superposition(array, resistances, factors):
    g, v = array
    a, b = factors
    both = solve(g, np.stack([v[0], v[-1], a * v[0] + b * v[-1]]), *resistances)
    for field in (both.currents, both.v_word, both.v_bit):
        assert np.abs(a * field[0] + b * field[1] - field[2]).max() <= 1e-10 * max(1e-9, np.abs(field).max())


@given(array=arrays(), resistances=wires, which=st.integers(0, 3), factor=st.floats(1, 100))
def test_power_never_rises_with_a_wire_resistance(array, resistances, which, factor):
    """Rayleigh's monotonicity law; it holds for the power of the drivers, not for single outputs."""
    g, v = array
    more = list(resistances)
    more[which] = more[which] * factor + factor - 1
    assert (solve(g, v, *more).power_w <= solve(g, v, *resistances).power_w * (1 + 1e-9) + 1e-20).all()


@pytest.mark.parametrize("method", METHODS)
@given(array=arrays())
def test_ideal_wires_are_exact(method, array):
    g, v = array
    solution = solve(g, v, 0.0, 0.0, method=method)
    np.testing.assert_allclose(solution.currents, v @ g, rtol=1e-13, atol=1e-18)
    assert np.array_equal(solution.v_word, np.broadcast_to(v[:, :, None], solution.v_word.shape))
    assert not solution.v_bit.any()
    np.testing.assert_allclose(solution.power_w, (v**2 @ g).sum(axis=1), rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_tiny_wires_keep_their_digits(method):
    """At 1 µΩ the drop over a segment is below the last digit of the voltage: currents must not feel it."""
    rng = np.random.default_rng(0)
    g, v = 10 ** rng.uniform(-6, -4, (20, 20)), rng.uniform(0, 1, (1, 20))
    found = solve(g, v, 1e-6, 1e-6, method=method).currents
    assert near(found, v @ effective_conductance(g, 1e-6, 1e-6), 1e-14)


def test_a_batch_is_its_inputs_and_a_vector_is_a_batch_of_one():
    rng = np.random.default_rng(1)
    g, v = 10 ** rng.uniform(-6, -4, (9, 7)), rng.uniform(-1, 1, (4, 9))
    together = solve(g, v, 3.0, 4.0, 5.0, 6.0)
    for k in range(4):
        alone = solve(g, v[k], 3.0, 4.0, 5.0, 6.0)
        assert np.array_equal(alone.currents[0], together.currents[k])
        assert np.array_equal(alone.v_bit[0], together.v_bit[k])
        assert alone.currents.shape == (1, 7)
        assert alone.v_word.shape == (1, 9, 7)


@pytest.mark.parametrize("r", [0.1, 1.0, 50.0, 1000.0])
def test_the_methods_agree_on_a_larger_array(r):
    rng = np.random.default_rng(2)
    g, v = 10 ** rng.uniform(-6, -4, (60, 50)), rng.uniform(0, 1, (2, 60))
    direct, cg = solve(g, v, r, r, method="direct"), solve(g, v, r, r, method="cg")
    assert near(cg.currents, direct.currents, 1e-10)
    assert near(cg.v_word, direct.v_word, 1e-10)
    assert near(cg.v_bit, direct.v_bit, 1e-10)
    assert direct.stats["unknowns"] == cg.stats["unknowns"] == 2 * 60 * 50


def test_a_missed_tolerance_is_said():
    rng = np.random.default_rng(3)
    g, v = 10 ** rng.uniform(-6, -3, (40, 40)), rng.uniform(0, 1, 40)
    with pytest.raises(UserError, match=r"^Conjugate gradients ended .*method='direct'\. \(residual .* 1 steps\)$"):
        solve(g, v, 50.0, 50.0, method="cg", max_steps=1)
    missed = solve(g, v, 50.0, 50.0, method="cg", max_steps=1, throw=False)
    assert missed.result is Result.STEPS
    assert missed.stats["residual"] > 1e-8
    saved = solve(g, v, 50.0, 50.0, max_steps=1)  # "auto" falls back on the factors
    assert saved.stats["method"] == "direct"
    assert near(saved.currents, v[None] @ effective_conductance(g, 50.0, 50.0), 1e-12)


def test_steps_grow_slowly_with_the_wires():
    rng = np.random.default_rng(4)
    g, v = 10 ** rng.uniform(-6, -4, (128, 128)), rng.uniform(0, 1, 128)
    steps = [solve(g, v, r, r, method="cg").stats["steps"] for r in (0.1, 1.0, 10.0, 100.0)]
    assert steps == sorted(steps)
    assert steps[-1] <= 25


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"g": np.full((3, 2), np.nan)}, r"^g\[0, 0\] = nan S is no conductance\."),
        ({"g": np.full((3, 2), -1.0)}, r"^g\[0, 0\] = -1\.0 S is no conductance\."),
        ({"g": np.ones((1, 3, 2))}, r"^g has shape \(1, 3, 2\)\. Give conductances of shape \(rows, cols\)"),
        ({"v": np.ones(2)}, r"^v has shape \(2,\) for 3 word lines\. Give shape \(3,\) or \(batch, 3\)\.$"),
        ({"v": np.ones((2, 2, 3))}, r"^v has shape \(2, 2, 3\) for 3 word lines\."),
        ({"v": np.array([0, np.inf, 1])}, r"^v\[1\] = inf V is no voltage\. Replace it by a finite number\.$"),
        ({"v": ["a", "b", "c"]}, r"^v cannot be read as numbers: .* volts\.$"),
        ({"r_bit": -2.0}, r"^r_bit = -2\.0 Ω is no wire resistance\."),
        ({"r_sink": np.inf}, r"^r_sink = inf Ω is no wire resistance\."),
        ({"method": "cgs"}, r"^Unknown method 'cgs'\. Did you mean 'cg'\?$"),
        ({"tolerance": 0.0}, r"^tolerance = 0\.0 asks for nothing"),
        ({"max_steps": 0}, r"^max_steps = 0 "),
    ],
)
def test_bad_input(change, message):
    arguments = {"g": np.full((3, 2), 1e-5), "v": np.ones(3), "r_word": 1.0, "r_bit": 1.0} | change
    with pytest.raises(UserError, match=message):
        solve(**arguments)


@pytest.mark.slow
def test_a_million_cells_in_seconds():
    rng = np.random.default_rng(5)
    g, v = 10 ** rng.uniform(-6, -4, (1024, 1024)), rng.uniform(0, 1, 1024)
    solution = solve(g, v, 1.0, 1.0)
    assert near(solution.currents, v[None] @ effective_conductance(g, 1.0, 1.0), 1e-10)
