"""The arrays of a chip on one sheet: each once, filled as far as it is used, summed where there are many."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch

from experiments.reporting import drawing, sheet
from experiments.reporting.wording import plain


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


PICTURES = {
    "placement": partial(sheet.placement, tiles=tiles()),
    "one array": partial(sheet.placement, tiles=tiles(1, 1, 32, 32)),
    "5000 arrays": partial(sheet.placement, tiles=tiles(5000, 100)),
    "one long row": partial(sheet.placement, tiles=tiles(3, 1, 8, 4096)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_draws_at_its_width_and_stays_small(name: str, stays_small: Any) -> None:
    stays_small(PICTURES[name])


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
    drawn: Any, arrays: int, layers: int, size: tuple[int, int]
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
def test_a_large_chip_is_summed_and_says_so(arrays: int, layers: int, width: float, side: str, drawn: Any) -> None:
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


def test_a_shared_array_shows_all_its_layers_with_the_first(drawn: Any) -> None:
    table = tiles(2, 2)
    table["array"] = 0
    table["col0"], table["cols"] = [0, 32], 32
    outlines, areas = boxes(drawn(partial(sheet.placement, tiles=table)))
    one = outlines[0, 2] * outlines[0, 3]
    assert len(outlines) == 1
    assert areas == {None: pytest.approx(one / 4), 0.4: pytest.approx(one / 4)}
