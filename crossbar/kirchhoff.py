"""What wires carry, given the drops x and the rises y of `nodal`: sums of currents at their nodes, and their heat."""

from __future__ import annotations

import numpy as np

from crossbar.circuit import Circuit


def imbalance(cell: np.ndarray, x: np.ndarray, y: np.ndarray, lines: Circuit) -> tuple[np.ndarray, np.ndarray]:
    """Currents (rows, cols) [A] that cells draw from word nodes and feed to bit nodes, less what the wires carry.

    cell: currents of the cells [A]; x, y: drops and rises [V], all (rows, cols). Where an ideal wire makes nodes one,
    only the sum over them means something; where a node is a driver or a sink, nothing.
    """
    at_word, at_bit, joined, tied = cell.copy(), cell.copy(), lines.topology(), ~lines.floating
    if not joined.first:
        at_word[tied, 0] -= x[tied, 0] / lines.word[0]
    if not joined.word:
        flow = np.diff(x, axis=1) / lines.word[1:]  # drawn through the segment between two cells
        at_word[:, 1:] -= flow
        at_word[:, :-1] += flow
    if joined.far:
        at_word[tied, -1] -= x[tied, -1] / lines.far
    if not joined.last:
        at_bit[-1] -= y[-1] / lines.bit[-1]
    if not joined.bit:
        flow = np.diff(y, axis=0) / lines.bit[:-1, None]
        at_bit[1:] -= flow
        at_bit[:-1] += flow
    return at_word, at_bit


def wire_energy(x: np.ndarray, y: np.ndarray, lines: Circuit) -> float:
    """½ xᵀ L_word x + ½ yᵀ L_bit y [W] of one input: half of what the wires turn into heat."""
    joined, tied = lines.topology(), ~lines.floating
    heat = 0.0
    if not joined.first:
        heat += float((x[tied, 0] ** 2).sum()) / lines.word[0]
    if not joined.word:
        heat += float((np.diff(x, axis=1) ** 2 / lines.word[1:]).sum())
    if joined.far:
        heat += float((x[tied, -1] ** 2).sum()) / lines.far
    if not joined.last:
        heat += float((y[-1] ** 2).sum()) / lines.bit[-1]
    if not joined.bit:
        heat += float((np.diff(y, axis=0) ** 2 / lines.bit[:-1, None]).sum())
    return 0.5 * heat


def residual(cell: np.ndarray, driver: np.ndarray, x: np.ndarray, y: np.ndarray, lines: Circuit) -> float:
    """Largest sum of currents at a node over the largest driver current; nodes joined by ideal wires are one.

    cell, x, y (batch, rows, cols); driver: currents that the drivers give (batch, rows) [A].
    """
    joined = lines.topology()
    one_word, one_bit = joined.word and not joined.far, joined.bit
    free_words = lines.floating if joined.first else np.ones(lines.rows, bool)
    sums = [np.zeros(1)]
    for one, drops, rises in zip(cell, x, y, strict=True):  # one input at a time stays in the cache
        at_word, at_bit = imbalance(one, drops, rises, lines)
        sums.append(np.abs(at_word.sum(axis=1)[free_words] if one_word else at_word).max(initial=0.0, keepdims=True))
        if not (joined.bit and joined.last):
            sums.append(np.abs(at_bit.sum(axis=0) if one_bit else at_bit).max(keepdims=True))
    largest = float(np.max([one.max() for one in sums]))
    scale = float(np.abs(driver).max())
    return largest / scale if scale > 0 else largest
