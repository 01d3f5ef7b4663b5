import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodels import UserError, required_adc_bits, required_adc_bits_of


@pytest.mark.parametrize(
    ("rows", "w", "v", "bits"),
    [(128, 2, 1, 9), (128, 1, 1, 8), (256, 1, 1, 9), (64, 4, 1, 10), (8, 2, 1, 5), (4, 2, 1, 4), (128, 2, 2, 11)],
)
def test_the_published_table(rows, w, v, bits):
    assert required_adc_bits(rows, 2**w, v) == bits
    # ISAAC's rule agrees, as all of these rows are powers of two
    assert bits == math.log2(rows) + v + w - (v == 1 or w == 1)


@pytest.mark.parametrize(("rows", "w", "v", "rule", "exact"), [(100, 1, 1, 8, 7), (9, 2, 2, 8, 7), (16, 2, 1, 6, 6)])
def test_the_exact_form_asks_less_than_the_rule_for_other_rows(rows, w, v, rule, exact):
    assert math.ceil(math.log2(rows) + v + w - (v == 1 or w == 1)) == rule
    assert required_adc_bits(rows, 2**w, v) == exact


def test_encodings():
    assert required_adc_bits(128, 4, encoding="flipped") == 8  # ISAAC
    assert [required_adc_bits(rows, 4, encoding="forms") for rows in (16, 8, 4)] == [5, 4, 3]  # as FORMS prints them
    assert [required_adc_bits(rows, 4) for rows in (16, 8, 4)] == [6, 5, 4]
    assert required_adc_bits(16, 4) == 6  # column-balanced: 16 live cells of 128
    assert required_adc_bits(8, 4, subtracted_pair=True) == 6
    assert required_adc_bits(0, 4) == 0
    # an uncancelled g_min of 0.5 steps: 128 · 3.5 = 448 still fits 9 bits, of 4.5 steps (128 · 7.5 = 960) 10
    assert required_adc_bits(128, 4, baseline_steps=0.5) == 9
    assert required_adc_bits(128, 4, baseline_steps=4.5) == 10
    # … that all 128 driven cells hold, 16 of them live: 16 · 3 + 128 · 0.5 = 112, instead of 16 · 3.5 = 56
    assert required_adc_bits(16, 4, baseline_steps=0.5, baseline_rows=128) == 7
    assert required_adc_bits(16, 4, baseline_steps=0.5) == 6
    # flipping halves what the levels add up to, not what g_min adds: 192 + 128, or 192 without it
    assert required_adc_bits(128, 4, baseline_steps=1, encoding="flipped") == 9
    assert required_adc_bits(3, 2, 2, encoding="flipped") == 2  # one cell of three at most, inputs up to 3


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 300), levels=st.integers(2, 16), v=st.integers(1, 4))
def test_the_safe_form_is_the_logarithm(rows, levels, v):
    largest = rows * (2**v - 1) * (levels - 1)
    assert required_adc_bits(rows, levels, v) == math.ceil(math.log2(largest + 1))
    assert required_adc_bits(rows, levels, v, subtracted_pair=True) == math.ceil(math.log2(2 * largest + 1))


@settings(max_examples=40, deadline=None)
@given(data=st.data(), v=st.integers(1, 2), signed=st.booleans())
def test_the_tight_form_against_every_input(data, v, signed):
    rows = data.draw(st.integers(1, 4))
    cell = st.integers(-3 if signed else 0, 3)
    column = np.array(data.draw(st.lists(cell, min_size=rows, max_size=rows)))
    sums = [int(np.dot(x, column)) for x in itertools.product(range(2**v), repeat=rows)]
    codes = max(sums) - min(sums) + 1
    bits = int(required_adc_bits_of(column[:, None], v)[0])
    assert 2**bits >= codes
    assert bits == 0 or 2 ** (bits - 1) < codes
    live = int(np.count_nonzero(column))
    assert bits <= required_adc_bits(live, 4, v, subtracted_pair=signed)


def test_the_tight_form_column_by_column():
    levels = np.array([[3, 0, 1], [3, 0, -1], [3, 0, 0]])
    assert required_adc_bits_of(levels).tolist() == [4, 0, 2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((-1, 4), "live_rows is a whole number, at least 0, not -1"),
        ((8, 1), "levels is a whole number, at least 2"),
        ((8, 4, 0), "dac_bits"),
        ((8.5, 4), "live_rows"),
        ((True, 4), "live_rows"),
    ],
)
def test_senseless_counts_are_refused(arguments, words):
    with pytest.raises(UserError, match=words):
        required_adc_bits(*arguments)


def test_other_mistakes():
    with pytest.raises(UserError, match=r"Unknown encoding 'fliped'\. Did you mean 'flipped'"):
        required_adc_bits(8, 4, encoding="fliped")
    with pytest.raises(UserError, match="unsigned columns"):
        required_adc_bits(8, 4, subtracted_pair=True, encoding="flipped")
    with pytest.raises(UserError, match="baseline_rows is a whole number"):
        required_adc_bits(8, 4, baseline_rows=-1)
    with pytest.raises(UserError, match="baseline_steps"):
        required_adc_bits(8, 4, baseline_steps=-1.0)
    with pytest.raises(UserError, match="whole numbers"):
        required_adc_bits_of(np.ones((2, 2)))
