"""Bit-serial products by tables: the sums of all 16 subsets of four cells are written down once and then looked up.

One input bit of four word lines picks one of 16 subsets of their cells. With the subset sums of every four rows in a
table, a column sum over 128 rows takes 32 additions instead of 128 multiplications, for all columns of an array side by
side; four rows × 16 subsets × 128 columns of int16 are 16 kB, so the tables of an array stay in the second-level cache
while all vectors pass. 32 rows without a single set bit are skipped, and so are whole cycles: their sums and codes are
0.
"""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import numba
import numpy as np

from hwmodels.compiling import compiled

WORD = 32
"""Word lines whose bits stand in one word."""

SUBSETS = 16
"""Subsets of four cells."""

BLOCK = 64
"""Vectors that one task of a thread takes."""

_U = np.uint64


@compiled()
def _transposed(line, first, byte):  # pragma: no cover  (compiled)
    """One byte of eight codes from `first` on as an 8 × 8 bit matrix, transposed: byte b holds bit b of all eight."""
    x = _U(0)
    for k in range(8):
        x |= ((_U(line[first + k]) >> _U(8 * byte)) & _U(255)) << _U(8 * k)
    if x == _U(0):
        return x
    t = (x ^ (x >> _U(7))) & _U(0x00AA00AA00AA00AA)
    x = x ^ t ^ (t << _U(7))
    t = (x ^ (x >> _U(14))) & _U(0x0000CCCC0000CCCC)
    x = x ^ t ^ (t << _U(14))
    t = (x ^ (x >> _U(28))) & _U(0x00000000F0F0F0F0)
    return x ^ t ^ (t << _U(28))


@compiled(parallel=True)
def pack_bits(values, start, offset, words):  # pragma: no cover  (compiled)
    """Turn input codes into bit planes.

    values: (m,) uint8 or uint16 codes; start: (n,) and offset: (rows,) int64 places as in `Vectors`; words: (n, bits,
    W) uint32, written: bit r % 32 of words[i, b, r // 32] is bit b of row r. Eight codes at a time, by the
    transposition of an 8 × 8 bit matrix in three exchanges (Warren, Hacker's Delight, 2nd ed., §7-3). O(n · rows).
    """
    n, bits, width = words.shape
    rows = offset.size
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        line = np.zeros(width * WORD, values.dtype)
        for i in range(block * BLOCK, min(block * BLOCK + BLOCK, n)):
            first = start[i]
            for r in range(rows):
                line[r] = values[first + offset[r]]
            words[i] = 0
            for eight in range(width * 4):
                for byte in range((bits + 7) // 8):
                    x = _transposed(line, 8 * eight, byte)
                    if x != _U(0):
                        for b in range(8 * byte, min(8 * byte + 8, bits)):
                            lane = (x >> _U(8 * (b - 8 * byte))) & _U(255)
                            words[i, b, eight // 4] |= np.uint32(lane << _U(8 * (eight % 4)))


@compiled()
def subset_sums(g, column, table):  # pragma: no cover  (compiled)
    """Write the sums of all subsets of every four rows.

    g: (rows, all columns), int16 or float32; column: the first of the table's columns; table: (W · 8 · 16, cols) of the
    same type, written: row 16 k + s is the sum of the rows 4 k … 4 k + 3 of g whose bit is set in s. Rows beyond g's
    last count as zero. One addition an entry: the subset without its lowest row is there already.
    """
    entries, cols = table.shape
    rows = g.shape[0]
    first = _U(column)
    for entry in range(entries):
        subset = entry % SUBSETS
        if subset == 0:
            for j in range(cols):
                table[entry, j] = 0
            continue
        lowest = 0
        while not (subset >> lowest) & 1:
            lowest += 1
        rest = entry - (1 << lowest)
        row = entry // SUBSETS * 4 + lowest
        if row < rows:
            for j in range(cols):
                table[entry, j] = table[rest, j] + g[row, first + _U(j)]
        else:
            for j in range(cols):
                table[entry, j] = table[rest, j]


@compiled()
def _add_plane(words, i, bit, table, sums, empty):  # pragma: no cover  (compiled)
    """Add what bit plane `bit` of vector i selects to the sums; whether there still is nothing in them.

    empty: the sums hold nothing yet, whatever stands in them, and are overwritten.
    """
    cols = table.shape[1]
    # Unsigned places: numba counts negative ones from the end, and asking about that keeps loops from working on many
    # columns at a time.
    four = _U(SUBSETS - 1)
    for w in range(words.shape[2]):
        x = _U(words[i, bit, w])
        if x == _U(0):
            continue
        at = _U(w * (8 * SUBSETS))
        r0 = at + (x & four)
        r1 = at + _U(16) + ((x >> _U(4)) & four)
        r2 = at + _U(32) + ((x >> _U(8)) & four)
        r3 = at + _U(48) + ((x >> _U(12)) & four)
        r4 = at + _U(64) + ((x >> _U(16)) & four)
        r5 = at + _U(80) + ((x >> _U(20)) & four)
        r6 = at + _U(96) + ((x >> _U(24)) & four)
        r7 = at + _U(112) + (x >> _U(28))
        if empty:
            for j in range(cols):
                sums[j] = ((table[r0, j] + table[r1, j]) + (table[r2, j] + table[r3, j])) + (
                    (table[r4, j] + table[r5, j]) + (table[r6, j] + table[r7, j])
                )
            empty = False
        else:
            for j in range(cols):
                sums[j] += ((table[r0, j] + table[r1, j]) + (table[r2, j] + table[r3, j])) + (
                    (table[r4, j] + table[r5, j]) + (table[r6, j] + table[r7, j])
                )
    return empty


@compiled()
def _convert(sums, step, inverse, low, top, weight, line):  # pragma: no cover  (compiled)
    """Add the codes of column sums, times weight, to a line; how many were clipped."""
    past = np.int32(0)
    if inverse > 0:
        for j in range(sums.size):
            code = np.rint(np.float32(sums[j]) * inverse)
            held = min(max(code, low), top)
            past += np.int32(code != held)
            line[j] += weight * held
    else:
        for j in range(sums.size):
            code = np.rint(np.float32(sums[j]) / step)
            held = min(max(code, low), top)
            past += np.int32(code != held)
            line[j] += weight * held
    return past


@compiled(parallel=True)
def lookup_read(words, table, width, weights, transfer, digital, total, column):  # pragma: no cover  (compiled)
    """Column sums of all cycles by table, converted and added up while they are in the first-level cache.

    words: (n, bits, W) uint32 from `pack_bits`; table: (W · 128, cols) from `subset_sums`; width: bits of an input
    cycle, least significant cycle first; weights: (cycles,), what a code of each cycle counts; transfer: float32 (step,
    inverse, low, top): one code in units of the table, 1 / step where that gives the same code for every sum that can
    occur (else 0: divide), the range of codes, low ≤ 0 ≤ top; digital: (cols,) what a column's code counts; total: (n,
    all columns), added to from `column` on, of the type of weights and digital. Returns the count of clipped samples.
    """
    n, bits, _ = words.shape
    cols = table.shape[1]
    step, inverse, low, top = transfer
    first = _U(column)
    clipped = 0
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        sums = np.zeros(cols, table.dtype)
        line = np.zeros(cols, total.dtype)
        beyond = 0
        for i in range(block * BLOCK, min(block * BLOCK + BLOCK, n)):
            line[:] = 0
            for cycle in range(weights.size):
                empty = True
                # From the highest bit of the cycle down: sums so far count twice as much as the bit to come.
                for bit in range(min(width * (cycle + 1), bits) - 1, width * cycle - 1, -1):
                    if not empty:
                        for j in range(cols):
                            sums[j] += sums[j]
                    empty = _add_plane(words, i, bit, table, sums, empty)
                if not empty:
                    beyond += _convert(sums, step, inverse, low, top, weights[cycle], line)
            for j in range(cols):
                total[i, first + _U(j)] += digital[j] * line[j]
        clipped += beyond
    return clipped
