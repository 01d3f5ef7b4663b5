import numpy as np
import pytest

from crossbar.encodings import MixedSignsError, PolarisedEncoding, Slicing

SLICING = Slicing(np.linspace(1e-6, 4e-6, 4), (4,))
ALL = np.ones((6, 2), dtype=bool)


def test_a_fragment_of_both_signs_is_named():
    index = np.full((6, 2), 7)
    index[4, 1] = 0
    with pytest.raises(MixedSignsError, match="Rows 3 to 5 of column 1 hold weights of both signs") as raised:
        PolarisedEncoding(SLICING, "open", 3).encode(index, ALL)
    assert (raised.value.first, raised.value.last, raised.value.col) == (3, 5, 1)


def test_a_dead_weight_has_no_sign():
    index = np.full((6, 2), 7)
    index[4, 1] = 0
    live = ALL.copy()
    live[4, 1] = False
    cells = PolarisedEncoding(SLICING, "open", 3).encode(index, live)
    assert cells.signs.tolist() == [[1, 1], [1, 1]]


def test_a_zero_has_no_sign():
    """With real idle cells zero is a level; it goes with either sign."""
    index = np.array([[0], [3], [0]])  # −1, 0, −1
    cells = PolarisedEncoding(SLICING, "hrs", 3).encode(index, np.ones((3, 1), dtype=bool))
    assert cells.signs.tolist() == [[-1]]
    assert cells.codes.tolist() == [[[3], [0], [3]]]


def test_every_fragment_has_its_own_sign():
    index = np.repeat([[7, 0], [0, 7]], 3, axis=0)
    cells = PolarisedEncoding(SLICING, "open", 3).encode(index, ALL)
    assert cells.signs.tolist() == [[1, -1], [-1, 1]]
    assert np.all(cells.codes == 3)
