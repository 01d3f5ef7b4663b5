"""How training and compression went: one axis for all epochs, a panel for what the history has."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.reporting import drawing, history_figure

NOTHING = pd.DataFrame()


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


TRAINING = pd.DataFrame({"epoch": [1, 2, 3], "loss": [1.0, 0.5, 0.2], "accuracy": [0.5, 0.8, 0.9]})

PICTURES = {
    "convergence": partial(history_figure.convergence, history=history(12), training=TRAINING),
    "training only": partial(history_figure.convergence, history=NOTHING, training=TRAINING),
    "one epoch": partial(history_figure.convergence, history=history(1), training=NOTHING),
    "500 epochs": partial(history_figure.convergence, history=history(500), training=NOTHING),
    "accuracy not known": partial(
        history_figure.convergence, history=history(4).assign(accuracy=float("nan")), training=NOTHING
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_draws_at_its_width_and_stays_small(name: str, stays_small: Any) -> None:
    stays_small(PICTURES[name])


@pytest.mark.parametrize("name", ["convergence"])
def test_a_picture_repeats_byte_for_byte(name: str) -> None:
    assert drawing.render(PICTURES[name]) == drawing.render(PICTURES[name])


def test_training_comes_before_compression_on_one_axis(drawn: Any) -> None:
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


def test_a_panel_stands_for_what_the_history_has(drawn: Any) -> None:
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
