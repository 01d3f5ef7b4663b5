"""Compiled kernels of `solve`: chains of nodes along a word line or a bit line, solved without a subtraction.

A chain is grounded at one end through the wire; every node has a conductance g to the other side and is fed a current.
`up` is the share of a node's current that goes on towards the grounded end, `inverse` one over all it touches [Ω].
"""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import numpy as np

from crossbar.wires_kernels import exactly

ROWS = 8  # word lines walked side by side: each walk waits for its last step, several fill the gaps


@exactly
def factor_words(g, tied, g_word, g_far, up, inverse):
    """Word lines of g (rows, cols) [S]: g_word (cols,) before every cell, g_far behind the last one.

    Those that are tied (rows,) are grounded at both ends of that chain, the others at neither.
    """
    rows, cols = g.shape
    for i in range(rows):
        leak = g_far if tied[i] else 0.0
        for j in range(cols - 1, -1, -1):
            wire = g_word[j] if j > 0 or tied[i] else 0.0
            leak += g[i, j]
            inverse[i, j] = 1.0 / (wire + leak)
            up[i, j] = wire * inverse[i, j]
            leak *= up[i, j]


@exactly
def factor_bits(g, g_bit, up, inverse):
    """Bit lines of g (rows, cols) [S], g_bit (rows,) after every cell; the last one leads to ground."""
    rows, cols = g.shape
    leak = np.zeros(cols)
    for i in range(rows):
        wire = g_bit[i]
        for j in range(cols):
            total = leak[j] + g[i, j]
            inverse[i, j] = 1.0 / (wire + total)
            up[i, j] = wire * inverse[i, j]
            leak[j] = total * up[i, j]


@exactly
def solve_words(x, up, inverse):
    """Currents x (rows, cols) [A] fed to the word nodes become their voltages [V], in place."""
    rows, cols = x.shape
    for top in range(0, rows, ROWS):
        bottom = min(top + ROWS, rows)
        for j in range(cols - 1, 0, -1):
            for i in range(top, bottom):
                x[i, j - 1] += up[i, j] * x[i, j]
        for i in range(top, bottom):
            x[i, 0] *= inverse[i, 0]
        for j in range(1, cols):
            for i in range(top, bottom):
                x[i, j] = x[i, j] * inverse[i, j] + up[i, j] * x[i, j - 1]


@exactly
def solve_bits(y, up, inverse):
    """Currents y (rows, cols) [A] fed to the bit nodes become their voltages [V], in place."""
    rows, cols = y.shape
    for i in range(rows - 1):
        for j in range(cols):
            y[i + 1, j] += up[i, j] * y[i, j]
    for j in range(cols):
        y[rows - 1, j] *= inverse[rows - 1, j]
    for i in range(rows - 2, -1, -1):
        for j in range(cols):
            y[i, j] = y[i, j] * inverse[i, j] + up[i, j] * y[i + 1, j]
