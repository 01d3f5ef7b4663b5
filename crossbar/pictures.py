"""Pictures of one array: voltages, currents and what the wires take away; each draws on the Axes that it is given.

matplotlib is not imported here: an Axes brings all that is needed, so `import crossbar` stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from crossbar.circuit_input import checked_conductances
from crossbar.nodal import Solution
from hwmodels.errors import UserError, unknown

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def voltage_map(axes: Axes, solution: Solution, line: Literal["word", "bit", "cell"] = "word", sample: int = 0) -> Any:
    """Voltages of an array as a map over its cells [mV]; returns the image.

    solution: of `solve`. line: the end of a cell at its word line, at its bit line, or the voltage across it.
    sample: which input of the batch. Raises UserError for another line, or a sample that is not there.
    """
    lines = {"word": "word lines", "bit": "bit lines", "cell": "across the cells"}
    if line not in lines:
        raise unknown("line", line, lines)
    _check_sample(solution, sample)
    word, bit = solution.v_word[sample], solution.v_bit[sample]
    volts = {"word": word, "bit": bit, "cell": word - bit}[line]
    return _map(axes, volts * 1e3, f"voltage, {lines[line]} [mV]", "viridis")


def current_map(axes: Axes, solution: Solution, g: ArrayLike, sample: int = 0) -> Any:
    """Current through every cell [µA], from its word line to its bit line; open cells stay blank. Returns the image.

    solution: of `solve` for these conductances g (rows, cols) [S]; sample: which input of the batch.
    Raises UserError where g does not fit the solution, or for a sample that is not there.
    """
    g = checked_conductances(g, dimensions=2)
    _check_sample(solution, sample)
    if g.shape != solution.v_word.shape[1:]:
        raise UserError(f"g has shape {g.shape}, but the solution is of {solution.v_word.shape[1:]} cells.")
    current = np.where(g > 0, g * (solution.v_word[sample] - solution.v_bit[sample]), np.nan)
    return _map(axes, current * 1e6, "cell current [µA]", "magma")


def ir_drop_map(axes: Axes, g: ArrayLike, g_eff: ArrayLike) -> Any:
    """What the wires take of every cell's conductance, 1 − g_eff / g [%]; open cells stay blank. Returns the image.

    g: (rows, cols) [S]; g_eff: its `effective_conductance` [S]. Raises UserError for different shapes.
    """
    g, behind = checked_conductances(g, dimensions=2), checked_conductances(g_eff, dimensions=2)
    if g.shape != behind.shape:
        raise UserError(f"g has shape {g.shape}, g_eff {behind.shape}: they are one array without and with its wires.")
    loss = np.full(g.shape, np.nan)
    np.divide(g - behind, g, out=loss, where=g > 0)
    return _map(axes, 100 * loss, "lost to the wires [%]", "magma_r")


def _check_sample(solution: Solution, sample: int) -> None:
    if not 0 <= sample < len(solution.currents):
        raise UserError(f"sample = {sample}: the solution holds the inputs 0 to {len(solution.currents) - 1}.")


def _map(axes: Axes, values: np.ndarray, label: str, colours: str) -> Any:
    """A map with its colour bar; cell (0, 0), next to driver 0 and farthest from the read-outs, stands top left."""
    image = axes.imshow(values, cmap=colours, interpolation="nearest", aspect="auto")
    axes.set_xlabel("bit line")
    axes.set_ylabel("word line")
    figure = axes.get_figure()
    assert figure is not None
    bar = figure.colorbar(image, ax=axes, label=label, format="%.5g")  # 199.98, not +1.999e2 beside the bar
    bar.minorticks_off()
    return image
