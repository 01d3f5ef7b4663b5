import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crossbar.encodings import CellCodes, FlippedEncoding, Slicing

SLICING = Slicing(np.linspace(1e-6, 4e-6, 4), (4, 4))


@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_no_column_holds_more_than_half(rows, seed):
    index = np.random.default_rng(seed).integers(0, 16, (rows, 12))
    codes = FlippedEncoding(SLICING).encode(index, np.ones(index.shape, dtype=bool)).codes
    assert np.all(2 * codes.sum(axis=1) <= rows * 3)


def test_a_heavy_column_stores_complements():
    encoding = FlippedEncoding(SLICING)
    cells = encoding.encode(np.array([[15, 0, 12], [14, 1, 3]]), np.ones((2, 3), dtype=bool))
    assert cells.signs.tolist() == [[-1, 1, 1], [-1, 1, 1]]  # digits (3, 2 | 3, 3), (0, 1 | 0, 0), (0, 3 | 3, 0)
    assert cells.codes[0].tolist() == [[0, 0, 0], [1, 1, 3]]
    assert cells.codes[1].tolist() == [[0, 0, 3], [0, 0, 0]]


def test_without_its_flips_a_column_is_another_one():
    encoding = FlippedEncoding(SLICING)
    index, live = np.full((2, 1), 15), np.ones((2, 1), dtype=bool)
    cells = encoding.encode(index, live)
    read = encoding.decode(CellCodes(cells.codes, np.ones_like(cells.signs)))[0]
    assert np.array_equal(read, np.zeros((2, 1)))
