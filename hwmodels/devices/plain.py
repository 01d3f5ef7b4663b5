"""Every stage once more, written plainly over whole arrays: the truth that the kernels are held to, and the GPU form.

A `Backend` says whose arrays they are: NumPy's (below) or torch's (`torch_twins`). The random words and the faults are
the same bit for bit as the kernels'; normal deviations to float rounding, because each brings its own log, cos, sin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hwmodels.devices import curves
from hwmodels.devices.cells import Cells
from hwmodels.devices.device import Device
from hwmodels.devices.drift import AdditiveDrift, PowerDrift
from hwmodels.devices.effects import TelegraphNoise
from hwmodels.devices.faults import HRS, LRS, OPEN, anchor_probability, code_of, threshold, value_of
from hwmodels.devices.programming_error import form_of
from hwmodels.devices.random import Purpose, block_words
from hwmodels.devices.telegraph import COUNTS, Windows, windows

Words = Callable[..., Any]


@dataclass(frozen=True)
class Backend:
    """Whose arrays: the module, and how it makes random words, float64 and int8 arrays of its own."""

    xp: Any
    blocks: Words
    """(purpose, seed, place of blocks, read) -> words (…, 4) of the backend; see `random.block_words`."""
    real: Callable[[Any], Any]
    small: Callable[[Any], Any]


NUMPY = Backend(
    np, block_words, lambda words: np.asarray(words, dtype=np.float64), lambda codes: np.asarray(codes, dtype=np.int8)
)


def words(b: Backend, purpose: Purpose, cells: Cells, read: int = 0) -> Any:
    """The random word of every cell, shape of the block of cells."""
    return cells.of_blocks(b.blocks(purpose, cells.seed, cells.blocks(), read))


def normals(b: Backend, purpose: Purpose, cells: Cells, read: int = 0) -> Any:
    """Standard normal draws of the cells, shape of the block of cells."""
    return cells.of_blocks(normals_of(b, b.blocks(purpose, cells.seed, cells.blocks(), read)))


def normals_of(b: Backend, four: Any) -> Any:
    """Box–Muller on the first two and the last two of four words: (…, 4) -> (…, 4) from N(0, 1); see `random`."""
    u = (b.real(four[..., 0::2]) + 0.5) * 2.0**-32
    v = b.real(four[..., 1::2]) * 2.0**-32
    radius, angle = b.xp.sqrt(-2.0 * b.xp.log(u)), 2.0 * np.pi * v
    pairs = b.xp.stack([radius * b.xp.cos(angle), radius * b.xp.sin(angle)], -1)
    return pairs.reshape(four.shape)


def with_error(b: Backend, device: Device, targets: Any, z: Any) -> Any:
    """Targets [S] with the programming error of the draws z."""
    form = form_of(device.programming_error, device.g_max_s)
    if form.lognormal:
        return targets * b.xp.exp(form.lognormal * z)
    if form.curve is not None:
        live = b.xp.where(targets > 0, targets, device.g_max_s)
        sigma = device.g_max_s * b.xp.clip(curves.value(b.xp, form.curve, live / device.g_max_s), 0.0, None)
        return b.xp.clip(targets + sigma * z, 0.0, None)
    return targets


def program(b: Backend, device: Device, cells: Cells, targets: Any) -> Any:
    """Programming error, then faults; see `mismatch.program`."""
    g = with_error(b, device, targets, normals(b, Purpose.PROGRAMMING, cells))
    return b.xp.where(targets > 0, with_faults(b, device, fault_codes(b, device, cells), g), 0.0)


def with_faults(b: Backend, device: Device, codes: Any, g: Any) -> Any:
    """Conductances with the faulty cells at their values."""
    for code in (LRS, HRS, OPEN):
        g = b.xp.where(codes == code, value_of(code, device), g)
    return g


def fault_codes(b: Backend, device: Device, cells: Cells) -> Any:
    """int8 codes of the faults: single cells, over them clusters, over them whole lines; see `faults.fault_map`."""
    word = words(b, Purpose.FAULT, cells)
    lrs, both = threshold(device.stuck_at_lrs), threshold(device.stuck_at_lrs + device.stuck_at_hrs)
    codes = b.xp.where(word < lrs, LRS, b.xp.where(word < both, HRS, 0))
    if (clusters := device.clustered_faults) is not None:
        _, rows, cols = cells.shape
        limit = threshold(anchor_probability(clusters))
        anchors = words(b, Purpose.CLUSTER, cells.with_more(clusters.rows - 1, clusters.cols - 1)) < limit
        faulty = anchors[..., :rows, :cols]
        for i in range(clusters.rows):
            for j in range(clusters.cols):
                faulty = faulty | anchors[..., i : i + rows, j : j + cols]
        codes = b.xp.where(faulty, code_of(clusters.state), codes)
    if (lines := device.line_faults) is not None:
        word_line = words(b, Purpose.WORD_LINE, cells.word_lines()) < threshold(lines.word_line)
        bit_line = words(b, Purpose.BIT_LINE, cells.bit_lines()) < threshold(lines.bit_line)
        faulty = word_line | bit_line
        codes = b.xp.where(faulty, code_of(lines.state), codes)
    return b.small(codes)


def drift(b: Backend, device: Device, cells: Cells, g: Any, plan: PowerDrift | AdditiveDrift) -> Any:
    """Conductances after the drift that `drift.plan` worked out for one time."""
    z = normals(b, Purpose.DRIFT, cells)
    x = b.xp.where(g > 0, g, device.g_max_s) / device.g_max_s
    if isinstance(plan, PowerDrift):
        nu = abs(curves.value(b.xp, plan.nu, x) + b.xp.clip(curves.value(b.xp, plan.nu_sigma, x), 0.0, None) * z)
        return g * b.xp.exp(-nu * plan.log_ratio)
    now, start = (curves.value(b.xp, curve, x) for curve in (plan.sigma_now, plan.sigma_start))
    sigma = b.xp.sqrt(b.xp.clip(now * now - start * start, 0.0, None))
    shift = curves.value(b.xp, plan.shift_now, x) - curves.value(b.xp, plan.shift_start, x)
    moved = b.xp.clip(g + device.g_max_s * (shift + sigma * z), 0.0, None)
    return b.xp.where(g > 0, moved, 0.0)


def telegraph(b: Backend, noise: TelegraphNoise, cells: Cells, g: Any, read: int, t_s: float = 0.0) -> Any:
    """Conductances at a read, t_s [s] after programming, with the traps that are full then."""
    trap = words(b, Purpose.TRAP, cells) < threshold(noise.share)
    where = windows(noise, cells.seed, t_s)
    if where is None:
        full = words(b, Purpose.TELEGRAPH, cells, read) < threshold(noise.occupancy)
    else:
        full = full_in_time(b, cells, where, threshold(noise.occupancy))
    return b.xp.where(trap & full, g * (1.0 - noise.amplitude), g)


def full_in_time(b: Backend, cells: Cells, where: Windows, occupancy: int) -> Any:
    """Whether the traps of the cells are full: the state of the last event in the windows; see `telegraph`."""
    full = words(b, Purpose.TELEGRAPH, cells) < occupancy
    found = full & ~full
    for seed, end in zip(where.seeds, where.ends, strict=True):
        if bool(found.all()):
            break
        window = replace(cells, seed=seed)
        word = words(b, Purpose.TELEGRAPH, window, 0)
        count = b.real(word) * 0.0
        latest, state = count - 1.0, full
        for limit in COUNTS:
            count = count + b.real(word >= limit)
        for i in range(len(COUNTS)):
            if not bool((count > i).any()):
                break
            place = b.real(words(b, Purpose.TELEGRAPH, window, 2 * i + 1))
            event = (count > i) & (place < end) & (place > latest)
            latest = b.xp.where(event, place, latest)
            state = b.xp.where(event, words(b, Purpose.TELEGRAPH, window, 2 * i + 2) < occupancy, state)
        full = b.xp.where(~found & (latest >= 0), state, full)
        found = found | (latest >= 0)
    return full


def read_sigma(b: Backend, curve: np.ndarray, of_g: bool, g_max: float, factor: float, g: Any) -> Any:
    """σ of the read noise of every cell [S], 0 where there is no cell."""
    x = b.xp.where(g > 0, g, g_max) / g_max
    sigma = b.xp.clip(curves.value(b.xp, curve, x), 0.0, None) * factor
    return b.xp.where(g > 0, sigma * (g if of_g else g_max), 0.0)


def read_noise(b: Backend, cells: Cells, g: Any, sigma: Any, read: int) -> Any:
    """Conductances at a read, with a normal deviation of σ `sigma` [S] each, never below 0."""
    return b.xp.clip(g + sigma * normals(b, Purpose.READ, cells, read), 0.0, None)


def written_within_window(b: Backend, device: Device, cells: Cells, targets: Any) -> tuple[Any, Any]:
    """Conductances and tries of verified writing; see `programming.written_within_window`."""
    how: Any = device.write_verify
    codes = fault_codes(b, device, cells)
    g, spent = targets * 0.0, b.xp.where(targets > 0, how.max_pulses + 1, 0)
    for k in range(how.max_pulses):
        trying = spent > how.max_pulses
        if not bool(trying.any()):
            break
        trial = with_error(b, device, targets, normals(b, Purpose.PROGRAMMING, cells, k))
        g = b.xp.where(trying, with_faults(b, device, codes, trial), g)
        spent = b.xp.where(trying & (abs(g - targets) <= how.window_s), k + 1, spent)
    return g, spent
