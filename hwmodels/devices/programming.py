"""Writing with verification: how many pulses each cell takes, which cells never arrive, what it costs.

A device says how a pulse is accepted (`effects.WriteVerify`). With `accept` = q the pulses of a cell are geometric,
cut off at N: P(k) = q (1 − q)^(k−1), mean (1 − (1 − q)^N) / q, and a cell fails with probability (1 − q)^N; what it
holds is `program`'s result either way. With `window_s` every pulse is a new draw of the programming error, kept as soon
as it lies within ± window of the target; the last try stays where none does. The first try is the draw that `program`
would use without a window, so an endless window changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hwmodels.devices import faults
from hwmodels.devices.cells import Cells, checked, identified
from hwmodels.devices.device import Device
from hwmodels.devices.effects import WriteVerify
from hwmodels.devices.mismatch import program
from hwmodels.devices.programming_error import form_of
from hwmodels.devices.random import Purpose
from hwmodels.errors import UserError


@dataclass(frozen=True)
class Written:
    """What verified writing of one or several arrays gave and took.

    g: conductances [S]; pulses: int32, pulses of every cell (0 at an open crossing); accepted: bool, False where the
    last pulse failed too (and at faulty cells that stand elsewhere than their target). All of the targets' shape. Per
    array, float64 (arrays,), or () for one array: energy_j [J]; time_cell_serial_s [s], one cell after the other;
    time_row_parallel_s [s], the cells of a row together, each row as long as its slowest cell; yield_: accepted share
    of the cells that were written; mean_pulses of a written cell.
    """

    g: np.ndarray
    pulses: np.ndarray
    accepted: np.ndarray
    energy_j: np.ndarray
    time_cell_serial_s: np.ndarray
    time_row_parallel_s: np.ndarray
    yield_: np.ndarray
    mean_pulses: np.ndarray


def write_verify(g_target: Any, device: Device, seed: int = 0, array: int = 0, row: int = 0, col: int = 0) -> Written:
    """Write cells with the device's verification; arguments as in `program`, whose conductances `.g` are.

    Raises UserError as `program` does, and for a device without [write_verify].
    """
    how = device.write_verify
    if how is None:
        raise UserError(
            f"Device {device.name!r} does not say how its cells are written: give it a [write_verify] table "
            "(max_pulses, accept or window_s, pulse_s, pulse_energy_j)."
        )
    targets = checked(g_target)
    cells = identified(targets.shape, seed, array, row, col)
    if how.window_s is not None:
        g, spent = written_within_window(targets, cells, device)
    else:
        g = program(targets, device, seed, *cells.origin)
        words = _words(cells)
        spent = tries(words, how).astype(np.int32)
        spent[faults.codes(cells, device) > 0] = how.max_pulses + 1
        spent[targets == 0] = 0
    return _priced(g, spent, how, np.shape(g_target))


def _words(cells: Cells) -> np.ndarray:
    """The words that decide how many pulses the cells take: uint32 (arrays, rows, cols)."""
    from hwmodels import numba_threads
    from hwmodels.devices import stage_kernels

    out = np.empty(cells.shape, dtype=np.uint32)
    origin, key, last = cells.counters(Purpose.VERIFY)
    with numba_threads.enough_for(out.size):
        stage_kernels.cell_words(out, origin, key, last[0])
    return out


def survivors(how: WriteVerify) -> np.ndarray:
    """Thresholds of a 32-bit word: below entry k − 1 the first k pulses all failed; int64 (max_pulses,)."""
    assert how.accept is not None
    left = (1.0 - how.accept) ** np.arange(1, how.max_pulses + 1)
    return np.array([faults.threshold(p) for p in left], dtype=np.int64)


def tries(words: np.ndarray, how: WriteVerify) -> np.ndarray:
    """Pulses per cell from its word: 1 … max_pulses, or max_pulses + 1 where the last one failed too."""
    rising = survivors(how)[::-1]
    return how.max_pulses + 1 - np.searchsorted(rising, words.astype(np.int64), side="right")


def written_within_window(targets: np.ndarray, cells: Cells, device: Device) -> tuple[np.ndarray, np.ndarray]:
    """Conductances [S] and tries (as in `tries`; 0 at open crossings) of cells written until within the window."""
    from hwmodels import numba_threads
    from hwmodels.devices.stage_kernels import verified

    how = device.write_verify
    assert how is not None
    assert how.window_s is not None
    form = form_of(device.programming_error, device.g_max_s)
    out = np.empty_like(targets)
    spent = np.full(targets.shape, how.max_pulses, dtype=np.int32)
    values = np.array([0.0, *(faults.value_of(code, device) for code in (faults.LRS, faults.HRS, faults.OPEN))])
    origin, key, last = cells.counters(Purpose.PROGRAMMING)
    stuck = faults.codes(cells, device)
    with numba_threads.enough_for(out.size):
        verified(
            targets,
            out,
            spent,
            stuck,
            values,
            origin,
            key,
            last[0],
            form.lognormal,
            form.packed_curve(),
            device.g_max_s,
            how.window_s,
        )
    return out, spent


def _priced(g: np.ndarray, spent: np.ndarray, how: WriteVerify, shape: tuple[int, ...]) -> Written:
    """Pulses, acceptance, energy and time from the tries of every cell."""
    pulses = np.minimum(spent, how.max_pulses)
    accepted = spent <= how.max_pulses
    written = spent > 0
    total = pulses.sum(axis=(1, 2), dtype=np.int64)
    count = np.maximum(written.sum(axis=(1, 2)), 1)
    longest = pulses.max(axis=2, initial=0).sum(axis=1, dtype=np.int64)
    each = how.pulse_s + how.verify_s
    arrays = shape[:-2]
    return Written(
        g=g.reshape(shape),
        pulses=pulses.reshape(shape),
        accepted=accepted.reshape(shape),
        energy_j=(total * (how.pulse_energy_j + how.verify_energy_j)).reshape(arrays),
        time_cell_serial_s=(total * each).reshape(arrays),
        time_row_parallel_s=(longest * each).reshape(arrays),
        yield_=((accepted & written).sum(axis=(1, 2)) / count).reshape(arrays),
        mean_pulses=(total / count).reshape(arrays),
    )
