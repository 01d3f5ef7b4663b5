import numpy as np
import pytest

from crossbar.encodings import OPEN, PairEncoding, Slicing


def _pair(g, slices, idle, subtraction="digital"):
    return PairEncoding(Slicing(g, (g.size,) * slices), idle, subtraction)


@pytest.mark.parametrize(("slices", "count"), [(1, 32), (2, 512)])
def test_the_papers_device_has_the_papers_levels(slices, count):
    """16 levels per cell: 5-bit weights on one cell, 9-bit weights on two, zero not among them (Yuan et al. 2019)."""
    values = _pair(np.linspace(1e-7, 1e-6, 16), slices, "open").values
    assert values.size == count
    positive = values[values > 0]
    assert np.allclose(np.diff(positive), np.diff(positive)[0])
    assert positive[0] == pytest.approx(0.1)  # g_min / g_max on every slice


def test_real_idle_cells_hold_zero():
    assert np.allclose(_pair(np.linspace(1e-6, 1e-5, 4), 1, "hrs").values, [-1, -2 / 3, -1 / 3, 0, 1 / 3, 2 / 3, 1])


def test_a_dead_crossing_is_open_or_a_real_cell():
    g = np.linspace(1e-6, 1e-5, 4)
    dead, index = np.zeros((1, 1), dtype=bool), np.zeros((1, 1), dtype=np.uint8)
    opened, real = _pair(g, 2, "open"), _pair(g, 2, "hrs")
    assert np.all(opened.encode(index, dead).codes == OPEN)
    assert np.all(opened.conductances(opened.encode(index, dead).codes) == 0)
    assert np.all(real.conductances(real.encode(index, dead).codes) == g[0])


def test_planes_are_positive_slices_then_negative_ones():
    pair = _pair(np.linspace(0, 3e-6, 4), 2, "open")
    assert pair.planes == ((1, 0), (1, 1), (-1, 0), (-1, 1))
    assert list(pair.plane_weights) == [1, 4, -1, -4]
    assert list(_pair(np.linspace(0, 3e-6, 4), 2, "open", "analog").plane_weights) == [1, 4]
    codes = pair.encode(np.array([[0, 31]]), np.ones((1, 2), dtype=bool)).codes[:, 0]
    assert codes.tolist() == [[OPEN, 3], [OPEN, 3], [3, OPEN], [3, OPEN]]
