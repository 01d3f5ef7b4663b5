"""IR drop, nearly: word lines and bit lines one by one, for sweeps that look at many arrays.

With every bit node held at 0 V a word line is a chain: a[i, j] is what its driver's volt leaves at cell (i, j). With
every word node held, a bit line is one: b[i, j] is the share of a cell's current that reaches the sink. Current that
does not reach it goes back into word lines, and part of that into bit lines again:

    g_eff = a g b + E,    E[i, j] ≥ 0 the sum over all such round trips

as all steps are inverses of M-matrices, without a negative entry. The sums of E along rows and columns cost a walk
along all lines for each round trip and no more, and no node's voltage is more than ρ = max(1 − a) · max(1 − b) of the
largest one a round trip before. E is taken as the matrix of rank one with these sums. It is not negative either, so for
inputs from 0 to 1 V neither it nor E gives a column more than its sum: that is the bound.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from crossbar.circuit import PLAIN, Wires, Wiring, circuit
from crossbar.circuit_input import checked_conductances
from hwmodels.errors import UserError

LIMIT = 0.05
"""Largest error bound, as a share of a column's current with all inputs at 1 V, that raises no warning."""

_STEPS = 8
"""Round trips followed at most; inside the limit one or two are enough."""

_CELLS = 1 << 18
"""Cells that are worth a task of their own."""


class ApproximationWarning(UserWarning):
    """The fast approximation was used where its error bound is large."""


@dataclass(frozen=True, eq=False)
class Approximation:
    """g_eff (…, rows, cols) [S], and bound_s (…, cols) [S]: with inputs from 0 to v volts a current of v @ g_eff [A] is
    off by at most v · bound_s, with inputs of both signs by twice that.
    """

    g_eff: np.ndarray
    bound_s: np.ndarray

    def share(self) -> float:
        """The largest bound as a share of its column's current with all inputs at the same voltage."""
        currents = self.g_eff.sum(axis=-2)
        return float(np.divide(self.bound_s, currents, out=np.zeros_like(currents), where=currents > 0).max(initial=0))


def approximate_conductance(
    g: ArrayLike,
    r_word: float,
    r_bit: float,
    r_source: float = 0.0,
    r_sink: float = 0.0,
    *,
    wiring: Wiring = PLAIN,
    limit: float = LIMIT,
) -> Approximation:
    """`effective_conductance`, about 20 times faster at 128 × 128 cells and not exact, in O(rows · cols).

    Arguments as there. Returns an `Approximation` with its error bound, which is proven, not estimated; the error
    itself was 20 to 40 times smaller on every random array measured: docs/wires.md has the table. Ideal word lines or
    ideal bit lines are exact. Warns (ApproximationWarning) where a bound exceeds `limit` times its column's current:
    roughly where wires take more than a third of a current.
    Raises UserError for bad input.
    """
    g = checked_conductances(g)
    if not limit > 0:
        raise UserError(f"limit = {limit!r} lets nothing pass. Give a share of a column's current, such as {LIMIT}.")
    lines = circuit(g.shape[-2], g.shape[-1], Wires(r_word, r_bit, r_source, r_sink), wiring)
    arrays = np.ascontiguousarray(lines.cells(g).reshape(-1, *g.shape[-2:]))
    g_eff, bound = np.empty_like(arrays), np.empty((len(arrays), lines.cols))

    def work(start: int) -> None:
        from crossbar.wires_fast_kernels import approximate

        spare = np.empty((9, lines.rows, lines.cols))
        for array in range(start, min(start + step, len(arrays))):
            approximate(
                arrays[array],
                lines.word,
                lines.bit,
                lines.far,
                ~lines.floating,
                lines.driven,
                _STEPS,
                g_eff[array],
                bound[array],
                spare,
            )

    step = max(1, _CELLS // arrays[:1].size) if arrays.size else 1
    _spread(work, range(0, len(arrays), step))
    found = Approximation(g_eff.reshape(g.shape), bound.reshape(*g.shape[:-2], lines.cols))
    share = found.share()
    if share > limit:
        warnings.warn(
            f"The fast approximation of the wires may be off by {100 * share:.2g} % of a column's current, more than "
            f"the {100 * limit:.2g} % allowed. Use effective_conductance (wire_model = 'exact') for these arrays.",
            ApproximationWarning,
            stacklevel=2,
        )
    return found


def _spread(work: Callable[[int], None], starts: range) -> None:
    """Do the work from each start, over numba's threads."""
    import numba

    threads = min(numba.get_num_threads(), len(starts))
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, starts))
        return
    for start in starts:
        work(start)
