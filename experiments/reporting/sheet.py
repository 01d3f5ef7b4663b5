"""The placement as a picture: the chip as a sheet of arrays, each with the part that holds weights.

A band per layer, named beside it; colour tells neighbouring layers apart, a solid or pale fill the sign. From one
array to thousands the picture keeps its size: it draws smaller squares, then lets a square stand for several arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from experiments.reporting.drawing import HUES, colour, is_narrow, labels, span
from experiments.reporting.wording import count, plural, share

MAX_BANDS = 24
"""Bands of the sheet; more layers share a band with their neighbours."""

MAX_SQUARES = {"wide": 600, "narrow": 240}
"""Squares of the sheet; beyond, one stands for several arrays."""

LABELS = 215.0
"""Width of the columns with name and use, left of the squares [points]."""

Box = tuple[float, float, float, float]
"""Left, top, width, height."""


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """What one array holds of one layer: depth of the layer, sign, place in the array as fractions."""

    depth: int
    sign: int
    box: Box

    @property
    def area(self) -> float:
        return self.box[2] * self.box[3]


@dataclass(frozen=True, kw_only=True)
class _Band:
    """The arrays of one layer, or of a few consecutive ones: a square is the pieces drawn in it."""

    label: str
    arrays: int
    used: float
    squares: list[list[_Piece]]


def placement(figure: Figure, tiles: pd.DataFrame) -> None:
    """Draw the chip as a sheet of arrays: what each array holds, coloured by layer, marked by sign.

    tiles: a row per tile piece with columns array, layer (in network order), sign, row0, col0, rows, cols, array_rows,
    array_cols, and live_cells to tell dummy columns. Beyond `MAX_SQUARES` arrays one square stands for several arrays
    of one layer and sign, filled as far as they are on average; beyond `MAX_BANDS` layers neighbours share a band. The
    picture says when it does either.
    """
    narrow = is_narrow(figure)
    per_square, bands = _bands(tiles, MAX_SQUARES["narrow" if narrow else "wide"])
    aspect = float(np.clip(tiles["array_rows"].max() / tiles["array_cols"].max(), 0.5, 2))
    sheet = _Sheet.fit(figure.get_figwidth() * 72, [len(b.squares) for b in bands], aspect, narrow=narrow)
    notes = _notes(tiles, per_square, narrow=narrow)
    height = sheet.heights.sum() + 12 + 12 * len(notes) + 8
    figure.set_layout_engine("none")
    figure.set_figheight(height / 72)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, sheet.width), ylim=(height, 0))
    ax.set_axis_off()
    top = 4.0
    names = labels([band.label for band in bands], 24 if narrow else 17)
    for band, name, tall in zip(bands, names, sheet.heights, strict=True):
        _draw_band(ax, sheet, band, name, top)
        top += tall
    _legend(ax, top + 6, _signs(tiles), notes)


@dataclass(frozen=True, kw_only=True)
class _Sheet:
    """Measures of the sheet [points]: the size of a square, squares per line, and the height of each band."""

    width: float
    left: float
    head: float
    cell: tuple[float, float]
    per_line: int
    heights: np.ndarray

    @classmethod
    def fit(cls, width: float, squares: Sequence[int], aspect: float, *, narrow: bool) -> _Sheet:
        """The largest squares whose sheet stays within about half a page."""
        left, head = (0.0, 12.0) if narrow else (LABELS, 0.0)
        sheet = None
        for side in (40, 34, 28, 24, 20, 17, 14, 12, 10, 8, 7, 6):
            wide, tall = (side, side * aspect) if aspect <= 1 else (side / aspect, side)
            gap = max(1.5, 0.12 * side)
            per_line = max(1, int((width - left + gap) // (wide + gap)))
            lines = np.ceil(np.asarray(squares) / per_line)
            heights = np.maximum(lines * (tall + gap), 11.0) + head + 5.0
            sheet = cls(
                width=width,
                left=left,
                head=head,
                cell=(wide, tall),
                per_line=per_line,
                heights=heights,
            )
            if heights.sum() <= 360 + head * len(squares):
                break
        assert sheet is not None
        return sheet

    @property
    def gap(self) -> float:
        """Space between squares [points]."""
        return max(1.5, 0.12 * max(self.cell))

    def corner(self, index: int, top: float) -> tuple[float, float]:
        """Upper left corner of a band's square."""
        line, place = divmod(index, self.per_line)
        return (
            self.left + place * (self.cell[0] + self.gap),
            top + self.head + line * (self.cell[1] + self.gap),
        )


def _bands(tiles: pd.DataFrame, limit: int) -> tuple[int, list[_Band]]:
    """Arrays per square, and the bands in network order; an array of several layers stands with the first of them."""
    layers = list(dict.fromkeys(map(str, tiles["layer"])))
    homes: dict[int, list[list[_Piece]]] = {}
    arrays = _arrays(tiles, layers)
    for pieces in arrays:
        homes.setdefault(min(piece.depth for piece in pieces), []).append(pieces)
    per_square = -(-len(arrays) // limit)
    per_band = -(-len(layers) // MAX_BANDS)
    bands = []
    for start in range(0, len(layers), per_band):
        depths = range(start, min(start + per_band, len(layers)))
        mine = [array for depth in depths for array in homes.get(depth, [])]
        if mine:
            squares = [square for depth in depths for square in _squares(homes.get(depth, []), per_square)]
            name = span([layers[depth] for depth in depths])
            bands.append(_Band(label=name, arrays=len(mine), used=_used(mine), squares=squares))
    return per_square, bands


def _arrays(tiles: pd.DataFrame, layers: Sequence[str]) -> list[list[_Piece]]:
    """The pieces of each array, in the order of the arrays."""
    depth = {name: index for index, name in enumerate(layers)}
    numbers = ["array", "sign", "row0", "col0", "rows", "cols", "array_rows", "array_cols"]
    arrays: dict[int, list[_Piece]] = {}
    for layer, row in zip(tiles["layer"], tiles[numbers].to_numpy(dtype=float).tolist(), strict=True):
        array, sign, row0, col0, rows, cols, high, wide = row
        box = (col0 / wide, row0 / high, cols / wide, rows / high)
        arrays.setdefault(int(array), []).append(_Piece(depth=depth[str(layer)], sign=int(sign), box=box))
    return [arrays[array] for array in sorted(arrays)]


def _squares(arrays: list[list[_Piece]], per_square: int) -> list[list[_Piece]]:
    """One square an array; or one for several of a sign, filled from the top as far as they are on average."""
    if per_square == 1:
        return arrays
    squares = []
    for sign in (1, -1):
        # An array that holds both signs counts with the larger piece.
        mine = [array for array in arrays if max(array, key=lambda piece: piece.area).sign == sign]
        for start in range(0, len(mine), per_square):
            group = mine[start : start + per_square]
            depth = min(piece.depth for piece in group[0])
            squares.append([_Piece(depth=depth, sign=sign, box=(0.0, 0.0, 1.0, min(1.0, _used(group))))])
    return squares


def _used(arrays: list[list[_Piece]]) -> float:
    """Mean share of the arrays that pieces cover."""
    return sum(piece.area for array in arrays for piece in array) / len(arrays)


def _draw_band(ax: Axes, sheet: _Sheet, band: _Band, name: str, top: float) -> None:
    wide, tall = sheet.cell
    outlines: list[Box] = []
    fills: dict[tuple[str, int], list[Box]] = {}
    for index, square in enumerate(band.squares):
        x, y = sheet.corner(index, top)
        outlines.append((x, y, wide, tall))
        for piece in square:
            px, py, pw, ph = piece.box
            box = (x + px * wide, y + py * tall, max(pw * wide, 0.4), max(ph * tall, 0.4))
            fills.setdefault((HUES[piece.depth % len(HUES)], piece.sign), []).append(box)
    for (hue, sign), boxes in sorted(fills.items()):
        ax.add_patch(_boxes(boxes, **_fill(hue, sign)))
    ax.add_patch(_boxes(outlines, facecolor="none", edgecolor=colour("muted"), linewidth=0.4))
    used = f"{plural(band.arrays, 'array')}, {share(band.used)} used"
    ax.text(0, top + 8, name)
    # Wide: name, use and squares stand in columns; narrow: name and use above the squares.
    end = sheet.width if sheet.head else sheet.left - 10
    ax.text(end, top + 8, used, ha="right", color=colour("muted"), fontsize=7.5)


def _fill(hue: str, sign: int) -> dict[str, Any]:
    """Positive weights are solid; negative ones pale, so that the sign needs no second colour."""
    if sign > 0:
        return {"facecolor": colour(hue), "edgecolor": "none"}
    return {"facecolor": colour(hue), "edgecolor": "none", "alpha": 0.4, "linewidth": 0}


def _boxes(boxes: Sequence[Box], **style: Any) -> PathPatch:
    """Rectangles (x, y, width, height) as one path: a sheet of thousands stays a small file."""
    x, y, w, h = np.asarray(boxes, dtype=float).T
    corners = np.stack([x, y, x + w, y, x + w, y + h, x, y + h, x, y], axis=1).reshape(-1, 2)
    codes = np.tile([Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY], len(x))
    return PathPatch(Path(corners, codes), **style)


def _notes(tiles: pd.DataFrame, per_square: int, *, narrow: bool) -> list[str]:
    """What a square is, and what the picture leaves out."""
    size = f"{count(max(tiles['array_rows']))} × {count(max(tiles['array_cols']))} cells"
    if per_square == 1:
        notes = [f"one outline = one array of {size}"]
    else:
        notes = [f"one square = up to {per_square} arrays of {size},", "filled as far as they are on average"]
    if len(set(tiles["layer"])) > MAX_BANDS:
        notes.append("“+ 2”: the next two layers share the band")
    return notes if narrow or len(notes) == 1 else [" ".join(notes[:2]), *notes[2:]]


def _signs(tiles: pd.DataFrame) -> list[tuple[int, str]]:
    """What the solid and the pale pieces are: the halves of pairs, or weights and the references taken off them."""
    negative = tiles[tiles["sign"] < 0]
    if len(negative) and "live_cells" in tiles and not np.any(negative["live_cells"]):
        return [(1, "weights"), (-1, "reference columns")]
    return [(1, "positive weights"), (-1, "negative weights")] if len(negative) else [(1, "weights")]


def _legend(ax: Axes, top: float, signs: Sequence[tuple[int, str]], notes: Sequence[str]) -> None:
    """Samples of both kinds of pieces, and the notes below."""
    x = 0.0
    for sign, text in signs:
        ax.add_patch(Rectangle((x, top - 6.5), 8, 8, **_fill("blue", sign)))
        ax.text(x + 12, top, text, color=colour("muted"), fontsize=7.5)
        x += 92
    for line, note in enumerate(notes):
        ax.text(0, top + 13 + 11 * line, note, color=colour("muted"), fontsize=7.5)
