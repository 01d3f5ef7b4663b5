"""What a run warns of: empty arrays, layers beside them, intervals wider than what they are about, derived numbers."""

from types import SimpleNamespace

import pandas as pd
import pytest

from experiments import cautions
from hwmodels import Matrix, dense_tiles, estimate


def tiles(*pieces):
    columns = ["layer", "array", "rows", "cols"]
    return pd.DataFrame(pieces, columns=columns).assign(array_rows=10, array_cols=20)


def test_arrays_that_are_mostly_empty_are_named_with_the_emptiest_layer():
    # conv: 40 and 100 of 200 cells; fc: two pieces that share an array, 120 of 200
    placed = SimpleNamespace(tiles=tiles(("conv", 0, 4, 10), ("conv", 1, 5, 20), ("fc", 2, 3, 20), ("fc", 2, 3, 20)))
    (said,) = cautions._mostly_empty(placed)
    assert said.startswith("The arrays are mostly empty: pieces of layers cover 43 % of their cells, 35 % in conv.")
    assert cautions._mostly_empty(SimpleNamespace(tiles=tiles(("conv", 0, 5, 20)))) == []
    assert cautions._mostly_empty(SimpleNamespace(tiles=tiles())) == []


def outcome(dense, *chips):
    return SimpleNamespace(accuracy={"dense": dense}, seeds=[{"accuracy": value} for value in chips])


def test_an_interval_wider_than_the_difference_says_that_it_may_be_chance():
    # mean 0.955, s = 0.00707, half = 12.706 · s / √2 = 0.0635 against 0.5 points
    (said,) = cautions._unsure(outcome(0.96, 0.95, 0.96))
    assert "(± 6.35 points) is wider than its difference to the dense network (0.50 points)" in said
    assert cautions._unsure(outcome(0.96, 0.80, 0.801, 0.802)) == []
    assert cautions._unsure(outcome(0.96, 0.95, 0.95)) == []  # no spread at all: no interval to be wider
    assert "One chip was simulated" in cautions._unsure(outcome(0.96, 0.95))[0]


@pytest.mark.parametrize(
    ("reason", "named"),
    [
        ("has no weights", False),
        ("normalisation: a scale and shift per channel, done digitally", False),
        ("computed in its forward: gates and states of the recurrence", False),
        ("layer type not supported on crossbars", True),
        ("it overrides the forward of its layer type, so it may compute something else", True),
    ],
)
def test_layers_with_weights_beside_the_arrays_are_named(reason, named):
    item = SimpleNamespace(module="embed", type="Embedding", reason=reason)
    found = cautions._left_digital(SimpleNamespace(macs_on_arrays=1.0, digital=[item]))
    assert [("embed (Embedding)" in said) for said in found] == [True] * named
    (share,) = cautions._left_digital(SimpleNamespace(macs_on_arrays=0.9, digital=[]))
    assert share.startswith("10.0 % of the multiply-accumulates are not on arrays")


def test_numbers_that_no_source_prints_are_named():
    table = dense_tiles([Matrix(name="fc", rows=8, cols=8, reads_per_inference=1)], g_mean_s=1e-6)
    assert cautions._derived(estimate(table, "isaac-32nm")) == []
    (said,) = cautions._derived(estimate(table.assign(dac_bits=2, input_cycles=4), "isaac-32nm"))
    assert said == "Extrapolated by a law and printed by no source: the numbers of dac 2 bit."
    assert len(cautions._listed(list("abcdef")).split(", ")) == cautions.NAMED_MOST
    assert cautions._listed(list("abcdef")).endswith("d and 2 more")
