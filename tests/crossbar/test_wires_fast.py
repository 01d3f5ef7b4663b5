import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbar import ApproximationWarning, Wiring, approximate_conductance, effective_conductance
from hwmodels.errors import UserError

ohms = st.one_of(st.just(0.0), st.floats(-2, 3).map(lambda x: 10**x))


@st.composite
def arrays(draw, most=24):
    """Two arrays (2, rows, cols) [S] with wires and a wiring of any kind."""
    rows, cols = draw(st.integers(1, most)), draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    closed = rng.random((2, rows, cols)) >= draw(st.sampled_from([0.0, 0.5, 0.9]))
    wiring = Wiring(
        r_access_ohm=draw(ohms),
        r_far_source_ohm=draw(st.one_of(st.none(), ohms)),
        driven=rng.random(rows) >= draw(st.sampled_from([0.0, 0.0, 0.4])),
        undriven=draw(st.sampled_from(["grounded", "floating", "off"])),
    )
    return 10 ** rng.uniform(-6, -3, (2, rows, cols)) * closed, [draw(ohms) for _ in range(4)], wiring


@settings(max_examples=200)
@given(case=arrays())
def test_the_bound_holds_for_every_input(case):
    """The worst inputs from 0 to 1 V are those with 1 V where the error has one sign; of both signs, wherever."""
    g, wires, wiring = case
    found = approximate_conductance(g, *wires, wiring=wiring, limit=np.inf)
    error = found.g_eff - effective_conductance(g, *wires, wiring=wiring)
    rounding = 1e-12 * np.abs(found.g_eff).sum(axis=-2)
    assert (np.maximum(error, 0).sum(axis=-2) <= found.bound_s + rounding).all()
    assert (np.maximum(-error, 0).sum(axis=-2) <= found.bound_s + rounding).all()
    assert (np.abs(error).sum(axis=-2) <= 2 * found.bound_s + rounding).all()


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32 - 1), r=st.floats(0.1, 20), size=st.integers(8, 64), spread=st.floats(0, 2))
def test_inside_the_limit_the_error_is_far_below_the_bound(seed, r, size, spread):
    """The figure of the documentation: half a per cent of a column's current where nothing is warned of."""
    g = 10 ** np.random.default_rng(seed).uniform(-4 - spread, -4, (size, size))
    found = approximate_conductance(g, r, r, limit=np.inf)
    exact = effective_conductance(g, r, r)
    error = np.maximum(
        np.abs(np.maximum(found.g_eff - exact, 0).sum(axis=0)), np.maximum(exact - found.g_eff, 0).sum(axis=0)
    )
    if found.share() <= 0.05:
        assert (error / exact.sum(axis=0)).max() <= 0.005


@given(case=arrays())
def test_ideal_word_lines_or_ideal_bit_lines_are_exact(case):
    g, wires, wiring = case
    if wiring.undriven == "floating":  # their word lines lead from bit line to bit line: a network, no chain
        wiring = Wiring(r_access_ohm=wiring.r_access_ohm, r_far_source_ohm=wiring.r_far_source_ohm)
    for ideal in ((0.0, wires[1], 0.0, wires[3]), (wires[0], 0.0, wires[2], 0.0)):
        found = approximate_conductance(g, *ideal, wiring=wiring)
        expected = effective_conductance(g, *ideal, wiring=wiring)
        np.testing.assert_allclose(found.g_eff, expected, rtol=1e-11)
        assert (found.bound_s <= 1e-12 * expected.sum(axis=-2)).all()


def test_the_error_is_of_second_order():
    """Both first orders are exact: halving every wire quarters the error, or better."""
    g = 10 ** np.random.default_rng(1).uniform(-6, -4, (32, 32))
    r = np.array([0.01, 0.1, 1.0])
    lost = [np.abs(approximate_conductance(g, x, x).g_eff - effective_conductance(g, x, x)).max() for x in r]
    assert np.polyfit(np.log(r), np.log(lost), 1)[0] > 1.95


def test_all_inputs_alike_are_exact_to_the_round_trips_left_out():
    g = 10 ** np.random.default_rng(2).uniform(-6, -4, (64, 48))
    found, exact = approximate_conductance(g, 1.0, 1.0), effective_conductance(g, 1.0, 1.0)
    np.testing.assert_allclose(found.g_eff.sum(axis=0), exact.sum(axis=0), rtol=1e-4)
    np.testing.assert_allclose(found.g_eff.sum(axis=1), exact.sum(axis=1), rtol=1e-4)


def test_outside_its_domain_it_warns():
    g = np.full((64, 64), 1e-4)
    with pytest.warns(ApproximationWarning, match=r"^The fast approximation of the wires may .*wire_model"):
        approximate_conductance(g, 10.0, 10.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        approximate_conductance(g, 0.1, 0.1)
        approximate_conductance(g, 10.0, 10.0, limit=np.inf)


def test_shapes_and_bad_input():
    assert approximate_conductance(np.empty((0, 4, 5)), 1.0, 1.0).g_eff.shape == (0, 4, 5)
    many = 10 ** np.random.default_rng(3).uniform(-6, -4, (3, 2, 40, 30))
    found = approximate_conductance(many, 1.0, 2.0)
    assert found.bound_s.shape == (3, 2, 30)
    one = approximate_conductance(many[2, 1], 1.0, 2.0)
    assert np.array_equal(found.g_eff[2, 1], one.g_eff)
    assert np.array_equal(found.bound_s[2, 1], one.bound_s)
    with pytest.raises(UserError, match=r"^limit = 0 lets nothing pass\."):
        approximate_conductance(many, 1.0, 1.0, limit=0)
    with pytest.raises(UserError, match=r"^r_bit = -1\.0 Ω is no wire resistance\."):
        approximate_conductance(many, 1.0, -1.0)
