"""Random numbers that belong to a cell, not to a moment: Philox4x32-10, counted by where the cell is.

A draw is a pure function of (seed, purpose, array, row, column, read), so that it is the same whatever the number of
threads, the order of the work or the size of the piece that is computed at once. Here is the plain NumPy form, the
twin of the compiled one in `random_kernels`.

Four neighbouring columns share a block: the counter is (column // 4, row, array, purpose · 2²⁴ + read), and a cell's
word is number column mod 4 of the four. A uniform decision (a fault, a trap) takes that word against an integer
threshold. A normal draw takes the two words of its pair of columns, by Box–Muller: with u = (w₀ + ½)/2³² and
v = w₁/2³² the even column has √(−2 ln u) · cos 2πv and the odd one √(−2 ln u) · sin 2πv, independent of each other.
So a cell costs one word per uniform and one per normal draw. |z| ≤ √(66 ln 2) = 6.76; beyond, the normal law has
1.4 · 10⁻¹¹ of its mass. The radius has 2³² values, two of which lie 2⁻³² apart in probability, so tail rates are good
to 2.3 · 10⁻¹⁰.

Source: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011,
doi 10.1145/2063384.2063405 (the constants and the ten rounds are theirs).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from hwmodels.errors import UserError

MULTIPLIER_0, MULTIPLIER_1 = 0xD2511F53, 0xCD9E8D57
WEYL_0, WEYL_1 = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10
COLUMNS = 4
"""Neighbouring columns that share a block, one word each."""


class Purpose(IntEnum):
    """What a draw is for: the top byte of the last counter word, so that no two uses share a draw."""

    PROGRAMMING = 1
    FAULT = 2
    CLUSTER = 3
    WORD_LINE = 4
    BIT_LINE = 5
    DRIFT = 6
    TRAP = 7
    TELEGRAPH = 8
    READ = 9
    COLUMN_READ = 10
    VERIFY = 11
    WINDOW = 12
    ADC = 24
    DAC = 25
    ADC_NOISE = 26
    READ_SUM = 27


def key_of_seed(seed: int) -> tuple[int, int]:
    """The two 32-bit key words (low, high) of a seed from 0 to 2⁶⁴ − 1; raises UserError for any other seed."""
    if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)):
        raise UserError(f"A seed is a whole number from 0 to 2**64 - 1, not {seed!r}.")
    if not 0 <= seed < 2**64:
        raise UserError(f"A seed is a whole number from 0 to 2**64 - 1, not {seed}.")
    return int(seed) & 0xFFFFFFFF, int(seed) >> 32


def seed_of_window(seed: int, window: int) -> int:
    """A seed of its own for a stretch of time, numbered 0 … 2⁶⁴ − 1: the first two words of a block of that number."""
    assert 0 <= window < 2**64
    counter = np.array([window & 0xFFFFFFFF, window >> 32, 0, int(Purpose.WINDOW) << 24])
    low, high, _, _ = (int(word) for word in philox4x32(counter, key_of_seed(seed)))
    return high << 32 | low


def counter_word(name: str, first: int, size: int) -> int:
    """Check that `first … first + size − 1` fit one 32-bit counter word; returns `first`, raises UserError."""
    if isinstance(first, (bool, np.bool_)) or not isinstance(first, (int, np.integer)) or first < 0:
        raise UserError(f"{name} is a whole number, at least 0, not {first!r}.")
    if int(first) + size > 2**32:
        raise UserError(f"{name} = {first}: the cells are numbered up to 2**32 - 1.")
    return int(first)


def philox4x32(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Ten rounds of Philox4x32: counter (…, 4) uint32 and two key words -> (…, 4) uint32 random words."""
    c0, c1, c2, c3 = (np.asarray(counter, dtype=np.uint64)[..., i] for i in range(4))
    k0, k1 = key
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(ROUNDS):
        product0, product1 = np.uint64(MULTIPLIER_0) * c0, np.uint64(MULTIPLIER_1) * c2
        c0, c1, c2, c3 = (
            (product1 >> half) ^ c1 ^ np.uint64(k0),
            product1 & low,
            (product0 >> half) ^ c3 ^ np.uint64(k1),
            product0 & low,
        )
        k0, k1 = (k0 + WEYL_0) & 0xFFFFFFFF, (k1 + WEYL_1) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def block_words(purpose: Purpose, seed: int, place: Sequence[np.ndarray], read: int = 0) -> np.ndarray:
    """The four words of blocks: place = (array, row, column // 4), broadcast against each other -> (…, 4) uint32.

    Counter words: column // 4, row, array, purpose · 2²⁴ + read; read from 0 to 2²⁴ − 1 numbers repeated reads.
    """
    assert 0 <= read < 2**24
    last = np.uint64(int(purpose) << 24 | read)
    array, row, block = place
    counter = np.stack(np.broadcast_arrays(block, row, array, last), axis=-1)
    return philox4x32(counter, key_of_seed(seed))
