"""The four ways of reading a strip against each other and against plain sums."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossbar import ArraySpec
from crossbar.converters import Converter, adc_codes, input_cycles
from crossbar.engine import Reader
from crossbar.exactness import exact_inverse, whole_sums
from crossbar.strip import Strip
from crossbar.vectors import Vectors


def _strip(seed, rows, cols, slices=1, *, analog=False, error=0.0, unit=1):
    rng = np.random.default_rng(seed)
    g = unit * rng.integers(-15 if analog else 0, 16, (rows, (1 if analog else 2) * slices * cols))
    g = g * (1 + error * rng.standard_normal(g.shape))
    weights = 16.0 ** np.arange(slices)
    weights = weights if analog else np.concatenate([weights, -weights])
    return Strip(torch.from_numpy(g.astype(np.float32)), 1e-8, cols, weights, signed=analog)


def _codes(seed, n, rows, bits):
    """Codes with many zeros, as after a rectifier."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2**bits, (n, rows)) >> rng.integers(0, bits + 1, (n, rows))
    return torch.from_numpy(codes.astype(np.float32))


def _spec(**changes):
    return ArraySpec(**({"device": "ideal"} | changes))


def _slowly(strip, codes, spec, converter):
    """Every cycle, plane and column converted one by one, in double precision."""
    total = np.zeros((codes.shape[0], strip.cols))
    clipped = 0
    for weight, cycle in input_cycles(codes, spec.input_bits, spec.dac_bits):
        found, beyond = adc_codes((cycle.double() @ strip.g.double()).float(), converter)
        clipped += int(beyond)
        parts = found.double().numpy().reshape(codes.shape[0], -1, strip.cols)
        total += weight * np.einsum("nkc,k->nc", parts, strip.plane_weights)
    return total * converter.step, clipped


@given(
    n=st.integers(1, 70), rows=st.integers(1, 140), cols=st.integers(1, 140), slices=st.integers(1, 2),
    bits=st.sampled_from([1, 2, 5, 8, 11]), dac=st.integers(1, 8), step=st.floats(0.5, 40), analog=st.booleans(),
    unit=st.sampled_from([1, 33]), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_whole_sums_give_the_same_bits_in_every_way(
    n, rows, cols, slices, bits, dac, step, analog, unit, seed, read_strip
):
    spec = _spec(input_bits=bits, dac_bits=min(dac, bits))
    strip = _strip(seed, rows, cols, slices, analog=analog, unit=unit)
    codes = _codes(seed, n, rows, bits)
    converter = Converter.of_range(step * 100, 8, signed=analog)
    wanted, clipped = _slowly(strip, codes, spec, converter)
    for backend in ("numba", "torch"):
        read = read_strip(strip, codes, spec, converter, backend=backend)
        assert np.array_equal(read.sums.numpy(), wanted)
        assert read.clipped == clipped
        assert read.samples == n * strip.g.shape[1] * spec.input_cycles


@pytest.mark.parametrize("dac_bits", [1, 2, 8])
def test_real_sums_differ_by_one_code_at_most_and_only_at_an_edge(dac_bits, read_strip):
    """One plane and the codes of one cycle at a time, so that every single code of both back ends can be compared."""
    rows, cols, n = 128, 96, 3000
    spec = _spec(input_bits=dac_bits, dac_bits=dac_bits)
    strip = _strip(5, rows, cols, analog=True, error=0.05)
    codes = torch.randint(0, 2**dac_bits, (n, rows), generator=torch.Generator().manual_seed(1)).float()
    exact = codes.double() @ strip.g.double()
    converter = Converter.of_range(float(exact.abs().max()), 8, signed=True)
    numba_codes, torch_codes = (
        torch.round(read_strip(strip, codes, spec, converter, backend=backend).sums / converter.step)
        for backend in ("numba", "torch")
    )
    bound = rows * torch.finfo(torch.float32).eps * (codes.double() @ strip.g.double().abs())
    place = exact / converter.step
    edge = (place - torch.floor(place) - 0.5).abs() * converter.step
    truth = torch.round(place).clamp(converter.low, converter.top)
    near = edge <= bound
    assert float(near.double().mean()) < 0.01  # so the test says something about nearly all of them
    for found in (numba_codes, torch_codes):
        moved = found != truth
        assert torch.all((found - truth).abs()[moved] <= 1)
        assert torch.all(near[moved])


def test_codes_of_a_vector_do_not_depend_on_the_others_even_with_real_conductances(read_strip):
    """Tables add up one vector at a time, so the batch cannot matter."""
    spec, strip, codes = _spec(), _strip(1, 100, 30, error=0.1), _codes(2, 90, 100, 8)
    converter = Converter.of_range(900, 8)
    whole = read_strip(strip, codes, spec, converter).sums
    assert torch.equal(whole, torch.cat([read_strip(strip, codes[i : i + 1], spec, converter).sums for i in range(90)]))


# When everything collapses into one product: four conditions, each broken once


def _collapsing():
    return _spec(adc_bits=12), _strip(3, 64, 10, analog=True, unit=3), Converter(1.5, -2048, 2047)


def test_a_provably_lossless_converter_collapses_and_changes_nothing(read_strip):
    spec, strip, converter = _collapsing()
    codes = _codes(4, 50, 64, 8)
    reader = Reader(strip, spec, converter)
    assert reader.way == "whole"
    wanted, clipped = _slowly(strip, codes, spec, converter)
    read = read_strip(strip, codes, spec, converter)
    assert clipped == 0
    assert np.array_equal(read.sums.numpy(), wanted)
    assert read.samples == 50 * 10 * 8


def test_condition_1_sums_on_a_grid():
    spec, strip, converter = _collapsing()
    moved = strip.g.clone()
    moved[0, 0] += 0.5
    assert Reader(replace(strip, g=moved), spec, converter).way == "lookup"


def test_condition_2_a_step_that_divides_the_grid():
    spec, strip, converter = _collapsing()
    assert Reader(strip, spec, replace(converter, step=3.0)).way == "whole"
    for step in (1.4, 2.0, 6.0, 1.5 * (1 + 1e-9)):
        assert Reader(strip, spec, replace(converter, step=step)).way == "lookup"


@pytest.mark.parametrize("side", ["low", "top"])
def test_condition_3_a_range_that_holds_the_largest_sum_of_either_sign(side, read_strip):
    spec, strip, converter = _collapsing()
    sums = Reader(strip, spec, converter).sums
    needed = 2 * (sums.smallest if side == "low" else sums.largest)
    assert Reader(strip, spec, replace(converter, **{side: needed})).way == "whole"
    short = replace(converter, **{side: needed + (1 if side == "low" else -1)})
    assert Reader(strip, spec, short).way == "lookup"
    # and it would have been wrong to: the vector that drives the column's cells of that sign alone clips
    column = int(strip.g.clamp_max(0).sum(0).argmin() if side == "low" else strip.g.clamp_min(0).sum(0).argmax())
    hardest = (strip.g[:, column] < 0 if side == "low" else strip.g[:, column] > 0).float()[None]
    assert read_strip(strip, hardest, spec, short).clipped > 0


def test_condition_4_a_product_that_stays_exact(read_strip):
    """Two slices of 4096 levels: 4097 · 255 · Σ|g| passes 2²⁴, so the product runs in double precision."""
    spec = _spec(adc_bits=16, input_bits=8)
    rng = np.random.default_rng(0)
    g = torch.from_numpy(rng.integers(0, 200, (64, 4 * 5)).astype(np.float32))
    strip = Strip(g, 1e-8, 5, np.array([1.0, 4096.0, -1.0, -4096.0]))
    converter = Converter(1.0, 0, 2**16 - 1)
    reader = Reader(strip, spec, converter)
    assert reader.way == "whole"
    assert reader.whole.dtype == torch.float64
    codes = torch.randint(0, 256, (40, 64), generator=torch.Generator().manual_seed(0)).float()
    wanted, _ = _slowly(strip, codes, spec, converter)
    assert np.array_equal(read_strip(strip, codes, spec, converter).sums.numpy(), wanted)
    single = (codes @ reader.whole.float()).double().numpy()
    assert not np.array_equal(single, wanted)  # float32 would not have done
    assert Reader(_collapsing()[1], *_collapsing()[::2]).whole.dtype == torch.float32


# What is skipped, and how values reach the kernels


def test_columns_without_cells_and_silent_inputs_count_as_conversions_of_zero(read_strip):
    spec, strip = _spec(), _strip(6, 40, 8)
    empty = replace(strip, g=strip.g.clone().index_fill_(1, torch.arange(8, 16), 0.0))
    converter = Converter.of_range(300, 8)
    codes = _codes(7, 20, 40, 8)
    codes[3] = 0
    read = read_strip(empty, codes, spec, converter)
    assert np.array_equal(read.sums.numpy(), _slowly(empty, codes, spec, converter)[0])
    assert not read.sums[3].any()
    assert read.samples == 20 * 16 * 8


def test_codes_that_are_no_whole_numbers_take_the_product(read_strip):
    spec, strip = _spec(input_bits=8, dac_bits=8), _strip(8, 30, 4)
    codes = _codes(9, 10, 30, 8) * 1.01
    converter = Converter.of_range(4e4, 12)
    wanted, _ = _slowly(strip, codes, spec, converter)
    for changes in ({}, {"input_bits": 4, "dac_bits": 4}):
        read = read_strip(strip, codes, spec.with_(**changes), converter)
        assert np.abs(read.sums.numpy() - wanted).max() <= converter.step * 2


def test_overlapping_vectors_are_read_where_they_lie(read_strip):
    """Vectors that share their values, as patches do, and a total with room on both sides."""
    spec, strip, converter = _spec(), _strip(10, 20, 6), Converter.of_range(200, 8)
    values = torch.randint(0, 256, (300,), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    vectors = Vectors(values, torch.arange(0, 250, 5), torch.arange(0, 40, 2))
    total = torch.full((50, 10), 7.0)
    clipped = Reader(strip, spec, converter).add_to(total, 3, vectors, -1.0)
    read = read_strip(strip, vectors.matrix().float(), spec, converter)
    assert clipped == read.clipped
    assert torch.equal(total[:, 3:9].double(), 7 - torch.round(read.sums / converter.step))
    assert torch.all(total[:, [0, 1, 2, 9]] == 7)


def test_an_inverse_is_used_only_where_it_is_exact():
    sums = whole_sums(torch.arange(-40, 41).float()[:, None] * 33)
    assert sums.unit == 33
    for step in np.random.default_rng(0).uniform(5, 900, 50):
        inverse = exact_inverse(sums, step, 1)
        if inverse:
            possible = np.arange(sums.smallest, sums.largest + 1)
            divided = np.rint((possible * 33).astype(np.float32) / np.float32(step))
            assert np.array_equal(np.rint(possible.astype(np.float32) * np.float32(inverse)), divided)


def test_fixed_point_moves_conductances_by_half_a_unit_at_most():
    strip = _strip(11, 50, 20, analog=True, error=0.05)
    unit = float(strip.g.abs().max()) / 127
    held = strip.rounded(unit)
    assert float((held.g * unit - strip.g).abs().max()) <= unit / 2 * (1 + 1e-5)
    assert float(held.g.abs().max()) == 127
    assert held.unit_s == pytest.approx(strip.unit_s * unit)
    assert Reader(held, _spec(), Converter(3.0, -128, 127))._tables[0].dtype == np.int16
