"""Drift and retention: what a programmed conductance has become some time later, and what can be put right again.

The draws of a cell do not depend on the time, so the conductances at two times lie on one path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwmodels.devices import curves
from hwmodels.devices.cells import Cells, checked, checked_time, identified
from hwmodels.devices.device import Device
from hwmodels.devices.effects import LogDecay, PowerLaw, SpreadGrowth
from hwmodels.devices.random import Purpose
from hwmodels.errors import UserError


@dataclass(frozen=True)
class PowerDrift:
    """g · exp(−|ν| ln(t/t0)): packed curves of ν's mean and σ, and ln(t/t0)."""

    nu: np.ndarray
    nu_sigma: np.ndarray
    log_ratio: float


@dataclass(frozen=True)
class AdditiveDrift:
    """g + g_max (shift + √(σ² − σ₀²) z): packed curves, now and at the start."""

    sigma_now: np.ndarray
    sigma_start: np.ndarray
    shift_now: np.ndarray
    shift_start: np.ndarray


def plan(device: Device, t_s: float) -> PowerDrift | AdditiveDrift | None:
    """What drift does at one time [s]; None where nothing has happened yet, or the device has no drift.

    Raises UserError for a time beyond the data of the device.
    """
    t = checked_time(t_s)
    match device.drift:
        case PowerLaw(t0_s=t0, nu=nu, nu_sigma=nu_sigma) if t > t0:
            return PowerDrift(curves.packed(nu), curves.packed(nu_sigma), math.log(t / t0))
        case LogDecay() as decay if t > decay.t0_s:
            steps = math.log(t / decay.t0_s)
            shift, sigma = decay.shift_s * steps, decay.sigma_s + decay.sigma_slope_s * steps
            return AdditiveDrift(
                *(curves.packed(curves.constant(s / device.g_max_s)) for s in (sigma, 0.0, shift, 0.0))
            )
        case SpreadGrowth() as growth if t > growth.times_s[0]:
            return _grown(device, growth, t)
    return None


def drift_to(
    g: Any, device: Device, t_s: float, seed: int = 0, array: int = 0, row: int = 0, col: int = 0
) -> np.ndarray:
    """Conductances `t_s` seconds after programming: float64 [S], of the shape of `g`.

    g: programmed conductances [S], (rows, cols) or (arrays, rows, cols); its g / g_max stands for the state on which
    the drift depends. array, row, col as in `program`. Nothing moves up to the first time of the device's data.
    Raises UserError as `program` does, and for a time beyond the data. Sources: see the device's `drift`.
    """
    values = checked(g, "Programmed conductances")
    cells = identified(values.shape, seed, array, row, col)
    return drifted(values, cells, device, plan(device, t_s)).reshape(np.shape(g))


def drifted(g: np.ndarray, cells: Cells, device: Device, what: PowerDrift | AdditiveDrift | None) -> np.ndarray:
    """A block of cells after the drift of a plan; a copy."""
    if what is None:
        return np.array(g)
    out = np.empty_like(g)
    from hwmodels import numba_threads
    from hwmodels.devices import stage_kernels

    origin, key, last = cells.counters(Purpose.DRIFT)
    with numba_threads.enough_for(out.size):
        if isinstance(what, PowerDrift):
            arguments = (what.nu, what.nu_sigma, device.g_max_s, what.log_ratio)
            stage_kernels.power_drift(g, out, origin, key, last[0], *arguments)
        else:
            arguments = (what.sigma_now, what.sigma_start, what.shift_now, what.shift_start, device.g_max_s)
            stage_kernels.additive_drift(g, out, origin, key, last[0], *arguments)
    return out


def global_drift_compensation(g_before: Any, g_now: Any) -> np.ndarray:
    """The factor per array that puts the outputs right on average: float64 (arrays,), or () for one array.

    A periodic read of all rows at once gives Σ g; the factor is that sum before over that sum now, applied to the
    array's digital outputs (V. Joshi et al., Nature Communications 11, 2473, 2020). g_before, g_now [S]: the array when
    it was calibrated and at present, of one shape. Raises UserError for different shapes, or an array without
    conductance.
    """
    before, now = checked(g_before, "Reference conductances"), checked(g_now, "Present conductances")
    if before.shape != now.shape:
        raise UserError(f"g_before has the shape {np.shape(g_before)}, g_now {np.shape(g_now)}: they are one array.")
    sums = now.sum(axis=(1, 2))
    if not np.all(sums > 0):
        raise UserError(f"Array {int(np.argmin(sums))} conducts nothing now, so no factor puts its outputs right.")
    return (before.sum(axis=(1, 2)) / sums).reshape(np.shape(g_now)[:-2])


def _grown(device: Device, growth: SpreadGrowth, t: float) -> AdditiveDrift:
    """The spread at one time between the measured ones."""
    if t > growth.times_s[-1]:
        raise UserError(
            f"The spread of {device.name!r} is known up to {growth.times_s[-1]:g} s after programming, not for "
            f"t_s = {t:g}: ask for an earlier time, or give the device data for a later one."
        )
    times, at = np.array(growth.times_s), t
    if growth.scale == "log":
        times, at = np.log(times), math.log(t)
    none = [curves.constant(0.0)] * len(times)
    (now, start), (shift, first) = (
        _between(times, at, np.stack([curves.packed(curve) for curve in group]))
        for group in (growth.curves, growth.shifts or none)
    )
    return AdditiveDrift(now, start, shift, first)


def _between(times: np.ndarray, at: float, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of packed curves at a time, and at the first."""
    i = int(np.clip(np.searchsorted(times, at) - 1, 0, len(times) - 2))
    share = (at - times[i]) / (times[i + 1] - times[i])
    endless = np.isinf(numbers[i])  # no cap, no second branch: the same at every time
    return np.where(
        endless, numbers[i], numbers[i] + share * np.where(endless, 0, numbers[i + 1] - numbers[i])
    ), numbers[0]
