import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossbar.tiling import LayerShape, arrays_needed, block_bounds, from_matrix, to_matrix


@given(groups=st.integers(1, 3), out=st.integers(1, 4), inside=st.integers(1, 3), kernel=st.integers(1, 3))
def test_lowering_is_undone(groups, out, inside, kernel):
    weight = torch.randn(groups * out, inside, kernel, kernel)
    matrix = to_matrix(weight, groups)
    assert tuple(matrix.shape) == (groups, inside * kernel * kernel, out)
    assert torch.equal(from_matrix(matrix, tuple(weight.shape)), weight)


def test_columns_are_filters_and_rows_run_in_c_order():
    weight = np.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2)
    matrix = to_matrix(weight)[0]
    assert np.array_equal(matrix[:, 1], weight[1].ravel())
    assert np.array_equal(matrix, weight.reshape(2, -1).T)


@pytest.mark.parametrize(
    ("rows", "cols", "arrays"), [(1, 1, 1), (128, 64, 1), (129, 64, 2), (256, 128, 4), (0, 5, 0), (500, 50, 16 * 2)]
)
def test_arrays_needed(rows, cols, arrays):
    array_rows, array_cols = (32, 32) if rows == 500 else (128, 64)
    assert arrays_needed(rows, cols, array_rows, array_cols) == arrays


def test_block_bounds_end_ragged():
    assert block_bounds(10, 4).tolist() == [0, 4, 8, 10]
    assert block_bounds(8, 4).tolist() == [0, 4, 8]


def test_a_layers_counts():
    shape = LayerShape(rows=25, cols=20, groups=2, positions=576)
    assert shape.weights == 1000
    assert shape.macs == 576_000
