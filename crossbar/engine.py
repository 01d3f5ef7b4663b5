"""How a strip is read: the product that fits its numbers, chosen once, then applied to any number of vectors.

Five ways, all of the same result (whole sums: the same bits; real ones: codes that differ by at most one, where the sum
lies within rounding of a code edge):

    whole     no converter, or one that provably loses nothing: one product serves all cycles, slices and halves
    lookup    few bits a cycle: bit planes and tables of subset sums, fused with converter and shift-and-add (CPU)
    product   many bits a cycle: matrix products over blocks that stay in cache, then converter and shift-and-add (CPU)
    cycles    every other device: one product and one conversion a cycle, written plainly in torch
    apart     drivers or converters that differ or err: one input cycle after the other (`crossbar.readout`)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from crossbar import exactness, readout
from crossbar.converter_bank import ColumnConverters
from crossbar.converters import Converter, adc_codes, input_cycles
from crossbar.spec import ArraySpec
from crossbar.strip import Strip
from crossbar.vectors import Vectors

Backend = Literal["auto", "numba", "torch"]

LOOKUP_BITS = 4
"""Most bits of an input cycle that are read bit by bit through tables; from there on a matrix product is cheaper."""

LOOKUP_COLS = 128
"""Columns of one table: 16 subsets × 32 words of four rows × 128 columns of int16 are 128 kB."""

CACHE_BYTES = 2 * 1024 * 1024
"""What the inputs and sums of one block of a product may take: a share of a third-level cache."""

CHUNK_ELEMENTS = 4_000_000
"""Largest intermediate of one plain product, in elements (16 MB in float32): bounds memory, not results."""


@dataclass(frozen=True)
class Reader:
    """A strip made ready to be read with one converter.

    strip: what stands on the arrays; spec: of the arrays, its input and DAC bits; converter: its step in conductance
    unit × DAC code, or None; `ColumnConverters` where columns differ or err; backend: "numba" (CPU), "torch" (any
    device), "auto": numba on the CPU; signed: input codes are in two's complement.
    """

    strip: Strip
    spec: ArraySpec
    converter: Converter | ColumnConverters | None
    backend: Backend = "auto"
    signed: bool = False

    @cached_property
    def way(self) -> Literal["whole", "lookup", "product", "cycles", "apart"]:
        """Which of the five ways of reading this is."""
        if isinstance(self.converter, ColumnConverters) or readout.errs(self.strip, self.spec):
            return "apart"
        if self.converting is None or self.collapses:
            return "whole"
        compiled = self.strip.g.device.type == "cpu" and self.backend != "torch"
        if not compiled:
            return "cycles"
        few = self.spec.dac_bits <= (1 if self.signed else LOOKUP_BITS)
        return "lookup" if self.spec.input_bits is not None and few else "product"

    @property
    def converting(self) -> Converter | None:
        """The converter that really stands in the path, where all are alike and ideal."""
        if self.spec.adc_bits is None or isinstance(self.converter, ColumnConverters):
            return None
        return self.converter

    @cached_property
    def collapses(self) -> bool:
        """Whether the converter provably gives every sum back as it is (`exactness.lossless`)."""
        if self.converting is None or self.spec.input_bits is None:
            return False
        return exactness.lossless(self.sums, self.converting, self.cycle_top)

    @cached_property
    def sums(self) -> exactness.WholeSums | None:
        """What column sums reach, where they are whole."""
        return exactness.whole_sums(self.strip.g)

    @property
    def cycle_top(self) -> int:
        """The largest input code of one cycle."""
        return 1 if self.spec.input_bits is None else 2**self.spec.dac_bits - 1

    @property
    def code_top(self) -> int:
        """The largest input code."""
        return 1 if self.spec.input_bits is None else 2**self.spec.input_bits - 1

    @cached_property
    def unit(self) -> float:
        """What 1 in a total means, in conductance unit × input code: the converters' step where they share one."""
        if self.way == "apart":
            return readout.unit(self.converter)
        return 1.0 if self.way == "whole" or self.converting is None else self.converting.step

    @property
    def reach(self) -> float:
        """The largest magnitude that the strip can add to a total of codes; infinite for real-valued sums."""
        if self.way not in ("lookup", "product") or self.strip.input_weight is not None:
            return float("inf")
        assert self.converting is not None
        cycles = sum(abs(weight) for weight, _ in self._cycles())
        return max(self.converting.top, -self.converting.low) * cycles * float(np.abs(self.strip.plane_weights).sum())

    def samples(self, vectors: int) -> int:
        """Conversions that so many vectors take."""
        if self.spec.adc_bits is None or self.converter is None:
            return 0
        columns = self.strip.g.shape[1]
        if isinstance(self.converter, ColumnConverters):
            columns = int((self.converter.place[0] >= 0).sum())
        return vectors * columns * sum(1 for _ in self._cycles())

    @cached_property
    def whole(self) -> Tensor:
        """(rows, cols) Σ over planes of weight · sign · g: float32, or float64 where whole sums need it."""
        strip = self.strip
        planes = strip.g.double().view(strip.g.shape[0], -1, strip.cols)
        total = torch.einsum("rkc,kc->rc", planes, self._digital(torch.float64).to(planes.device))
        if strip.input_weight is not None:
            total = total + strip.input_weight
        # Real-valued sums round in float32 as any product of theirs; whole ones have to stay whole.
        exact = self.sums is None or strip.input_weight is not None
        return total.float() if exact or exactness.exact_in_float32(total, self.code_top) else total

    def add_to(
        self, total: Tensor, column: int, vectors: Vectors, sign: float = 1.0, *, first: int = 0, phase: int = 0
    ) -> int:
        """Read the strip with every vector and add what it gives, times sign, to a total; the clipped samples.

        total: (n, all columns), float32 or float64 and contiguous, in `unit`s; added to from `column` on. float32 only
        while every total stays below 2²⁴ (`reach`). first, phase: number of the first vector since the chip was
        programmed, and of its phase; noise is drawn by them. Memory beyond the total: a bit per bit of the strip's
        input codes, or a block's. O(cycles · n · rows · planes · cols) additions at most, multiplications in one cycle.
        """
        if len(vectors) == 0:
            return 0
        if self.strip.input_weight is not None and self.way != "whole":
            self._add_digital_terms(total, column, vectors, sign)
        if self.way in ("whole", "cycles", "apart"):
            return self._plain(total, column, vectors, sign, first, phase)
        if self.way == "lookup" and _are_whole(vectors.values):
            return self._lookup(total, column, vectors, sign)
        return self._product(total, column, vectors, sign)

    # The ways of reading

    def _lookup(self, total: Tensor, column: int, vectors: Vectors, sign: float) -> int:
        from crossbar import lookup_kernels as kernels

        _limit_threads()
        strip, bits = self.strip, self.spec.input_bits
        assert bits is not None
        g, transfer = self._tables
        words = np.empty((len(vectors), bits, -(-strip.g.shape[0] // kernels.WORD)), dtype=np.uint32)
        values = vectors.values
        if self.signed:
            values = values.remainder(2**bits)  # the bits of a code in two's complement
        if values.dtype not in (torch.uint8, torch.uint16):
            values = values.to(torch.uint8 if bits <= 8 else torch.uint16)
        kernels.pack_bits(values.numpy(), vectors.start.numpy(), vectors.offset.numpy(), words)
        weights = np.array([sign * weight for weight, _ in self._cycles()], dtype=total.numpy().dtype)
        digital = self._digital(total.dtype).numpy()
        clipped = 0
        for plane, first, last in self._column_blocks():
            table = np.empty((words.shape[2] * kernels.WORD // 4 * kernels.SUBSETS, last - first), dtype=g.dtype)
            kernels.subset_sums(g, plane * strip.cols + first, table)
            clipped += kernels.lookup_read(
                words, table, self.spec.dac_bits, weights, transfer,
                digital[plane, first:last], total.numpy(), column + first,
            )  # fmt: skip
        return int(clipped)

    def _product(self, total: Tensor, column: int, vectors: Vectors, sign: float) -> int:
        from crossbar.product_kernels import adc_accumulate, gather

        _limit_threads()
        strip, converter = self.strip, self.converting
        assert converter is not None
        rows, width = strip.g.shape
        size = max(CACHE_BYTES // (4 * (rows + width)), 32)
        step, low, top = (np.float32(value) for value in (converter.step, converter.low, converter.top))
        digital = self._digital(total.dtype).numpy()
        values, start, offset = (part.numpy() for part in (vectors.values, vectors.start, vectors.offset))
        number = digital.dtype.type
        codes, sums = torch.empty(size, rows), torch.empty(size, width)
        clipped = 0
        for first in range(0, len(vectors), size):
            count = min(size, len(vectors) - first)
            gather(values, start[first : first + count], offset, codes.numpy())
            for weight, cycle in self._driven(codes[:count]):
                torch.mm(cycle, strip.g, out=sums[:count])
                clipped += adc_accumulate(
                    sums[:count].numpy(), step, low, top, number(sign * weight), digital, total.numpy(), first, column
                )
        return int(clipped)

    def _plain(self, total: Tensor, column: int, vectors: Vectors, sign: float, number: int, phase: int) -> int:
        strip, spec = self.strip, self.spec
        size = max(CHUNK_ELEMENTS // (strip.g.shape[0] + strip.g.shape[1]), 1)
        clipped = 0
        for first in range(0, len(vectors), size):
            codes = vectors.part(first, first + size).matrix().float()
            sums = torch.zeros(codes.shape[0], strip.cols, dtype=torch.float64, device=codes.device)
            if self.way == "whole":
                sums += codes.to(self.whole.dtype) @ self.whole
            elif self.way == "apart":
                sums, beyond, _ = readout.read(strip, codes, spec, self._bank, self.signed, number + first, phase)
                clipped += beyond
            else:
                clipped += self._convert(codes, sums)
            total[first : first + size, column : column + strip.cols] += sign * sums.to(total.dtype)
        return clipped

    def _add_digital_terms(self, total: Tensor, column: int, vectors: Vectors, sign: float) -> None:
        strip = self.strip
        assert strip.input_weight is not None
        size = max(CHUNK_ELEMENTS // vectors.rows, 1)
        for first in range(0, len(vectors), size):
            sums = vectors.part(first, first + size).matrix().sum(dim=1, dtype=torch.float64)
            total[first : first + size, column : column + strip.cols] += (
                sign / self.unit * sums[:, None] * strip.input_weight
            )

    def _convert(self, codes: Tensor, sums: Tensor) -> int:
        """Add the conversions of all cycles to the sums, in `unit`s; the clipped samples."""
        converter = self.converting
        assert converter is not None
        digital = self._digital(torch.float64).to(codes.device)
        clipped = 0
        for weight, cycle in self._driven(codes):
            found, beyond = adc_codes(self.strip.column_sums(cycle), converter)
            values = found.double().view(codes.shape[0], -1, self.strip.cols)
            sums += weight * torch.einsum("nkc,kc->nc", values, digital)
            clipped += int(beyond)
        return clipped

    # What is prepared once

    @property
    def _bank(self) -> ColumnConverters | None:
        """The converters of a strip that is read apart; None where there are none."""
        assert not isinstance(self.converter, Converter), "plain converters know no errors of the drivers"
        return None if self.spec.adc_bits is None else self.converter

    def _driven(self, codes: Tensor) -> Iterator[tuple[float, Tensor]]:
        """The input codes of each cycle with what they count."""
        return input_cycles(codes, self.spec.input_bits, self.spec.dac_bits, signed=self.signed)

    def _cycles(self) -> Iterator[tuple[float, int]]:
        """What a code of each input cycle counts, and its first bit."""
        bits = self.spec.input_bits
        step = self.spec.dac_bits if bits is not None else 1
        lower = (bits or 1) - self.signed
        for first in range(0, lower, step):
            yield float(2**first), first
        if self.signed:
            yield -float(2**lower), lower

    def _digital(self, dtype: torch.dtype) -> Tensor:
        """(planes, cols) what a column's code counts: its plane's weight times its sign."""
        return self._digital_weights.to(dtype)

    @cached_property
    def _digital_weights(self) -> Tensor:
        weights = torch.from_numpy(np.asarray(self.strip.plane_weights, dtype=np.float64))[:, None]
        if self.strip.column_sign is None:
            return weights.repeat(1, self.strip.cols)
        return weights * self.strip.column_sign.to("cpu", torch.float64).view(-1, self.strip.cols)

    def _column_blocks(self) -> Iterator[tuple[int, int, int]]:
        """Plane, first and last column of every table; blocks without a cell give code 0 and are left out."""
        strip = self.strip
        for plane in range(strip.g.shape[1] // strip.cols):
            for first in range(0, strip.cols, LOOKUP_COLS):
                last = min(first + LOOKUP_COLS, strip.cols)
                if self._occupied[plane * strip.cols + first : plane * strip.cols + last].any():
                    yield plane, first, last

    @cached_property
    def _occupied(self) -> np.ndarray:
        """(planes · cols,) bool: columns with a cell that is not 0."""
        return (self.strip.g != 0).any(dim=0).numpy()

    @cached_property
    def _tables(self) -> tuple[np.ndarray, tuple[np.float32, np.float32, np.float32, np.float32]]:
        """The conductances that tables are built from; in their unit: the step, its inverse or 0; the code range."""
        converter, sums = self.converting, self.sums
        assert converter is not None
        g, step, inverse = self.strip.g.numpy(), converter.step, 0.0
        if sums is not None and sums.reach * self.cycle_top < 2**15:
            inverse = exactness.exact_inverse(sums, converter.step, self.cycle_top)
            if inverse or sums.unit == 1:
                g, step = (g / np.float32(sums.unit)).astype(np.int16), converter.step / sums.unit
        return g, (np.float32(step), np.float32(inverse), np.float32(converter.low), np.float32(converter.top))


def _are_whole(values: Tensor) -> bool:
    """Whether input codes are whole numbers (drivers with errors give others)."""
    return not values.is_floating_point() or bool((values == values.round()).all())


def _limit_threads() -> None:
    from hwmodels import numba_threads  # numba loads only where something is computed

    numba_threads.limit(torch.get_num_threads())
