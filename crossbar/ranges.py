"""Ranges from samples: the largest magnitude or a percentile, for many converters at once and in one pass."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_SHIFT = 14
_BINS = 1 << (31 - _SHIFT)
_BLOCK = 64

RESOLUTION = 2.0 ** (_SHIFT - 23)
"""A percentile is at most this share above the true one: 2⁻⁹, half a code of an 8-bit converter."""


class RangeTally:
    """The largest magnitude, or a percentile of the magnitudes, of samples that come in pieces.

    groups: ranges that are told apart; percentile: in (0, 100], None or 100 for the largest, which is exact. Other
    percentiles are read from a histogram over the bits of a float32, whose bins are 2⁻⁹ of their value wide: the
    result is the upper edge of the bin that holds the sample of that rank, so at most 2⁻⁹ above it and never below.
    Zeros count as samples. Cost: O(samples); memory: the bins that occur (at most 512 an octave) per group.
    """

    def __init__(self, groups: int, percentile: float | None = None) -> None:
        """Start without samples."""
        self.percentile = None if percentile in (None, 100) else percentile
        self.largest = np.zeros(groups)
        self._bins: list[tuple[np.ndarray, np.ndarray]] = [
            (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)) for _ in range(groups)
        ]

    def add(self, samples: Tensor, group: np.ndarray | None = None) -> None:
        """Take in samples (n, columns) of any float type; group: (columns,) which range a column counts for (all 0).

        A column of group −1 is left out.
        """
        if samples.numel() == 0:
            return
        magnitude = samples.detach().abs().float()
        group = np.zeros(samples.shape[1], dtype=np.int64) if group is None else np.asarray(group)
        used = group >= 0
        np.maximum.at(self.largest, group[used], magnitude.amax(dim=0).cpu().double().numpy()[used])
        if self.percentile is None:
            return
        present = np.unique(group[used])
        for start in range(0, present.size, _BLOCK):
            some = present[start : start + _BLOCK]
            columns = np.flatnonzero(np.isin(group, some))
            self._count(magnitude[:, torch.from_numpy(columns).to(magnitude.device)], group[columns], some)

    def _count(self, magnitude: Tensor, group: np.ndarray, some: np.ndarray) -> None:
        """Add the samples of a few groups to their bins."""
        # Non-negative floats are ordered as their bits are, so bits without the last places are bins of equal ratio.
        bins = magnitude.contiguous().view(torch.int32).long() >> _SHIFT
        bins += torch.from_numpy(np.searchsorted(some, group) * _BINS).to(bins.device)
        counts = torch.bincount(bins.flatten(), minlength=_BINS * some.size).view(some.size, _BINS).cpu().numpy()
        for own, number in zip(counts, some.tolist(), strict=True):
            found = np.flatnonzero(own)
            before, weights = self._bins[number]
            keys, place = np.unique(np.concatenate([before, found]), return_inverse=True)
            total = np.bincount(place, np.concatenate([weights, own[found]]), keys.size)
            self._bins[number] = (keys, total.astype(np.int64))

    def result(self) -> np.ndarray:
        """(groups,) float64: the ranges; 0 for a group without samples or with nothing but zeros."""
        if self.percentile is None:
            return self.largest.copy()
        return np.array([self._percentile(number, self.percentile) for number in range(self.largest.size)])

    def _percentile(self, number: int, percentile: float) -> float:
        keys, counts = self._bins[number]
        if not counts.size:
            return 0.0
        rank = np.ceil(percentile / 100 * counts.sum())
        key = keys[np.searchsorted(np.cumsum(counts), rank)]
        if key == 0:  # the bin of zero and of numbers too small to tell from it
            return 0.0
        edge = float(np.int32((key + 1) << _SHIFT).view(np.float32))
        return min(edge, float(self.largest[number]))
