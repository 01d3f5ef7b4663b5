"""Pictures of one array as files: voltages, currents and IR drop side by side."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from crossbar import effective_conductance, pictures, solve
from experiments import drawing


def maps(g: np.ndarray, v: np.ndarray, wires: tuple[float, float, float, float], name: str) -> drawing.Draw:
    """The maps of an array for its first input: word-line voltage, cell current, what the wires take.

    g: (rows, cols) [S]; v: (batch, rows) [V]; wires: r_word, r_bit, r_source, r_sink [Ω].
    """
    solution = solve(g, v[:1], *wires)
    behind = effective_conductance(g, *wires)

    def draw(figure: Figure) -> None:
        figure.set_figheight(5.2)
        grid = figure.subplots(2, 2).ravel()
        pictures.voltage_map(grid[0], solution, "word")
        pictures.voltage_map(grid[1], solution, "bit")
        pictures.current_map(grid[2], solution, g)
        pictures.ir_drop_map(grid[3], g, behind)
        figure.suptitle(name, x=0.01, ha="left", fontweight="bold", fontsize=9)

    return draw
