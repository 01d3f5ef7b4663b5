from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from crossbar import AdcErrors, ArraySpec, DacErrors
from crossbar.converter_bank import column_converters, driver_errors
from crossbar.converter_errors import drive_levels, transition_levels
from crossbar.converters import Converter, adc_codes
from crossbar.strip import Strip
from hwmodels.errors import UserError


def _place(columns, array=0):
    return np.stack([np.full(columns, array), np.arange(columns)])


def _bank(full_scale=15.0, bits=4, columns=1, place=None, **options):
    scale = np.full(columns, full_scale) if np.isscalar(full_scale) else np.asarray(full_scale)
    values = {"signed": False, "errors": None, "columns_per_converter": 1, "seed": 1} | options
    return column_converters(scale, bits, place=_place(scale.size) if place is None else place, **values)


def _codes(bank, sums, first=0, cycle=0, reference=False):
    """Codes of (n, columns) sums, and how many were clipped."""
    sums = torch.as_tensor(np.asarray(sums, dtype=np.float32))
    total = torch.zeros(sums.shape, dtype=torch.float64)
    convert = bank.convert_and_add_reference if reference else bank.convert_and_add
    clipped = convert(sums.clone(), torch.ones(sums.shape[1], dtype=torch.float64), total, first, cycle)
    return total.numpy(), clipped


def _strip(seed, rows=12, cols=5, slices=1, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    g = torch.randint(0, 51, (rows, 2 * slices * cols), generator=generator).float()
    weights = 16.0 ** np.arange(slices)
    place = np.stack([np.repeat(np.arange(2 * slices), cols), np.tile(np.arange(cols), 2 * slices)])
    return Strip(g=g, unit_s=2e-8, cols=cols, plane_weights=np.concatenate([weights, -weights]), place=place)


def _inputs(seed, rows=12, n=64, bits=8):
    return torch.randint(0, 2**bits, (n, rows), generator=torch.Generator().manual_seed(seed)).float()


@settings(max_examples=30, deadline=None)
@given(
    bits=st.integers(1, 12), step=st.floats(0.3, 30), seed=st.integers(0, 2**31), signed=st.booleans(),
    slices=st.integers(1, 3), zero=st.booleans(),
)  # fmt: skip
def test_without_errors_it_is_the_plain_path_bit_for_bit(bits, step, seed, signed, slices, zero, read_strip):
    if signed and bits == 1:
        bits = 2  # one bit of both signs is a sense amplifier, which the plain path does not have
    spec = ArraySpec(device="yuan2019", adc_bits=bits)
    strip, codes = _strip(seed, slices=slices), _inputs(seed + 1)
    full_scale = step * (2 ** (bits - 1) if signed else 2**bits)
    plain = read_strip(strip, codes, spec, Converter.of_range(full_scale, bits, signed=signed))
    columns = strip.g.shape[1]
    bank = _bank(
        np.full(columns, full_scale), bits, place=strip.place, signed=signed, errors=AdcErrors() if zero else None
    )
    read = read_strip(strip, codes, spec, bank)
    assert torch.equal(read.sums, plain.sums)
    assert (read.clipped, read.samples) == (plain.clipped, plain.samples)


@settings(max_examples=30, deadline=None)
@given(
    bits=st.integers(1, 10), signed=st.booleans(), seed=st.integers(0, 2**31), own=st.booleans(),
    shape=st.sampled_from(["bow", "s"]), noise=st.sampled_from([0.0, 0.4]),
)  # fmt: skip
def test_the_kernel_equals_its_twin(bits, signed, seed, own, shape, noise):
    """Codes of sums on a grid of quarter steps, so that many lie exactly at a transition."""
    rng = np.random.default_rng(seed)
    errors = AdcErrors(offset_lsb=0.5, gain=0.02, inl_lsb=0.1 if bits > 1 else 0.0, inl_shape=shape, noise_lsb=noise)
    scale = rng.choice([3.0, 7.0, 15.0], 9) if own else np.full(9, 7.0)
    place = _place(9, array=4)
    place[0, 3] = -1
    bank = _bank(scale, bits, place=place, signed=signed, errors=errors, columns_per_converter=2, seed=seed)
    sums = rng.integers(-40, 70, (50, 9)) / 4
    fast, slow = (_codes(bank, sums, first=7, cycle=3, reference=twin) for twin in (False, True))
    assert np.array_equal(fast[0], slow[0])
    assert fast[1] == slow[1]
    assert not fast[0][:, 3].any()  # no converter, no code


def test_the_worked_tables_of_the_docstring():
    sums = [[-9.0], [-4.6], [-4.4], [-0.5], [0.5], [1.5], [2.5], [3.4], [3.6]]
    codes, clipped = _codes(_bank(3.0, 3, signed=True), sums)
    assert codes.ravel().tolist() == [-4, -4, -4, 0, 0, 2, 2, 3, 3]
    assert clipped == 3
    codes, clipped = _codes(_bank(3.0, 1), [[-2.0], [0.0], [1.4], [1.5], [1.6], [4.4], [4.6]])
    assert (3 * codes).ravel().tolist() == [0, 0, 0, 0, 3, 3, 3]
    assert clipped == 2
    codes, clipped = _codes(_bank(3.0, 1, signed=True), [[-3.1], [-3.0], [-0.1], [0.0], [0.1], [3.0], [3.1]])
    assert (3 * codes).ravel().tolist() == [-1.5, -1.5, -1.5, 1.5, 1.5, 1.5, 1.5]
    assert clipped == 2


@given(shift=st.integers(-3, 3), bits=st.integers(2, 8))
def test_an_offset_of_one_step_shifts_codes_by_one(shift, bits):
    bank = _bank(2.0**bits - 1, bits)
    moved = replace(bank, offset=bank.offset + float(shift))
    sums = np.arange(-4, 2**bits + 4)[:, None] + 0.25
    top = 2**bits - 1
    assert np.array_equal(_codes(moved, sums)[0], np.clip(np.arange(-4, top + 5)[:, None] + shift, 0, top))
    assert np.array_equal(_codes(bank, sums + shift)[0], _codes(moved, sums)[0])


def test_a_gain_error_tilts_the_curve():
    bank = _bank(255.0, 8)
    codes, _ = _codes(replace(bank, gain=bank.gain * 1.02), np.arange(256)[:, None])
    assert np.array_equal(codes.ravel(), np.clip(np.rint(1.02 * np.arange(256)), 0, 255))


@pytest.mark.parametrize("shape", ["bow", "s"])
def test_a_slow_ramp_finds_the_transitions_of_the_closed_form(shape):
    """The code histogram test of IEEE 1241: where a ramp's code changes is k − ½ + the polynomial at k."""
    bits, size = 6, 1.7
    bank = _bank(63.0, bits, errors=AdcErrors(inl_lsb=size, inl_shape=shape))
    ramp = np.linspace(-1, 64, 65 * 512 + 1)
    codes, _ = _codes(bank, ramp[:, None])
    assert np.all(np.diff(codes.ravel()) >= 0)
    found = np.array([ramp[np.argmax(codes.ravel() >= k)] for k in range(1, 64)])
    x = np.arange(63) / 62
    t = 2 * x - 1
    polynomial = 4 * size * x * (1 - x) if shape == "bow" else size * 1.5 * np.sqrt(3) * t * (1 - t * t)
    assert np.abs(found - (np.arange(1, 64) - 0.5 + polynomial)).max() <= 1.01 * 65 / (65 * 512)


def test_a_missing_code_never_occurs():
    table = (0.0, 0.5, -0.5, 0.0, 0.0, 0.0, 0.0)  # the transitions to codes 2 and 3 coincide
    bank = _bank(7.0, 3, errors=AdcErrors(inl_table_lsb=table))
    codes, _ = _codes(bank, np.linspace(-0.49, 7.49, 4001)[:, None])
    assert set(np.unique(codes)) == {0, 1, 3, 4, 5, 6, 7}


def test_columns_that_share_a_converter_share_its_errors():
    place = np.concatenate([_place(12, array=3), _place(12, array=5)], axis=1)
    errors = AdcErrors(offset_lsb=1.0, gain=0.1)
    bank = _bank(np.ones(24), 8, place=place, errors=errors, columns_per_converter=4, seed=9)
    for values in (bank.offset.numpy(), bank.gain.numpy()):
        assert np.array_equal(values, np.repeat(values[::4], 4))
        assert np.unique(values).size == 6
    # The draw belongs to array and converter, not to the place in the strip.
    alone = _bank(np.ones(12), 8, place=_place(12, array=5), errors=errors, columns_per_converter=4, seed=9)
    assert torch.equal(alone.offset, bank.offset[12:])
    other = _bank(np.ones(12), 8, place=_place(12, array=5), errors=errors, columns_per_converter=4, seed=10)
    assert not torch.equal(alone.offset, other.offset)


def test_drawn_errors_have_their_spread():
    place = np.stack([np.arange(4000), np.zeros(4000, dtype=np.int64)])
    bank = _bank(np.ones(4000), 8, place=place, errors=AdcErrors(offset_lsb=0.7, gain=0.03))
    assert stats.kstest(bank.offset.numpy() / 0.7, "norm").pvalue > 1e-3
    assert stats.kstest((bank.gain.numpy() - 1) / 0.03, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(bank.offset.numpy(), bank.gain.numpy())[0, 1]) < 4 / np.sqrt(4000)
    gain, offset = driver_errors(DacErrors(offset_lsb=0.02, gain=0.05), 3, 8, 4000)
    assert stats.kstest((gain - 1) / 0.05, "norm").pvalue > 1e-3
    assert stats.kstest(offset / 0.02, "norm").pvalue > 1e-3
    assert np.array_equal(driver_errors(DacErrors(gain=0.05), 3, 8, 10, first=100)[0], gain[100:110])


def test_a_gain_is_never_negative():
    assert driver_errors(DacErrors(gain=3.0), 0, 0, 1000)[0].min() == 0


def _noise_of(bank, n, columns, cycle=0, first=0):
    # A fine converter far from its ends shows the deviation itself, up to its rounding.
    codes, _ = _codes(bank, np.full((n, columns), 32768.0), first=first, cycle=cycle)
    return codes - 32768


@pytest.mark.parametrize("reference", [False, True])
def test_noise_is_normal_with_its_sigma(reference):
    bank = _bank(65535.0, 16, columns=20, errors=AdcErrors(noise_lsb=500.0))
    sums = np.full((1000, 20), 32768.0)
    z = ((_codes(bank, sums, reference=reference)[0] - 32768) / 500).ravel()
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / z.size)
    assert stats.kstest(z, "norm").pvalue > 1e-3
    table = z.reshape(1000, 20)
    assert abs(np.corrcoef(table[:-1, 0], table[1:, 0])[0, 1]) < 4 / np.sqrt(1000)
    assert abs(np.corrcoef(table[:, 0], table[:, 1])[0, 1]) < 4 / np.sqrt(1000)


def test_noise_belongs_to_the_conversion_not_to_the_batch():
    bank = _bank(65535.0, 16, columns=3, errors=AdcErrors(noise_lsb=500.0))
    whole = _noise_of(bank, 50, 3)
    parts = np.concatenate([_noise_of(bank, 20, 3), _noise_of(bank, 30, 3, first=20)])
    assert np.array_equal(whole, parts)
    assert not np.array_equal(whole, _noise_of(bank, 50, 3, cycle=1))
    # The number of a vector has 32 bits and wraps around.
    assert np.array_equal(_noise_of(bank, 4, 3, first=2**32 - 2)[2:], whole[:2])
    twin, _ = _codes(bank, np.full((4, 3), 32768.0), first=2**32 - 2, reference=True)
    assert np.array_equal(twin[2:] - 32768, whole[:2])


@pytest.mark.parametrize("threads", [1, 2])
def test_noise_does_not_depend_on_threads(threads):
    before = torch.get_num_threads()
    bank = _bank(65535.0, 16, columns=3, errors=AdcErrors(noise_lsb=500.0))
    torch.set_num_threads(1)
    expected = _noise_of(bank, 64, 3)
    torch.set_num_threads(threads)
    try:
        assert np.array_equal(_noise_of(bank, 64, 3), expected)
    finally:
        torch.set_num_threads(before)


def test_ranges_of_their_own_count_by_their_own_step(read_strip):
    """Two columns of unlike range: each reads its sum to half of its own step."""
    strip = _strip(0, cols=2)
    strip = replace(strip, g=strip.g * torch.tensor([1.0, 100.0, 1.0, 100.0]))
    spec = ArraySpec(device="yuan2019", adc_bits=8)
    codes = _inputs(1)
    largest = (torch.ones(1, 12) @ strip.g).numpy().ravel()
    bank = _bank(largest, 8, place=strip.place)
    read, exact = (
        read_strip(strip, codes, spec, bank).sums,
        read_strip(strip, codes, spec.with_(adc_bits=None), None).sums,
    )
    half_steps = (largest / 255 / 2).reshape(2, 2).sum(axis=0) * 255  # both halves, cycles of weight 1 … 128
    assert np.all((read - exact).abs().amax(dim=0).numpy() <= half_steps * (1 + 1e-6))
    shared = read_strip(strip, codes, spec, Converter.of_range(float(largest.max()), 8)).sums
    assert (shared - exact)[:, 0].norm() > 20 * (read - exact)[:, 0].norm()


def test_drive_offsets_add_a_row_that_is_always_on(read_strip):
    """Bit-serial: every one of the 8 cycles reads the offset, so it counts 1 + 2 + … + 128 in all."""
    strip, codes = _strip(2), _inputs(3)
    spec = ArraySpec(device="yuan2019", adc_bits=None)
    offset = torch.arange(10.0, dtype=torch.float64)
    shifted = replace(strip, drive_offset=offset)
    plain = read_strip(strip, codes, spec, None).sums
    assert torch.allclose(read_strip(shifted, codes, spec, None).sums - plain, 255 * (offset[:5] - offset[5:]))
    # The same through a fine converter: a whole offset is a whole number of codes.
    fine = spec.with_(adc_bits=16)
    bank = _bank(np.full(10, 65535.0), 16, place=strip.place, drive_offset=offset.numpy())
    assert torch.equal(
        read_strip(shifted, codes, fine, bank).sums - plain, 255 * (offset[:5] - offset[5:]).expand(64, 5)
    )


@pytest.mark.parametrize("adc_bits", [None, 16])
def test_drivers_that_are_not_straight_drive_their_levels(adc_bits, read_strip):
    errors = DacErrors(inl_lsb=0.5, inl_shape="s")
    spec = ArraySpec(device="yuan2019", dac_bits=4, input_bits=8, adc_bits=adc_bits, dac_errors=errors)
    strip, codes = _strip(4), _inputs(5)
    levels = drive_levels(errors, 4)
    low, high = codes.numpy().astype(int) % 16, codes.numpy().astype(int) // 16
    expected = (levels[low] + 16 * levels[high]) @ (strip.g[:, :5] - strip.g[:, 5:]).numpy()
    bank = None if adc_bits is None else _bank(np.full(10, 12 * 50 * 15.0), 16, place=strip.place)
    read = read_strip(strip, codes, spec, bank).sums.numpy()
    step = 0.0 if bank is None else 12 * 50 * 15 / 65535
    assert np.abs(read - expected).max() <= 17 * step + 1e-2
    assert np.abs(read_strip(strip, codes, spec.with_(dac_errors=None), bank).sums.numpy() - expected).max() > 50


@settings(max_examples=25, deadline=None)
@given(bits=st.integers(2, 12), dac=st.integers(1, 5), seed=st.integers(0, 2**31))
def test_twos_complement_is_exact(bits, dac, seed, read_strip):
    dac = min(dac, bits)
    spec = ArraySpec(device="yuan2019", input_bits=bits, dac_bits=dac, adc_bits=16, signed_inputs="twos_complement")
    strip = _strip(seed, rows=4)
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(-(2 ** (bits - 1)), 2 ** (bits - 1), (20, 4), generator=generator).float()
    codes[0] = -(2.0 ** (bits - 1))
    exact = codes.double() @ (strip.g[:, :5] - strip.g[:, 5:]).double()
    for converter in (Converter(1.0, 0, 2**16 - 1), _bank(np.full(10, 65535.0), 16, place=strip.place)):
        assert torch.equal(read_strip(strip, codes, spec, converter, signed=True).sums, exact)
    whole, two = Converter(1.0, 0, 2**16 - 1), spec.with_(signed_inputs="phases")
    phases = sum(sign * read_strip(strip, (sign * codes).clamp_min(0), two, whole).sums for sign in (1, -1))
    assert torch.equal(phases, exact)


def test_without_converters_nothing_is_counted():
    place = np.stack([np.full(6, -1), np.arange(6)])
    bank = _bank(np.ones(6), 4, place=place, errors=AdcErrors(offset_lsb=3.0))
    codes, clipped = _codes(bank, np.full((5, 6), 100.0))
    assert not codes.any()
    assert clipped == 0


@pytest.mark.parametrize("full_scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_range_of_width_zero_is_refused(full_scale):
    with pytest.raises(UserError, match="ADC range of"):
        Converter.of_range(full_scale, 8)
    with pytest.raises(UserError, match="ADC range of"):
        _bank(full_scale, 8)


@pytest.mark.parametrize("bits", [0, 17, 2.0, True])
def test_converters_have_from_1_to_16_bits(bits):
    with pytest.raises(UserError, match="from 1 to 16 bits"):
        Converter.of_range(1.0, bits)


def test_the_plain_converter_is_the_ideal_bank():
    sums = torch.linspace(-3, 20, 500)
    plain, clipped = adc_codes(sums.clone(), Converter.of_range(15.0, 4))
    codes, beyond = _codes(_bank(15.0, 4), sums.numpy()[:, None])
    assert np.array_equal(codes.ravel(), plain.numpy())
    assert beyond == int(clipped)
    assert transition_levels(AdcErrors(), 4).size == 15
