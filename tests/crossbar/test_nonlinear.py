import importlib.util
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from crossbar import Result, Wiring, nonlinear, run_netlist, solve, write_netlist
from hwmodels import Device, cell_current
from hwmodels.devices.effects import PolynomialConduction, SinhConduction
from hwmodels.errors import UserError

FOLDER = Path(__file__).with_name("golden")
GOLDEN = json.loads((FOLDER / "nonlinear.json").read_text())["cases"]
CASES = [pytest.param(case, id=case["name"]) for case in GOLDEN]
METHODS = ("direct", "cg", "auto")
MILO = Device.load("milo").conduction
live = pytest.mark.skipif(
    shutil.which("ngspice") is None and os.environ.get("OHMWEAVE_REQUIRE_NGSPICE", "0") in ("", "0"),
    reason="ngspice is not installed (apt-get install ngspice); the committed currents are compared all the same",
)


def _maker():
    spec = importlib.util.spec_from_file_location("make_nonlinear", FOLDER / "make_nonlinear.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


maker = _maker()


def arguments(case):
    """Wires, wiring and law of a case, as `solve` and `write_netlist` take them."""
    return case["wires"] | {
        "wiring": maker.wiring_of(case["wiring"], len(case["g"])),
        "conduction": maker.law_of(case["law"]),
    }


def difference(found, expected):
    """Largest error of any current as a share of the largest one of the same input."""
    expected = np.array(expected)
    return (np.abs(found - expected).max(axis=1) / np.abs(expected).max(axis=1)).max()


def near(found, expected, share):
    return np.abs(found - expected).max() <= share * np.abs(expected).max()


@st.composite
def problems(draw, most=9):
    """An array, its inputs of both signs, and a law: g (rows, cols) [S], v (batch, rows) [V]."""
    rows, cols, batch = draw(st.integers(1, most)), draw(st.integers(1, most)), draw(st.integers(1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    closed = rng.random((rows, cols)) >= draw(st.sampled_from([0.0, 0.3, 0.9]))
    if draw(st.booleans()):
        return rng.uniform(50e-6, 225e-6, (rows, cols)) * closed, rng.uniform(-0.25, 0.25, (batch, rows)), MILO
    law = SinhConduction(a_per_v=10 ** draw(st.floats(-2, 1.2)), max_v=1.0)
    return 10 ** rng.uniform(-6, -4, (rows, cols)) * closed, rng.uniform(-0.5, 0.5, (batch, rows)), law


ohms = st.one_of(st.just(0.0), st.floats(-3, 3).map(lambda x: 10**x))
wires = st.tuples(ohms, ohms, ohms, ohms)
real_wires = st.tuples(*[st.floats(-1, 3).map(lambda x: 10**x)] * 4)


def test_there_are_enough_cases():
    assert len(GOLDEN) >= 10
    assert {case["law"]["kind"] for case in GOLDEN} == {"sinh", "milo"}


@pytest.mark.parametrize("method", ["direct", "cg"])
@pytest.mark.parametrize("case", CASES)
def test_solve_is_what_ngspice_says(case, method):
    found = solve(case["g"], case["v"], **arguments(case), method=method)
    assert difference(found.currents, case["currents"]) <= 1e-9  # ngspice's own tolerance
    linear = solve(case["g"], case["v"], **arguments(case) | {"conduction": None}, method=method)
    assert difference(linear.currents, case["currents"]) > 1e-3, "a linear array would do: the case shows nothing"


@live
@pytest.mark.parametrize("case", CASES)
def test_netlists_run(case, tmp_path):
    path = write_netlist(tmp_path / "array.cir", case["g"], case["v"], **arguments(case))
    assert difference(run_netlist(path, len(case["g"][0])), case["currents"]) <= 1e-8


def test_the_source_of_a_cell_is_written_out(tmp_path):
    law = SinhConduction(a_per_v=4.0, max_v=1.0)
    text = write_netlist(tmp_path / "a.cir", [[2e-5, 0.0]], [0.5], 1.0, 1.0, conduction=law).read_text()
    assert "\nBcell0_0 w0_0 b0_0 i=5e-06*sinh(4.0*v(w0_0,b0_0))\n" in text
    assert "cell0_1" not in text


@pytest.mark.parametrize("method", METHODS)
@given(problem=problems(), resistances=real_wires)
def test_kirchhoff_and_the_law_from_the_voltages(method, problem, resistances):
    """Every branch current from the voltages that are returned; nothing of the solver is used."""
    g, v, law = problem
    r_word, r_bit, r_source, r_sink = resistances
    solution = solve(g, v, *resistances, conduction=law, method=method)
    assert solution.result is Result.SOLVED
    batch, rows, cols = solution.v_word.shape
    along_word = np.concatenate([np.broadcast_to(v[:, :, None], (batch, rows, 1)), solution.v_word], axis=2)
    along_bit = np.concatenate([solution.v_bit, np.zeros((batch, 1, cols))], axis=1)
    r_words = np.r_[r_source + r_word, np.full(cols - 1, r_word)]
    r_bits = np.r_[np.full(rows - 1, r_bit), r_bit + r_sink][:, None]
    word, bit = -np.diff(along_word, axis=2) / r_words, -np.diff(along_bit, axis=1) / r_bits
    cell = cell_current(g, solution.v_word - solution.v_bit, law)
    scale = max(np.abs(word).max(), 1e-6)
    assert np.abs(word - cell - np.pad(word[:, :, 1:], ((0, 0), (0, 0), (0, 1)))).max() <= 1e-8 * scale
    assert np.abs(bit - cell - np.pad(bit[:, :-1], ((0, 0), (1, 0), (0, 0)))).max() <= 1e-8 * scale
    assert np.abs(bit[:, -1] - solution.currents).max() <= 1e-8 * scale
    heat = (cell * (solution.v_word - solution.v_bit) + word**2 * r_words + bit**2 * r_bits).sum(axis=(1, 2))
    np.testing.assert_allclose(solution.power_w, heat, rtol=1e-7, atol=1e-18)


@given(problem=problems(), resistances=wires)
def test_the_methods_agree(problem, resistances):
    g, v, law = problem
    direct, cg = (solve(g, v, *resistances, conduction=law, method=method) for method in ("direct", "cg"))
    for field in ("currents", "v_word", "v_bit"):
        assert near(getattr(cg, field), getattr(direct, field), 1e-9) or not getattr(direct, field).any()
    assert direct.stats["unknowns"] == cg.stats["unknowns"]


@pytest.mark.parametrize("method", ["direct", "cg"])
@given(problem=problems(), resistances=wires)
def test_a_small_argument_is_the_linear_array(method, problem, resistances):
    """sinh(aV)/a − V = V (aV)²/6 + …: with aV ≤ 1e-6 nothing is left of it in double precision."""
    g, v, _ = problem
    found = solve(g, v, *resistances, conduction=SinhConduction(a_per_v=1e-6, max_v=1.0), method=method)
    expected = solve(g, v, *resistances, method=method)
    assert near(found.currents, expected.currents, 1e-11)
    np.testing.assert_allclose(found.power_w, expected.power_w, rtol=1e-11)


def test_the_error_of_a_linear_array_falls_with_the_square_of_a():
    """Order of accuracy: the first term of the law that a linear cell lacks is V (aV)²/6."""
    rng = np.random.default_rng(0)
    g, v = 10 ** rng.uniform(-5, -4, (12, 9)), rng.uniform(0, 0.5, 12)
    linear = solve(g, v, 20.0, 20.0).currents
    a = np.array([0.05, 0.1, 0.2])
    error = [
        np.abs(solve(g, v, 20.0, 20.0, conduction=SinhConduction(a_per_v=x, max_v=1.0)).currents - linear).max()
        for x in a
    ]
    assert np.polyfit(np.log(a), np.log(error), 1)[0] == pytest.approx(2.0, abs=0.02)


@pytest.mark.parametrize("method", METHODS)
@given(problem=problems())
def test_ideal_wires_are_exact(method, problem):
    g, v, law = problem
    solution = solve(g, v, 0.0, 0.0, conduction=law, method=method)
    expected = cell_current(g, v[:, :, None], law).sum(axis=1)
    np.testing.assert_allclose(solution.currents, expected, rtol=1e-13, atol=1e-19)
    assert np.array_equal(solution.v_word, np.broadcast_to(v[:, :, None], solution.v_word.shape))
    assert not solution.v_bit.any()


@pytest.mark.parametrize("law", [MILO, SinhConduction(a_per_v=15.0, max_v=1.0)], ids=["milo", "sinh"])
@pytest.mark.parametrize("v", [-0.5, -0.02, 1e-9, 0.3, 0.5])
@pytest.mark.parametrize("r_access", [0.0, 5e3])
def test_one_cell_in_series_with_its_wires(law, v, r_access):
    """A single cell and every resistance in one loop: a scalar equation for scipy."""
    g, resistances = 1e-4, (300.0, 20.0, 1000.0, 7.0)
    ohms = sum(resistances) + r_access
    across = brentq(lambda x: x + ohms * float(cell_current(g, x, law)) - v, -abs(v), abs(v), xtol=1e-300, rtol=1e-15)
    found = solve([[g]], [v], *resistances, wiring=Wiring(r_access_ohm=r_access), conduction=law)
    assert found.currents[0, 0] == pytest.approx(float(cell_current(g, across, law)), rel=1e-12)
    assert found.stats["largest_cell_v"] == pytest.approx(abs(across), rel=1e-12)


@given(problem=problems(), resistances=wires, which=st.integers(0, 3), factor=st.floats(1, 100))
def test_power_never_rises_with_a_wire_resistance(problem, resistances, which, factor):
    """What one source gives into resistors that all rise with the voltage falls when one of them grows.

    All drivers at one voltage, so that the network has two terminals.
    """
    g, v, law = problem
    v = np.broadcast_to(v[:, :1], v.shape)
    more = list(resistances)
    more[which] = more[which] * factor + factor - 1
    less, full = (solve(g, v, *ohms, conduction=law).power_w for ohms in (more, resistances))
    assert (less <= full * (1 + 1e-9) + 1e-20).all()


@given(problem=problems(), resistances=wires)
def test_power_rises_with_the_voltage(problem, resistances):
    g, v, law = problem
    half, full = (solve(g, share * v, *resistances, conduction=law).power_w for share in (0.5, 1.0))
    assert (half <= full * (1 + 1e-9) + 1e-20).all()


@given(problem=problems(), resistances=wires, r_access=st.floats(1, 5).map(lambda x: 10**x))
def test_an_access_transistor_and_both_ends(problem, resistances, r_access):
    """The methods agree there too, and the cell carries what its own voltage gives."""
    g, v, law = problem
    rows = g.shape[0]
    for wiring in (
        Wiring(r_access_ohm=r_access, r_far_source_ohm=10.0),
        Wiring(r_access_ohm=r_access, driven=tuple(i % 2 == 0 for i in range(rows)), undriven="floating"),
        Wiring(driven=tuple(i % 2 == 0 for i in range(rows)), undriven="off"),
    ):
        direct, cg = (solve(g, v, *resistances, wiring=wiring, conduction=law, method=m) for m in ("direct", "cg"))
        assert near(cg.currents, direct.currents, 1e-9) or not direct.currents.any()
        linear = solve(g, v, *resistances, wiring=wiring, method="direct")
        tiny = SinhConduction(a_per_v=1e-6, max_v=1.0)
        limit = solve(g, v, *resistances, wiring=wiring, conduction=tiny, method="cg")
        assert near(limit.currents, linear.currents, 1e-10) or not linear.currents.any()


def test_a_batch_is_its_inputs():
    rng = np.random.default_rng(1)
    g, v = rng.uniform(50e-6, 225e-6, (9, 7)), rng.uniform(-0.25, 0.25, (3, 9))
    together = solve(g, v, 3.0, 4.0, 5.0, 6.0, conduction=MILO)
    for k in range(3):
        alone = solve(g, v[k], 3.0, 4.0, 5.0, 6.0, conduction=MILO)
        assert np.array_equal(alone.currents[0], together.currents[k])
        assert np.array_equal(alone.v_bit[0], together.v_bit[k])


def test_steps_are_few_where_cells_are_mild():
    rng = np.random.default_rng(2)
    g, v = rng.uniform(50e-6, 225e-6, (64, 64)), rng.uniform(0, 0.5, 64)
    assert solve(g, v, 5.0, 5.0, conduction=MILO).stats["newton_steps"] <= 7


@pytest.mark.parametrize("method", ["direct", "cg"])
def test_currents_over_ten_decades_still_converge(method):
    """a V = 25: the currents that cells alone would carry are 10⁹ times those that the wires let through."""
    rng = np.random.default_rng(2)
    g, v = rng.uniform(50e-6, 225e-6, (16, 16)), rng.uniform(-1, 1, 16)
    solution = solve(g, v, 50.0, 50.0, conduction=SinhConduction(a_per_v=25.0, max_v=1.0), method=method)
    assert solution.result is Result.SOLVED
    assert solution.stats["residual"] <= 1e-12


@pytest.mark.parametrize("method", ["direct", "cg"])
def test_saturating_cells_need_the_line_search(method, monkeypatch):
    """Cells that are flat at the end of their range, behind large wires: whole Newton steps run in circles."""
    flat = PolynomialConduction(
        c2_a_per_v2=(0.0,), c3_a_per_v3=(-1e-4 / 3,), g_low_s=1e-4, g_high_s=1.000001e-4, max_v=0.999999
    )
    rng = np.random.default_rng(2)
    g, v = rng.uniform(5e-5, 2.2e-4, (16, 16)), rng.uniform(-0.99, 0.99, 16)
    found = solve(g, v, 5000.0, 5000.0, conduction=flat, method=method)
    assert found.result is Result.SOLVED
    assert found.stats["residual"] <= 1e-12
    monkeypatch.setattr(nonlinear, "_step_size", lambda *_: (1.0, 0.0))
    without = solve(g, v, 5000.0, 5000.0, conduction=flat, method=method, max_steps=200, throw=False)
    assert without.result is Result.NEWTON


@pytest.mark.parametrize("method", ["direct", "cg"])
def test_falling_short_is_said(method):
    rng = np.random.default_rng(3)
    g, v = rng.uniform(50e-6, 225e-6, (20, 20)), rng.uniform(0, 0.5, 20)
    short = {"conduction": MILO, "method": method, "max_steps": 2}
    with pytest.raises(UserError, match=r"^Newton's method ended above .*Raise max_steps or tolerance.* steps\)$"):
        solve(g, v, 50.0, 50.0, **short)
    missed = solve(g, v, 50.0, 50.0, **short, throw=False)
    assert missed.result is Result.NEWTON
    assert missed.stats["newton_steps"] <= 2


def test_a_voltage_beyond_the_law_is_said():
    law = SinhConduction(a_per_v=2.0, max_v=0.5)
    with pytest.raises(UserError, match=r"^A cell carries a voltage beyond max_v, .*Lower the input voltages"):
        solve([[1e-5, 1e-5]], [0.6], 1.0, 1.0, conduction=law)
    found = solve([[1e-5, 1e-5]], [0.6], 1.0, 1.0, conduction=law, throw=False)
    assert found.result is Result.RANGE
    assert found.stats["largest_cell_v"] == pytest.approx(0.6, abs=1e-3)
    # A driver beyond the law is fine where wires and transistor leave each cell less.
    behind = solve([[1e-5, 1e-5]], [0.6], 1.0, 1.0, wiring=Wiring(r_access_ohm=1e5), conduction=law)
    assert behind.stats["largest_cell_v"] < 0.5
    # An open crossing sees the whole voltage and does not mind.
    assert solve([[0.0]], [0.6], 1.0, 1.0, conduction=law).result is Result.SOLVED


def test_nothing_in_gives_nothing_out():
    solution = solve(np.zeros((3, 2)), np.ones(3), 1.0, 1.0, conduction=SinhConduction(a_per_v=2.0, max_v=1.0))
    assert not solution.currents.any()
    solution = solve(np.full((3, 2), 1e-4), np.zeros(3), 1.0, 1.0, conduction=MILO)
    assert not solution.currents.any()
    assert solution.result is Result.SOLVED
