"""The converters of a network: codes that do not depend on the batch, ranges, clipping, fixed point."""

from itertools import pairwise

import pytest
import torch

import mapping
from hwmodels import Device
from hwmodels.errors import UserError


def test_more_bits_come_closer(network, images, spec, outputs):
    errors = []
    for bits in (4, 6, 8, 10, 12):
        placement = mapping.place(network, spec.with_(input_bits=bits, adc_bits=bits + 2), images)
        with torch.no_grad():
            errors.append(float((outputs(placement, images) - placement.reference()(images)).norm()))
    assert all(later < earlier for earlier, later in pairwise(errors))
    assert errors[-1] < errors[0] / 50


def test_converter_codes_are_the_same_with_batches_of_1_and_64(network, spec):
    """Cells on their levels: every column sum is a whole number of grid units, so the codes are bit-identical."""
    images = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    placement = mapping.place(network, spec, images)
    chip = mapping.CrossbarNetwork(placement)
    with torch.no_grad():
        together = chip(images)
        one_by_one = torch.cat([chip(images[i : i + 1]) for i in range(64)])
    # The first layer sees identical inputs, so its outputs are identical; later layers pass through batch norm,
    # where torch itself may round differently, so they are held to float rounding of a code's worth.
    first = chip.model[0]
    with torch.no_grad():
        assert torch.equal(first(images), torch.cat([first(images[i : i + 1]) for i in range(64)]))
    assert torch.allclose(together, one_by_one, atol=1e-5)


def test_real_conductances_move_codes_by_at_most_one_at_an_edge(network, spec):
    """With mismatch, batches may round a sum differently: codes differ by ≤ 1, only within rounding of a code edge."""
    images = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(6))
    placement = mapping.place(network, spec.with_(device=Device.load("yuan2019")), images)
    layer = mapping.CrossbarNetwork(placement, seed=1).model[0]
    at = layer._state.strips[0]
    codes = torch.randint(0, 2, (4096, at.rows.numel()), generator=torch.Generator().manual_seed(7)).float()
    batched = at.strip.column_sums(codes)
    single = torch.cat([at.strip.column_sums(codes[i : i + 1]) for i in range(4096)])
    exact = codes.double() @ at.strip.g.double()
    bound = at.rows.numel() * torch.finfo(torch.float32).eps * (codes.double() @ at.strip.g.double().abs())
    assert torch.all((batched.double() - exact).abs() <= bound)
    step = layer._state.converters[0].step
    a, b = torch.round(batched / step), torch.round(single / step)
    moved = a != b
    assert float((a - b).abs().max()) <= 1
    edge = ((exact / step) - torch.floor(exact / step) - 0.5).abs() * step
    assert torch.all(edge[moved] <= 2 * bound[moved])


def test_integer_codes_are_the_same_with_1_and_2_threads(network, images, spec):
    placement = mapping.place(network, spec, images)
    chip = mapping.CrossbarNetwork(placement)
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        with torch.no_grad():
            found.append(chip.model[0](images))
    torch.set_num_threads(before)
    assert torch.equal(*found)


def test_wide_input_codes_and_conductances_in_fixed_point(network, images, spec):
    """16-bit inputs take two bytes a code; 8-bit conductances move outputs a little, 3-bit ones a lot."""
    placement = mapping.place(network, spec.with_(input_bits=10, adc_bits=16, device=Device.load("yuan2019")), images)
    with torch.no_grad():
        exact = mapping.CrossbarNetwork(placement, seed=1)(images)
        errors = [
            float((mapping.CrossbarNetwork(placement, seed=1, conductance_bits=bits)(images) - exact).norm())
            for bits in (12, 8, 5)
        ]
    assert 0 < errors[0] < errors[1] < errors[2]
    assert errors[1] < 0.03 * float(exact.norm())


def test_conductances_in_no_such_fixed_point_are_refused(network, images, spec):
    with pytest.raises(UserError, match="conductance_bits must be from 2 to 16, not 1"):
        mapping.CrossbarNetwork(mapping.place(network, spec, images), conductance_bits=1)


@pytest.mark.parametrize("subtraction", ["digital", "analog"])
def test_a_lossless_converter_is_one_product(network, images, spec, subtraction):
    """One step per unit of the grid and bits enough: the same as without a converter, bit for bit."""
    array = spec.with_(adc_range="grid", adc_bits=14, pair_subtraction=subtraction)
    chip = mapping.CrossbarNetwork(mapping.place(network, array, images))
    ideal = mapping.CrossbarNetwork(mapping.place(network, array.with_(adc_bits=None, adc_range="calibrated"), images))
    with torch.no_grad():
        assert torch.equal(chip(images), ideal(images))
    assert all(layer._state.whole_weight is not None for layer in chip._layers.values())
    counts = chip.clipping()["0"]
    assert counts.adc_samples > 0
    assert counts.adc_clipped == 0


def test_a_grid_range_needs_a_grid(network, images, spec):
    with pytest.raises(UserError, match='adc_range = "grid" needs cells whose levels lie on a common grid'):
        mapping.place(network, spec.with_(adc_range="grid", r_word_ohm=1.0), images)


def test_clipping_is_counted(network, images, spec):
    placement = mapping.place(network, spec, images)
    chip = mapping.CrossbarNetwork(placement)
    with torch.no_grad():
        chip(images)
        clean = {name: (c.adc, c.input) for name, c in chip.clipping().items()}
        chip(10 * images)
    assert clean["0"] == (0, 0)  # the calibration inputs themselves fit
    after = chip.clipping()["0"]
    assert after.input > 0.1
    assert after.adc_samples > 0


def test_full_range_never_clips(network, images, spec):
    chip = mapping.CrossbarNetwork(mapping.place(network, spec.with_(adc_range="full"), images))
    with torch.no_grad():
        chip(10 * images)
    assert all(c.adc == 0 for c in chip.clipping().values())
