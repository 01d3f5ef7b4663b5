"""Shares of variance against closed forms: additive functions on grids, products, Ishigami's function."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import qmc

from experiments.reporting import sensitivity

numbers = st.floats(-5, 5).map(lambda value: round(value, 3))


def grid(*sizes):
    """Columns of a complete grid."""
    return {
        f"k{place}": np.array(column) for place, column in enumerate(zip(*product(*map(range, sizes)), strict=True))
    }


@settings(deadline=None, max_examples=30)
@given(st.lists(numbers, min_size=2, max_size=4), st.lists(numbers, min_size=2, max_size=5))
def test_an_additive_function_has_the_shares_of_its_terms(f, g):
    factors = grid(len(f), len(g))
    y = np.array(f)[factors["k0"]] + np.array(g)[factors["k1"]]
    total = np.var(f) + np.var(g)
    found = sensitivity.shares(factors, y, complete=sensitivity.is_complete(factors))
    if found is None:
        assert total < 1e-6
        return
    assert found.exact
    assert found.main["k0"] == pytest.approx(np.var(f) / total, abs=1e-9)
    assert found.main["k1"] == pytest.approx(np.var(g) / total, abs=1e-9)
    assert found.rest == pytest.approx(0, abs=1e-9)


def test_a_product_of_centred_keys_is_all_interaction():
    factors = grid(3, 3)
    y = (factors["k0"] - 1.0) * (factors["k1"] - 1.0)
    found = sensitivity.shares(factors, y, complete=True)
    assert found is not None
    assert found.main["k0"] == pytest.approx(0, abs=1e-12)
    assert found.rest == pytest.approx(1)


@pytest.mark.parametrize("points", [500, 2000])
def test_ishigamis_function_on_a_latin_hypercube(points):
    # Ishigami and Homma 1990, a = 7, b = 0.1: V = a²/8 + bπ⁴/5 + b²π⁸/18 + 1/2 and its first-order parts.
    a, b = 7.0, 0.1
    total = a**2 / 8 + b * np.pi**4 / 5 + b**2 * np.pi**8 / 18 + 0.5
    first = [0.5 * (1 + b * np.pi**4 / 5) ** 2 / total, a**2 / 8 / total, 0.0]
    x = np.pi * (2 * qmc.LatinHypercube(3, rng=np.random.default_rng(1)).random(points) - 1)
    y = np.sin(x[:, 0]) + a * np.sin(x[:, 1]) ** 2 + b * x[:, 2] ** 4 * np.sin(x[:, 0])
    found = sensitivity.shares({str(i): x[:, i] for i in range(3)}, y, complete=False)
    assert found is not None
    assert not found.exact
    assert [found.main[str(i)] for i in range(3)] == pytest.approx(first, abs=1.5 / points**0.5)


def test_pure_chance_is_no_key():
    generator = np.random.default_rng(3)
    factors = {"words": generator.choice(["a", "b", "c"], 3000), "number": generator.random(3000)}
    found = sensitivity.shares(factors, generator.random(3000), complete=False)
    assert found is not None
    assert all(share is not None and share < 0.03 for share in found.main.values())


def test_chips_own_scatter_is_told_apart():
    factors = {"k": np.repeat([0, 1], 2)}
    y = np.array([0.0, 0.0, 2.0, 2.0])
    found = sensitivity.shares(factors, y, complete=False, error_variance=np.full(4, 0.25))
    assert found is not None
    assert found.noise == pytest.approx(0.25)
    assert found.main["k"] is None  # four points tell nothing outside a grid


def test_what_cannot_be_told_is_not():
    factors = grid(2, 3)
    assert sensitivity.shares(factors, np.ones(6), complete=True) is None
    assert sensitivity.shares(factors, np.array([1.0, *[np.nan] * 5]), complete=True) is None
    with_gap = sensitivity.shares(factors, np.array([1.0, 2, 3, 4, 5, np.nan]), complete=True)
    assert with_gap is not None
    assert not with_gap.exact


def test_complete_grids_are_known():
    factors = grid(2, 3, 2)
    assert sensitivity.is_complete(factors)
    assert not sensitivity.is_complete({name: column[:-1] for name, column in factors.items()})
    doubled = {name: np.r_[column[:-1], column[0]] for name, column in factors.items()}
    assert not sensitivity.is_complete(doubled)
    assert not sensitivity.is_complete({})


def test_classes_have_about_equal_size_and_keep_equal_values_together():
    values = np.r_[np.zeros(30), np.linspace(1, 2, 70)]
    codes = sensitivity.classes(values)
    assert len(set(codes[:30])) == 1
    assert np.bincount(codes)[1:].max() <= 12
    assert (np.diff(codes) >= 0).all()
