import numpy as np
import pytest

from crossbar.encodings import OffsetEncoding, Slicing


@pytest.mark.parametrize(("levels", "slices"), [(4, 1), (16, 1), (4, 4)])
def test_even_counts_reach_one_further_down(levels, slices):
    """The codes 0 … N − 1 less N/2, whatever g_min is: the bias of ISAAC."""
    count = levels**slices
    values = OffsetEncoding(Slicing(np.linspace(1e-6, 1e-5, levels), (levels,) * slices)).values
    assert np.allclose(values * (count // 2), np.arange(-count // 2, count // 2))


def test_odd_counts_are_symmetric():
    values = OffsetEncoding(Slicing(np.linspace(1e-6, 1e-5, 5), (5,))).values
    assert np.allclose(values, [-1, -0.5, 0, 0.5, 1])


def test_dummy_columns_hold_the_digits_of_the_offset():
    slicing = Slicing(np.linspace(1e-6, 4e-6, 4), (4, 4))
    assert OffsetEncoding(slicing, "analog").reference_codes.tolist() == [0, 2]  # 8 of 16, in base 4
    assert OffsetEncoding(slicing, "digital").reference_codes is None


def test_the_digital_reference_has_g_min_in_it():
    """Every cell of 16 on two slices: 8 steps and 1 + 4 times g_min, for each unit of input."""
    slicing = Slicing(np.linspace(1e-6, 4e-6, 4), (4, 4))
    assert OffsetEncoding(slicing).input_weight_s(None, 2) == pytest.approx([-13e-6, -13e-6])
    assert OffsetEncoding(slicing, "analog").input_weight_s(None, 2) is None


def test_a_pruned_weight_stands_at_the_offset():
    encoding = OffsetEncoding(Slicing(np.linspace(1e-6, 4e-6, 4), (4,)))
    codes = encoding.encode(np.array([[3, 3]]), np.array([[True, False]])).codes
    assert codes.tolist() == [[[3, 2]]]
