"""The converters of one chip, column by column: ranges, drawn errors, noise.

A draw belongs to a converter, a driver or a conversion (`hwmodels.devices.random`), never to the order of the work:

    offset, gain of a converter   (seed, ADC, array, 0, converter): columns that share it share its errors
    offset, gain of a driver      (seed, DAC, array, word line, 0)
    noise of a conversion         (seed, ADC_NOISE, array, number of the vector, bit line and turn, input cycle)

Each takes a block of random words of its own, the last of the three numbers in the place of the block's number.
Vectors are numbered as a layer sees them since its chip was programmed, so the noise is the same whatever the number of
threads or the size of the batches in which the same samples come in the same order; the number wraps at 2³². A layer
that one forward pass calls several times numbers its vectors in the order of the calls, which follows the batches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from crossbar.converter_errors import AdcErrors, DacErrors, transition_levels
from crossbar.converters import Converter
from hwmodels.devices.random import Purpose, block_words, key_of_seed

CYCLES = 32
"""Input cycles that a phase may have, for numbering conversions: 16 bits one by one and a sign bit are 17."""


@dataclass(frozen=True, eq=False)
class ColumnConverters:
    """Transfer curves of a strip's converters, one per column: code = quantise(gain · sum / step + offset + noise).

    step: (columns,) float64, nominal step [conductance unit × DAC code]: its code counts so much digitally, and sums
    are divided by it in float32. low, top: lowest and highest code. gain, offset: (columns,) float64, 1 + gain error
    and offset [LSB], what drivers add included. transitions: (top − low,) float64 levels [LSB] at which the next code
    begins, or None: rounding to the nearest, ties to even. noise_lsb: σ of one conversion. sense: a sense amplifier of
    both signs, codes −1 and 0 about a threshold of 0, each standing for the middle of its half. place: int64 array,
    bit line and, where an array is read in turns, the first word line of the turn, (2 or 3, columns); array −1 where no
    converter stands. seed: of the chip.
    """

    step: Tensor
    low: int
    top: int
    gain: Tensor
    offset: Tensor
    transitions: Tensor | None
    noise_lsb: float
    sense: bool
    place: np.ndarray
    seed: int

    def to(self, device: torch.device | str) -> ColumnConverters:
        """The same converters on another torch device."""
        moved = {name: getattr(self, name).to(device) for name in ("step", "gain", "offset")}
        transitions = None if self.transitions is None else self.transitions.to(device)
        return replace(self, transitions=transitions, **moved)

    @property
    def common_step(self) -> float | None:
        """The step of all columns, None where they differ."""
        present = self.step.cpu()[torch.from_numpy(self.place[0] >= 0)]
        if not present.numel():
            return 1.0
        return float(present[0]) if bool((present == present[0]).all()) else None

    def convert_and_add(self, sums: Tensor, weights: Tensor, total: Tensor, first: int, cycle: int) -> int:
        """Add what the codes of column sums count to the total; the number of clipped samples.

        sums: (n, K · cols) float32; weights: (K · cols,) float64, what one code of each column counts; total: (n, cols)
        float64, added to in place; first: number of the first vector; cycle: number of the input cycle in the vector.
        On the CPU one compiled pass, elsewhere its twin `convert_and_add_reference`. Without noise both give the same
        result bit for bit while weights are whole numbers; with noise the twins' normal deviations agree to float
        rounding (1e-14), so a code may differ by one where the sum lies that close to a transition.
        """
        if sums.device.type != "cpu":
            return self.convert_and_add_reference(sums, weights, total, first, cycle)
        from crossbar.converter_kernels import convert_columns  # numba loads only where something is computed
        from hwmodels import numba_threads

        numba_threads.limit(torch.get_num_threads())
        key = np.array(key_of_seed(self.seed), dtype=np.uint64)
        counter = np.array([first & 0xFFFFFFFF, _last_word(cycle)], dtype=np.uint64)
        present = self.place[0] >= 0
        return int(
            convert_columns(
                sums.contiguous().numpy(),
                self.step.float().numpy(),
                self.gain.numpy(),
                self.offset.numpy(),
                np.int64(self.low),
                np.int64(self.top),
                np.zeros(0) if self.transitions is None else self.transitions.numpy(),
                self.noise_lsb,
                self.sense,
                present.astype(np.int64),
                lines(self.place).astype(np.uint64),
                self.place[0].clip(0).astype(np.uint64),
                key,
                counter,
                weights.numpy() * present,
                total.numpy(),
            )
        )

    def convert_and_add_reference(self, sums: Tensor, weights: Tensor, total: Tensor, first: int, cycle: int) -> int:
        """The same as `convert_and_add`, written plainly in torch, for any device."""
        present = torch.from_numpy(self.place[0] >= 0).to(sums.device)
        level = (sums / self.step.float()).double() * self.gain + self.offset
        if self.noise_lsb > 0:
            level = level + self.noise_lsb * sum_normals(
                Purpose.ADC_NOISE, self.seed, self.place, sums.shape[0], first, cycle, sums.device
            )
        if self.sense:
            held = torch.where(level >= 0, 0.0, -1.0) + 0.5
            beyond = level.abs() > 1
        else:
            code = torch.round(level)
            beyond = (code < self.low) | (code > self.top)
            held = code.clamp(self.low, self.top) if self.transitions is None else self._by_transitions(level)
        counted = torch.where(present, held * weights, 0.0)
        total += counted.view(sums.shape[0], -1, total.shape[1]).sum(dim=1)
        return int((beyond & present).sum())

    def _by_transitions(self, level: Tensor) -> Tensor:
        """Codes by the transition levels; at a level itself the even one of the two codes."""
        assert self.transitions is not None
        passed = torch.searchsorted(self.transitions, level.contiguous(), right=True)
        at_edge = (passed > 0) & (self.transitions[(passed - 1).clamp_min(0)] == level)
        code = passed + self.low
        return (code - (at_edge & (code % 2 != 0)).long()).double()


def lines(place: np.ndarray) -> np.ndarray:
    """What tells the sums of an array in one input cycle apart: bit line and turn, one counter word; (columns,)."""
    return place[1] if len(place) == 2 else place[1] + (place[2] << 16)


def sum_normals(
    purpose: Purpose, seed: int, place: np.ndarray, n: int, first: int, cycle: int, device: torch.device
) -> Tensor:
    """Standard normal draws of n vectors' column sums in one input cycle, (n, columns) float64, on any device.

    place: of the columns, see `ColumnConverters`; first: number of the first vector; cycle: of the input cycle.
    """
    from hwmodels.devices import plain, torch_twins

    backend = torch_twins.backend(device)
    vectors = (np.arange(first, first + n, dtype=np.int64) & 0xFFFFFFFF)[:, None]
    words = backend.blocks(purpose, seed, (place[0].clip(0), vectors, lines(place)), cycle)
    return plain.normals_of(backend, words)[..., 0]


def _last_word(cycle: int) -> int:
    return int(Purpose.ADC_NOISE) << 24 | cycle


def column_converters(
    full_scale: np.ndarray,
    bits: int,
    *,
    signed: bool,
    errors: AdcErrors | None,
    place: np.ndarray,
    columns_per_converter: int,
    seed: int = 0,
    drive_offset: np.ndarray | None = None,
    finest: float = 0.0,
) -> ColumnConverters:
    """The converters of a strip on the chip of this seed.

    full_scale: (columns,) float64 > 0 [conductance unit × DAC code], that of each column's converter; bits, signed,
    finest: as in `Converter.of_range`; errors: their spread, None for ideal converters; place: (2 or 3, columns) array,
    bit line, turn; columns_per_converter: neighbouring bit lines that share one; drive_offset: (columns,) what drivers
    add to every sum, in the unit of full_scale.
    A gain is never below 0. Raises UserError for a range that is not above 0.
    """
    sense = signed and bits == 1
    nominal = {
        float(value): Converter.of_range(float(value), bits, signed=signed, finest=finest)
        for value in np.unique(full_scale)
    }
    one = next(iter(nominal.values()))
    step = np.array([nominal[float(value)].step for value in full_scale])
    gain, offset = np.ones(full_scale.size), np.zeros(full_scale.size)
    transitions = None
    if errors is not None:
        converter = place[1] // columns_per_converter
        gain, offset = _drawn(Purpose.ADC, errors, seed, (place[0].clip(0), np.int64(0), converter))
        if errors.inl_lsb or errors.inl_table_lsb is not None:
            transitions = torch.from_numpy(transition_levels(errors, bits, signed=signed))
    if drive_offset is not None:
        offset = offset + gain * drive_offset / step
    return ColumnConverters(
        step=torch.from_numpy(step),
        low=one.low,
        top=one.top,
        gain=torch.from_numpy(gain),
        offset=torch.from_numpy(offset),
        transitions=transitions,
        noise_lsb=0.0 if errors is None else errors.noise_lsb,
        sense=sense,
        place=np.ascontiguousarray(place, dtype=np.int64),
        seed=seed,
    )


def driver_errors(errors: DacErrors, seed: int, array: int, rows: int, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gain factor (≥ 0) and offset [LSB] of the drivers of an array's word lines first …, two float64 (rows,)."""
    return _drawn(Purpose.DAC, errors, seed, (np.int64(array), np.arange(first, first + rows), np.int64(0)))


def _drawn(
    purpose: Purpose, errors: AdcErrors | DacErrors, seed: int, place: tuple[np.ndarray | np.int64, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """1 + gain error and offset [LSB] of every place, from one block of random words each."""
    from hwmodels.devices import plain

    z = plain.normals_of(plain.NUMPY, block_words(purpose, seed, [np.asarray(item) for item in place]))
    offset = errors.offset_lsb * z[..., 0]
    gain = np.maximum(1.0 + errors.gain * z[..., 2], 0.0)
    return np.atleast_1d(gain), np.atleast_1d(offset)
