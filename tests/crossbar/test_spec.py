import numpy as np
import pytest
from pydantic import ValidationError

from crossbar import ArraySpec
from hwmodels import Device
from hwmodels.errors import UserError


def test_a_device_is_named_or_given():
    assert ArraySpec(device="yuan2019") == ArraySpec(device=Device.load("yuan2019"))


def test_the_devices_own_idle_is_the_default():
    assert ArraySpec(device="yuan2019").idle == "open"
    assert ArraySpec(device="hfox").idle == "hrs"
    assert ArraySpec(device="yuan2019", idle="hrs").idle == "hrs"


def test_weight_levels_follow_the_device_and_the_slices():
    spec = ArraySpec(device="yuan2019")
    assert spec.weight_levels().size == 32
    assert spec.with_(slices=2).weight_levels().size == 512
    assert spec.with_(device=Device.load("yuan2019").with_(levels=8)).weight_levels().size == 16
    assert spec.with_(idle="hrs").weight_levels().size == 31


@pytest.mark.parametrize(("bits", "slices"), [(5, 1), (6, 2), (9, 2), (10, 3), (2, 1)])
def test_slices_for_a_weight_precision(bits, slices):
    """9 bits take two 4-bit cells per sign, 5 bits one (Yuan et al. 2019)."""
    assert ArraySpec(device="yuan2019").for_weight_bits(bits).slices == slices


def test_input_cycles():
    spec = ArraySpec(device="yuan2019", input_bits=8, dac_bits=3)
    assert spec.input_cycles == 3
    assert spec.with_(input_bits=None).input_cycles == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 0}, "rows"),
        ({"cols": 1.5}, "cols"),
        ({"dac_bits": 9}, "dac_bits"),
        ({"adc_bits": 17}, "adc_bits"),
        ({"input_bits": 17}, "input_bits"),
        ({"slices": 5}, "weight levels"),
        ({"t_read_s": 0.0}, "t_read_s"),
        ({"idle": "closed"}, "idle"),
        ({"device": "hfx"}, "hfox"),
    ],
)
def test_bad_values_are_named(changes, message):
    with pytest.raises(ValidationError, match=message):
        ArraySpec(**({"device": "yuan2019"} | changes))


def test_an_unknown_field_is_named():
    with pytest.raises(UserError, match="no field 'row'"):
        ArraySpec(device="yuan2019").with_(row=3)


def test_converters_never_serve_more_columns_than_there_are():
    assert ArraySpec(device="yuan2019", cols=64).columns_per_converter == 64
    assert ArraySpec(device="yuan2019", cols=64, cols_per_adc=8).columns_per_converter == 8
    assert ArraySpec(device="yuan2019", cols=4, cols_per_adc=8).columns_per_converter == 4


def test_the_grid_of_the_paper_is_made_of_whole_units():
    encoding = ArraySpec(device="yuan2019").encoder
    assert encoding.grid_unit_s == pytest.approx(2e-8)
    assert np.allclose(encoding.slicing.g_s / encoding.grid_unit_s, 5 + 3 * np.arange(16))
