"""The twin of `wires` in torch: for GPUs, and for gradients.

Arrays are eliminated row by row, all arrays of a batch and all inputs at once. What stands above a row is known by the
admittance matrix T (cols, cols) [S] between its bit nodes, drivers at 0 V, and by the current P (rows, cols) [S] that
each driver at 1 V feeds into them while they are held at 0 V. With K the admittances of one row of cells on its word
line,

    U = (1 + r T)⁻¹        T ← T U + K        P ← P U, and one more row K 1

with r the bit-line segment between the two rows. Resistances are never divided by, so 0 Ω is exact and small wires lose
no digits; nor are conductances, so open cells have gradients as well.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from crossbar.circuit import PLAIN, Circuit, Wires, Wiring, circuit
from hwmodels.errors import UserError


def effective_conductance(
    g: torch.Tensor, r_word: float, r_bit: float, r_source: float = 0.0, r_sink: float = 0.0, *, wiring: Wiring = PLAIN
) -> torch.Tensor:
    """`crossbar.effective_conductance` on the device of g, and differentiable with respect to g.

    g: cell conductances [S], floating point, shape (…, rows, cols), finite and ≥ 0; the other arguments as there.
    Returns float64 of the shape of g, on the same device; it agrees with the numba version to 1e-10 of the largest
    entry. A gradient is the product of two voltage drops: d g_eff[i, j] / d g[k, l] is the drop over cell (k, l) with
    1 V at driver i times that with 1 V at sink j; autograd finds it without ever forming them.

    Cost: about 6 rows·cols³ multiply–adds an array, and 2–3 times that with a backward pass, which keeps about
    6 rows·cols² numbers an array (100 MB at 128 × 128). On a CPU the numba version is many times faster for values
    alone. Wide arrays are turned over, drivers for sinks, where all word lines are driven at one end.
    Raises UserError for anything that is not a conductance or a wire resistance.
    """
    lines = circuit(*_checked_shape(g), Wires(r_word, r_bit, r_source, r_sink), wiring)
    cells = g.to(torch.float64)
    if lines.r_access:
        cells = cells / (1 + cells * lines.r_access)
    driven = torch.as_tensor(lines.driven, device=g.device)
    if lines.off:
        cells = cells * driven[:, None]
    if lines.ideal and not lines.floating.any():
        return cells * driven[:, None]
    cells = cells.reshape(-1, lines.rows, lines.cols)
    if lines.cols > lines.rows and lines.driven.all() and np.isinf(lines.far):
        turned = replace(lines, word=lines.bit[::-1], bit=lines.word[::-1], driven=np.ones(lines.cols, bool))
        turned = replace(turned, floating=~turned.driven)
        return _by_rows(cells.flip(1, 2).mT, turned).mT.flip(1, 2).reshape(g.shape)
    return _by_rows(cells, lines).reshape(g.shape)


def _checked_shape(g: torch.Tensor) -> tuple[int, int]:
    if not torch.is_floating_point(g):
        raise UserError(f"g has dtype {g.dtype}. Give conductances in siemens as floating point numbers.")
    if g.ndim < 2 or 0 in g.shape[-2:]:
        way_out = "Give conductances of shape (…, rows, cols) with at least one cell"
        raise UserError(f"g has shape {tuple(g.shape)}. {way_out}.")
    bad = ~(torch.isfinite(g) & (g >= 0))
    if bool(bad.any()):
        cell = bad.nonzero()[0].tolist()
        way_out = "Conductances are finite and at least 0 S; 0 is an open crossing"
        raise UserError(f"g{cell} = {g[tuple(cell)].item()} S is no conductance. {way_out}.")
    return g.shape[-2], g.shape[-1]


def _word_resistance(lines: Circuit) -> np.ndarray:
    """Voltage of word node j for 1 A into word node k, (cols, cols) [Ω], the drivers at 0 V.

    Of a floating word line: above its first node.
    """
    near = np.cumsum(lines.word)
    if np.isinf(lines.far):
        return np.minimum.outer(near, near)
    whole = near[-1] + lines.far
    return np.minimum.outer(near, near) * (whole - np.maximum.outer(near, near)) / whole


def _admittance(g: torch.Tensor, resistance: torch.Tensor) -> torch.Tensor:
    """(G⁻¹ + R)⁻¹ = (1 + G R)⁻¹ G of one row of cells g (arrays, cols) [S], (arrays, cols, cols) [S]."""
    eye = torch.eye(g.shape[-1], dtype=g.dtype, device=g.device)
    found = torch.linalg.solve(eye + g[:, :, None] * resistance, torch.diag_embed(g))
    return (found + found.mT) / 2


def _row(g: torch.Tensor, tied: bool, resistance: torch.Tensor, apart: torch.Tensor) -> torch.Tensor:
    """Admittances K (arrays, cols, cols) [S] between the bit nodes of one row; a floating word line is eliminated."""
    if tied:
        return _admittance(g, resistance)
    found = _admittance(g, apart)
    sums = found.sum(dim=-1)
    total = sums.sum(dim=-1)[:, None, None]
    open_row = total == 0
    link = sums[:, :, None] * sums[:, None, :] / torch.where(open_row, torch.ones_like(total), total)
    return found - torch.where(open_row, torch.zeros_like(link), link)


def _by_rows(g: torch.Tensor, lines: Circuit) -> torch.Tensor:
    """g_eff of g (arrays, rows, cols)."""
    options = {"dtype": g.dtype, "device": g.device}
    resistance = torch.as_tensor(_word_resistance(lines), **options)
    near = np.cumsum(lines.word) - lines.word[0]
    apart = torch.as_tensor(np.minimum.outer(near, near), **options)
    eye = torch.eye(lines.cols, **options)
    t = torch.zeros(len(g), lines.cols, lines.cols, **options)
    p = torch.zeros(len(g), 0, lines.cols, **options)
    for i in range(lines.rows):
        k = _row(g[:, i], not lines.floating[i], resistance, apart)
        fed = k.sum(dim=-1) if lines.driven[i] else torch.zeros_like(g[:, i])
        t, p = t + k, torch.cat([p, fed[:, None]], dim=1)
        if lines.bit[i] > 0:
            both = torch.linalg.solve(eye + lines.bit[i] * t, torch.cat([t, p.mT], dim=2))
            t, p = both[:, :, : lines.cols], both[:, :, lines.cols :].mT
            t = (t + t.mT) / 2
    return p
