"""Where accuracy is lost: bars from step to step, and in words."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from experiments.reporting import drawing, waterfall_figure
from experiments.reporting.wording import plain


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

PICTURES = {
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
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_draws_at_its_width_and_stays_small(name: str, stays_small: Any) -> None:
    stays_small(PICTURES[name])


@pytest.mark.parametrize("name", ["waterfall"])
def test_a_picture_repeats_byte_for_byte(name: str) -> None:
    assert drawing.render(PICTURES[name]) == drawing.render(PICTURES[name])


def test_bars_run_from_step_to_step_and_alone_from_zero(drawn: Any) -> None:
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
