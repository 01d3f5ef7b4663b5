"""Pictures of a device: where its levels land when they are programmed, and what a fit leaves over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.reporting import drawing
from hwmodels import Device, DeviceFit, UserError, atomic, cell_current, linear_model_error, program

_INK, _MUTED, _LINE = (drawing.THEME[role][0] for role in ("ink", "muted", "line"))
_HUES = tuple(drawing.THEME[role][0] for role in ("blue", "cyan"))
_MOST_LEVELS = 32
_CELLS = 40_000


def distributions(device: Device) -> drawing.Draw:
    """The picture of the programmed conductances of every level (of 32 spread over the range, where there are more).

    Below it, where the cells are not linear, their I–V and what a linear cell would lack.
    """
    levels = device.level_conductances()
    shown = levels[np.unique(np.linspace(0, len(levels) - 1, min(len(levels), _MOST_LEVELS)).round().astype(int))]
    g = program(np.repeat(shown[:, None, None], _CELLS, axis=2), device)[:, 0] * 1e6

    def draw(figure: Figure) -> None:
        if device.conduction is None:
            figure.set_figheight(3.0)
            axes = figure.subplots()
        else:
            figure.set_figheight(5.6)
            grid = figure.add_gridspec(2, 2, height_ratios=(5, 6))
            axes = figure.add_subplot(grid[0, :])
            _conduction(device, figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[1, 1]))
        edges = np.linspace(g.min(), g.max(), 401)
        for k, cells in enumerate(g):
            hue = _HUES[k % 2]
            density, _ = np.histogram(cells, bins=edges)
            peak = density[1:].max() or density[0]  # cells cut off at 0 S would dwarf the rest of their level
            axes.stairs(np.minimum(density / peak, 1.0), edges, fill=True, color=hue, alpha=0.55)
            axes.axvline(shown[k] * 1e6, color=_INK, linewidth=0.5, ymax=0.03)
        some = "" if len(shown) == len(levels) else f" ({len(shown)} of {len(levels)} shown)"
        axes.set_title(f"{device.name}: programmed conductance of its {len(levels)} levels{some}")
        axes.set_xlabel("conductance [µS]; ticks at the foot: targets")
        axes.set_ylabel("share of cells, peak of each level = 1")
        axes.set_ylim(0, 1.05)

    return draw


def _conduction(device: Device, left: Axes, right: Axes) -> None:
    """I–V of the two ends and the middle of the range against linear cells, and what those lack, over the voltage."""
    law = device.conduction
    assert law is not None
    v = np.linspace(-law.max_v, law.max_v, 201)
    middle = float(np.sqrt(device.g_min_s * device.g_max_s))
    for g, hue in zip((device.g_max_s, middle, device.g_min_s), ("blue", "green", "red"), strict=True):
        color = drawing.THEME[hue][0]
        left.plot(v, g * v * 1e6, color=color, linewidth=0.8, linestyle=(0, (3, 2)))
        left.plot(v, cell_current(g, v, law) * 1e6, color=color, label=f"{g * 1e6:.4g} µS")
        right.plot(v, linear_model_error(g, v, law) * 100, color=color)
    left.set_title(f"{device.name}: I–V ({law.kind}); dashed: linear")
    left.set_ylabel("current [µA]")
    left.legend(loc="upper left", title="conductance at 0 V", alignment="left")
    right.set_title("what a linear cell lacks: I / (G V) − 1")
    right.set_ylabel("difference [%]")
    right.axhline(0, color=_MUTED, linewidth=0.7)
    for axes in (left, right):
        axes.set_xlabel("voltage across the cell [V]; dotted: read voltage")
        axes.axvline(device.read_voltage_v, color=_MUTED, linewidth=0.8, linestyle=":")


def fit(found: DeviceFit) -> drawing.Draw:
    """The picture of a fit: levels with ± 1 σ, and below them what the fit does not explain."""
    table, residuals = found.table, found.residuals
    levels, mean, sigma = (table[name].to_numpy() for name in ("level", "g_mean_s", "g_sigma_s"))

    def draw(figure: Figure) -> None:
        figure.set_figheight(4.6)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        if len(residuals):
            top.plot(residuals["level"], residuals["reading_s"] * 1e6, ".", color=_LINE, markersize=3, label="reading")
        top.errorbar(
            levels, mean * 1e6, sigma * 1e6, fmt="o", color=_HUES[0], markersize=4, label="mean ± σ of the fit"
        )
        if np.isfinite(table["target_s"]).all():
            top.plot(levels, table["target_s"] * 1e6, "_", color=_INK, markersize=12, label="target")
        top.set_ylabel("conductance [µS]")
        top.set_title(f"{found.device.name}: fit of {len(levels)} levels")
        top.legend(loc="upper left")
        if len(residuals):
            bottom.plot(residuals["level"], residuals["z"], ".", color=_HUES[0], markersize=3, alpha=0.4)
            for z in (-2, 0, 2):
                bottom.axhline(z, color=_MUTED, linewidth=0.7)
            bottom.set_ylabel("residual / σ")
        else:
            bottom.axhline(0, color=_MUTED, linewidth=0.7)
            bottom.errorbar(levels, table["off_even_s"] * 1e6, sigma * 1e6, fmt="o", color=_HUES[0], markersize=4)
            bottom.set_ylabel("off even spacing [µS]")
        bottom.set_xlabel("level")
        bottom.xaxis.get_major_locator().set_params(integer=True)

    return draw


def save(draw: drawing.Draw, path: Path) -> Path:
    """Write a picture in the format of the path's ending; returns the path. Raises UserError for another ending."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in drawing.FORMATS:
        raise UserError(f"A picture ends in {', '.join('.' + name for name in drawing.FORMATS)}, not {path.name!r}.")
    atomic.write(path, drawing.render(draw, kind))
    return path
