import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crossbar import AdcErrors, ArraySpec, DacErrors
from crossbar.converter_errors import drive_levels, inl, transition_levels

X = np.linspace(0, 1, 4001)


def test_without_errors_the_transitions_are_half_way():
    assert transition_levels(AdcErrors(), 3).tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    assert transition_levels(AdcErrors(), 3, signed=True).tolist() == [-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5]
    assert drive_levels(DacErrors(), 3).tolist() == list(range(8))


@pytest.mark.parametrize("shape", ["bow", "s"])
@given(size=st.floats(-3, 3))
def test_shapes_vanish_at_the_ends_and_reach_their_size(shape, size):
    values = inl(AdcErrors(inl_lsb=size, inl_shape=shape), X)
    assert values[0] == pytest.approx(0, abs=1e-12)
    assert values[-1] == pytest.approx(0, abs=1e-12)
    assert np.abs(values).max() == pytest.approx(abs(size), rel=1e-5, abs=1e-12)
    if shape == "s":
        assert np.allclose(values, -values[::-1], atol=1e-12)
        assert X[values.argmax()] in (pytest.approx(0.5 + 0.5 / np.sqrt(3), abs=1e-3),) or size <= 0
    else:
        assert np.allclose(values, 4 * size * X * (1 - X))


def test_a_table_of_a_shape_is_that_shape():
    """One value per transition gives each its own; fewer are joined by straight lines."""
    bow = AdcErrors(inl_lsb=0.7)
    measured = transition_levels(bow, 5) - transition_levels(AdcErrors(), 5)
    table = AdcErrors(inl_table_lsb=tuple(measured.tolist()))
    assert np.allclose(transition_levels(table, 5), transition_levels(bow, 5), atol=1e-12)
    triangle = inl(AdcErrors(inl_table_lsb=(0.0, 1.0, 0.0)), X)
    assert np.allclose(triangle, 1 - np.abs(2 * X - 1))


def test_terminal_based_inl_is_recovered_from_the_transitions():
    """IEEE 1241: the straight line through the first and last transition leaves the INL over."""
    levels = transition_levels(AdcErrors(inl_lsb=1.3, inl_shape="s"), 8)
    k = np.arange(levels.size)
    line = levels[0] + (levels[-1] - levels[0]) * k / k[-1]
    t = 2 * k / k[-1] - 1
    assert np.allclose(levels - line, 1.3 * 1.5 * np.sqrt(3) * t * (1 - t * t), atol=1e-9)


@pytest.mark.parametrize(
    ("bits", "signed", "errors"),
    [(4, False, {"inl_lsb": 8.0}), (4, True, {"inl_lsb": 8.0}), (3, False, {"inl_table_lsb": (0.0, 3.0, 0.0, 0.0)})],
)
def test_a_curve_that_turns_back_is_refused(bits, signed, errors):
    with pytest.raises(ValueError, match=r"transition to code \d+ .* LSB below that to code \d+.*not monotone"):
        transition_levels(AdcErrors(**errors), bits, signed=signed)


def test_missing_codes_are_allowed():
    """A differential error of −1 leaves a code out, but the curve still never falls."""
    levels = transition_levels(AdcErrors(inl_table_lsb=(0.0, 0.5, -0.5, 0.0, 0.0, 0.0, 0.0)), 3)
    assert levels[1] == levels[2]


def test_a_driver_that_falls_is_refused():
    with pytest.raises(ValueError, match=r"output fall by .* LSB from code 1 to 2"):
        drive_levels(DacErrors(inl_table_lsb=(0.0, 1.0, -1.0, 0.0)), 2)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (AdcErrors, {"noise_lsb": -0.1}, "noise_lsb"),
        (AdcErrors, {"offset_lsb": -1.0}, "offset_lsb"),
        (AdcErrors, {"gain": float("nan")}, "gain"),
        (AdcErrors, {"inl_lsb": float("inf")}, "inl_lsb"),
        (AdcErrors, {"inl_shape": "arch"}, "inl_shape"),
        (AdcErrors, {"inl_lsb": 1.0, "inl_table_lsb": (0.0, 0.0)}, "keep one"),
        (DacErrors, {"inl_table_lsb": (0.0,)}, "two values or more"),
        (DacErrors, {"gain": -0.1}, "gain"),
        (DacErrors, {"noise_lsb": 0.1}, "noise_lsb"),
    ],
)
def test_bad_errors_are_named(kind, values, message):
    with pytest.raises(ValidationError, match=message):
        kind(**values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adc_bits": 0}, "adc_bits"),
        ({"adc_bits": 4, "adc_errors": AdcErrors(inl_lsb=8.0)}, "adc_errors: its INL .* not monotone"),
        ({"adc_bits": 1, "adc_errors": AdcErrors(inl_lsb=0.1)}, "one bit has one transition"),
        ({"adc_bits": None, "adc_errors": AdcErrors(offset_lsb=1.0)}, "adc_bits = None"),
        ({"dac_errors": DacErrors(inl_lsb=0.1)}, "driver of one bit"),
        ({"dac_bits": 2, "dac_errors": DacErrors(inl_lsb=2.0)}, "dac_errors: its INL .* not monotone"),
        ({"input_bits": None, "dac_errors": DacErrors(gain=0.1)}, "ideal inputs"),
        ({"adc_range": "percentile"}, "needs adc_percentile"),
        ({"adc_range": "percentile", "adc_percentile": 0.0}, "adc_percentile"),
        ({"adc_range": "percentile", "adc_percentile": 100.5}, "adc_percentile"),
        ({"adc_percentile": 99.0}, 'only read with adc_range = "percentile"'),
        ({"adc_range": "full", "adc_range_per": "converter"}, "needs a range that is measured"),
        ({"input_range": "percentile"}, "needs input_percentile"),
        ({"input_range": "percentile", "input_percentile": -1.0}, "input_percentile"),
        ({"input_range": "fixed"}, "needs input_full_scale"),
        ({"input_range": "fixed", "input_full_scale": 0.0}, "input_full_scale"),
        ({"input_full_scale": 1.0}, 'only read with input_range = "fixed"'),
        ({"signed_inputs": "twos_complement", "input_bits": 1}, "at least 2"),
        ({"signed_inputs": "twos_complement", "input_bits": None}, "at least 2"),
    ],
)
def test_arrays_refuse_what_makes_no_converter(changes, message):
    with pytest.raises(ValidationError, match=message):
        ArraySpec(device="yuan2019", **changes)
