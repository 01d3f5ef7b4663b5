"""Pictures of one array as files: voltages, currents and IR drop side by side."""

from __future__ import annotations

from matplotlib.figure import Figure

from crossbar import Solution, effective_conductance, pictures
from crossbar.array_circuit import ArrayCircuit
from experiments.reporting import drawing


def maps(array: ArrayCircuit, solution: Solution, name: str) -> drawing.Draw:
    """The maps of an array for its first input: voltages of both lines, cell current, what the wires take."""
    behind = effective_conductance(array.g, *array.wires, wiring=array.wiring)

    def draw(figure: Figure) -> None:
        figure.set_figheight(5.2)
        grid = figure.subplots(2, 2).ravel()
        pictures.voltage_map(grid[0], solution, "word")
        pictures.voltage_map(grid[1], solution, "bit")
        pictures.current_map(grid[2], solution, array.g)
        pictures.ir_drop_map(grid[3], array.g, behind)
        figure.suptitle(name, x=0.01, ha="left", fontweight="bold", fontsize=9)

    return draw
