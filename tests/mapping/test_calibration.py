import numpy as np
import pytest
import torch
from torch import nn

import mapping
from crossbar import AdcErrors, DacErrors
from crossbar.converter_bank import ColumnConverters
from crossbar.converters import Converter, input_codes, input_cycles
from hwmodels import required_adc_bits, required_adc_bits_of
from hwmodels.errors import UserError
from mapping.strips import unit_conductance


@pytest.fixture
def linear():
    """One layer whose column sums can be worked out by hand."""
    torch.manual_seed(4)
    net = nn.Linear(12, 6, bias=False)
    return net, torch.rand(40, 12, generator=torch.Generator().manual_seed(1))


def _sums(placement, x):
    """Column sums of every array in every input cycle, from nothing but the cells: {(array, bit line): sums [S]}."""
    spec, layer = placement.array, next(iter(placement.layers.values()))
    codes = input_codes(x, layer.calibration.input_scale, spec.input_bits)
    found = {}
    for piece in placement.pieces():
        cycles = torch.cat(
            [cycle for _, cycle in input_cycles(codes[:, piece.tile.rows], spec.input_bits, spec.dac_bits)]
        )
        for line, column in enumerate((cycles.double().numpy() @ piece.target).T):
            found[piece.array, line] = column
    return found


def test_one_range_is_the_largest_sum_of_the_layer(linear, spec):
    net, x = linear
    placement = mapping.place(net, spec.with_(rows=8), x)
    largest = max(sums.max() for sums in _sums(placement, x).values())
    assert placement.layers[""].calibration.adc_full_scale_s == pytest.approx(largest, rel=1e-6)


@pytest.mark.parametrize("sharing", [1, 2, 4])
def test_every_converter_may_have_its_own_range(linear, spec, sharing):
    """The largest sum over the columns of one array that share it, keyed by array and converter."""
    net, x = linear
    placement = mapping.place(net, spec.with_(rows=8, cols=4, cols_per_adc=sharing, adc_range_per="converter"), x)
    wanted = {}
    for (array, line), sums in _sums(placement, x).items():
        key = array, line // sharing
        wanted[key] = max(wanted.get(key, 0.0), sums.max())
    # A column without a positive weight saw nothing but zeros; it takes the range of the layer.
    wanted = {key: scale or max(wanted.values()) for key, scale in wanted.items()}
    calibration = placement.layers[""].calibration
    found = {
        (int(array), int(number)): scale
        for (array, number), scale in zip(calibration.converters, calibration.converter_full_scale_s, strict=True)
    }
    assert found == pytest.approx(wanted, rel=1e-6)
    assert calibration.adc_full_scale_s == max(found.values())


def test_a_percentile_is_that_of_all_sums(linear, spec):
    net, x = linear
    placement = mapping.place(net, spec.with_(adc_range="percentile", adc_percentile=90.0), x)
    sums = np.sort(np.concatenate(list(_sums(placement, x).values())))
    exact = sums[int(np.ceil(0.9 * sums.size)) - 1]
    assert exact <= placement.layers[""].calibration.adc_full_scale_s <= exact * (1 + 2**-9) * (1 + 1e-6)


def test_input_ranges(linear, spec):
    net, x = linear
    sizes = x.flatten().sort().values
    for changes, scale in (
        ({}, float(sizes[-1])),
        ({"input_range": "fixed", "input_full_scale": 0.25}, 0.25),
        ({"input_range": "percentile", "input_percentile": 75.0}, float(sizes[int(0.75 * sizes.numel()) - 1])),
    ):
        placement = mapping.place(net, spec.with_(**changes), x)
        assert placement.layers[""].calibration.input_scale == pytest.approx(scale, rel=2.0**-9)
    chip = mapping.CrossbarNetwork(placement)
    with torch.no_grad():
        chip(x)
    assert chip.clipping()[""].input == pytest.approx(0.25, abs=0.05)


def test_percentiles_that_leave_nothing_are_refused(spec):
    net = nn.Linear(6, 4)
    x = torch.rand(20, 6) * (torch.arange(6) == 0)
    with pytest.raises(UserError, match=r"30th percentile of its inputs is 0.*raise input_percentile"):
        mapping.place(net, spec.with_(input_range="percentile", input_percentile=30.0), x)
    with pytest.raises(UserError, match=r"10th percentile of the column sums.*is 0.*raise adc_percentile"):
        mapping.place(net, spec.with_(adc_range="percentile", adc_percentile=10.0), x)


def test_a_layer_that_saw_only_zeros_takes_the_full_range(spec):
    placement = mapping.place(nn.Linear(6, 4), spec, torch.zeros(3, 6))
    calibration = placement.layers[""].calibration
    assert calibration.input_scale == 1
    assert calibration.adc_full_scale_s == pytest.approx(spec.rows * spec.device.g_max_s)


def test_converters_that_saw_only_zeros_take_the_layers_range(spec):
    torch.manual_seed(0)
    x = torch.rand(20, 16) * (torch.arange(16) < 8)  # the second array of rows is never driven
    calibration = (
        mapping.place(nn.Linear(16, 4), spec.with_(rows=8, adc_range_per="converter"), x).layers[""].calibration
    )
    scales = calibration.converter_full_scale_s
    assert scales.size == 4
    assert np.all(scales[2:] == scales.max())


@pytest.mark.parametrize("change", [{"rows": 8}, {"levels": 4}, {"slices": 2}, {"adc_range_per": "converter"}])
def test_another_array_calibrates_again(linear, spec, change):
    net, x = linear
    if "levels" in change:
        change = {"device": spec.device.with_(**change)}
    before, after = (mapping.place(net, array, x).layers[""].calibration for array in (spec, spec.with_(**change)))
    own = (after.adc_full_scale_s, len(after.converters), after.histogram.counts.sum())
    assert own != (before.adc_full_scale_s, len(before.converters), before.histogram.counts.sum())


def test_calibration_is_stored_with_the_placement(linear, spec, tmp_path):
    net, x = linear
    changes = {
        "adc_range": "percentile", "adc_percentile": 95.0, "adc_range_per": "converter", "cols_per_adc": 2,
        "adc_errors": AdcErrors(offset_lsb=0.5, noise_lsb=0.2, inl_table_lsb=(0.0, 0.3, 0.0)),
        "dac_errors": DacErrors(gain=0.02, offset_lsb=0.01),
    }  # fmt: skip
    placement = mapping.place(net, spec.with_(**changes), x)
    placement.save(tmp_path)
    loaded = mapping.Placement.load(tmp_path)
    assert loaded.array == placement.array
    here, there = (item.layers[""].calibration for item in (placement, loaded))
    assert np.array_equal(here.converters, there.converters)
    assert np.array_equal(here.converter_full_scale_s, there.converter_full_scale_s)
    assert here.lossless_adc_bits == there.lossless_adc_bits
    for name in ("first", "width", "low", "top", "codes_used", "beyond"):
        assert getattr(here.histogram, name) == getattr(there.histogram, name)
    assert np.array_equal(here.histogram.counts, there.histogram.counts)
    with torch.no_grad():
        chips = [mapping.CrossbarNetwork(item, seed=2, network=net)(x) for item in (placement, loaded)]
    assert torch.equal(*chips)


def test_the_histogram_counts_every_conversion(linear, spec):
    net, x = linear
    placement = mapping.place(net, spec.with_(adc_range="percentile", adc_percentile=80.0), x)
    histogram = placement.layers[""].calibration.histogram
    sums = np.concatenate(list(_sums(placement, x).values()))
    assert histogram.counts.sum() == sums.size
    step = placement.layers[""].calibration.adc_full_scale_s / 255
    codes = np.rint(sums / max(step, unit_conductance(spec)))
    assert histogram.beyond == pytest.approx((codes > 255).mean(), abs=2e-3)
    chip = mapping.CrossbarNetwork(placement)
    with torch.no_grad():
        chip(x)
    assert chip.clipping()[""].adc == pytest.approx((codes > 255).mean(), abs=2e-3)


@pytest.mark.parametrize(
    "changes", [{}, {"dac_bits": 2}, {"pair_subtraction": "analog"}, {"idle": "hrs"}, {"slices": 2}]
)
def test_the_lossless_bits_lose_nothing_and_one_fewer_does(linear, spec, changes):
    """A converter of so many bits and one grid unit a step holds every sum the arrays can give, one fewer does not."""
    net, x = linear
    placement = mapping.place(net, spec.with_(adc_bits=16, **changes), x)
    array, bits = placement.array, placement.layers[""].calibration.lossless_adc_bits
    signed = array.signed_converter
    extremes = []
    for at in mapping.CrossbarNetwork(placement).model._state.strips:
        top = 2**array.dac_bits - 1
        extremes += [
            float(top * at.strip.g.clamp_min(0).sum(0).max()),
            float(top * at.strip.g.clamp_max(0).sum(0).min()),
        ]
    for tried, fits in ((bits, True), (bits - 1, False)):
        converter = Converter.of_range(1.0, tried, signed=signed)
        assert (max(extremes) <= converter.top and min(extremes) >= converter.low) == fits
    if not signed:
        # The tight form never asks for more than the safe one, whose levels are counted in grid units.
        levels = round(array.device.g_max_s / unit_conductance(array)) + 1
        live = int(placement.tiles["rows"].max() if array.idle == "hrs" else placement.tiles["max_live_per_col"].max())
        assert bits <= required_adc_bits(live, levels, array.dac_bits)
        stored = [
            np.rint(at.strip.g.numpy()).astype(int) for at in mapping.CrossbarNetwork(placement).model._state.strips
        ]
        assert bits == max(int(required_adc_bits_of(item, array.dac_bits).max()) for item in stored)


def test_enough_bits_read_like_no_converter_at_all(linear, spec):
    net, x = linear
    bits = mapping.place(net, spec, x).layers[""].calibration.lossless_adc_bits
    with torch.no_grad():
        exact = mapping.CrossbarNetwork(mapping.place(net, spec.with_(adc_bits=None), x))(x)
        read = mapping.CrossbarNetwork(mapping.place(net, spec.with_(adc_bits=bits), x))(x)
        fewer = mapping.CrossbarNetwork(mapping.place(net, spec.with_(adc_bits=bits - 2), x))(x)
    assert torch.equal(read, exact)
    assert not torch.equal(fewer, exact)


@pytest.mark.parametrize("changes", [{"r_word_ohm": 1.0}, {"input_bits": None}])
def test_real_sums_have_no_lossless_resolution(linear, spec, changes):
    net, x = linear
    assert mapping.place(net, spec.with_(**changes), x).layers[""].calibration.lossless_adc_bits is None


# Networks with converters that err -----------------------------------------------------------------------------------


def _same_codes(a, b):
    """Equal to float rounding: one code of difference in one conversion would be a thousand times as much."""
    return torch.allclose(a, b, rtol=0, atol=1e-6 * float(a.abs().max()))


def test_errors_of_nothing_change_nothing(network, images, spec, outputs):
    """The general path on errors of zero gives the plain path's codes."""
    plain = mapping.place(network, spec, images)
    zero = mapping.place(network, spec.with_(adc_errors=AdcErrors(), dac_errors=DacErrors()), images)
    kinds = [type(mapping.CrossbarNetwork(item).model[0]._state.converters[0]) for item in (plain, zero)]
    assert kinds == [Converter, ColumnConverters]
    assert _same_codes(outputs(plain, images), outputs(zero, images))


ENCODINGS = [
    {"slices": 2, "slice_layout": "columns"},
    {"pair_layout": "columns"},
    {"pair_layout": "columns", "pair_subtraction": "analog", "slices": 2, "slice_layout": "columns"},
    {"encoding": "offset"},
    {"encoding": "offset", "offset_correction": "analog"},
    {"encoding": "flipped", "slices": 2},
]


@pytest.mark.parametrize("changes", ENCODINGS, ids=str)
def test_every_encoding_knows_its_converters(network, images, spec, changes, outputs):
    """Zero errors change nothing; every converter of an array serves as many converted columns as it may."""
    spec = spec.with_(idle=None, cols_per_adc=3, **changes)
    plain = mapping.place(network, spec, images)
    zero = mapping.place(network, spec.with_(adc_errors=AdcErrors(), dac_errors=DacErrors()), images)
    assert _same_codes(outputs(plain, images), outputs(zero, images))
    converted = plain.tiles.groupby("array")["converted_cols"].sum()
    found = {}
    for layer in mapping.CrossbarNetwork(plain)._layers.values():
        for at in layer._state.strips:
            for array, line in at.strip.place[:2].T.tolist():
                if array >= 0:
                    found.setdefault(array, set()).add(line)
    assert {array: len(lines) for array, lines in found.items()} == {a: n for a, n in converted.items() if n}
    assert max(max(lines) for lines in found.values()) < spec.converted_cols


def test_fragments_of_one_array_have_noise_of_their_own(spec, read_strip):
    """They are read in turn by the same converters, so the same column draws once per turn."""
    net = nn.Linear(8, 3, bias=False)
    with torch.no_grad():
        net.weight.fill_(1.0)
    x = torch.ones(400, 8)
    errors = AdcErrors(noise_lsb=3.0)
    array = spec.with_(encoding="polarised", idle=None, fragment=4, adc_errors=errors, input_bits=1)
    strips = mapping.CrossbarNetwork(mapping.place(net, array, x)).model._state
    assert [at.strip.place[2, 0] for at in strips.strips] == [0, 4]
    reads = [
        read_strip(at.strip, x[:, at.rows], array, converter).sums[:, 0].numpy()
        for at, converter in zip(strips.strips, strips.converters, strict=True)
    ]
    assert abs(np.corrcoef(*reads)[0, 1]) < 4 / np.sqrt(400)


@pytest.mark.parametrize("subtraction", ["digital", "analog"])
def test_twos_complement_gives_what_two_phases_give(network, images, spec, subtraction, outputs):
    """With enough bits for the grid and no rounding of inputs to tell them apart, up to one input step."""
    spec = spec.with_(pair_subtraction=subtraction, input_bits=12, adc_bits=16)
    phases = mapping.place(network, spec, images)
    signed = mapping.place(network, spec.with_(signed_inputs="twos_complement"), images)
    with torch.no_grad():
        exact = phases.reference()(images)
    scale = float(exact.abs().max())
    assert float((outputs(phases, images) - exact).abs().max()) < 0.01 * scale
    assert float((outputs(signed, images) - exact).abs().max()) < 0.02 * scale


def test_twos_complement_takes_one_phase(network, images, spec):
    signed = spec.with_(signed_inputs="twos_complement", input_bits=6, dac_bits=2)
    before, after = mapping.place(network, spec.with_(dac_bits=2), images), mapping.place(network, signed, images)
    cycles = [item.tiles.groupby("layer")["input_cycles"].first() for item in (before, after)]
    assert cycles[0]["0"] == 6  # three cycles of two bits, twice
    assert cycles[1]["0"] == 4  # five bits in three cycles, and the sign bit
    assert cycles[0]["3"] == cycles[1]["3"] == 3  # behind a ReLU nothing changes
    phases = [item.layer_table.set_index("layer")["input_phases"]["0"] for item in (before, after)]
    assert phases == [2, 1]
    assert mapping.CrossbarNetwork(after).describe()["input_cycles"].iloc[0] == 4


def test_the_energy_of_twos_complement_is_that_of_its_cycles(ideal):
    """Input −1 of full scale 1 at 4 bits is 1001₂: two of four cycles drive its word line; in phases 111₂ of seven."""
    spec = ideal.with_(input_bits=4, signed_inputs="twos_complement")
    x = torch.tensor([[1.0, -1.0, 0.0]])
    placement = mapping.place(nn.Linear(3, 2), spec, x)
    # Codes 7 = 0111₂, −7 = 1001₂ and 0: cycles that drive the line, each with the whole read voltage.
    assert placement.layers[""].calibration.drive.tolist() == [[3.0, 2.0, 0.0]]


def test_sense_amplifiers_read_signs(ideal, outputs):
    """One bit of both signs: every column gives the middle of the half that its sum lies in."""
    spec = ideal.with_(input_bits=1, adc_bits=1, pair_subtraction="analog")
    torch.manual_seed(1)
    net = nn.Linear(12, 6, bias=False)
    x = (torch.rand(30, 12) > 0.5).float()
    placement = mapping.place(net, spec, x)
    layer = placement.layers[""]
    exact = outputs(mapping.place(net, ideal.with_(input_bits=1, pair_subtraction="analog"), x), x)
    half = layer.calibration.adc_full_scale_s / spec.encoder.full_scale_s * float(layer.grid.scale) / 2
    assert torch.allclose(outputs(placement, x), torch.where(exact >= 0, half, -half), rtol=1e-5)


def test_a_chip_has_its_own_converters(network, images, spec, outputs):
    errors = AdcErrors(offset_lsb=1.0, gain=0.01, inl_lsb=0.5, noise_lsb=0.5)
    placement = mapping.place(network, spec.with_(adc_errors=errors), images)
    first, second = outputs(placement, images, 1), outputs(placement, images, 2)
    assert torch.equal(first, outputs(placement, images, 1))
    assert not torch.equal(first, second)


def test_noise_is_the_same_in_batches_of_1_and_16(spec):
    """The first layer sees the same codes, so its noisy outputs are identical; programming starts it again."""
    x = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    torch.manual_seed(0)
    placement = mapping.place(nn.Conv2d(3, 4, 3), spec.with_(adc_errors=AdcErrors(noise_lsb=2.0)), x)
    chip = mapping.CrossbarNetwork(placement, seed=3)
    with torch.no_grad():
        together = chip(x)
        again = chip(x)
        chip.program(3)
        one_by_one = torch.cat([chip(x[i : i + 1]) for i in range(16)])
    assert torch.equal(together, one_by_one)
    assert not torch.equal(together, again)


@pytest.mark.parametrize(
    "changes",
    [
        {"adc_errors": AdcErrors(offset_lsb=1.0)},
        {"adc_errors": AdcErrors(gain=0.05)},
        {"adc_errors": AdcErrors(inl_lsb=4.0)},
        {"adc_errors": AdcErrors(noise_lsb=1.0)},
        {"dac_errors": DacErrors(offset_lsb=0.05)},
        {"dac_errors": DacErrors(gain=0.05)},
        {"dac_bits": 6, "dac_errors": DacErrors(inl_lsb=4.0)},
    ],
    ids=lambda changes: str(changes).split("(")[-1][:24],
)
def test_every_error_moves_the_outputs(network, images, spec, changes, outputs):
    plain = spec.with_(dac_bits=changes.get("dac_bits", 1))
    with torch.no_grad():
        exact = mapping.place(network, plain, images).reference()(images)
    without = float((outputs(mapping.place(network, plain, images), images) - exact).norm())
    assert (
        float((outputs(mapping.place(network, spec.with_(**changes), images), images) - exact).norm()) > 1.1 * without
    )


@pytest.mark.parametrize("subtraction", ["digital", "analog"])
@pytest.mark.parametrize("adc_bits", [None, 16])
def test_drivers_err_array_by_array(ideal, subtraction, adc_bits, outputs):
    """Worked out piece by piece: every array has drivers of its own, each with its gain and its offset."""
    from crossbar.converter_bank import driver_errors

    torch.manual_seed(0)
    net, x = nn.Linear(20, 6, bias=False), torch.rand(5, 20)
    errors = DacErrors(gain=0.1, offset_lsb=0.05)
    spec = ideal.with_(
        rows=8, input_bits=8, dac_bits=4, adc_bits=adc_bits, pair_subtraction=subtraction, dac_errors=errors
    )
    placement = mapping.place(net, spec, x)
    layer = placement.layers[""]
    codes = input_codes(x, layer.calibration.input_scale, 8).double().numpy()
    expected = np.zeros((5, 6))
    for piece in placement.pieces():
        gain, offset = driver_errors(errors, 7, piece.array, piece.tile.rows.size)
        driven = codes[:, piece.tile.rows] * gain + 17 * offset  # two cycles, counting 1 and 16
        expected[:, piece.tile.cols] += piece.sign * (driven @ piece.target)
    expected *= layer.calibration.input_scale / 255 * float(layer.grid.scale) / spec.encoder.full_scale_s
    found = outputs(placement, x, seed=7).numpy()
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-6 if adc_bits is None else 5e-3)
    assert not np.allclose(found, outputs(placement, x, seed=8).numpy(), atol=1e-2)
