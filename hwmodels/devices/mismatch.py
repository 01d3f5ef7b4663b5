"""Programming a crossbar: what the cells hold after writing, with programming error and stuck cells.

Model: g = max(0, target + error) for every cell with a target above 0 S (or target · e^θ for the log-normal kind),
then faults: with probability stuck_at_lrs the cell stands at g_max, with stuck_at_hrs at g_min; then clusters and whole
lines (see `faults`). A device that is written within a verified window is written that way (see `programming`). Draws
belong to the cell (see `random`), so a part of an array programmed alone equals that part of the whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwmodels.devices import faults, plain
from hwmodels.devices.cells import Cells, checked, identified
from hwmodels.devices.device import Device
from hwmodels.devices.programming_error import form_of
from hwmodels.devices.random import Purpose
from hwmodels.errors import UserError


def program(
    g_target: Any,
    device: Device,
    seed: int = 0,
    array: int = 0,
    row: int = 0,
    col: int = 0,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Conductances after programming: float64 [S], of the shape of `g_target`.

    g_target: targets [S], (rows, cols), or (arrays, rows, cols), where array a of the batch is array `array + a`;
    0 S is an open crossing and stays exactly 0. array, row, col: identity of the first cell, so that a slab
    programmed alone equals the same slab of the whole. out: where the result goes, C-contiguous float64 of the shape
    of `g_target` (new memory takes the system as long as the draws). The result is the same for any number of threads.
    Raises UserError for targets that are negative or not finite, another shape, or a seed that is no whole number.
    """
    targets = checked(g_target)
    cells = identified(targets.shape, seed, array, row, col)
    if device.write_verify is not None and device.write_verify.window_s is not None:
        from hwmodels.devices.programming import written_within_window  # here, because it builds on this module

        return _delivered(written_within_window(targets, cells, device)[0], np.shape(g_target), out)
    room = None if out is None else _room(out, np.shape(g_target)).reshape(targets.shape)
    g = _programmed(targets, cells, device, room)
    if faults.shared_faults(device):
        g = np.where(targets > 0, plain.with_faults(plain.NUMPY, device, faults.codes(cells, device), g), 0.0)
    return _delivered(g, np.shape(g_target), out)


def _room(out: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The caller's array for the result; raises UserError where the result does not fit."""
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != np.float64 or not out.flags.c_contiguous:
        raise UserError(f"out takes the result: a C-contiguous float64 array of shape {shape}.")
    return out


def _delivered(g: np.ndarray, shape: tuple[int, ...], out: np.ndarray | None) -> np.ndarray:
    """The result in its shape, in the caller's array where there is one."""
    if out is None:
        return g.reshape(shape)
    if not np.shares_memory(g, out):
        _room(out, shape)[...] = g.reshape(shape)
    return out


def _programmed(targets: np.ndarray, cells: Cells, device: Device, room: np.ndarray | None) -> np.ndarray:
    """Programming error and single stuck cells, from the compiled kernel, in `room` where there is one."""
    form = form_of(device.programming_error, device.g_max_s)
    lrs = faults.threshold(device.stuck_at_lrs)
    any_fault = faults.threshold(device.stuck_at_lrs + device.stuck_at_hrs)
    if form.is_none() and not any_fault:
        return np.array(targets)  # `program` copies it to the room
    from hwmodels import numba_threads  # numba loads only where something is programmed
    from hwmodels.devices.mismatch_kernels import program_cells

    out = np.empty_like(targets) if room is None else room
    origin, key, last = cells.counters(Purpose.PROGRAMMING, Purpose.FAULT)
    with numba_threads.enough_for(out.size):
        program_cells(
            targets,
            out,
            origin,
            key,
            last,
            form.lognormal,
            form.packed_curve(),
            np.array([device.g_min_s, device.g_max_s]),
            np.array([lrs, any_fault], dtype=np.uint64),
        )
    return out


def program_reference(
    g_target: Any, device: Device, seed: int = 0, array: int = 0, row: int = 0, col: int = 0
) -> np.ndarray:
    """The same as `program`, written plainly in NumPy: slow, and the truth that the kernel is held to.

    The random words and the faults are the same bit for bit; the error to a few units in the last place, because the
    kernel brings its own log, cos and exp.
    """
    targets = checked(g_target)
    cells = identified(targets.shape, seed, array, row, col)
    if device.write_verify is not None and device.write_verify.window_s is not None:
        return plain.written_within_window(plain.NUMPY, device, cells, targets)[0].reshape(np.shape(g_target))
    return plain.program(plain.NUMPY, device, cells, targets).reshape(np.shape(g_target))
