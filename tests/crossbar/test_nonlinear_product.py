import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossbar import basis_conductances, basis_voltages, bit_line_currents, solve
from hwmodels import Device, cell_current, chord_conductance
from hwmodels.devices.effects import SinhConduction
from hwmodels.errors import UserError

MILO = Device.load("milo").conduction
SINH = SinhConduction(a_per_v=6.0, max_v=1.0)
LAWS = [pytest.param(None, id="linear"), pytest.param(SINH, id="sinh"), pytest.param(MILO, id="milo")]


def read(rows=9, cols=5, batch=4, seed=0):
    rng = np.random.default_rng(seed)
    g = rng.uniform(50e-6, 225e-6, (rows, cols)) * (rng.random((rows, cols)) > 0.2)
    return rng.integers(0, 8, (batch, rows)) / 7 * 0.5, g


@pytest.mark.parametrize("law", LAWS)
@given(rows=st.integers(1, 12), cols=st.integers(1, 6), batch=st.integers(1, 4), seed=st.integers(0, 10**6))
def test_currents_are_the_sum_over_the_cells(law, rows, cols, batch, seed):
    v, g = read(rows, cols, batch, seed)
    expected = cell_current(g, v[:, :, None], law).sum(axis=1)
    np.testing.assert_allclose(bit_line_currents(v, g, law), expected, rtol=1e-12, atol=1e-18)


@pytest.mark.parametrize("law", [SINH, MILO], ids=["sinh", "milo"])
def test_currents_are_those_of_the_circuit_without_wires(law):
    v, g = read()
    np.testing.assert_allclose(bit_line_currents(v, g, law), solve(g, v, 0, 0, conduction=law).currents, rtol=1e-12)


@pytest.mark.parametrize("law", LAWS)
def test_tensors_give_the_same_in_their_own_precision(law):
    v, g = read()
    expected = bit_line_currents(v, g, law)
    found = bit_line_currents(torch.from_numpy(v), torch.from_numpy(g), law)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    single = bit_line_currents(torch.from_numpy(v).float(), torch.from_numpy(g).float(), law)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("law", LAWS)
def test_arrays_in_a_batch_and_their_gradients(law):
    v, g = (torch.from_numpy(x).requires_grad_() for x in read())
    stack = torch.stack([g, 0.5 * g])
    currents = bit_line_currents(v, stack, law)
    assert currents.shape == (2, 4, 5)
    torch.testing.assert_close(currents[1], bit_line_currents(v, 0.5 * g, law))
    currents.sum().backward()
    assert torch.isfinite(v.grad).all()
    assert torch.isfinite(g.grad).all()


def test_cost_is_the_number_of_terms():
    v, g = read()
    for law, terms in ((None, 1), (SINH, 1), (MILO, 3)):
        assert basis_conductances(g, law).shape == (terms * 9, 5)
        assert basis_voltages(v, law).shape == (4, terms * 9)


@pytest.mark.parametrize("law", [SINH, MILO], ids=["sinh", "milo"])
def test_one_bit_inputs_are_linear_cells(law):
    """0 V or the read voltage: a non-linear cell is a linear one of conductance I(V)/V; two bits tell them apart."""
    v, g = read()
    chord = chord_conductance(g, 0.5, law)
    bits = np.where(v > 0.2, 0.5, 0.0)
    np.testing.assert_allclose(bit_line_currents(bits, g, law), bits @ chord, rtol=1e-12)
    assert np.abs(bit_line_currents(v, g, law) / (v @ chord) - 1).max() > 0.01


def test_errors_name_the_way_out():
    v, g = read()
    with pytest.raises(UserError, match=r"^A word line is driven at 0\.6 V, beyond max_v = 0\.5 V"):
        bit_line_currents(np.full((1, 9), 0.6), g, MILO)
    with pytest.raises(UserError, match=r"^A word line is driven at nan V"):
        bit_line_currents(np.full((1, 9), np.nan), g, MILO)
    with pytest.raises(UserError, match=r"^v has 9 voltages a read for 8 word lines"):
        bit_line_currents(v, g[:8], MILO)
    assert bit_line_currents(v[:0], g, MILO).shape == (0, 5)
