"""Compiled kernels of the fast approximation: word lines and bit lines taken one by one, the others' nodes held.

The chains are those of `nodal_kernels`, from resistances, so that 0 Ω needs no special case.
"""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import math

import numpy as np

from crossbar.nodal_kernels import ROWS, solve_bits, solve_words
from crossbar.wires_kernels import exactly

_TAIL = 0.01  # share of the correction that the round trips left out may have


@exactly
def word_chains(g, word, far, tied, up, inverse, reach):
    """Factors of the word lines of g (rows, cols) [S] for `solve_words`, and the voltage that drivers at 1 V reach.

    word (cols,): resistance before every cell [Ω]; far: to the second driver [Ω]; tied (rows,): which lines have
    drivers. reach (rows, cols): voltages with all bit nodes at 0 V.
    """
    rows, cols = g.shape
    leak, level = np.where(tied, 1.0 / far, 0.0), np.where(tied, 1.0, 0.0)
    for top in range(0, rows, ROWS):
        bottom = min(top + ROWS, rows)
        for j in range(cols - 1, -1, -1):
            for i in range(top, bottom):
                total = leak[i] + g[i, j]
                up[i, j] = 1.0 / (1.0 + word[j] * total)
                inverse[i, j] = word[j] * up[i, j]
                leak[i] = total * up[i, j]
                if j == 0 and not tied[i]:
                    up[i, j] = 0.0
                    inverse[i, j] = 1.0 / total if total > 0.0 else 0.0
    reach[:] = 0.0
    if math.isfinite(far):
        reach[:, cols - 1] = np.where(tied, 1.0 / far, 0.0)
        solve_words(reach, up, inverse)
    for top in range(0, rows, ROWS):
        for j in range(cols):
            for i in range(top, min(top + ROWS, rows)):
                level[i] *= up[i, j]
                reach[i, j] += level[i]


@exactly
def bit_chains(g, bit, up, inverse, reach):
    """The same for bit lines and their sinks; bit (rows,): resistance after every cell [Ω]."""
    rows, cols = g.shape
    leak = np.zeros(cols)
    for i in range(rows):
        for j in range(cols):
            total = leak[j] + g[i, j]
            up[i, j] = 1.0 / (1.0 + bit[i] * total)
            inverse[i, j] = bit[i] * up[i, j]
            leak[j] = total * up[i, j]
    for j in range(cols):
        reach[rows - 1, j] = up[rows - 1, j]
    for i in range(rows - 2, -1, -1):
        for j in range(cols):
            reach[i, j] = up[i, j] * reach[i + 1, j]


@exactly
def multiply(x, y, out):
    """out = x · y, element by element."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = x[i, j] * y[i, j]


@exactly
def add_sums(x, y, by_row, total):
    """Add the row sums (or the column sums) of x · y to total; returns their sum and the largest entry of y."""
    rows, cols = x.shape
    added, largest = 0.0, 0.0
    for i in range(rows):
        for j in range(cols):
            value = x[i, j] * y[i, j]
            added += value
            largest = max(largest, y[i, j])
            total[i if by_row else j] += value
    return added, largest


@exactly
def round_trip_ratio(g, a, b):
    """A number below which each round trip's currents stay, as a share of those of the one before."""
    alpha, beta = 0.0, 0.0
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            if g[i, j] > 0.0:
                alpha, beta = max(alpha, 1.0 - a[i, j]), max(beta, 1.0 - b[i, j])
    return alpha * beta


@exactly
def follow_down(g, ga, gb, words, bits, rho, steps, by_col, u):
    """Add to by_col (cols,) [S] what comes back from the bit lines and reaches the sinks, with all drivers at 1 V.

    words, bits: factors of the chains; u: workspace. Returns the round trips followed and, for what is left out, the
    largest voltage that all its round trips together can give a word node [V].
    """
    total, whole = 0.0, gb.sum()
    done, tail = 0, 0.0
    u[:] = ga
    while done < steps:
        done += 1
        solve_bits(u, bits[0], bits[1])
        multiply(g, u, u)
        solve_words(u, words[0], words[1])
        added, largest = add_sums(gb, u, False, by_col)
        total += added
        tail = 0.0 if largest == 0.0 else largest * rho / (1.0 - rho) if rho < 1.0 else np.inf
        if largest == 0.0 or tail * whole <= _TAIL * total:
            break
        multiply(g, u, u)
    return done, tail


@exactly
def follow_up(g, ga, gb, words, bits, steps, by_row, u):
    """Add to by_row (rows,) [S] the same round trips the other way, with all sinks at 1 V. u: workspace."""
    u[:] = gb
    for _ in range(steps):
        solve_words(u, words[0], words[1])
        multiply(g, u, u)
        solve_bits(u, bits[0], bits[1])
        add_sums(ga, u, True, by_row)
        multiply(g, u, u)


@exactly
def approximate(g, word, bit, far, tied, driven, steps, out, bound, spare):
    """Write g_eff (rows, cols) and a bound of its error by column (cols,) [S]. See `wires_fast`.

    driven (rows,): word lines whose drivers apply an input; tied: those that have a driver at all; steps: round trips
    that are followed at most; spare (9, rows, cols): workspace.
    """
    rows, cols = g.shape
    words, bits = spare[0:2], spare[2:4]
    a, b, ga, gb, u = spare[4], spare[5], spare[6], spare[7], spare[8]
    word_chains(g, word, far, tied, words[0], words[1], a)
    bit_chains(g, bit, bits[0], bits[1], b)
    rho = round_trip_ratio(g, a, b)
    for i in range(rows):
        if not driven[i]:
            a[i] = 0.0
    multiply(g, a, ga)
    multiply(g, b, gb)
    multiply(ga, b, out)
    by_col, by_row = np.zeros(cols), np.zeros(rows)
    done, tail = follow_down(g, ga, gb, words, bits, rho, steps, by_col, u)
    follow_up(g, ga, gb, words, bits, done, by_row, u)
    shared, reaching = by_row.sum(), np.zeros(cols)
    for i in range(rows):
        for j in range(cols):
            reaching[j] += gb[i, j]
            out[i, j] += by_row[i] * by_col[j] / shared if shared > 0.0 else 0.0
    for j in range(cols):
        bound[j] = (by_col[j] + reaching[j] * tail if reaching[j] > 0.0 else 0.0) * (1.0 + 1e-9)  # and rounding's share
