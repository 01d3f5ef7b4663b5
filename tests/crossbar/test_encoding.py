import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbar.encoding import OPEN, PairEncoding


@st.composite
def encodings(draw):
    levels = draw(st.integers(2, 9))
    slices = draw(st.integers(1, 3))
    even = draw(st.booleans())
    g = np.linspace(1e-7, 1e-6, levels) if even else np.cumsum(draw(_steps(levels)))
    return PairEncoding(g_s=g, slices=slices, idle=draw(st.sampled_from(["open", "hrs"])))


def _steps(levels):
    return st.lists(st.floats(1e-8, 1e-6), min_size=levels, max_size=levels).map(np.array)


@given(encodings(), st.integers(0, 2**32 - 1))
def test_decode_undoes_encode(encoding, seed):
    rng = np.random.default_rng(seed)
    index = rng.integers(0, encoding.values.size, (5, 4))
    live = rng.random((5, 4)) < 0.7
    found, present = encoding.decode(encoding.encode(index, live))
    assert np.array_equal(found[live], index[live])
    if encoding.idle == "open":
        assert np.array_equal(present, live)


@given(encodings(), st.integers(0, 2**32 - 1))
def test_the_cells_give_the_level_value(encoding, seed):
    """Σ slices Lˢ·(g₊ − g₋) is the level's value in units of the largest, whatever the encoding."""
    index = np.random.default_rng(seed).integers(0, encoding.values.size, (6, 3))
    g = encoding.conductances(encoding.encode(index, np.ones((6, 3), dtype=bool)))
    weight = np.tensordot(encoding.slice_weights, g[0] - g[1], axes=(0, 0))
    assert np.allclose(weight / encoding.full_scale_s, encoding.values[index], rtol=0, atol=1e-8)


@given(encodings())
def test_levels_are_symmetric_and_ascending(encoding):
    values = encoding.values
    assert np.all(np.diff(values) > 0)
    assert np.array_equal(values, -values[::-1])
    assert values[-1] == 1
    assert (0.0 in values) == (encoding.idle == "hrs")


@pytest.mark.parametrize(("slices", "count"), [(1, 32), (2, 512)])
def test_the_papers_device_has_the_papers_levels(slices, count):
    """16 levels per cell: 5-bit weights on one cell, 9-bit weights on two, zero not among them (Yuan et al. 2019)."""
    g = np.linspace(1e-7, 1e-6, 16)
    values = PairEncoding(g_s=g, slices=slices, idle="open").values
    assert values.size == count
    positive = values[values > 0]
    assert np.allclose(np.diff(positive), np.diff(positive)[0])
    assert positive[0] == pytest.approx(0.1)  # g_min / g_max on every slice


def test_real_idle_cells_hold_zero():
    values = PairEncoding(g_s=np.linspace(1e-6, 1e-5, 4), slices=1, idle="hrs").values
    assert np.allclose(values, [-1, -2 / 3, -1 / 3, 0, 1 / 3, 2 / 3, 1])


def test_a_dead_crossing_is_open_or_a_real_cell():
    g = np.linspace(1e-6, 1e-5, 4)
    dead = np.zeros((1, 1), dtype=bool)
    index = np.zeros((1, 1), dtype=np.uint8)
    opened = PairEncoding(g_s=g, slices=2, idle="open")
    real = PairEncoding(g_s=g, slices=2, idle="hrs")
    assert np.all(opened.encode(index, dead) == OPEN)
    assert np.all(opened.conductances(opened.encode(index, dead)) == 0)
    assert np.all(real.conductances(real.encode(index, dead)) == g[0])


@pytest.mark.parametrize(
    ("g", "unit"),
    [
        (np.linspace(1e-7, 1e-6, 16), 2e-8),  # 5, 8, … 50 twentieths of a nanosiemens times a thousand
        (np.linspace(1e-6, 4e-6, 4), 1e-6),
        (np.array([1.0, np.sqrt(2), np.pi]) * 1e-6, None),
    ],
)
def test_the_grid_unit_divides_every_level(g, unit):
    found = PairEncoding(g_s=g, slices=1, idle="open").grid_unit_s
    if unit is None:
        assert found is None
    else:
        assert found == pytest.approx(unit)
        assert np.allclose(g / found, np.round(g / found), atol=1e-7)
