from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossbar import ArraySpec
from crossbar.converters import Converter, adc_codes
from crossbar.product_kernels import adc_accumulate
from crossbar.strip import Strip


def _strip(seed, rows=12, cols=5, slices=1, whole=True):
    generator = torch.Generator().manual_seed(seed)
    g = torch.randint(0, 51, (rows, 2 * slices * cols), generator=generator).float()
    if not whole:
        g += torch.rand(g.shape, generator=generator)
    weights = 16.0 ** np.arange(slices)
    return Strip(g=g, unit_s=2e-8, cols=cols, plane_weights=np.concatenate([weights, -weights]))


def _codes(seed, rows=12, n=64, bits=8):
    return torch.randint(0, 2**bits, (n, rows), generator=torch.Generator().manual_seed(seed)).float()


@pytest.mark.parametrize("slices", [1, 2])
def test_without_a_converter_the_sum_is_exact(slices, read_strip):
    spec = ArraySpec(device="yuan2019", slices=slices, adc_bits=None)
    strip, codes = _strip(0, slices=slices), _codes(1)
    parts = (codes.double() @ strip.g.double()).view(-1, 2, slices, 5)
    weights = torch.tensor([1.0, 16.0], dtype=torch.float64)[:slices]
    expected = torch.einsum("nhsc,s,h->nc", parts, weights, torch.tensor([1.0, -1.0], dtype=torch.float64))
    assert torch.equal(read_strip(strip, codes, spec, None).sums, expected)


@pytest.mark.parametrize("dac_bits", [1, 2, 4, 8])
def test_a_fine_converter_reads_whole_sums_exactly(dac_bits, read_strip):
    """One converter step per unit: every column sum is a code, so bit-serial reading loses nothing."""
    spec = ArraySpec(device="yuan2019", dac_bits=dac_bits, adc_bits=16)
    strip, codes = _strip(2, rows=4), _codes(3, rows=4)
    ideal = read_strip(strip, codes, spec.with_(adc_bits=None), None).sums
    read = read_strip(strip, codes, spec, Converter(1.0, 0, 2**16 - 1))
    assert torch.equal(read.sums, ideal)
    assert read.clipped == 0


def test_too_small_a_range_clips_and_counts(read_strip):
    spec = ArraySpec(device="yuan2019", adc_bits=4)
    read = read_strip(_strip(4), _codes(5), spec, Converter(1.0, 0, 15))
    assert 0 < read.clipped < read.samples
    assert read.samples == 64 * 10 * 8


def test_codes_do_not_depend_on_the_batch_on_whole_grids(read_strip):
    spec = ArraySpec(device="yuan2019", adc_bits=8)
    strip, codes = _strip(6), _codes(7)
    converter = Converter(3.7, 0, 255)
    whole = read_strip(strip, codes, spec, converter).sums
    single = torch.cat([read_strip(strip, codes[i : i + 1], spec, converter).sums for i in range(64)])
    assert torch.equal(whole, single)


@given(
    n=st.integers(1, 40), cols=st.integers(1, 9), slices=st.integers(1, 3), bits=st.integers(1, 12),
    step=st.floats(0.3, 30), seed=st.integers(0, 2**31), signed=st.booleans(),
)  # fmt: skip
def test_the_compiled_read_out_equals_plain_torch_bit_for_bit(n, cols, slices, bits, step, seed, signed):
    generator = torch.Generator().manual_seed(seed)
    sums = torch.rand(n, 2 * slices * cols, generator=generator) * 2**bits * 1.2 - 3
    sums[0, 0] = 2.5 * step  # a tie
    digital = np.repeat(np.tile([1.0, -16.0], slices)[:, None], cols, axis=1)
    digital[:, 0] *= -1  # a column that is subtracted
    converter = Converter.of_range(step * (2 ** (bits - 1) if signed else 2**bits), bits, signed=signed)
    total = torch.zeros(n + 2, cols + 3, dtype=torch.float64)
    limits = (np.float32(value) for value in (converter.step, converter.low, converter.top))
    clipped = adc_accumulate(sums.numpy(), *limits, 4.0, digital, total.numpy(), 1, 2)
    codes, beyond = adc_codes(sums.clone(), converter)
    parts = codes.double().view(n, -1, cols)
    expected = torch.zeros_like(total)
    expected[1 : n + 1, 2 : cols + 2] = 4 * torch.einsum("nkc,kc->nc", parts, torch.from_numpy(digital))
    assert clipped == int(beyond)
    assert torch.equal(total, expected)


def test_signs_and_digital_input_sums_are_added_after_the_converter(read_strip):
    spec = ArraySpec(device="yuan2019", adc_bits=16)
    strip, codes = _strip(2, rows=4), _codes(3, rows=4)
    sign = torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0]).repeat(2)
    extra = torch.tensor([0.0, 3.0, 0.0, 0.5, 0.0], dtype=torch.float64)
    changed = replace(strip, column_sign=sign, input_weight=extra)
    expected = (
        read_strip(strip, codes, spec, Converter(1.0, 0, 2**16 - 1)).sums * sign[:5]
        + codes.double().sum(1)[:, None] * extra
    )
    for converter in (Converter(1.0, 0, 2**16 - 1), None):
        assert torch.equal(read_strip(changed, codes, spec, converter).sums, expected)
