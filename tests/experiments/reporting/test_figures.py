"""The pictures: what they draw is in the data, they repeat byte for byte, and degenerate data draws without a fuss."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from itertools import pairwise, product
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle

from experiments.reporting import drawing, figures, history_figure, sheet, waterfall_figure
from experiments.reporting.wording import plain

NAN = float("nan")
ACCURACY = {"dense": 0.98, "pruned": 0.97, "quantised": 0.975, "crossbar_mean": 0.97}
ACCURACY |= {"crossbar_low": 0.965, "crossbar_high": 0.975, "crossbar_seeds": [0.966, 0.97, 0.974]}
NOTHING = pd.DataFrame()


def costs(layers: int = 3, scale: float = 1.0) -> pd.DataFrame:
    rows = [
        {"layer": f"block.{layer}", "component": part, "area_mm2": scale * (layer + 1) * area, "power_mw": scale * area}
        for layer, (part, area) in product(range(layers), (("ADC", 2.0), ("cells", 0.1), ("driver", 0.5)))
    ]
    return pd.DataFrame(rows)


def tiles(arrays: int = 8, layers: int = 2, rows: int = 128, cols: int = 64) -> pd.DataFrame:
    index = np.arange(arrays)
    return pd.DataFrame(
        {
            "array": index,
            "layer": [f"net.{i * layers // arrays}" for i in index],
            "sign": np.where(index % 2, -1, 1),
            "row0": 0,
            "col0": cols // 4,
            "rows": rows // 2,
            "cols": cols // 2,
            "array_rows": rows,
            "array_cols": cols,
        }
    )


def history(epochs: int) -> pd.DataFrame:
    fall = np.exp(-np.arange(epochs) / 3)
    stage = np.where(np.arange(epochs) < epochs // 2, "prune", "quantise")
    return pd.DataFrame(
        {
            "stage": stage,
            "epoch": np.arange(epochs) + 1,
            "accuracy": 0.9 - 0.1 * fall,
            "primal_prune": np.where(stage == "prune", fall, np.nan),
            "dual_prune": np.where(stage == "prune", fall**2, np.nan),
            "primal_quantise": np.where(stage == "quantise", fall, np.nan),
            "dual_quantise": 0.0,
        }
    )


def broken_down(before: pd.DataFrame, after: pd.DataFrame, by: str) -> drawing.Draw:
    """Bars of both costs, as the report makes them."""
    found = {name: figures.compare(before, after, by, name) for name in ("area_mm2", "power_mw")}
    return partial(figures.breakdown, costs=found)


def step(key: str, accuracy: float, change: float | None, half: float | None = None) -> dict[str, Any]:
    ends = {"change_low": None, "change_high": None}
    if half is not None and change is not None:
        ends = {"change_low": change - half, "change_high": change + half}
    return {"key": key, "accuracy": accuracy, "accuracies": [accuracy], "change": change} | ends


LOST = {
    "samples": 360,
    "chips": 5,
    "steps": [
        step("dense", 0.98, None),
        step("pruned", 0.985, 0.005),
        step("quantised", 0.975, -0.01),
        step("map", 0.975, 0.0),
        step("program", 0.95, -0.025, 0.004),
        step("stuck", 0.94, -0.01, 0.012),
        step("adc", 0.93, -0.01, 0.001),
    ],
    "alone": [step("program", 0.95, -0.025, 0.004), step("stuck", 0.96, -0.015, 0.002), step("adc", 0.97, -0.005)],
}

TRAINING = pd.DataFrame({"epoch": [1, 2, 3], "loss": [1.0, 0.5, 0.2], "accuracy": [0.5, 0.8, 0.9]})

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
    "waterfall": partial(waterfall_figure.draw, lost=LOST),
    "nothing alone": partial(waterfall_figure.draw, lost=LOST | {"steps": LOST["steps"][:4], "alone": []}),
    "nothing lost": partial(
        waterfall_figure.draw,
        lost=LOST
        | {
            "steps": [step("dense", 1.0, None), step("map", 1.0, 0.0), step("adc", 1.0, 0.0)],
            "alone": [step("adc", 1.0, 0.0)],
        },
    ),
    "convergence": partial(history_figure.convergence, history=history(12), training=TRAINING),
    "training only": partial(history_figure.convergence, history=NOTHING, training=TRAINING),
    "one epoch": partial(history_figure.convergence, history=history(1), training=NOTHING),
    "500 epochs": partial(history_figure.convergence, history=history(500), training=NOTHING),
    "accuracy not known": partial(
        history_figure.convergence, history=history(4).assign(accuracy=NAN), training=NOTHING
    ),
    "placement": partial(sheet.placement, tiles=tiles()),
    "one array": partial(sheet.placement, tiles=tiles(1, 1, 32, 32)),
    "5000 arrays": partial(sheet.placement, tiles=tiles(5000, 100)),
    "one long row": partial(sheet.placement, tiles=tiles(3, 1, 8, 4096)),
}


def drawn(draw: drawing.Draw, width: float = drawing.WIDE) -> Figure:
    figure = Figure(figsize=(width, 3), layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure)
    return figure


# --- every picture -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [drawing.WIDE, drawing.NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_draws_at_its_width_and_stays_small(name: str, width: float) -> None:
    svg = drawing.render(PICTURES[name], "svg", width)
    assert b"<text" in svg
    view = re.search(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert view is not None
    assert float(view[1]) == pytest.approx(72 * width, abs=0.01)
    assert 40 < float(view[2]) < 1500
    assert len(svg) < 300_000


@pytest.mark.parametrize("name", ["accuracy", "by component", "convergence", "waterfall"])
def test_a_picture_repeats_byte_for_byte(name: str) -> None:
    assert drawing.render(PICTURES[name]) == drawing.render(PICTURES[name])


@pytest.mark.parametrize("fmt", drawing.FORMATS)
def test_every_format_repeats_and_carries_no_time(fmt: str) -> None:
    first = drawing.render(PICTURES["placement"], fmt)
    assert first == drawing.render(PICTURES["placement"], fmt)
    assert first.startswith({"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[fmt])
    assert b"Date" not in first


def test_the_users_own_style_is_left_out_and_left_alone() -> None:
    plain_picture = drawing.render(PICTURES["accuracy"])
    with matplotlib.rc_context({"lines.linewidth": 9.0, "axes.facecolor": "red", "font.size": 30}):
        assert drawing.render(PICTURES["accuracy"]) == plain_picture
        assert matplotlib.rcParams["lines.linewidth"] == 9.0


def test_pyplot_stays_out() -> None:
    code = "import sys; from experiments.reporting import figures, sheet; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def luminance(colour: str) -> float:
    parts = np.asarray([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("ground", [0, 1], ids=["light", "dark"])
def test_colours_stand_out_from_the_page(ground: int) -> None:
    page = luminance(drawing.THEME["surface"][ground])
    wanted = {"ink": 7.0, "muted": 4.5, "after": 4.5} | dict.fromkeys([*drawing.HUES, "before"], 3.0)
    for role, ratio in wanted.items():
        mark = luminance(drawing.THEME[role][ground])
        assert (max(mark, page) + 0.05) / (min(mark, page) + 0.05) >= ratio, role
    assert len(set(drawing.THEME.values())) == len(drawing.THEME)


def test_a_picture_in_a_page_takes_its_colours_and_keeps_its_ids_to_itself() -> None:
    svg = drawing.render(PICTURES["convergence"])
    one, two = (drawing.inline(svg, name, 'a "label" & <more>') for name in ("one", "two"))
    ids = [set(re.findall(r' id="([^"]+)"', text)) for text in (one, two)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for text, own in zip((one, two), ids, strict=True):
        assert set(re.findall(r'(?:href="|url\()#([^")]+)', text)) <= own
        assert not [light for light, _ in drawing.THEME.values() if light in text]
        assert "var(--ow-ink)" in text
        assert "http" not in text
        assert 'aria-label="a &quot;label&quot; &amp; &lt;more&gt;"' in text


@given(st.lists(st.text("abc.$_<&", min_size=1, max_size=40), min_size=1, max_size=6), st.integers(8, 30))
@settings(deadline=None, max_examples=60)
def test_labels_keep_to_their_room(names: list[str], limit: int) -> None:
    cut = drawing.labels(names, limit)
    assert len(cut) == len(names)
    assert all(0 < len(label) <= limit for label in cut)
    if max(map(len, names)) <= limit:
        assert cut == names


def test_labels_leave_out_the_path_that_all_share_and_keep_the_count() -> None:
    names = ["backbone.features.1.conv + 3", "backbone.features.5.conv + 3"]
    assert drawing.labels(names, 17) == ["1.conv + 3", "5.conv + 3"]
    assert drawing.labels(["a.very.long.module.path.with.a.tail + 12"], 14) == ["a.ve…tail + 12"]


def test_a_dollar_sign_is_no_formula() -> None:
    table = costs().replace({"layer": {"block.0": "a$^{_$"}})
    svg = drawing.render(broken_down(table, table, "layer"))
    assert b"a$^{_$" in svg


# --- accuracy ------------------------------------------------------------------------------------------------------


def test_accuracy_shows_every_stage_seed_and_the_interval() -> None:
    figure = drawn(PICTURES["accuracy"])
    (ax,) = figure.axes
    low, high = ax.get_ylim()
    points = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in ax.lines])
    for value in (98.0, 97.0, 97.5, 96.6, 97.4, 96.5):
        assert np.isclose(points, value).any() or np.isclose(ax.collections[0].get_segments(), value).any()
        assert low < value < high
    assert [label.get_text() for label in ax.get_xticklabels()] == ["dense", "pruned", "quantised", "on crossbars"]
    assert [plain(text.get_text()) for text in ax.texts] == ["98.0 %", "97.0 %", "97.5 %", "97.0 %"]


def test_one_seed_has_no_interval() -> None:
    assert not drawn(PICTURES["one seed"]).axes[0].collections


# --- cost ----------------------------------------------------------------------------------------------------------


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


def test_bars_are_as_long_as_the_costs() -> None:
    before, after = costs(), costs(scale=0.1)
    figure = drawn(broken_down(before, after, "layer"))
    for ax, column in zip(figure.axes, ("area_mm2", "power_mw"), strict=True):
        bars = [[bar.get_width() for bar in group] for group in ax.containers]
        for found, table in zip(bars, (before, after), strict=True):
            np.testing.assert_allclose(found, table.groupby("layer", sort=False)[column].sum())
        assert ax.get_xlim()[1] > max(map(max, bars))
        assert re.fullmatch(r"(area \(mm²\)|power \(mW\))", ax.get_xlabel())


# --- convergence ---------------------------------------------------------------------------------------------------


def test_training_comes_before_compression_on_one_axis() -> None:
    upper, lower, loss = drawn(PICTURES["convergence"]).axes
    assert loss.get_title() == "training loss"
    x, y = (np.asarray(part, dtype=float) for part in upper.lines[0].get_data())
    assert x.tolist() == list(range(1, 16))
    np.testing.assert_allclose(y[:3], [50, 80, 90])
    assert lower.get_yscale() == "log"
    lines = {str(line.get_label()): np.asarray(line.get_xdata(), dtype=float) for line in lower.lines}
    assert lines["pruning, primal"].tolist() == [4, 5, 6, 7, 8, 9]
    assert lines["quantisation, primal"].tolist() == [10, 11, 12, 13, 14, 15]
    assert "quantisation, dual" not in lines  # it is 0 throughout, and a logarithm has no place for it


def test_a_panel_stands_for_what_the_history_has() -> None:
    assert [ax.get_ylabel() or ax.get_title() for ax in drawn(PICTURES["training only"]).axes] == [
        "accuracy (%)",
        "training loss",
    ]
    counted = history(6).assign(kept=np.arange(6), tiles=7.0, live_rows=3.0)
    axes = drawn(partial(history_figure.convergence, history=counted, training=TRAINING)).axes
    assert [ax.get_title() for ax in axes[2:]] == ["training loss", "weights kept", "tiles", "live rows"]
    kept = np.asarray(axes[3].lines[0].get_ydata(), dtype=float)
    assert kept.tolist() == [0, 1, 2, 3, 4, 5]
    # Only the lowest panels say what runs along.
    assert [bool(ax.get_xlabel()) for ax in axes] == [False, False, False, False, True, True]


# --- waterfall -----------------------------------------------------------------------------------------------------


def test_bars_run_from_step_to_step_and_alone_from_zero() -> None:
    turn, alone = drawn(PICTURES["waterfall"]).axes
    bars = [patch for patch in turn.patches if isinstance(patch, Rectangle)]
    ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars]
    heights = [100 * row["accuracy"] for row in LOST["steps"]]
    np.testing.assert_allclose(ends, list(pairwise(heights)))
    lone = [bar.get_width() for bar in alone.patches if isinstance(bar, Rectangle)]
    np.testing.assert_allclose(lone, [-2.5, -1.5, -0.5])
    # Loss and gain are told apart by colour and by sign.
    colours = [bar.get_facecolor() for bar in bars]
    assert colours[0] != colours[1] == colours[3]
    texts = [plain(text.get_text()) for text in turn.texts]
    assert texts == ["98.0 %", "+0.5", "−1.0", "0.0", "−2.5", "−1.0", "−1.0 → 93.0 %"]
    low, high = turn.get_xlim()
    assert low < 92.8
    assert high > 98.5


def test_the_waterfall_is_told_in_words_and_rows() -> None:
    said = plain(waterfall_figure.sentence(LOST, 1))
    assert "Most is lost to the step “programming error”, −2.5 points." in said
    assert "they come to −4.5 points in all, together to −4.5." in said
    rows = [[plain(cell) for cell in row] for row in waterfall_figure.rows(LOST, 1)]
    assert rows[4][2:] == ["95.0 %", "−2.5 (−2.9 to −2.1)", "−2.5 (−2.9 to −2.1)"]
    assert rows[6][4] == "−0.5"
    assert "stuck cells −1.5" in waterfall_figure.alternative(LOST, 1)
    gained = LOST | {"steps": [step("dense", 0.9, None), step("map", 0.9, 0.0)], "alone": []}
    assert waterfall_figure.sentence(gained, 1) == "No step loses accuracy."


# --- placement -----------------------------------------------------------------------------------------------------


def boxes(figure: Figure) -> tuple[np.ndarray, dict[float | None, float]]:
    """Outlines as (left, top, width, height), and the coloured area by opacity."""
    outlines, areas = [], {}
    for patch in figure.axes[0].patches:
        if not isinstance(patch, PathPatch):
            continue
        corners = patch.get_path().vertices.reshape(-1, 5, 2)
        low, size = corners.min(axis=1), np.ptp(corners, axis=1)
        if patch.get_facecolor()[3] == 0:
            outlines.append(np.hstack([low, size]))
        else:
            areas[patch.get_alpha()] = areas.get(patch.get_alpha(), 0.0) + float(size.prod(axis=1).sum())
    return np.concatenate(outlines), areas


@given(st.integers(1, 60), st.integers(1, 7), st.sampled_from([(32, 32), (128, 64), (64, 256)]))
@settings(deadline=None, max_examples=25)
def test_every_array_is_drawn_once_and_filled_as_far_as_it_is_used(
    arrays: int, layers: int, size: tuple[int, int]
) -> None:
    figure = drawn(partial(sheet.placement, tiles=tiles(arrays, min(layers, arrays), *size)))
    outlines, areas = boxes(figure)
    assert len(outlines) == arrays
    assert len({(round(x, 6), round(y, 6)) for x, y, _, _ in outlines}) == arrays
    one = outlines[0, 2] * outlines[0, 3]
    positive = (arrays + 1) // 2
    assert areas[None] == pytest.approx(positive * one / 4)
    assert areas.get(0.4, 0.0) == pytest.approx((arrays - positive) * one / 4)
    width, height = 72 * np.asarray(figure.get_size_inches())
    assert (outlines[:, 0] + outlines[:, 2]).max() <= width + 1e-6
    assert (outlines[:, 1] + outlines[:, 3]).max() <= height


@pytest.mark.parametrize(("width", "side"), [(drawing.WIDE, "wide"), (drawing.NARROW, "narrow")])
@pytest.mark.parametrize(("arrays", "layers"), [(601, 3), (5000, 12), (5000, 100)])
def test_a_large_chip_is_summed_and_says_so(arrays: int, layers: int, width: float, side: str) -> None:
    figure = drawn(partial(sheet.placement, tiles=tiles(arrays, layers)), width)
    outlines, areas = boxes(figure)
    per_square = -(-arrays // sheet.MAX_SQUARES[side])
    # At most one square of each layer and sign is not full.
    assert arrays / per_square <= len(outlines) <= arrays / per_square + 2 * layers
    one = outlines[0, 2] * outlines[0, 3]
    assert sum(areas.values()) == pytest.approx(len(outlines) * one / 4)
    words = " ".join(plain(text.get_text()) for text in figure.axes[0].texts)
    assert f"one square = up to {per_square} arrays of 128 × 64 cells" in words
    assert ("the next two layers share the band" in words) == (layers > sheet.MAX_BANDS)
    used = [re.fullmatch(r"([\d ]+) arrays?, 25\.0 % used", plain(text.get_text())) for text in figure.axes[0].texts]
    assert sum(int(match[1].replace(" ", "")) for match in used if match) == arrays
    assert figure.get_figheight() < 12


def test_a_shared_array_shows_all_its_layers_with_the_first() -> None:
    table = tiles(2, 2)
    table["array"] = 0
    table["col0"], table["cols"] = [0, 32], 32
    outlines, areas = boxes(drawn(partial(sheet.placement, tiles=table)))
    one = outlines[0, 2] * outlines[0, 3]
    assert len(outlines) == 1
    assert areas == {None: pytest.approx(one / 4), 0.4: pytest.approx(one / 4)}


def test_labels_that_would_be_alike_abbreviate_their_paths() -> None:
    blocks = [f"blocks.{block}.attention.{name}_proj + 1" for block in range(4) for name in ("k", "out")]
    found = drawing.labels(["conv_proj + 1", *blocks], 18)
    assert found[:2] == ["conv_proj + 1", "b.0.a.k_proj + 1"]
    assert found[-1] == "b.3.a.out_proj + 1"
    assert len(set(found)) == len(found)
