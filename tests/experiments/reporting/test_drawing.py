"""What all pictures share: formats that repeat byte for byte, colours of the page, labels that keep to their room."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from typing import Any

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.reporting import drawing, figures, history_figure, sheet


@pytest.mark.parametrize("fmt", drawing.FORMATS)
def test_every_format_repeats_and_carries_no_time(fmt: str, made_up: Any) -> None:
    draw = partial(sheet.placement, tiles=made_up()[1]["tiles"])
    first = drawing.render(draw, fmt)
    assert first == drawing.render(draw, fmt)
    assert first.startswith({"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[fmt])
    assert b"Date" not in first


def test_the_users_own_style_is_left_out_and_left_alone(made_up: Any) -> None:
    draw = partial(figures.accuracy, values=made_up()[0]["accuracy"])
    plain_picture = drawing.render(draw)
    with matplotlib.rc_context({"lines.linewidth": 9.0, "axes.facecolor": "red", "font.size": 30}):
        assert drawing.render(draw) == plain_picture
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


def test_a_picture_in_a_page_takes_its_colours_and_keeps_its_ids_to_itself(made_up: Any) -> None:
    _, tables = made_up()
    draw = partial(history_figure.convergence, history=tables["history"], training=tables["training"])
    svg = drawing.render(draw)
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


def test_labels_that_would_be_alike_abbreviate_their_paths() -> None:
    blocks = [f"blocks.{block}.attention.{name}_proj + 1" for block in range(4) for name in ("k", "out")]
    found = drawing.labels(["conv_proj + 1", *blocks], 18)
    assert found[:2] == ["conv_proj + 1", "b.0.a.k_proj + 1"]
    assert found[-1] == "b.3.a.out_proj + 1"
    assert len(set(found)) == len(found)
