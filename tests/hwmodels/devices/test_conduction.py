import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.integrate import quad

import hwmodels
from hwmodels import (
    Device,
    UserError,
    cell_current,
    chord_conductance,
    conductance_from_chord,
    differential_conductance,
    linear_model_error,
)
from hwmodels.devices import conduction, torch_twins
from hwmodels.devices.effects import PolynomialConduction, SinhConduction

HFOX = Device.load("hfox")
MILO = HFOX.conduction
SINH = SinhConduction(a_per_v=5.0, max_v=1.0)
LAWS = [pytest.param(None, id="linear"), pytest.param(SINH, id="sinh"), pytest.param(MILO, id="milo")]


def cubic(c2=0.0, c3=0.0, max_v=1.0):
    """c₂ and c₃ that do not depend on G."""
    return PolynomialConduction(c2_a_per_v2=(c2,), c3_a_per_v3=(c3,), g_low_s=1e-5, g_high_s=1e-4, max_v=max_v)


@st.composite
def cells(draw):
    law = draw(st.sampled_from([None, SINH, SinhConduction(a_per_v=1e-3, max_v=1.0), MILO]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    most = 1.0 if law is None else law.max_v
    return 10 ** rng.uniform(-6, -3, (4, 1)), rng.uniform(-most, most, 5), law


def test_milo_as_its_source_writes_it():
    """CrossSim 3.2, RRAM_Milo.py: polyval over log10 G, highest power first; typed from there, not from the preset."""
    g, v = np.array([50e-6, 62.5e-6, 93.9e-6, 110e-6, 225e-6])[:, None], np.array([-0.5, -0.1, 0.2, 0.5])
    c2 = np.polyval([0.0001388, 0.001541, 0.005711, 0.007063], np.log10(g))
    c3 = np.polyval([8.8710e-05, 6.7919e-04, 1.2968e-03], np.log10(g))
    np.testing.assert_allclose(cell_current(g, v, MILO), g * v + c2 * v**2 + c3 * v**3, rtol=1e-12)
    assert "Milo" in HFOX.sources["conduction"]
    # More conductive states are more linear (the source's own observation), and 225 µS was fitted as linear.
    error = np.abs(linear_model_error(g, 0.2, MILO)).ravel()
    assert (np.diff(error) < 0).all()
    assert error[-1] < 0.002


@given(cells())
def test_slope_and_co_content_are_derivative_and_integral(problem):
    g, v, law = problem
    prepared = conduction.cells(np, law, g)
    step = 1e-5
    numeric = (prepared.current(v + step) - prepared.current(v - step)) / (2 * step)
    np.testing.assert_allclose(prepared.slope(v), numeric, rtol=1e-7)
    one = conduction.cells(np, law, g[0, 0])
    expected = quad(one.current, 0, v[0], epsabs=0, epsrel=1e-12)[0]
    assert float(one.co_content(v[0])) == pytest.approx(expected, rel=1e-9)
    assert (prepared.slope(v) >= 0).all()


@given(cells())
def test_chord_and_error_are_the_current(problem):
    g, v, law = problem
    current = cell_current(g, v, law)
    np.testing.assert_allclose(chord_conductance(g, v, law) * v, current, rtol=1e-13)
    np.testing.assert_allclose(g * v * (1 + linear_model_error(g, v, law)), current, rtol=1e-13)
    assert np.array_equal(chord_conductance(g, 0.0, law), g)
    assert (differential_conductance(g, 0.0, law) == g).all()


@given(cells())
def test_the_way_back_from_a_chord(problem):
    """Over three decades around the range of the fit, at every voltage that a read may have."""
    g, v, law = problem
    for volt in v:
        chord = chord_conductance(g, volt, law)
        np.testing.assert_allclose(conductance_from_chord(chord, float(volt), law), g, rtol=1e-12)
    assert not conductance_from_chord(np.zeros((2, 3)), 0.1, law).any()


def test_states_with_one_chord_are_refused():
    """A c₂ that falls so fast with G that at 0.9 V more conductance carries less current."""
    law = PolynomialConduction(
        c2_a_per_v2=(-4.5e-5 * 5, -4.5e-5), c3_a_per_v3=(0.0,), g_low_s=1e-5, g_high_s=1.3e-5, max_v=0.9
    )
    assert (np.diff(chord_conductance(np.linspace(1e-5, 1.3e-5, 50), 0.9, law)) < 0).any()
    with pytest.raises(UserError, match=r"^At 0\.9 V the chord conductance falls where G rises, near 1e-05 S"):
        conductance_from_chord(1e-5, 0.9, law)
    with pytest.raises(UserError, match=r"^v is the one voltage that the cells are read at"):
        conductance_from_chord(1e-4, [0.1, 0.2], MILO)


def test_the_error_of_sinh_keeps_its_digits():
    """Its series is x²/6 + x⁴/120 + …, x = aV; sinh(x)/x − 1 as it stands would lose all digits below 1e-8."""
    x = np.array([1e-9, 1e-6, 1e-3, 0.1, 0.4999, 0.5001, 3.0])
    law = SinhConduction(a_per_v=1.0, max_v=5.0)
    terms = np.cumprod([np.ones_like(x)] + [x * x / ((2 * k) * (2 * k + 1)) for k in range(1, 25)], axis=0)
    np.testing.assert_allclose(linear_model_error(1e-5, x, law), terms[1:].sum(axis=0), rtol=5e-15)


def test_an_open_crossing_carries_nothing_and_tails_keep_their_shape():
    assert not cell_current(np.zeros(3), [-0.5, 0.1, 0.5], MILO).any()
    inside, outside = linear_model_error(np.array([50e-6, 20e-6]), 0.4, MILO)
    assert outside == pytest.approx(inside, rel=1e-12)


@pytest.mark.parametrize("law", LAWS)
def test_the_torch_twin(law):
    rng = np.random.default_rng(0)
    g, v = 10 ** rng.uniform(-5, -3.5, (7, 1)), np.linspace(-0.5, 0.5, 9)
    tensors = torch.from_numpy(g), torch.from_numpy(v)
    for name in ("cell_current", "differential_conductance", "chord_conductance"):
        found = getattr(torch_twins, name)(*tensors, law)
        assert found.dtype == torch.float64
        np.testing.assert_allclose(found.numpy(), getattr(hwmodels, name)(g, v, law), rtol=1e-13, atol=1e-22)


@pytest.mark.parametrize("law", LAWS)
def test_gradients_flow_through_the_twin(law):
    v = torch.linspace(-0.5, 0.5, 8, dtype=torch.float64, requires_grad=True)  # without 0, where sinh(x)/x is patched
    g = torch.full((8,), 1e-4, dtype=torch.float64, requires_grad=True)
    torch_twins.cell_current(g, v, law).sum().backward()
    expected = torch_twins.differential_conductance(g.detach(), v.detach(), law)
    torch.testing.assert_close(v.grad, expected, rtol=1e-12, atol=0)
    zero = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    torch_twins.chord_conductance(g[:1].detach(), zero, law).sum().backward()
    assert torch.isfinite(zero.grad).all()


def test_a_falling_current_is_refused_by_voltage_and_conductance():
    """I = G V − 4e-5 V³ turns where G = 1.2e-4 V²: for the smallest G first, at ±0.289 V for 10 µS."""
    with pytest.raises(
        ValidationError, match=r"dI/dV = -[\d.e-]+ S at -?1 V for a cell of G = 1e-05 S\. Lower max_v = 1\.0"
    ):
        cubic(c3=-4e-5)
    limit = np.sqrt(1e-5 / 1.2e-4)
    assert cubic(c3=-4e-5, max_v=limit * (1 - 1e-9)).max_v < limit
    with pytest.raises(ValidationError, match="the I–V falls"):
        cubic(c3=-4e-5, max_v=limit * (1 + 1e-6))


def test_a_dip_inside_the_range_is_found():
    """1 + 2 k₂ V + 3 k₃ V² is lowest at V = −k₂/(3 k₃), with 1 − k₂²/(3 k₃): 0 for k₃ = 1, k₂ = −√3, V = 1/√3."""
    g = 2e-5

    def law(k2):
        edges = {"g_low_s": g * 0.999999, "g_high_s": g * 1.000001}
        return PolynomialConduction(c2_a_per_v2=(k2 * g,), c3_a_per_v3=(g,), max_v=1.0, **edges)

    slope, volt, siemens = law(-(np.sqrt(3) - 1e-3)).lowest_slope()
    assert slope == pytest.approx(g * (1 - (np.sqrt(3) - 1e-3) ** 2 / 3), rel=1e-2)
    assert volt == pytest.approx(1 / np.sqrt(3), rel=1e-2)
    assert siemens == pytest.approx(g, rel=1e-5)
    with pytest.raises(ValidationError, match=r"at 0\.57\d V for a cell of G = 2e-05 S"):
        law(-(np.sqrt(3) + 1e-3))


@given(
    c2=st.tuples(*[st.floats(-1e-5, 1e-5)] * 3),
    c3=st.tuples(*[st.floats(-1e-5, 1e-5)] * 2),
    max_v=st.floats(0.05, 1.5),
)
def test_the_lowest_slope_is_that_of_a_fine_grid(c2, c3, max_v):
    try:
        law = PolynomialConduction(c2_a_per_v2=c2, c3_a_per_v3=c3, g_low_s=1e-5, g_high_s=1e-4, max_v=max_v)
        share = law.lowest_slope()[0] / law.lowest_slope()[2]
    except ValidationError:
        share = None
    g, v = np.geomspace(1e-5, 1e-4, 400)[:, None], np.linspace(-max_v, max_v, 401)
    length = np.log10(g)
    slope = 1 + (2 * np.polyval(c2[::-1], length) * v + 3 * np.polyval(c3[::-1], length) * v**2) / g
    if share is None:
        assert slope.min() < 1e-3
    else:
        assert share <= slope.min() + 1e-9
        assert share >= slope.min() - 0.05 * (1 + abs(slope).max())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"read_voltage_v": 0.6}, r"read_voltage_v = 0\.6 is above max_v = 0\.5 of the conduction"),
        ({"g_min_s": 10e-6}, r"reaches beyond g_low_s = 5e-05 … g_high_s = 0\.000225, where the conduction was fitted"),
        ({"conduction": SinhConduction(a_per_v=1.0, max_v=0.1)}, r"read_voltage_v = 0\.2 is above max_v = 0\.1"),
    ],
)
def test_a_device_uses_its_law_where_it_is_known(change, message):
    with pytest.raises(UserError, match=message):
        HFOX.with_(**change)
    assert HFOX.with_(conduction=None, **{k: v for k, v in change.items() if k != "conduction"}).conduction is None


@pytest.mark.parametrize(
    ("g", "v", "message"),
    [
        (-1e-6, 0.1, r"^-1e-06 S is no conductance"),
        (1e-6, np.nan, r"^nan V is no voltage"),
        (1e-4, [0.1, -0.6], r"^v = -0\.6 V lies beyond max_v = 0\.5 V, .*Lower the voltage"),
        ([1e-4, 1e-4], [0.1, 0.1, 0.1], r"shapes fit together"),
        ("a", 0.1, r"^g \[S\] and v \[V\] are numbers"),
    ],
)
def test_bad_input(g, v, message):
    with pytest.raises(UserError, match=message):
        cell_current(g, v, MILO)


def test_bad_laws():
    with pytest.raises(ValidationError, match=r"g_low_s = 0\.001 is not below g_high_s = 0\.0001"):
        PolynomialConduction(c2_a_per_v2=(0.0,), c3_a_per_v3=(0.0,), g_low_s=1e-3, g_high_s=1e-4, max_v=1.0)
    with pytest.raises(ValidationError, match=r"a_per_v · max_v = 1000: sinh of more than 700"):
        SinhConduction(a_per_v=1000.0, max_v=1.0)


def test_a_file_needs_a_source_for_its_law(tmp_path):
    text = (
        'name = "mine"\ng_min_s = 1e-6\ng_max_s = 1e-5\nlevels = 2\n[conduction]\nkind = "sinh"\na_per_v = 3.0\n'
        'max_v = 1.0\n[sources]\ng_min_s = "x"\ng_max_s = "x"\nlevels = "x"\n'
    )
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError, match="no source for conduction"):
        Device.load(path)
    path.write_text(text + 'conduction = "our curves"\n')
    assert Device.load(path).conduction == SinhConduction(a_per_v=3.0, max_v=1.0)
