import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbar.encodings import OPEN, PairEncoding, Slicing


@given(st.lists(st.integers(2, 9), min_size=1, max_size=4))
def test_digits_are_the_number_in_mixed_radix(radices):
    slicing = Slicing(np.arange(1, 10) * 1e-6, tuple(radices))
    assert slicing.count == np.prod(radices)
    assert np.array_equal(slicing.number(slicing.digits.T), np.arange(slicing.count))
    assert np.all(slicing.digits < np.array(radices))
    assert np.array_equal(slicing.digits @ slicing.weights, np.arange(slicing.count))


def test_eight_bits_as_three_three_two_on_cells_of_eight_levels():
    slicing = Slicing(np.linspace(0, 7e-6, 8), (8, 8, 4))
    assert slicing.count == 256
    assert list(slicing.weights) == [1, 8, 64]
    values = PairEncoding(slicing, "hrs").values
    assert np.allclose(values, np.arange(-255, 256) / 255)


@pytest.mark.parametrize(
    ("g", "unit"),
    [
        (np.linspace(1e-7, 1e-6, 16), 2e-8),
        (np.linspace(1e-6, 4e-6, 4), 1e-6),
        (np.array([1.0, np.sqrt(2), np.pi]) * 1e-6, None),
    ],
)
def test_the_grid_unit_divides_every_level(g, unit):
    found = Slicing(g, (g.size,)).grid_unit_s
    if unit is None:
        assert found is None
    else:
        assert found == pytest.approx(unit)
        assert np.allclose(g / found, np.round(g / found), atol=1e-7)


def test_open_crossings_have_no_conductance():
    assert list(Slicing(np.array([1e-6, 2e-6]), (2,)).conductances(np.array([0, 1, OPEN]))) == [1e-6, 2e-6, 0]


def test_sums_that_coincide_are_kept_once():
    """Levels 0, 1, 3 in radix 3: 0·1 + 3·1 and 3·1 + 3·0 both give 3."""
    sums, digits = Slicing(np.array([0.0, 1.0, 3.0]), (3, 3)).distinct(0.0)
    assert np.array_equal(sums, [0, 1, 3, 4, 6, 9, 10, 12])
    assert len(digits) == 8
