"""Read noise of cells in products: one normal draw per column, vector and input cycle, with the exact variance.

A column's sum is a weighted sum of independent normal deviations of its cells, so it is normal with variance Σ v² σ²
(`hwmodels.read_noise_of_sum`). Draws are (seed, READ_SUM, array, number of the vector, bit line and turn, input cycle),
as those of the converters' noise (`converter_bank`), so they depend on no batch and no thread. Not in it: that weight
columns which share a dummy column share its noise (each draws it anew), and that no conductance falls below 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from crossbar.converter_bank import lines, sum_normals
from hwmodels.devices.random import Purpose, key_of_seed


@dataclass(frozen=True, eq=False)
class ReadNoise:
    """Read noise of a strip's cells on the chip `seed`.

    variance: (rows, planes · cols) float32, σ² of what a converter sees of every crossing, in units of the strip²;
    place: as of the strip, array −1 where nothing stands.
    """

    variance: Tensor
    place: np.ndarray
    seed: int

    def to(self, device: torch.device | str) -> ReadNoise:
        """The same on another torch device."""
        return replace(self, variance=self.variance.to(device))

    def rounded(self, unit: float) -> ReadNoise:
        """The same for a strip whose unit is `unit` of the present ones."""
        return replace(self, variance=self.variance / unit**2)

    def add_to(self, sums: Tensor, driven: Tensor, first: int, cycle: int) -> None:
        """Add the noise of one input cycle to column sums (n, planes · cols) float32, in place.

        driven: (n, rows) what the word lines carried [DAC code]; first: number of the first vector; cycle: number of
        the input cycle in the vector. One more product and one draw a sample. On the CPU compiled, elsewhere its twin
        `add_reference`; draws agree to 1e-13.
        """
        sigma = (driven.square() @ self.variance).sqrt_()
        if sums.device.type != "cpu":
            self.add_reference(sums, sigma, first, cycle)
            return
        from crossbar.read_noise_kernels import add_normals  # numba loads only where something is computed
        from hwmodels import numba_threads

        numba_threads.limit(torch.get_num_threads())
        add_normals(
            sums.numpy(),
            sigma.numpy(),
            lines(self.place).astype(np.uint64),
            self.place[0].clip(0).astype(np.uint64),
            np.array(key_of_seed(self.seed), dtype=np.uint64),
            np.array([first & 0xFFFFFFFF, int(Purpose.READ_SUM) << 24 | cycle], dtype=np.uint64),
        )

    def add_reference(self, sums: Tensor, sigma: Tensor, first: int, cycle: int) -> None:
        """The same as `add_to`, the standard deviations (n, planes · cols) given, written plainly for any device."""
        z = sum_normals(Purpose.READ_SUM, self.seed, self.place, len(sums), first, cycle, sums.device)
        sums += (sigma.double() * z).to(sums.dtype)
