"""From measurements to a device: the levels where the cells really land, and how wide each is.

The levels of the device are the means of the measured states, so a systematic miss of the programming is part of them
(`DeviceFit.table` shows it as bias); its error is normal with the measured σ of each level. Nothing is smoothed: the
table of σ is the measurement.
"""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwmodels import atomic
from hwmodels.devices import measured
from hwmodels.devices.device import Device, NoError, TableError
from hwmodels.devices.measured import Readings, States
from hwmodels.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

FEWEST_READINGS = 8
"""Readings per state below which a spread is not worth the name: σ of 8 readings is good to ± 27 %."""


@dataclass(frozen=True)
class DeviceFit:
    """A device fitted from measurements, and how far the measurements are from it.

    table: a row per level: level, target_s (NaN where unknown), readings (0 where only mean and σ were given),
    g_mean_s, g_sigma_s [S], bias_s = mean − target [S], g_mean_stderr_s [S], off_even_s: mean − the evenly spaced
    level [S], and of a Kolmogorov–Smirnov test of the readings against the fitted normal: ks, ks_pvalue (NaN without
    readings; too high a p-value, since mean and σ come from the same readings).
    residuals: a row per reading: level, reading_s [S], z = (reading − mean) / σ; empty without readings.
    notes: what was assumed, in sentences.
    """

    device: Device
    table: pd.DataFrame
    residuals: pd.DataFrame
    notes: tuple[str, ...]

    def toml(self) -> str:
        """The device as a device file, its sources being the data."""
        return device_toml(self.device)

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the device file; returns its path."""
        out = Path(path)
        atomic.write(out, self.toml())
        return out


def fit_device(data: Any, name: str | None = None) -> DeviceFit:
    """Fit a device from measured states or readings.

    data: path of a CSV file, or a table by columns; layouts and units in `measured`. name: of the device (None: the
    file's). Raises UserError where the data is too little (fewer than 2 states, fewer than 8 readings a state),
    contradicts itself (means that do not rise with their level or target, equal means) or is no conductance
    (negative values, a mean of 0).
    """
    where, content = measured.load(data)
    source = f"fitted from {Path(where).name}" if isinstance(data, (str, os.PathLike)) else "fitted from measured data"
    default = re.sub(r"\W+", "-", Path(where).stem) if isinstance(data, (str, os.PathLike)) else "measured"
    if isinstance(content, Readings):
        states, target, counts = _states(where, content)
        source += f": {content.reading.size} readings of {counts.size} states"
    else:
        states, target, counts = _sorted(where, content), None, np.zeros(content.mean.size, dtype=np.int64)
        source += f": mean and spread of {counts.size} states"
    _refuse_contradictions(where, states, target)
    device = _device(name or default, states, source)
    table, residuals = _tables(states, target, counts, content)
    return DeviceFit(device, table, residuals, states.notes)


def device_toml(device: Device) -> str:
    """A device as the text of a device file that `Device.load` reads back to an equal device."""
    import tomli_w

    default = {field.name: field.default for field in fields(Device)}
    content = {key: value for key, value in asdict(device).items() if value != default[key] or key in device.sources}
    return tomli_w.dumps(_plain(content | {"programming_error": asdict(device.programming_error)}))


def _plain(value: Any) -> Any:
    """Without what TOML cannot say: None is left out, tuples become lists."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value


def _states(where: str, data: Readings) -> tuple[States, np.ndarray | None, np.ndarray]:
    """Mean and spread of every state of raw readings, its target, and its number of readings."""
    if np.any(data.reading < 0):
        row = int(np.argmax(data.reading < 0))
        raise UserError(f"{where}: row {row + 1} reads {data.reading[row]:g} S: a conductance is not negative.")
    keys, index, counts = np.unique(data.state, return_inverse=True, return_counts=True)
    if np.any(counts < FEWEST_READINGS):
        few = ", ".join(f"{keys[i]:g} ({counts[i]})" for i in np.flatnonzero(counts < FEWEST_READINGS)[:5])
        raise UserError(
            f"{where}: too few readings for a spread at {'target' if data.by_target else 'state'} {few}; "
            f"at least {FEWEST_READINGS} a state are needed. Measure more, or leave the state out."
        )
    mean = np.array([data.reading[index == i].mean() for i in range(keys.size)])
    sigma = np.array([data.reading[index == i].std(ddof=1) for i in range(keys.size)])
    return States(np.arange(keys.size), mean, sigma), keys if data.by_target else None, counts


def _sorted(where: str, states: States) -> States:
    """States in the order of their level; without numbers, in the order of their means."""
    order = np.argsort(states.mean if states.level is None else states.level, kind="stable")
    if states.level is not None and np.unique(states.level).size < states.level.size:
        raise UserError(f"{where}: a level stands in two rows: give each level once.")
    notes = (
        states.notes if states.level is not None else (*states.notes, "states without a level number: sorted by mean")
    )
    return States(np.arange(order.size), states.mean[order], states.sigma[order], notes)


def _refuse_contradictions(where: str, states: States, target: np.ndarray | None) -> None:
    """What no device can be made of."""
    if states.mean.size < 2:
        raise UserError(f"{where} holds {states.mean.size} state: a device needs at least 2.")
    if np.any(states.mean <= 0):
        k = int(np.argmax(states.mean <= 0))
        raise UserError(f"{where}: level {k} has a mean of {states.mean[k]:g} S: a level conducts, above 0 S.")
    if np.any(states.sigma < 0):
        k = int(np.argmax(states.sigma < 0))
        raise UserError(f"{where}: level {k} has a spread of {states.sigma[k]:g} S: a spread is not negative.")
    if target is not None and np.any(target < 0):
        raise UserError(f"{where}: a target of {target.min():g} S is no conductance.")
    falls = np.flatnonzero(np.diff(states.mean) <= 0)
    if falls.size:
        k = int(falls[0])
        raise UserError(
            f"{where}: level {k + 1} has a mean of {states.mean[k + 1]:g} S, not above the {states.mean[k]:g} S of "
            f"level {k}: the levels contradict their order. Check the numbering, or leave one of them out."
        )


def _device(name: str, states: States, source: str) -> Device:
    """The device of the states."""
    mean, sigma = tuple(states.mean.tolist()), tuple(states.sigma.tolist())
    cited = ("g_min_s", "g_max_s", "levels", "level_g_s", "programming_error")
    return Device(
        name=name,
        technology="measured",
        description=f"{source[0].upper()}{source[1:]}.",
        g_min_s=mean[0],
        g_max_s=mean[-1],
        levels=len(mean),
        level_g_s=mean,
        programming_error=TableError(g_s=mean, sigma_s=sigma) if any(sigma) else NoError(),
        sources=dict.fromkeys(cited, source) | {"read_voltage_v": "not stated; 0.2 V assumed"},
        unverified=("read_voltage_v",),
    )


def _tables(
    states: States, target: np.ndarray | None, counts: np.ndarray, content: States | Readings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the fit leaves: a row per level, and a row per reading."""
    import pandas as pd

    n = states.mean.size
    aims = np.full(n, np.nan) if target is None else target
    ks = np.full((n, 2), np.nan)
    rows = []
    if isinstance(content, Readings):
        from scipy import stats

        _, index = np.unique(content.state, return_inverse=True)
        for k in np.flatnonzero(states.sigma > 0):
            z = (content.reading[index == k] - states.mean[k]) / states.sigma[k]
            ks[k] = stats.kstest(z, "norm")[:2]
            rows.append(pd.DataFrame({"level": int(k), "reading_s": content.reading[index == k], "z": z}))
    table = pd.DataFrame(
        {
            "level": np.arange(n),
            "target_s": aims,
            "readings": counts,
            "g_mean_s": states.mean,
            "g_sigma_s": states.sigma,
            "bias_s": states.mean - aims,
            "g_mean_stderr_s": np.where(counts > 0, states.sigma / np.sqrt(np.maximum(counts, 1)), np.nan),
            "off_even_s": states.mean - np.linspace(states.mean[0], states.mean[-1], n),
            "ks": ks[:, 0],
            "ks_pvalue": ks[:, 1],
        }
    )
    empty = pd.DataFrame({"level": np.empty(0, int), "reading_s": np.empty(0), "z": np.empty(0)})
    return table, pd.concat(rows, ignore_index=True) if rows else empty
