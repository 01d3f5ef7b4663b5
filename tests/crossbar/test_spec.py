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
        ({"encoding": "ofset"}, "offset"),
        ({"encoding": "offset", "idle": "open"}, "every crossing needs a cell. Use idle = 'hrs'"),
        ({"encoding": "flipped", "idle": "open"}, "every crossing needs a cell"),
        ({"encoding": "offset", "pair_subtraction": "analog"}, "is for encoding 'pair', not 'offset'"),
        ({"encoding": "polarised", "pair_layout": "columns"}, "is for encoding 'pair', not 'polarised'"),
        ({"encoding": "flipped", "offset_correction": "analog"}, "is for encoding 'offset', not 'flipped'"),
        ({"fragment": 4}, "fragment = 4 is for encoding 'polarised', not 'pair'"),
        ({"slice_bits": (4, 5)}, "at most log2 of the device's 16 levels = 4 bits"),
        ({"slice_bits": ()}, "at least 1"),
        ({"slice_bits": (3, 3), "slices": 3}, r"slices \(3\) contradicts slice_bits of 2"),
        ({"slice_bits": (4, 4, 4, 4)}, "weight levels"),
        ({"encoding": "offset", "idle": "hrs", "slices": 5}, "weight levels"),
        ({"pair_layout": "columns", "cols": 1}, "too few for one weight"),
        ({"encoding": "offset", "offset_correction": "analog", "cols": 1}, "1 dummy column"),
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


def test_the_default_idle_is_what_the_encoding_needs():
    assert ArraySpec(device="yuan2019", encoding="offset").idle == "hrs"
    assert ArraySpec(device="yuan2019", encoding="polarised").idle == "open"
    assert ArraySpec(device="yuan2019", encoding="polarised").fragment == 8


def test_isaacs_weights_fit_its_arrays():
    """16-bit weights on eight 2-bit cells beside each other: 16 weights a row of 128 columns (ISCA 2016, §V)."""
    device = Device.load("isaac")
    spec = ArraySpec(device=device, encoding="flipped", slice_bits=(2,) * 8, slice_layout="columns")
    assert spec.weight_cols == 16
    assert spec.weight_bits == 16
    assert spec.weight_levels().size == 2**16


@pytest.mark.parametrize(
    ("fields", "weights", "converted"),
    [
        ({}, 128, 128),
        ({"pair_layout": "columns"}, 64, 128),
        ({"pair_layout": "columns", "pair_subtraction": "analog"}, 64, 64),
        ({"pair_layout": "columns", "slice_layout": "columns", "slices": 2}, 32, 128),
        ({"slice_layout": "columns", "slices": 3}, 42, 126),
        ({"encoding": "offset", "offset_correction": "analog"}, 127, 127),
        ({"encoding": "offset", "offset_correction": "analog", "slices": 2, "slice_layout": "columns"}, 63, 126),
    ],
)
def test_what_fits_beside_each_other_on_one_array(fields, weights, converted):
    spec = ArraySpec(device="yuan2019", **({"idle": "hrs"} | fields))
    assert (spec.weight_cols, spec.converted_cols) == (weights, converted)
    assert spec.columns_per_converter == converted
    planes = sorted(plane for group in spec.plane_groups for plane in group)
    assert planes == list(range(len(spec.encoder.planes)))


@pytest.mark.parametrize(
    ("fields", "bits", "radices"),
    [
        ({"encoding": "offset"}, 9, (16, 16, 16)),
        ({"encoding": "offset"}, 8, (16, 16)),
        ({"encoding": "polarised"}, 9, (16, 16)),
        ({"slice_bits": (2,)}, 8, (4, 4, 4, 2)),
        ({"encoding": "flipped", "slice_bits": (2, 2)}, 8, (4, 4, 4, 4)),
        ({"slice_bits": (3, 3, 2)}, 9, (8, 8, 4)),
    ],
)
def test_slices_for_a_weight_precision_of_any_encoding(fields, bits, radices):
    assert ArraySpec(device="yuan2019", **fields).for_weight_bits(bits).radices == radices


def test_flipping_halves_the_levels_part_of_the_largest_sum():
    device = Device.load("yuan2019")
    pair, flipped = (ArraySpec(device=device, encoding=kind).largest_sum_s for kind in ("pair", "flipped"))
    assert pair == pytest.approx(128 * device.g_max_s)
    assert flipped == pytest.approx(128 * (device.g_min_s + device.g_max_s) / 2)
    assert ArraySpec(device=device, encoding="polarised", fragment=4).largest_sum_s == pytest.approx(4 * device.g_max_s)
