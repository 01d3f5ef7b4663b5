"""What writing the cells once takes, by the device's own verified pulses or by the library's numbers.

A device that says how its cells are written (`effects.WriteVerify`) is the truth about it; a library's `programming`
stands in where the device is silent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwmodels.devices.device import Device
from hwmodels.devices.programming import write_verify

SAMPLE_ROWS = 1024
"""Cells per level from which the pulses of a device with a window are counted."""


@dataclass(frozen=True, eq=False)
class Writing:
    """How the cells of one device are written: energy and time of a pulse, and how many a cell takes.

    pulse_j [J] and pulse_s [s]: of one pulse and the read-back after it; survival: (max_pulses,), entry k the
    probability that a cell takes more than k pulses.
    """

    device: str
    source: str
    pulse_j: float
    pulse_s: float
    survival: np.ndarray

    @staticmethod
    def of(device: Device) -> Writing | None:
        """The device's own way of writing, None where it states none.

        With an acceptance probability q and a share f of stuck cells, which never pass, survival(k) = f + (1 − f)
        (1 − q)^k: exact for faults that are independent. With a window it is counted on 1024 cells of every level,
        the same ones each time: the standard error of the mean number of pulses is its spread over √(1024 · levels).
        """
        how = device.write_verify
        if how is None:
            return None
        if how.accept is not None:
            stuck = min(1.0, device.stuck_at_lrs + device.stuck_at_hrs)
            survival = stuck + (1 - stuck) * (1 - how.accept) ** np.arange(how.max_pulses)
        else:
            targets = np.tile(device.level_conductances(), (SAMPLE_ROWS, 1))
            pulses = write_verify(targets, device).pulses.ravel()
            taken = np.bincount(pulses, minlength=how.max_pulses + 1)
            survival = 1 - np.cumsum(taken)[: how.max_pulses] / pulses.size
        return Writing(
            device=device.name,
            source=device.sources.get("write_verify", "the device"),
            pulse_j=how.pulse_energy_j + how.verify_energy_j,
            pulse_s=how.pulse_s + how.verify_s,
            survival=survival,
        )

    @property
    def mean_pulses(self) -> float:
        """Pulses that a cell takes on average: Σ_k P(more than k)."""
        return float(self.survival.sum())

    @property
    def cell_j(self) -> float:
        """Energy that a cell takes on average [J]."""
        return self.mean_pulses * self.pulse_j

    def row_s(self, cells: np.ndarray) -> np.ndarray:
        """Mean time of rows whose cells are written together, each row as long as its slowest cell [s].

        cells: (rows,) cells of each row n; E[max] = Σ_k 1 − (1 − P(more than k))^n, as cells are independent.
        """
        width, index = np.unique(cells, return_inverse=True)
        longest = (1 - (1 - self.survival) ** width[:, None]).sum(axis=1)
        return (longest * self.pulse_s)[index.reshape(-1)]
