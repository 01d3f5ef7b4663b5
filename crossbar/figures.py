"""Pictures of what arrays do; each draws on a matplotlib axis that it is given, and imports no matplotlib itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossbar.histogram import CodeHistogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def adc_histogram(
    ax: Axes, histogram: CodeHistogram, *, inside: str = "#0b62a4", outside: str = "#e0566a", edge: str = "#5c636b"
) -> None:
    """Column sums in codes of their converters on a logarithmic count, the range marked by its two edges.

    Samples beyond the range, which the converters clip, have the colour `outside`; `edge`: of the marks and their text.
    """
    left = histogram.first - 0.5 + histogram.width * np.arange(histogram.counts.size)
    low, top = histogram.low - 0.5, histogram.top + 0.5
    beyond = (left >= top) | (left + histogram.width <= low)
    for mask, colour in ((~beyond, inside), (beyond, outside)):
        if histogram.counts[mask].any():
            ax.bar(left[mask], histogram.counts[mask], histogram.width, align="edge", color=colour, linewidth=0)
    ax.set_yscale("log")
    # Plain numbers: a report may print its texts without formulas.
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}"))
    ax.yaxis.set_minor_formatter(lambda value, _: "")
    ax.set_ylim(0.7, 2.5 * max(float(histogram.counts.max(initial=1)), 1.0))
    span = max(left[-1] + histogram.width, top) - min(left[0], low)
    ax.set_xlim(min(left[0], low) - 0.02 * span, max(left[-1] + histogram.width, top) + 0.02 * span)
    for place, name, side in ((low, histogram.low, "left"), (top, histogram.top, "right")):
        ax.axvline(place, color=edge, linestyle="--", linewidth=1)
        ax.annotate(
            f"code {name}",
            (place, 1),
            (3 if side == "left" else -3, -3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha=side,
            va="top",
            color=edge,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1},
        )
    ax.set_xlabel("column sum (codes of its converter)")
    ax.set_ylabel("conversions")
