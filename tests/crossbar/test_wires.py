import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbar import effective_conductance, effective_conductance_reference, wires_plan
from crossbar.circuit import Wires, circuit
from crossbar.circuit_nodes import bit_nodes, segments, word_nodes
from crossbar.wires import _eliminate_chunk
from hwmodels.errors import UserError

RESISTANCES = ("r_word", "r_bit", "r_source", "r_sink")
EVERY_SHORT = [tuple(float(bool(k >> bit & 1)) * (1 + bit) for bit in range(4)) for k in range(16)]


@st.composite
def conductances(draw, most=11, low=-7.0, high=-3.0, least_open=0.0):
    """Cells of an array, log-uniform, some of them open; odd shapes from 1 × 1 up."""
    rows, cols = draw(st.integers(1, most)), draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    closed = rng.random((rows, cols)) >= draw(st.sampled_from([least_open, 0.3, 0.9]))
    return 10 ** rng.uniform(low, high, (rows, cols)) * closed


ohms = st.one_of(st.just(0.0), st.floats(-3, 3).map(lambda x: 10**x))
wires = st.tuples(ohms, ohms, ohms, ohms)


def eliminated(g, resistances, leaf):
    """g_eff with leaves of another size than the usual one."""
    lines = circuit(*g.shape, Wires(*resistances))
    order = wires_plan.plan(*g.shape, lines.topology(), leaf)
    out = np.empty((1, *g.shape))
    _eliminate_chunk(g[None].copy(), [lines], order, out)
    return out[0]


def exact(g, resistances):
    """g_eff in rational numbers: Gaussian elimination of the nodal matrix without any rounding but the inputs'."""
    rows, cols = g.shape
    lines = circuit(rows, cols, Wires(*resistances))
    ports = rows + cols
    a, b, ohms = segments(lines)
    word, bit = word_nodes(lines).ravel(), bit_nodes(lines).ravel()
    ends = [*zip(a.tolist(), b.tolist(), map(Fraction, (1 / ohms).tolist()), strict=True)]
    ends += [*zip(word.tolist(), bit.tolist(), map(Fraction, g.ravel().tolist()), strict=True)]
    joint: dict[int, dict[int, Fraction]] = {node: {} for node in range(ports)}
    for p, q, value in ends:
        for here, there in ((p, q), (q, p)):
            joint.setdefault(here, {})[there] = joint.setdefault(here, {}).get(there, Fraction(0)) + value
    for node in sorted(n for n in joint if n >= ports):
        near = joint.pop(node)
        total = sum(near.values())
        for p in near:
            del joint[p][node]
            for q in near:
                if p != q and total:
                    joint[p][q] = joint[p].get(q, Fraction(0)) + near[p] * near[q] / total
    return np.array([[float(joint[i].get(rows + j, 0)) for j in range(cols)] for i in range(rows)])


@settings(max_examples=60)
@given(g=conductances(), resistances=wires)
def test_it_is_the_dense_nodal_solution(g, resistances):
    expected = effective_conductance_reference(g, *resistances)
    found = effective_conductance(g, *resistances)
    assert found.shape == g.shape
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize("resistances", EVERY_SHORT, ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (1, 20), (20, 1), (9, 17), (33, 10), (16, 16)], ids=str)
def test_every_choice_of_ideal_wires(shape, resistances):
    g = 10 ** np.random.default_rng(1).uniform(-6, -4, shape)
    expected = effective_conductance_reference(g, *resistances)
    np.testing.assert_allclose(effective_conductance(g, *resistances), expected, rtol=1e-11)


@settings(max_examples=25)
@given(
    g=conductances(most=3, low=-12, high=0),
    resistances=st.tuples(*[st.one_of(st.just(0.0), st.floats(-9, 6).map(lambda x: 10**x))] * 4),
    leaf=st.sampled_from([1, 2, 8]),
)
def test_every_entry_is_right_whatever_the_ratios(g, resistances, leaf):
    """Against exact rational arithmetic: cells over 12 decades, wires over 15, each entry to 1e-14 of itself."""
    np.testing.assert_allclose(eliminated(g, resistances, leaf), exact(g, resistances), rtol=1e-14)


@pytest.mark.parametrize("leaf", [1, 2, 3, 5, 16])
@pytest.mark.parametrize("shape", [(12, 12), (31, 8), (5, 40)], ids=str)
@pytest.mark.parametrize("resistances", [(1.0, 2.0, 0.0, 0.0), (0.0, 2.0, 3.0, 0.0), (1e-6, 0.0, 0.0, 1e3)], ids=str)
def test_the_order_of_elimination_does_not_matter(leaf, shape, resistances):
    g = 10 ** np.random.default_rng(2).uniform(-7, -3, shape)
    expected = effective_conductance(g, *resistances)
    np.testing.assert_allclose(eliminated(g, resistances, leaf), expected, rtol=1e-13)


@pytest.mark.parametrize(("rows", "cols"), [(128, 128), (200, 37), (37, 200)])
def test_large_arrays_against_sparse_factors(rows, cols):
    """One entry of an input at a time would cost too much: a few inputs, by an unrelated method."""
    from crossbar import solve

    rng = np.random.default_rng(3)
    g, v = 10 ** rng.uniform(-6, -4, (rows, cols)), rng.uniform(-1, 1, (3, rows))
    expected = solve(g, v, 1.0, 2.0, 50.0, 5.0, method="direct").currents
    found = v @ effective_conductance(g, 1.0, 2.0, 50.0, 5.0)
    assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()


@given(g=conductances())
def test_ideal_wires_leave_the_conductances_exactly(g):
    found = effective_conductance(g, 0.0, 0.0)
    assert np.array_equal(found, g)
    assert found is not g


def test_the_error_of_small_wires_is_of_first_order():
    g = 10 ** np.random.default_rng(5).uniform(-6, -4, (24, 24))
    r = np.array([1e-6, 1e-5, 1e-4, 1e-3])
    lost = [np.abs(effective_conductance(g, x, x) - g).max() for x in r]
    assert np.polyfit(np.log(r), np.log(lost), 1)[0] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("r", [1e-12, 1e-120])
def test_hardly_any_resistance_is_hardly_any_error(r):
    g = 10 ** np.random.default_rng(6).uniform(-6, -4, (10, 20))
    np.testing.assert_allclose(effective_conductance(g, r, r, r, r), g, rtol=1e-13)


@given(g=conductances(most=20), resistances=wires)
def test_reciprocity(g, resistances):
    """Drivers and read-outs change places: the array turned over its other diagonal has the same conductances."""
    r_word, r_bit, r_source, r_sink = resistances
    turned = effective_conductance(g[::-1, ::-1].T, r_bit, r_word, r_sink, r_source)
    np.testing.assert_allclose(turned, effective_conductance(g, *resistances)[::-1, ::-1].T, rtol=1e-12)


@given(g=conductances(most=20), resistances=wires)
def test_wires_only_divert(g, resistances):
    """No conductance is negative, and a driver gives no more than its cells would take without wires."""
    found = effective_conductance(g, *resistances)
    assert (found >= 0).all()
    assert (found.sum(axis=1) <= g.sum(axis=1) * (1 + 1e-12)).all()


@given(x=st.floats(1e-9, 1e-1), resistances=wires)
def test_one_cell_is_a_series_circuit(x, resistances):
    assert effective_conductance([[x]], *resistances)[0, 0] == pytest.approx(1 / (1 / x + sum(resistances)), rel=1e-14)


def test_open_rows_and_columns_stay_open():
    g = np.full((12, 12), 1e-4)
    g[3], g[:, 7] = 0, 0
    found = effective_conductance(g, 5.0, 5.0, 5.0, 5.0)
    assert not found[3].any()
    assert not found[:, 7].any()
    assert (np.delete(np.delete(found, 3, 0), 7, 1) > 0).all()
    assert not effective_conductance(np.zeros((9, 9)), 1.0, 1.0).any()


@pytest.mark.parametrize("shape", [(3, 4), (12, 20), (70, 70)])
def test_a_batch_is_its_arrays(shape):
    g = 10 ** np.random.default_rng(7).uniform(-6, -4, (2, 5, *shape))
    found = effective_conductance(g, 1.0, 2.0)
    for which in np.ndindex(2, 5):
        assert np.array_equal(found[which], effective_conductance(g[which], 1.0, 2.0))


def test_threads_change_nothing():
    code = """if True:
        import numpy as np, hashlib
        from crossbar import effective_conductance
        g = 10 ** np.random.default_rng(8).uniform(-6, -4, (3, 40, 40))
        print(hashlib.sha256(effective_conductance(g, 1.0, 1.0).tobytes()).hexdigest())
    """
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "NUMBA_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    ]
    assert said[0] == said[1]


def test_shapes_without_arrays_and_inputs_are_kept():
    assert effective_conductance(np.empty((0, 4, 5)), 1.0, 1.0).shape == (0, 4, 5)
    g = np.full((3, 3), 1e-5)
    before = g.copy()
    effective_conductance(g, 1.0, 1.0)
    assert np.array_equal(g, before)
    np.testing.assert_allclose(
        effective_conductance(np.asfortranarray(np.arange(6.0).reshape(2, 3)) * 1e-6, 1.0, 1.0),
        effective_conductance(np.arange(6.0).reshape(2, 3) * 1e-6, 1.0, 1.0),
        rtol=0,
    )


@pytest.mark.parametrize("compute", [effective_conductance, effective_conductance_reference])
@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (np.nan, r"^g\[1, 2\] = nan S is no conductance\. .*0 is an open crossing\.$"),
        (np.inf, r"^g\[1, 2\] = inf S is no conductance\."),
        (-1e-6, r"^g\[1, 2\] = -1e-06 S is no conductance\."),
    ],
)
def test_a_cell_that_is_no_conductance(compute, cell, message):
    g = np.full((2, 3), 1e-5)
    g[1, 2] = cell
    with pytest.raises(UserError, match=message):
        compute(g, 1.0, 1.0)


@pytest.mark.parametrize("name", RESISTANCES)
@pytest.mark.parametrize("value", [-1.0, np.inf, np.nan])
def test_a_wire_that_is_no_resistance(name, value):
    with pytest.raises(UserError, match=rf"^{name} = {value!r} Ω is no wire resistance\. .*ideal wire\.$"):
        effective_conductance(np.full((2, 3), 1e-5), **{"r_word": 1.0, "r_bit": 1.0, name: value})


@pytest.mark.parametrize("value", ["1", [1.0, 2.0], None, True])
def test_a_wire_that_is_no_number(value):
    with pytest.raises(UserError, match=r"^r_word = .* is not a number\. Give one resistance in ohms"):
        effective_conductance(np.full((2, 3), 1e-5), value, 1.0)


@pytest.mark.parametrize("g", [1.0, np.ones(4), np.ones((0, 3)), np.ones((3, 0))])
def test_a_shape_that_is_no_array(g):
    with pytest.raises(UserError, match=r"^g has shape \(.*\)\. Give conductances of shape \(…, rows, cols\)"):
        effective_conductance(g, 1.0, 1.0)


def test_what_cannot_be_numbers():
    with pytest.raises(UserError, match=r"^g cannot be read as numbers: .* siemens\.$"):
        effective_conductance([["a", "b"]], 1.0, 1.0)
