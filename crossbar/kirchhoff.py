"""What wires carry, given the drops x and the rises y of `nodal`: sums of currents at their nodes, and their heat."""

from __future__ import annotations

import numpy as np

from crossbar.circuit import Wires


def imbalance(cell: np.ndarray, x: np.ndarray, y: np.ndarray, wires: Wires) -> tuple[np.ndarray, np.ndarray]:
    """Currents (…, rows, cols) [A] that cells draw from word nodes and feed to bit nodes, less what the wires carry.

    cell: currents of the cells [A]. Where an ideal wire makes nodes one, only the sum over them means something.
    """
    at_word, at_bit = cell.copy(), cell.copy()
    if wires.r_word > 0:
        flow = np.diff(x, axis=-1, prepend=0.0) / wires.r_word  # current through the segment before every cell
        flow[..., 0] = x[..., 0] / wires.r_first
        at_word -= flow
        at_word[..., :-1] += flow[..., 1:]
    elif wires.r_first > 0:
        at_word[..., 0] -= x[..., 0] / wires.r_first
    if wires.r_bit > 0:
        flow = -np.diff(y, axis=-2, append=0.0) / wires.r_bit  # current through the segment after every cell
        flow[..., -1, :] = y[..., -1, :] / wires.r_last
        at_bit -= flow
        at_bit[..., 1:, :] += flow[..., :-1, :]
    elif wires.r_last > 0:
        at_bit[..., -1, :] -= y[..., -1, :] / wires.r_last
    return at_word, at_bit


def wire_energy(x: np.ndarray, y: np.ndarray, wires: Wires) -> float:
    """½ xᵀ L_word x + ½ yᵀ L_bit y [W] of one input: half of what the wires turn into heat."""
    heat = 0.0
    if wires.r_first > 0:
        heat += float((x[:, 0] ** 2).sum()) / wires.r_first
    if wires.r_word > 0:
        heat += float((np.diff(x, axis=1) ** 2).sum()) / wires.r_word
    if wires.r_last > 0:
        heat += float((y[-1] ** 2).sum()) / wires.r_last
    if wires.r_bit > 0:
        heat += float((np.diff(y, axis=0) ** 2).sum()) / wires.r_bit
    return 0.5 * heat


def residual(cell: np.ndarray, driver: np.ndarray, x: np.ndarray, y: np.ndarray, wires: Wires) -> float:
    """Largest sum of currents at a node over the largest driver current; nodes joined by ideal wires are one.

    cell, x, y (batch, rows, cols); driver: currents that the drivers give (batch, rows) [A].
    """
    largest = 0.0
    for one, drops, rises in zip(cell, x, y, strict=True):  # one input at a time stays in the cache
        at_word, at_bit = imbalance(one, drops, rises, wires)
        if wires.r_first > 0:
            largest = max(largest, float(np.abs(at_word if wires.r_word > 0 else at_word.sum(axis=1)).max()))
        if wires.r_last > 0:
            largest = max(largest, float(np.abs(at_bit if wires.r_bit > 0 else at_bit.sum(axis=0)).max()))
    scale = float(np.abs(driver).max())
    return largest / scale if scale > 0 else largest
