import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from crossbar import effective_conductance, pictures, solve
from hwmodels.errors import UserError

G = np.array([[0.0, 2e-5, 3e-5], [4e-5, 0.0, 6e-5]])


@pytest.fixture
def axes():
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.subplots()


@pytest.fixture
def solution():
    return solve(G, [[0.2, 0.1], [0.1, 0.0]], 100.0, 200.0)


def test_the_cells_currents_add_up_to_the_bit_lines(axes, solution):
    for sample in (0, 1):
        shown = np.asarray(pictures.current_map(axes, solution, G, sample).get_array().filled(0))
        assert np.allclose(shown.sum(axis=0) * 1e-6, solution.currents[sample])
    axes.figure.canvas.draw()


def test_open_cells_stay_blank(axes, solution):
    for image in (
        pictures.current_map(axes, solution, G),
        pictures.ir_drop_map(axes, G, effective_conductance(G, 100.0, 200.0)),
    ):
        assert np.array_equal(np.ma.getmaskarray(image.get_array()), G == 0)


def test_voltages_in_millivolts(axes, solution):
    shown = {line: pictures.voltage_map(axes, solution, line).get_array() for line in ("word", "bit", "cell")}
    assert np.allclose(shown["word"] - shown["bit"], shown["cell"])
    assert np.all(shown["word"][0] < 200)
    assert np.all(shown["bit"] > 0)


def test_the_loss_to_the_wires_is_that_of_the_effective_conductance(axes):
    behind = effective_conductance(G, 100.0, 200.0)
    shown = pictures.ir_drop_map(axes, G, behind).get_array()
    assert np.allclose(shown.compressed(), 100 * (1 - behind[G > 0] / G[G > 0]))
    assert shown.min() > 0


def test_no_wires_no_loss(axes):
    assert np.all(pictures.ir_drop_map(axes, G, G).get_array().compressed() == 0)


def test_mistakes_are_named(axes, solution):
    with pytest.raises(UserError, match="Did you mean 'word'"):
        pictures.voltage_map(axes, solution, "wrd")
    with pytest.raises(UserError, match="sample = 2: the solution holds the inputs 0 to 1"):
        pictures.voltage_map(axes, solution, sample=2)
    with pytest.raises(UserError, match=r"g has shape \(1, 3\)"):
        pictures.current_map(axes, solution, G[:1])
    with pytest.raises(UserError, match="they are one array"):
        pictures.ir_drop_map(axes, G, G[:1])
