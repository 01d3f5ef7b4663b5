"""Second drivers, access transistors, and word lines that are not driven: one battery for every way to ask."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from crossbar import Wiring, effective_conductance, effective_conductance_reference, solve
from hwmodels.errors import UserError

ohms = st.one_of(st.just(0.0), st.floats(-2, 3).map(lambda x: 10**x))
resistances = st.tuples(ohms, ohms, ohms, ohms)


@st.composite
def circuits(draw, most=11, undriven=("grounded", "floating", "off")):
    """An array g (rows, cols) [S], voltages (rows,) [V], wires and wiring; rows may be empty or not driven."""
    rows, cols = draw(st.integers(1, most)), draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    closed = rng.random((rows, cols)) >= draw(st.sampled_from([0.0, 0.3, 0.9]))
    wiring = Wiring(
        r_access_ohm=draw(ohms),
        r_far_source_ohm=draw(st.one_of(st.none(), ohms)),
        driven=rng.random(rows) >= draw(st.sampled_from([0.0, 0.4, 1.1])),
        undriven=draw(st.sampled_from(undriven)),
    )
    return 10 ** rng.uniform(-6, -3, (rows, cols)) * closed, rng.uniform(-1, 1, rows), draw(resistances), wiring


def near(found, expected, share):
    """Equal within a share of the largest expected number."""
    return np.abs(found - expected).max() <= share * np.abs(expected).max() + 1e-25


@settings(max_examples=150)
@given(case=circuits())
def test_it_is_the_dense_nodal_solution(case):
    g, _, wires, wiring = case
    expected = effective_conductance_reference(g, *wires, wiring=wiring)
    assert near(effective_conductance(g, *wires, wiring=wiring), expected, 1e-10)


@pytest.mark.parametrize("method", ["cg", "direct"])
@settings(max_examples=60)
@given(case=circuits())
def test_solve_gives_the_same_currents(method, case):
    g, v, wires, wiring = case
    solution = solve(g, v, *wires, wiring=wiring, method=method)
    assert near(solution.currents[0], v @ effective_conductance(g, *wires, wiring=wiring), 1e-9)
    assert solution.stats["residual"] <= 1e-8


@pytest.mark.parametrize("shape", [(40, 19), (19, 40)], ids=str)
@pytest.mark.parametrize("undriven", ["grounded", "floating", "off"])
@pytest.mark.parametrize("wires", [(1.0, 2.0, 50.0, 5.0), (0.0, 2.0, 0.0, 0.0), (3.0, 0.0, 0.0, 0.0)], ids=str)
def test_larger_arrays_of_several_blocks(shape, undriven, wires):
    rng = np.random.default_rng(1)
    g, v = 10 ** rng.uniform(-6, -4, shape), rng.uniform(-1, 1, shape[0])
    wiring = Wiring(r_access_ohm=2e3, r_far_source_ohm=7.0, driven=rng.random(shape[0]) < 0.7, undriven=undriven)
    expected = solve(g, v, *wires, wiring=wiring, method="direct").currents[0]
    assert near(v @ effective_conductance(g, *wires, wiring=wiring), expected, 1e-12)


@given(case=circuits())
def test_access_transistors_are_in_series_with_their_cells(case):
    g, _, wires, wiring = case
    plain = Wiring(r_far_source_ohm=wiring.r_far_source_ohm, driven=wiring.driven, undriven=wiring.undriven)
    with np.errstate(divide="ignore"):
        behind = 1 / (1 / g + wiring.r_access_ohm)
    expected = effective_conductance(behind, *wires, wiring=plain)
    np.testing.assert_allclose(effective_conductance(g, *wires, wiring=wiring), expected, rtol=1e-12)


@given(case=circuits())
def test_two_equal_drivers_do_not_know_left_from_right(case):
    g, _, wires, wiring = case
    both = Wiring(r_far_source_ohm=wires[2], driven=wiring.driven, undriven=wiring.undriven)
    mirrored = effective_conductance(g[:, ::-1], *wires, wiring=both)
    np.testing.assert_allclose(effective_conductance(g, *wires, wiring=both), mirrored[:, ::-1], rtol=1e-11)


def test_a_second_driver_far_away_is_none():
    g = 10 ** np.random.default_rng(2).uniform(-6, -4, (20, 12))
    far = effective_conductance(g, 1.0, 1.0, wiring=Wiring(r_far_source_ohm=1e30))
    np.testing.assert_allclose(far, effective_conductance(g, 1.0, 1.0), rtol=1e-13)


@given(case=circuits(undriven=("grounded",)))
def test_grounded_word_lines_are_drivers_at_0_v(case):
    g, v, wires, wiring = case
    driven = np.array(wiring.driven)
    every = Wiring(r_access_ohm=wiring.r_access_ohm, r_far_source_ohm=wiring.r_far_source_ohm)
    expected = np.where(driven, v, 0.0) @ effective_conductance(g, *wires, wiring=every)
    assert near(v @ effective_conductance(g, *wires, wiring=wiring), expected, 1e-12)


@given(case=circuits(undriven=("off",)))
def test_shut_off_cells_are_open_cells(case):
    g, _, wires, wiring = case
    every = Wiring(r_access_ohm=wiring.r_access_ohm, r_far_source_ohm=wiring.r_far_source_ohm)
    opened = np.where(np.array(wiring.driven)[:, None], g, 0.0)
    found = effective_conductance(g, *wires, wiring=wiring)
    np.testing.assert_allclose(found, effective_conductance(opened, *wires, wiring=every), rtol=1e-12)


@given(case=circuits(undriven=("floating",)))
def test_nothing_flows_into_a_floating_word_line(case):
    """What its cells bring they take away."""
    g, v, wires, wiring = case
    driven = np.array(wiring.driven)
    solution = solve(g, v, *wires, wiring=wiring)
    cell = solution.v_word - solution.v_bit
    behind = g / (1 + g * wiring.r_access_ohm)
    current = (behind * np.nan_to_num(cell[0])).sum(axis=1)
    assert np.abs(current[~driven]).max(initial=0.0) <= 1e-9 * (np.abs(current).max() + 1e-12)


def test_a_floating_word_line_links_bit_lines():
    """Two bit lines, one cell each on a driven row: the floating row's two cells lead from one to the other."""
    g = np.array([[1e-3, 0.0], [1e-3, 1e-3]])
    wiring = Wiring(driven=(True, False), undriven="floating")
    found = effective_conductance(g, 0.0, 0.0, 0.0, 1000.0, wiring=wiring)
    # Driver, 1 kΩ, node a; a leads to ground by 1 kΩ and by 1 + 1 + 1 kΩ, of which the last is the second sink's.
    voltage = 1 / (1 + 1000 * (1 / 1000 + 1 / 3000))
    np.testing.assert_allclose(found, [[voltage / 1000, voltage / 3000], [0, 0]], rtol=1e-14)


def test_what_stays_floating_is_named():
    g = 10 ** np.random.default_rng(3).uniform(-6, -4, (5, 4))
    g[[1, 3]] = 0.0
    wiring = Wiring(driven=(True, False, False, True, True), undriven="floating")
    for method in ("cg", "direct"):
        solution = solve(g, np.ones(5), 1.0, 1.0, wiring=wiring, method=method)
        assert solution.stats["floating"] == (1,)
        assert np.isnan(solution.v_word[0, 1]).all()
        assert np.isfinite(np.delete(solution.v_word[0], 1, axis=0)).all()
    assert not effective_conductance(g, 1.0, 1.0, wiring=wiring)[[1, 2, 3]].any()
    assert solve(g, np.ones(5), 1.0, 1.0).stats["floating"] == ()


@settings(max_examples=60)
@given(case=circuits(), which=st.integers(0, 5), factor=st.floats(1, 100))
def test_power_never_rises_with_a_resistance(case, which, factor):
    """Rayleigh's monotonicity law, with every option of the circuit: wires, access transistors, second drivers."""
    g, v, wires, wiring = case
    more = [*wires, wiring.r_access_ohm, wiring.r_far_source_ohm]
    if more[which] is not None:
        more[which] = more[which] * factor + factor - 1
    changed = Wiring(r_access_ohm=more[4], r_far_source_ohm=more[5], driven=wiring.driven, undriven=wiring.undriven)
    before, after = solve(g, v, *wires, wiring=wiring).power_w, solve(g, v, *more[:4], wiring=changed).power_w
    assert (after <= before * (1 + 1e-9) + 1e-20).all()


@given(case=circuits())
def test_superposition_and_what_drivers_give_turns_to_heat(case):
    g, v, wires, wiring = case
    w = np.roll(v, 1)
    both = solve(g, np.stack([v, w, 2 * v - 3 * w]), *wires, wiring=wiring)
    assert (
        near(both.currents[2], 2 * both.currents[0] - 3 * both.currents[1], 1e-8) or np.abs(both.currents).max() < 1e-15
    )
    # With grounded read-outs all power comes from the drivers: it is never negative.
    assert (both.power_w >= -1e-18).all()


@settings(max_examples=60)
@given(case=circuits(most=40, undriven=("grounded", "floating")), seed=st.integers(0, 99))
def test_empty_rows_and_columns_are_left_out_exactly(case, seed):
    """Left out, their wires stay in series: the same as with cells that hardly conduct, which cannot be left out."""
    g, _, wires, wiring = case
    rng = np.random.default_rng(seed)
    g = g * (rng.random((g.shape[0], 1)) < 0.3) * (rng.random(g.shape[1]) < 0.5)
    expected = effective_conductance(np.where(g == 0, 1e-200, g), *wires, wiring=wiring)
    found = effective_conductance(g, *wires, wiring=wiring)
    np.testing.assert_allclose(found[g > 0], expected[g > 0], rtol=1e-12)
    assert near(found, expected, 1e-12)


def test_arrays_of_a_batch_may_be_empty_in_different_places():
    rng = np.random.default_rng(5)
    g = 10 ** rng.uniform(-6, -4, (6, 50, 40))
    g *= (rng.random((6, 50, 1)) < 0.4) & (rng.random((6, 1, 40)) < 0.4)
    g[3] = 0
    found = effective_conductance(g, 1.0, 2.0)
    for array in range(6):
        assert np.array_equal(found[array], effective_conductance(g[array], 1.0, 2.0))
        assert near(found[array], effective_conductance(np.where(g[array] == 0, 1e-200, g[array]), 1.0, 2.0), 1e-13)


@pytest.mark.parametrize("compute", [effective_conductance, effective_conductance_reference])
def test_a_mask_of_another_length(compute):
    with pytest.raises(UserError, match=r"^driven has 3 entries for 2 word lines\. Give one for each\.$"):
        compute(np.full((2, 3), 1e-5), 1.0, 1.0, wiring=Wiring(driven=(True, False, True)))


@pytest.mark.parametrize(
    "fields",
    [{"r_access_ohm": -1.0}, {"r_far_source_ohm": np.inf}, {"driven": [1, 0]}, {"undriven": "open"}, {"r_acces": 1.0}],
    ids=str,
)
def test_wirings_that_are_none(fields):
    with pytest.raises(ValidationError, match=next(iter(fields))):
        Wiring(**fields)
