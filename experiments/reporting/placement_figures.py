"""Pictures of a placement: what its layers use of their arrays, masks array by array, one array's conductances."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from experiments.reporting import drawing, sheet
from hwmodels.errors import UserError

if TYPE_CHECKING:
    from mapping import Placement
    from mapping.pieces import Piece

MOST_MASKS = 24
"""Arrays whose masks are drawn one by one; the sheet shows all."""


def chip(placement: Placement) -> drawing.Draw:
    """All arrays as a sheet, each with the part that holds weights (`sheet.placement`)."""
    return lambda figure: sheet.placement(figure, placement.tiles)


def utilisation_table(tiles: pd.DataFrame) -> pd.DataFrame:
    """Per layer the share of its arrays' cells that its tiles cover, and that carry a live weight; 0 … 1.

    An array that several layers share counts for each by the area that it covers there. Columns layer, arrays, covered,
    live; tiles: the tile table.
    """
    own = tiles.assign(
        covered=tiles["rows"] * tiles["cols"], size=tiles["array_rows"] * tiles["array_cols"], all=tiles["cols"] * 0
    )
    on_array = own.groupby("array")["covered"].transform("sum")
    own["size"] = own["size"] * own["covered"] / on_array
    found = own.groupby("layer", sort=False).agg(
        arrays=("array", "nunique"), covered=("covered", "sum"), live=("live_cells", "sum"), size=("size", "sum")
    )
    found["covered"], found["live"] = found["covered"] / found["size"], found["live"] / found["size"]
    return found.drop(columns="size").reset_index()


def utilisation(placement: Placement) -> drawing.Draw:
    """A bar per layer: the share of its arrays' cells that tiles cover (pale) and that carry live weights (solid)."""
    table = utilisation_table(placement.tiles)

    def draw(figure: Figure) -> None:
        figure.set_figheight(0.9 + 0.22 * len(table))
        ax = figure.subplots()
        place = np.arange(len(table))
        hue = drawing.colour(drawing.HUES[0])
        ax.barh(place, table["covered"] * 100, color=hue, alpha=0.35, label="covered by tiles")
        ax.barh(place, table["live"] * 100, color=hue, height=0.45, label="live weights")
        ax.set_yticks(place, drawing.labels(table["layer"].tolist(), 24))
        ax.set(xlim=(0, 100), ylim=(len(table) - 0.4, -0.6), xlabel="cells of the layer's arrays [%]")
        ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=7, frameon=False)

    return draw


def masks(placement: Placement) -> drawing.Draw:
    """The first arrays one by one, a cell that carries a live weight solid, one that only stands there pale."""
    arrays = list(islice(_arrays(placement).items(), MOST_MASKS))
    total = placement.arrays

    def draw(figure: Figure) -> None:
        across = 4 if drawing.is_narrow(figure) else 8
        down = -(-len(arrays) // across)
        figure.set_figheight(0.6 + down * figure.get_figwidth() / across * 1.15)
        hue = drawing.colour(drawing.HUES[0])
        # A picture of pixels does not follow the page's colours: what no tile covers stays open.
        shades = ListedColormap([(0, 0, 0, 0), to_rgba(hue, 0.35), to_rgba(hue)])
        for ax, (number, pieces) in zip(
            figure.subplots(down, across, squeeze=False).ravel(),
            [*arrays, *[(-1, [])] * (down * across - len(arrays))],
            strict=True,
        ):
            ax.set(xticks=[], yticks=[], visible=bool(pieces))
            if pieces:
                for side in ax.spines.values():
                    side.set_visible(True)
                ax.imshow(_occupancy(placement, pieces), cmap=shades, vmin=0, vmax=2, interpolation="nearest")
                ax.set_title(f"{number}: {_names(pieces, 14)}", fontsize=6, pad=2)
        keys = [Patch(color=hue, alpha=0.35, label="covered by tiles"), Patch(color=hue, label="live weights")]
        figure.legend(handles=keys, loc="outside lower left", ncols=2, fontsize=7, frameon=False)
        if total > len(arrays):
            figure.suptitle(f"the first {len(arrays)} of {total} arrays", fontsize=7)

    return draw


def array(placement: Placement, number: int) -> drawing.Draw:
    """The target conductances of one whole array [µS], open crossings blank. UserError where there is none."""
    found = _arrays(placement, number).get(number)
    if found is None:
        raise UserError(f"There is no array {number}; the placement has the arrays 0 to {placement.arrays - 1}.")
    from mapping.placement_export import whole_array

    g = whole_array(found, placement.spec_of(found[0].layer))
    names = _names(found, 30)

    def draw(figure: Figure) -> None:
        # As high as an array of this shape stands beside its colour bar.
        figure.set_figheight(min(max(0.62 * figure.get_figwidth() * g.shape[0] / g.shape[1] + 0.9, 2.0), 4.2))
        ax = figure.subplots()
        for side in ax.spines.values():
            side.set_visible(True)
        image = ax.imshow(np.where(g > 0, g * 1e6, np.nan), cmap="viridis", interpolation="nearest", aspect="equal")
        figure.colorbar(image, ax=ax, label="target conductance [µS]")
        ax.set(xlabel="bit line", ylabel="word line", title=f"array {number}: {names}")

    return draw


def _names(pieces: list[Piece], limit: int) -> str:
    """The layers on an array in so many letters: the first of them, and how many more."""
    return drawing.labels([drawing.span(list(dict.fromkeys(piece.layer.label for piece in pieces)))], limit)[0]


def _arrays(placement: Placement, upto: int = MOST_MASKS - 1) -> dict[int, list[Piece]]:
    """The pieces on the arrays up to a number."""
    found: dict[int, list[Piece]] = {}
    for piece in placement.pieces():
        if piece.array <= upto:
            found.setdefault(piece.array, []).append(piece)
    return dict(sorted(found.items()))


def _occupancy(placement: Placement, pieces: list[Piece]) -> np.ndarray:
    """0 where no tile stands, 1 where one does, 2 where a live weight does; (rows, cols) of the whole array."""
    spec = placement.spec_of(pieces[0].layer)
    shown = np.zeros((spec.rows, spec.cols))
    for piece in pieces:
        tile, at = piece.tile, np.ix_(piece.tile.line_numbers, piece.columns)
        live = piece.layer.live[tile.group][np.ix_(tile.rows, tile.cols)]
        carried = np.zeros(piece.codes.shape, dtype=bool) if piece.dummy else live & (piece.target > 0)
        shown[at] = 1 + carried
    return shown
