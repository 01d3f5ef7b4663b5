"""Faulty cells: which ones, and at what they stand.

Three kinds lie over each other, the later over the earlier: single stuck cells, clusters of neighbours, whole lines.
All follow from 32-bit random words against integer thresholds, so they are the same bit for bit everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwmodels.devices.cells import Cells, cell_words, identified
from hwmodels.devices.device import Device
from hwmodels.devices.effects import ClusteredFaults
from hwmodels.devices.random import Purpose
from hwmodels.errors import UserError

LRS, HRS, OPEN = 1, 2, 3
"""Codes of a fault map: at g_max, at g_min, at 0 S; 0 is a healthy cell."""


def code_of(state: str) -> int:
    """The code of a fault state `lrs`, `hrs` or `open`."""
    return {"lrs": LRS, "hrs": HRS, "open": OPEN}[state]


def value_of(code: int, device: Device) -> float:
    """The conductance at which a faulty cell stands [S]."""
    return {LRS: device.g_max_s, HRS: device.g_min_s, OPEN: 0.0}[code]


def threshold(probability: float) -> int:
    """A 32-bit word is below this with the given probability, to within 2⁻³³."""
    return min(round(probability * 2**32), 2**32)


def anchor_probability(clusters: ClusteredFaults) -> float:
    """Probability that a rectangle ends at a cell, so that each cell is faulty with probability `rate` exactly.

    A cell is healthy when none of the n = rows · cols rectangles that could hold it is there: (1 − p)ⁿ = 1 − rate.
    """
    n = clusters.rows * clusters.cols
    return float(-np.expm1(np.log1p(-clusters.rate) / n)) if clusters.rate < 1 else 1.0


def shared_faults(device: Device) -> bool:
    """Whether faults come in clusters or lines, which a cell alone cannot tell."""
    return device.clustered_faults is not None or device.line_faults is not None


def any_faults(device: Device) -> bool:
    """Whether the device has faults of any kind."""
    return device.stuck_at_lrs + device.stuck_at_hrs > 0 or shared_faults(device)


def fault_map(
    shape: tuple[int, ...], device: Device, seed: int = 0, array: int = 0, row: int = 0, col: int = 0
) -> np.ndarray:
    """The faults of an array: int8 of the given shape, 0 healthy, 1 at g_max (LRS), 2 at g_min (HRS), 3 open (0 S).

    shape: (rows, cols) or (arrays, rows, cols). seed, array, row, col as in `program`, which applies these faults;
    a piece of the map alone equals that piece of the whole. Raises UserError for another shape or seed.
    """
    if len(shape) not in (2, 3) or any(int(n) < 0 for n in shape):
        raise UserError(f"A fault map has a shape (rows, cols) or (arrays, rows, cols), not {tuple(shape)}.")
    cells = identified(tuple(int(n) for n in shape), seed, array, row, col)
    return codes(cells, device).reshape(shape)


def codes(cells: Cells, device: Device) -> np.ndarray:
    """The fault map of a block of cells: int8 (arrays, rows, cols)."""
    from hwmodels import numba_threads
    from hwmodels.devices.stage_kernels import cluster_codes, single_codes

    out = np.zeros(cells.shape, dtype=np.int8)
    origin, key, last = cells.counters(Purpose.FAULT, Purpose.CLUSTER)
    lrs, both = threshold(device.stuck_at_lrs), threshold(device.stuck_at_lrs + device.stuck_at_hrs)
    with numba_threads.enough_for(out.size):
        if both:
            single_codes(out, origin, key, last[0], np.uint64(lrs), np.uint64(both))
        if (clusters := device.clustered_faults) is not None:
            size = np.array([clusters.rows, clusters.cols])
            limit = np.uint64(threshold(anchor_probability(clusters)))
            cluster_codes(out, origin, key, last[1], limit, size, code_of(clusters.state))
    if device.line_faults is not None:
        out[_on_faulty_lines(cells, device)] = code_of(device.line_faults.state)
    return out


def _on_faulty_lines(cells: Cells, device: Device) -> np.ndarray:
    """Which cells lie on a failed word or bit line: one word a line, so no kernel is needed."""
    lines: Any = device.line_faults
    word_line = cell_words(Purpose.WORD_LINE, cells.word_lines()) < threshold(lines.word_line)
    bit_line = cell_words(Purpose.BIT_LINE, cells.bit_lines()) < threshold(lines.bit_line)
    return word_line | bit_line
