"""The contract that every stage keeps: twins, pieces, threads, identity of nothing. One row of data buys a device."""

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodels import Device, UserError, conductances_at, fault_map, program
from hwmodels.devices import drift, plain, reading, torch_twins
from hwmodels.devices.cells import identified
from hwmodels.devices.curves import ClippedLog, Polynomial, Power, Saturating, Table, constant
from hwmodels.devices.device import ConstantError, InverseError, LognormalError, SaturatingError, TableError
from hwmodels.devices.effects import (
    ClusteredFaults,
    LineFaults,
    LogDecay,
    PowerLaw,
    ReadNoise,
    SpreadGrowth,
    TelegraphNoise,
    Temperature,
    WriteVerify,
)

G_MIN, G_MAX = 1e-6, 1e-5
DAY = 86400.0


def device(**changes):
    return Device(name="test", g_min_s=G_MIN, g_max_s=G_MAX, levels=16, **changes)


CLIPPED = ClippedLog(slope=-0.02, offset=0.03, low=0.04, high=0.1, above=0.5, coeffs=(0.05, 0.01))
DEVICES = {
    "inverse": device(programming_error=InverseError(sigma=0.01)),
    "saturating": device(programming_error=SaturatingError(top_s=4e-7, scale_s=3e-6)),
    "table": device(programming_error=TableError(g_s=(2e-6, 5e-6, 9e-6), sigma_s=(1e-7, 4e-7, 2e-7))),
    "clusters": device(
        programming_error=LognormalError(sigma=0.1),
        clustered_faults=ClusteredFaults(rate=0.1, rows=3, cols=2, state="hrs"),
    ),
    "lines": device(line_faults=LineFaults(word_line=0.1, bit_line=0.2, state="open"), stuck_at_lrs=0.05),
    "all faults": device(
        stuck_at_lrs=0.1,
        stuck_at_hrs=0.1,
        clustered_faults=ClusteredFaults(rate=0.2, rows=2, cols=3, state="lrs"),
        line_faults=LineFaults(word_line=0.05, bit_line=0.05, state="hrs"),
    ),
    "power law": device(drift=PowerLaw(t0_s=20.0, nu=CLIPPED, nu_sigma=constant(0.02)), stuck_at_lrs=0.1),
    "growth": device(
        drift=SpreadGrowth(
            times_s=(1.0, DAY, 2 * DAY),
            curves=tuple(Polynomial(coeffs=(0.01 * k, 0.02)) for k in (1, 2, 3)),
            shifts=tuple(Polynomial(coeffs=(0.0, -0.01 * k)) for k in (0, 1, 3)),
        )
    ),
    "decay": device(drift=LogDecay(t0_s=1.0, shift_s=-2e-8, sigma_s=1e-7, sigma_slope_s=1e-8)),
    "noise": device(
        read_noise=ReadNoise(of="g", curve=Power(factor=0.01, exponent=-0.6, cap=0.2), t_read_s=2.5e-7, t0_s=20.0)
    ),
    "noise of g_max": device(read_noise=ReadNoise(of="g_max", curve=Saturating(top=0.02, scale=0.1))),
    "noise by table": device(read_noise=ReadNoise(of="g_max", curve=Table(x=(0.1, 0.4, 1.0), y=(0.01, 0.03, 0.02)))),
    "traps": device(telegraph_noise=TelegraphNoise(amplitude=0.1, duty=0.3, share=0.6)),
    "traps in time": device(telegraph_noise=TelegraphNoise(amplitude=0.1, capture_s=3e4, emission_s=1e4, share=0.6)),
    "window": device(
        programming_error=ConstantError(sigma_s=3e-7),
        stuck_at_hrs=0.1,
        write_verify=WriteVerify(window_s=2e-7, max_pulses=5, pulse_s=1e-6, pulse_energy_j=1e-12),
    ),
    "everything": device(
        programming_error=LognormalError(sigma=0.1),
        stuck_at_hrs=0.1,
        drift=PowerLaw(t0_s=20.0, nu=constant(0.05), nu_sigma=constant(0.01)),
        temperature=Temperature(per_kelvin=1e-3),
        telegraph_noise=TelegraphNoise(amplitude=0.1, duty=0.3),
        read_noise=ReadNoise(of="g", curve=constant(0.01)),
    ),
}
NAMES = list(DEVICES)


def targets(shape, seed=0):
    return np.random.default_rng(seed).choice([0.0, *device().level_conductances()], size=shape)


def later(spec, g, **place):
    return conductances_at(g, spec, t_s=1.5 * DAY, temperature_k=350.0, read=7, **place)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 2**64 - 1),
    first=st.tuples(*[st.integers(0, 2**32 - 50)] * 3),
    shape=st.tuples(st.integers(1, 2), st.integers(1, 17), st.integers(1, 19)),
)
def test_kernel_numpy_and_torch_agree(name, seed, first, shape):
    spec, g = DEVICES[name], targets(shape)
    place = dict(zip(("array", "row", "col"), first, strict=True)) | {"seed": seed}
    cells = identified(shape, seed, *first)
    fast = program(g, spec, **place)
    faulty = fault_map(shape, spec, **place)
    for slow in (plain.fault_codes(plain.NUMPY, spec, cells), torch_twins.fault_map(shape, spec, **place).numpy()):
        assert slow.dtype == faulty.dtype == np.int8
        assert np.array_equal(faulty, slow), "faults agree bit for bit"
    on_torch = torch_twins.program(torch.as_tensor(g), spec, **place).numpy()
    for slow in (program_plainly(spec, cells, g), on_torch):
        np.testing.assert_allclose(fast, slow, rtol=1e-12, atol=1e-20)
        assert np.array_equal(fast[faulty > 0], slow[faulty > 0])
    moved = later(spec, fast, **place)
    on_torch = torch_twins.conductances_at(
        torch.as_tensor(fast), spec, t_s=1.5 * DAY, temperature_k=350.0, read=7, **place
    ).numpy()
    for slow in (later_plainly(spec, cells, fast), on_torch):
        np.testing.assert_allclose(moved, slow, rtol=1e-11, atol=1e-19)
    assert np.all(moved[fast == 0] == 0), "no cell, no conductance"


def program_plainly(spec, cells, g):
    if spec.write_verify is not None:
        return plain.written_within_window(plain.NUMPY, spec, cells, g)[0]
    return plain.program(plain.NUMPY, spec, cells, g)


def later_plainly(spec, cells, g):
    b, what, before = plain.NUMPY, drift.plan(spec, 1.5 * DAY), g
    if what is not None:
        g = np.where(plain.fault_codes(b, spec, cells) > 0, before, plain.drift(b, spec, cells, g, what))
    g = g * reading.temperature_factor(spec, 350.0)
    if spec.telegraph_noise is not None:
        g = plain.telegraph(b, spec.telegraph_noise, cells, g, 7, 1.5 * DAY)
    if (form := reading.sigma_form(spec, 1.5 * DAY)) is not None:
        g = plain.read_noise(b, cells, g, plain.read_sigma(b, form[0], form[1], spec.g_max_s, form[2], g), 7)
    return g


@pytest.mark.parametrize("name", NAMES)
def test_a_piece_alone_equals_the_piece_of_the_whole(name):
    spec, g = DEVICES[name], targets((3, 30, 41))
    whole = program(g, spec, 9, array=2, row=5, col=7)
    later_whole = later(spec, whole, seed=9, array=2, row=5, col=7)
    for a, r, c in [(0, 0, 0), (1, 3, 5), (2, 29, 40), (2, 11, 17)]:
        place = {"seed": 9, "array": 2 + a, "row": 5 + r, "col": 7 + c}
        part = program(g[a : a + 1, r : r + 9, c : c + 9], spec, **place)
        assert np.array_equal(part, whole[a : a + 1, r : r + 9, c : c + 9])
        assert np.array_equal(later(spec, part, **place), later_whole[a : a + 1, r : r + 9, c : c + 9])
    assert np.array_equal(program(g[1], spec, 9, array=3, row=5, col=7), whole[1]), "one array without the batch"


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_threads_changes_nothing(name):
    spec, g = DEVICES[name], targets((2, 40, 33))
    before, found = numba.get_num_threads(), []
    try:
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            found.append(later(spec, program(g, spec, 4), seed=4))
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(found[0], found[1])


@pytest.mark.parametrize("name", NAMES)
def test_without_data_time_or_read_nothing_happens(name):
    g = targets((20, 20))
    assert np.array_equal(conductances_at(g, device(), t_s=1e9, temperature_k=400.0, read=3), g)
    spec = DEVICES[name]
    out = conductances_at(g, spec)
    assert np.array_equal(out, g), "right after programming, at the reference temperature, without a read"
    assert not np.shares_memory(out, g)


def test_single_precision_tensors_are_taken_as_they_are():
    g = torch.full((3, 4), 4e-6, dtype=torch.float32)
    assert torch.equal(torch_twins.program(g, device()), g.double())
    with pytest.raises(UserError, match="negative or not finite"):
        torch_twins.program(-g, device())
    with pytest.raises(UserError, match="a tensor of shape"):
        torch_twins.program(g[0], device())


def test_torch_philox_gives_the_published_words():
    counter = torch.tensor([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344])
    words = torch_twins.philox4x32(counter, (0xA4093822, 0x299F31D0))
    assert words.tolist() == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"t_s": -1.0}, "t_s is the time since programming"),
        ({"t_s": float("inf")}, "t_s is the time since programming"),
        ({"read": -1}, "read is the number of a read"),
        ({"read": 2**24}, "read is the number of a read"),
        ({"read": 1.5}, "read is the number of a read"),
        ({"temperature_k": -3.0}, "temperature_k is a temperature in kelvin"),
        ({"seed": -1}, "A seed is a whole number"),
        ({"row": -1}, "row is a whole number"),
    ],
)
def test_requests_that_make_no_sense_are_refused(asked, words):
    with pytest.raises(UserError, match=words):
        conductances_at(targets((3, 3)), DEVICES["everything"], **asked)


def test_negative_conductances_are_refused_by_name():
    with pytest.raises(UserError, match=r"1 programmed conductances are negative or not finite; the first is -1\.0 S"):
        conductances_at(np.array([[1e-6, -1.0]]), DEVICES["decay"])
