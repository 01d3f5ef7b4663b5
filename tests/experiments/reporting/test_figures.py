"""The accuracies of the stages and the costs before and after: what is drawn is in the data."""

from __future__ import annotations

import re
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.reporting import drawing, figures
from experiments.reporting.wording import plain

NAN = float("nan")
ACCURACY = {"dense": 0.98, "pruned": 0.97, "quantised": 0.975, "crossbar_mean": 0.97}
ACCURACY |= {"crossbar_low": 0.965, "crossbar_high": 0.975, "crossbar_seeds": [0.966, 0.97, 0.974]}


def costs(layers: int = 3, scale: float = 1.0) -> pd.DataFrame:
    rows = [
        {"layer": f"block.{layer}", "component": part, "area_mm2": scale * (layer + 1) * area, "power_mw": scale * area}
        for layer, (part, area) in product(range(layers), (("ADC", 2.0), ("cells", 0.1), ("driver", 0.5)))
    ]
    return pd.DataFrame(rows)


def broken_down(before: pd.DataFrame, after: pd.DataFrame, by: str) -> drawing.Draw:
    """Bars of both costs, as the report makes them."""
    found = {name: figures.compare(before, after, by, name) for name in ("area_mm2", "power_mw")}
    return partial(figures.breakdown, costs=found)


LINES = figures.Comparison(names=["conv1", "fc"], baseline=np.array([3.0, 1.0]), placed=np.array([1.0, 0.5]))

PICTURES = {
    "accuracy": partial(figures.accuracy, values=ACCURACY),
    "one seed": partial(
        figures.accuracy,
        values=ACCURACY | {"crossbar_low": 0.97, "crossbar_high": 0.97, "crossbar_seeds": [0.97]},
    ),
    "dense only": partial(figures.accuracy, values={"dense": 0.98, "pruned": None, "crossbar_mean": NAN}),
    "perfect": partial(figures.accuracy, values=dict.fromkeys(ACCURACY, 1.0) | {"crossbar_seeds": [1.0, 1.0]}),
    "by component": broken_down(costs(), costs(scale=0.1), "component"),
    "one layer": broken_down(costs(1), costs(1, 0.1), "layer"),
    "100 layers": broken_down(costs(100), costs(100, 0.1), "layer"),
    "power not known": broken_down(costs().assign(power_mw=NAN), costs().assign(power_mw=NAN), "component"),
    "free": broken_down(costs(scale=0.0), costs(scale=0.0), "layer"),
    "three costs": partial(figures.breakdown, costs=dict.fromkeys(("area_mm2", "power_mw", "energy_nj"), LINES)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_draws_at_its_width_and_stays_small(name: str, stays_small: Any) -> None:
    stays_small(PICTURES[name])


@pytest.mark.parametrize("name", ["accuracy", "by component"])
def test_a_picture_repeats_byte_for_byte(name: str) -> None:
    assert drawing.render(PICTURES[name]) == drawing.render(PICTURES[name])


def test_a_dollar_sign_is_no_formula() -> None:
    table = costs().replace({"layer": {"block.0": "a$^{_$"}})
    svg = drawing.render(broken_down(table, table, "layer"))
    assert b"a$^{_$" in svg


def test_accuracy_shows_every_stage_seed_and_the_interval(drawn: Any) -> None:
    figure = drawn(PICTURES["accuracy"])
    (ax,) = figure.axes
    low, high = ax.get_ylim()
    points = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in ax.lines])
    for value in (98.0, 97.0, 97.5, 96.6, 97.4, 96.5):
        assert np.isclose(points, value).any() or np.isclose(ax.collections[0].get_segments(), value).any()
        assert low < value < high
    assert [label.get_text() for label in ax.get_xticklabels()] == ["dense", "pruned", "quantised", "on crossbars"]
    assert [plain(text.get_text()) for text in ax.texts] == ["98.0 %", "97.0 %", "97.5 %", "97.0 %"]


def test_one_seed_has_no_interval(drawn: Any) -> None:
    assert not drawn(PICTURES["one seed"]).axes[0].collections


@given(
    st.lists(
        st.tuples(st.sampled_from([f"l{i}" for i in range(9)]), st.sampled_from("abcdef"), st.floats(0, 1e3)),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from(["layer", "component"]),
    st.integers(1, 8),
)
@settings(deadline=None, max_examples=60)
def test_a_comparison_loses_nothing(rows: list[tuple[str, str, float]], by: str, limit: int) -> None:
    table = pd.DataFrame(rows, columns=["layer", "component", "area_mm2"])
    half = table.iloc[: len(table) // 2]
    found = figures.compare(table, half, by, "area_mm2", limit)
    assert len(found.names) == len(set(found.names)) <= limit
    np.testing.assert_allclose(found.baseline.sum(), table["area_mm2"].sum(), rtol=1e-12)
    np.testing.assert_allclose(found.placed.sum(), half["area_mm2"].sum(), rtol=1e-12, atol=1e-12)
    whole = figures.compare(table, half, by, "area_mm2", None)
    sums = table.groupby(by)["area_mm2"].sum()
    np.testing.assert_allclose(whole.baseline, sums.reindex(whole.names), rtol=1e-12)


def test_components_come_largest_first_and_layers_in_their_order() -> None:
    assert figures.compare(costs(), costs(), "component", "area_mm2").names == ["ADC", "driver", "cells"]
    assert figures.compare(costs(4), costs(4), "layer", "area_mm2").names == [f"block.{i}" for i in range(4)]
    assert figures.compare(costs(4), costs(4), "layer", "area_mm2", 3).names == ["block.0 + 1", "block.2 + 1"]
    assert figures.compare(costs(), costs(), "component", "area_mm2", 2).names == ["ADC", "2 others"]


def test_what_is_not_known_is_not_zero_and_what_is_not_there_is() -> None:
    table = costs()
    table.loc[table["component"] == "ADC", "power_mw"] = [NAN, 1.0, 1.0]
    found = figures.compare(table, table[table["component"] != "cells"], "component", "power_mw")
    assert np.isnan(found.baseline[found.names.index("ADC")])
    assert found.placed[found.names.index("cells")] == 0.0


def test_bars_are_as_long_as_the_costs(drawn: Any) -> None:
    before, after = costs(), costs(scale=0.1)
    figure = drawn(broken_down(before, after, "layer"))
    for ax, column in zip(figure.axes, ("area_mm2", "power_mw"), strict=True):
        bars = [[bar.get_width() for bar in group] for group in ax.containers]
        for found, table in zip(bars, (before, after), strict=True):
            np.testing.assert_allclose(found, table.groupby("layer", sort=False)[column].sum())
        assert ax.get_xlim()[1] > max(map(max, bars))
        assert re.fullmatch(r"(area \(mm²\)|power \(mW\))", ax.get_xlabel())
