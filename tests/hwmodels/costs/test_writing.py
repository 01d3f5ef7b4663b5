"""What writing takes, from the device's verified pulses: against the cell-by-cell simulation, and in an estimate."""

import numpy as np
import pytest

from hwmodels import Device, Matrix, dense_tiles, estimate, write_verify
from hwmodels.costs.writing import Writing

PULSES = {"max_pulses": 12, "accept": 0.3, "pulse_s": 1e-6, "pulse_energy_j": 3e-12, "verify_s": 5e-7}


def device(**changes):
    content = {"name": "d", "g_min_s": 1e-6, "g_max_s": 1.6e-5, "levels": 16, "write_verify": PULSES | changes}
    return Device(**content)


def within_window():
    error = {"kind": "constant", "sigma_s": 1e-6}
    pulses = PULSES | {"accept": None, "window_s": 0.5e-6}
    plain = device()
    return plain.with_(programming_error=error, write_verify=pulses)


@pytest.mark.parametrize(
    "made",
    [device(), device().with_(stuck_at_lrs=0.05, stuck_at_hrs=0.1), within_window()],
    ids=["q", "stuck", "window"],
)
def test_mean_pulses_and_row_times_are_those_of_the_cells(made):
    writing = Writing.of(made)
    assert writing is not None
    targets = np.tile(made.level_conductances(), (4000, 8))
    written = write_verify(targets, made, seed=5)
    # standard error of the mean: 3.3 pulses of spread over 5e5 cells, and over the 16 384 of the sample
    assert writing.mean_pulses == pytest.approx(float(written.mean_pulses), rel=0.02)
    assert writing.cell_j * targets.size == pytest.approx(float(written.energy_j), rel=0.02)
    rows = writing.row_s(np.full(4000, 128.0)).sum()
    assert rows == pytest.approx(float(written.time_row_parallel_s), rel=0.02)


def test_by_hand():
    writing = Writing.of(device(max_pulses=2))
    assert writing is not None
    assert writing.mean_pulses == pytest.approx(0.3 * 1 + 0.7 * 2)
    # of two cells both are done after one pulse with probability 0.3²
    assert writing.row_s(np.array([2.0, 1.0, 0.0])) == pytest.approx(np.array([0.09 * 1 + 0.91 * 2, 1.7, 0.0]) * 1.5e-6)
    assert Writing.of(Device.load("isaac")) is None


def test_the_device_is_asked_first_and_the_library_where_it_is_silent():
    tiles = dense_tiles([Matrix(name="fc", rows=100, cols=50)], cell_bits=4)
    by_device, silent, library = (
        estimate(tiles, "puma-32nm", device=d) for d in (device(max_pulses=1), Device.load("isaac"), None)
    )
    totals = by_device.totals
    assert totals["programming_energy_nj"] == pytest.approx(2 * 5000 * 3e-3)  # one pulse of 3 pJ a cell
    assert totals["programming_time_us"] == pytest.approx(100 * 1.5)  # 100 rows, one pulse and one read-back each
    assert totals["programming_serial_us"] == pytest.approx(2 * 100 * 1.5)
    assert silent.totals == library.totals
    assert silent.totals["programming_energy_nj"] == pytest.approx(2 * 5000 * 1.28937e-3)
    said = " ".join(by_device.assumptions)
    assert "follows from the device d: 1 pulses a cell" in said
    assert "The library's own figures for writing (1.28937 pJ/cell, 85.6934 ns/row) are not used" in said
    assert "is the library's figure (puma-32nm)" in " ".join(silent.assumptions)
    named = [row for row in by_device.sources if row["component"] == "programming"]
    assert [row["source"].split(":")[0] for row in named] == ["device d"]
    # a library without figures does not hide the device's, and copies are written too
    twice = estimate(tiles, "isaac-32nm", device=device(max_pulses=1), replicas={"fc": 2}).totals
    assert twice["programming_energy_nj"] == pytest.approx(2 * totals["programming_energy_nj"])
    assert twice["programming_time_us"] == totals["programming_time_us"]
    assert twice["programming_serial_us"] == pytest.approx(2 * totals["programming_serial_us"])
