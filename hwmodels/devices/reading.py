"""Reading a programmed array: what the cells conduct at a time, at a temperature, at one read of many.

`conductances_at` applies the stages in the order in which they happen: drift, temperature, telegraph noise, read noise.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hwmodels.devices import curves, drift, faults, telegraph
from hwmodels.devices.cells import Cells, checked, checked_read, checked_time, identified
from hwmodels.devices.device import Device
from hwmodels.devices.random import Purpose
from hwmodels.errors import UserError


def conductances_at(
    g_programmed: Any,
    device: Device,
    *,
    t_s: float = 0.0,
    temperature_k: float | None = None,
    read: int | None = None,
    seed: int = 0,
    array: int = 0,
    row: int = 0,
    col: int = 0,
) -> np.ndarray:
    """What programmed cells conduct later on: float64 [S], of the shape of `g_programmed`.

    g_programmed: what `program` returned [S], (rows, cols) or (arrays, rows, cols); seed, array, row, col as given to
    it. t_s: time since programming [s]; temperature_k [K] (None: the reference temperature); read: the number of the
    read (None: no noise between reads, what an endless average would see).

    In this order: drift to t_s (faulty cells do not drift), temperature, telegraph noise, read noise. A stage that the
    device has no data for does nothing. Raises UserError as the stages do.
    """
    g = checked(g_programmed, "Programmed conductances")
    cells = identified(g.shape, seed, array, row, col)
    factor = temperature_factor(device, temperature_k)
    number = None if read is None else checked_read(read)
    out = later(g, cells, device, checked_time(t_s))
    if factor != 1.0:
        out *= factor
    if number is not None:
        _set_traps(out, out, cells, device, number, t_s)
        _add_read_noise(out, out, cells, device, t_s, number)
    return out.reshape(np.shape(g_programmed))


def later(g: np.ndarray, cells: Cells, device: Device, t_s: float) -> np.ndarray:
    """A block of cells after drift, its faulty cells where they were; a copy."""
    what = drift.plan(device, t_s)
    out = drift.drifted(g, cells, device, what)
    if what is not None and faults.any_faults(device):
        out = np.where(faults.codes(cells, device) > 0, g, out)
    return out


def temperature_factor(device: Device, temperature_k: float | None) -> float:
    """max(0, 1 + per_kelvin · (T − reference_k)); 1 for a device without [temperature] or T = None.

    Raises UserError for a temperature that is none [K].
    """
    if temperature_k is not None and not 0 <= float(temperature_k) < math.inf:
        raise UserError(f"temperature_k is a temperature in kelvin, at least 0, not {temperature_k!r}.")
    if temperature_k is None or device.temperature is None:
        return 1.0
    return max(0.0, 1.0 + device.temperature.per_kelvin * (float(temperature_k) - device.temperature.reference_k))


def telegraph_noise(
    g: Any, device: Device, read: int, t_s: float = 0.0, seed: int = 0, array: int = 0, row: int = 0, col: int = 0
) -> np.ndarray:
    """Conductances at a read with the random telegraph noise of the device: float64 [S], of the shape of `g`.

    g [S]: (rows, cols) or (arrays, rows, cols); t_s: time since programming [s]. Traps with dwell times have their
    state at t_s, whatever the number of the read; the others one that is drawn for the read. Raises UserError as
    `program` does.
    """
    values = checked(g, "Conductances")
    cells = identified(values.shape, seed, array, row, col)
    out = np.empty_like(values)
    _set_traps(values, out, cells, device, checked_read(read), checked_time(t_s))
    return out.reshape(np.shape(g))


def read_noise(
    g: Any,
    device: Device,
    read: int,
    t_s: float = 0.0,
    seed: int = 0,
    array: int = 0,
    row: int = 0,
    col: int = 0,
) -> np.ndarray:
    """Conductances at a read, each with its own normal deviation, never below 0: float64 [S], of the shape of `g`.

    g [S]: (rows, cols) or (arrays, rows, cols); t_s: time since programming [s]. This is the slow form of
    `read_noise_of_sum`, which gives products the same distribution with one draw per column and read.
    """
    values = checked(g, "Conductances")
    cells = identified(values.shape, seed, array, row, col)
    out = np.empty_like(values)
    _add_read_noise(values, out, cells, device, checked_time(t_s), checked_read(read))
    return out.reshape(np.shape(g))


def read_sigma(g: Any, device: Device, t_s: float = 0.0) -> np.ndarray:
    """σ of the read noise of each cell: float64 [S], of the shape of `g`; 0 without [read_noise] and at 0 S."""
    values = checked(g, "Conductances")
    form = sigma_form(device, checked_time(t_s))
    if form is None:
        return np.zeros(np.shape(g))
    from hwmodels import numba_threads
    from hwmodels.devices import stage_kernels

    out = np.empty_like(values)
    curve, of_g, factor = form
    with numba_threads.enough_for(out.size):
        stage_kernels.read_sigma(values, out, curve, of_g, device.g_max_s, factor)
    return out.reshape(np.shape(g))


def read_noise_of_sum(
    v: Any, sigma_s: Any, seed: int = 0, array: int = 0, row: int = 0, col: int = 0, read: int = 0
) -> np.ndarray:
    """Deviation of bit-line currents by read noise: float64 (batch, cols) [A], to add to v @ g.

    v: voltages (batch, rows) [V]; sigma_s: `read_sigma(g, device)` of one array, (rows, cols) [S], worked out once for
    all reads. Each current is a weighted sum of independent normal deviations, so it is normal with the exact variance
    Σ v² σ², and one draw per column and read does. Row b of the batch is read `read + b`; row, col: the first cell.
    The per-cell form `read_noise` has the same distribution as long as no conductance is cut off at 0.
    Raises UserError for shapes that do not fit.
    """
    voltages, sigma = np.asarray(v, dtype=np.float64), np.asarray(sigma_s, dtype=np.float64)
    if voltages.ndim != 2 or sigma.ndim != 2 or voltages.shape[1] != sigma.shape[0]:
        raise UserError(
            f"v is (batch, rows) and sigma_s (rows, cols) with the same rows, not {voltages.shape} and {sigma.shape}."
        )
    cells = identified(sigma.shape, seed, array, row, col)
    checked_read(read + max(voltages.shape[0] - 1, 0))
    from hwmodels import numba_threads
    from hwmodels.devices import stage_kernels

    out = np.empty((voltages.shape[0], sigma.shape[1]))
    origin, key, last = cells.counters(Purpose.COLUMN_READ, read=checked_read(read))
    with numba_threads.enough_for(out.size):
        stage_kernels.column_normals(out, origin, key, last[0])
    out *= np.sqrt(voltages**2 @ sigma**2)
    return out


def sigma_form(device: Device, t_s: float) -> tuple[np.ndarray, bool, float] | None:
    """Read noise as the kernels take it: packed curve, whether it is a share of g, growth in time; None for none."""
    noise = device.read_noise
    if noise is None:
        return None
    factor = 1.0
    if noise.t_read_s is not None and noise.t0_s is not None:
        factor = math.sqrt(math.log((max(t_s, noise.t0_s) + noise.t_read_s) / (2.0 * noise.t_read_s)))
    return curves.packed(noise.curve), noise.of == "g", factor


def _set_traps(g: np.ndarray, out: np.ndarray, cells: Cells, device: Device, read: int, t_s: float) -> None:
    """Write to `out` the conductances `g` with the traps that are full at this read; both may be one array."""
    noise = device.telegraph_noise
    if noise is None:
        _copy(g, out)
        return
    from hwmodels import numba_threads
    from hwmodels.devices import stage_kernels

    origin, key, last = cells.counters(Purpose.TRAP, Purpose.TELEGRAPH)
    share, occupancy = (np.uint64(faults.threshold(p)) for p in (noise.share, noise.occupancy))
    low, where = 1.0 - noise.amplitude, telegraph.windows(noise, cells.seed, t_s)
    with numba_threads.enough_for(out.size):
        if where is None:
            last[1] += np.uint64(read)
            stage_kernels.telegraph(g, out, origin, key, last, share, occupancy, low)
            return
        ends, counts = np.array(where.ends, dtype=np.int64), np.array(telegraph.COUNTS, dtype=np.uint64)
        stage_kernels.telegraph_in_time(g, out, origin, key, last, share, occupancy, low, where.keys(), ends, counts)


def _add_read_noise(g: np.ndarray, out: np.ndarray, cells: Cells, device: Device, t_s: float, read: int) -> None:
    """Write to `out` the conductances `g` with the normal deviations of this read; both may be one array."""
    form = sigma_form(device, t_s)
    if form is None:
        _copy(g, out)
        return
    from hwmodels import numba_threads
    from hwmodels.devices import stage_kernels

    curve, of_g, factor = form
    origin, key, last = cells.counters(Purpose.READ, read=read)
    with numba_threads.enough_for(out.size):
        stage_kernels.read_noise(g, out, origin, key, last[0], curve, of_g, device.g_max_s, factor)


def _copy(g: np.ndarray, out: np.ndarray) -> None:
    """Write `g` to `out`, unless they are one array."""
    if out is not g:
        out[...] = g
