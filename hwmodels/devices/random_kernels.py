"""Philox4x32-10 and the draws of a row of cells, compiled; the twin of `random` and of `plain.words`, `plain.normals`.

Four neighbouring columns share a block of four words, so a row starts and ends with parts of blocks, done cell by cell,
and has whole blocks between, done several at once. Either way a cell gets the same bits.
"""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import math

import numpy as np

from hwmodels.compiling import compiled
from hwmodels.devices.elementary_kernels import as_real, cosine_and_sine_of_turn, logarithm

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


@compiled(inline="always")
def philox4x32(c0, c1, c2, c3, k0, k1):
    """Philox4x32-10 on 32-bit words held in uint64; the twin of `random.philox4x32`."""
    c0, c1, c2, c3 = c0 & _LOW, c1 & _LOW, c2 & _LOW, c3 & _LOW  # tells the compiler that a product is 32 × 32 bits
    k0, k1 = k0 & _LOW, k1 & _LOW
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _LOW, (p0 >> _HALF) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@compiled(inline="always")
def normal_pair(word0, word1):
    """Box–Muller: two words -> two independent draws from N(0, 1); see `random`."""
    minus_log = -logarithm(as_real(np.int64(word0) * 2 + 1), 33)  # of (word + ½) / 2³²
    radius = math.sqrt(2.0 * minus_log)
    cosine, sine = cosine_and_sine_of_turn(word1)
    return radius * cosine, radius * sine


@compiled(inline="always")
def split(size, column):
    """Cells of a row of `size` from `column` on before its first whole block, and cells before the end of its last."""
    head = min(np.int64((4 - column % 4) % 4), size)
    return head, head + (size - head) // 4 * 4


@compiled()
def one_word(column, row, array, last, k0, k1):
    """The word of one cell."""
    four = philox4x32(column >> np.uint64(2), row, array, last, k0, k1)
    return four[np.int64(column % 4)]


@compiled()
def part_of_words(out, column, row, array, last, k0, k1):
    """The words of cells that are no whole block."""
    for c in range(out.size):
        out[c] = one_word(column + np.uint64(c), row, array, last, k0, k1)


@compiled()
def words(out, column, row, array, last, k0, k1):
    """The words of the cells of one row, written to out (cols,) uint64."""
    head, end = split(out.size, column)
    part_of_words(out[:head], column, row, array, last, k0, k1)
    part_of_words(out[end:], column + np.uint64(end), row, array, last, k0, k1)
    whole, block = out[head:end], (column + np.uint64(head)) >> np.uint64(2)
    for b in range(whole.size // 4):
        w0, w1, w2, w3 = philox4x32(block + np.uint64(b), row, array, last, k0, k1)
        whole[4 * b], whole[4 * b + 1], whole[4 * b + 2], whole[4 * b + 3] = w0, w1, w2, w3


@compiled()
def part_of_normals(out, column, row, array, last, k0, k1):
    """The draws of cells that are no whole block."""
    for c in range(out.size):
        place = column + np.uint64(c)
        w0, w1, w2, w3 = philox4x32(place >> np.uint64(2), row, array, last, k0, k1)
        upper, odd = place % 4 >= 2, place % 2 == 1
        cosine, sine = normal_pair(w2 if upper else w0, w3 if upper else w1)
        out[c] = sine if odd else cosine


@compiled()
def normals(out, column, row, array, last, k0, k1):
    """Standard normal draws of the cells of one row, written to out (cols,)."""
    head, end = split(out.size, column)
    part_of_normals(out[:head], column, row, array, last, k0, k1)
    part_of_normals(out[end:], column + np.uint64(end), row, array, last, k0, k1)
    whole, block = out[head:end], (column + np.uint64(head)) >> np.uint64(2)
    for b in range(whole.size // 4):
        w0, w1, w2, w3 = philox4x32(block + np.uint64(b), row, array, last, k0, k1)
        whole[4 * b], whole[4 * b + 1] = normal_pair(w0, w1)
        whole[4 * b + 2], whole[4 * b + 3] = normal_pair(w2, w3)
