"""A placement as CSV files for people who write a real chip: target conductances of every array, and what they mean.

    export.json     schema, units, the arrays' specs
    arrays.csv      a row per array: array, file, rows, cols, layers, cells, g_min_s, g_max_s
    lines.csv       a row per line of a piece: array, kind (word or bit), line, layer, tile, group, matrix (row of the
                    layer's matrix for a word line, column for a bit line), sign, slice; sign: how a bit line counts
                    in its output, where halves of a pair are exchanged the other way round than its array; bit lines
                    of dummy columns have matrix −1, and word lines no sign or slice of their own (0)
    array-N.csv     rows × cols target conductances [S], word line by word line, 17 digits; 0 is an open crossing

Row r of a layer's matrix is input r of (in, kh, kw) in C order, its column an output channel of the group.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from crossbar import ArraySpec
from hwmodels import atomic
from hwmodels.errors import UserError

if TYPE_CHECKING:
    from mapping.pieces import Piece
    from mapping.placement import Placement

SCHEMA = "ohmweave.export/1"


def export(placement: Placement, folder: str | os.PathLike[str]) -> list[Path]:
    """Write the target conductances of every array into a folder; returns the files, `export.json` last.

    Unused crossings are written as what is idle there: 0 S, or a cell at g_min. O(cells); one array in memory at a time
    where no layers share arrays. Raises UserError when the folder cannot be written.
    """
    path = Path(folder)
    pieces: dict[int, list[Piece]] = {}
    written: list[Path] = []
    rows: list[dict[str, Any]] = []
    lines: list[pd.DataFrame] = []
    uses = placement.tiles.groupby("array").size().to_dict()
    try:
        for piece in placement.pieces():
            parts = pieces.setdefault(piece.array, [])
            parts.append(piece)
            lines.append(_lines(piece))
            if len(parts) == uses[piece.array]:
                rows.append(_write_array(pieces.pop(piece.array), placement.spec_of(piece.layer), path))
                written.append(path / rows[-1]["file"])
        table = pd.DataFrame(rows).sort_values("array")
        written += [path / "arrays.csv", path / "lines.csv", path / "export.json"]
        atomic.write(path / "arrays.csv", table.to_csv(index=False))
        atomic.write(path / "lines.csv", pd.concat(lines).drop_duplicates().to_csv(index=False))
        atomic.write(path / "export.json", json.dumps(_head(placement), indent=1))
    except OSError as error:
        raise UserError(f"Cannot write the export to {str(path)!r}: {error.strerror or error}.") from None
    return written


def whole_array(pieces: list[Piece], spec: ArraySpec) -> np.ndarray:
    """Target conductances of all rows × cols crossings of an array [S], idle ones included."""
    used = pieces[0].contents.target
    whole = np.full((spec.rows, spec.cols), 0.0 if spec.idle == "open" else spec.device.g_min_s)
    whole[: used.shape[0], : used.shape[1]] = used
    return whole


def _write_array(pieces: list[Piece], spec: ArraySpec, path: Path) -> dict[str, Any]:
    """Write one array; its row of the table of arrays."""
    g = whole_array(pieces, spec)
    number = pieces[0].array
    text = io.StringIO()
    np.savetxt(text, g, fmt="%.17g", delimiter=",")
    name = f"array-{number}.csv"
    atomic.write(path / name, text.getvalue())
    return {
        "array": number,
        "file": name,
        "rows": spec.rows,
        "cols": spec.cols,
        "layers": " ".join(dict.fromkeys(piece.layer.label for piece in pieces)),
        "cells": int(sum(piece.target.size for piece in pieces)),
        "g_min_s": spec.device.g_min_s,
        "g_max_s": spec.device.g_max_s,
    }


def _lines(piece: Piece) -> pd.DataFrame:
    """What the word and bit lines of a piece stand for."""
    tile = piece.tile
    common = {"array": piece.array, "layer": piece.layer.label, "tile": piece.number, "group": tile.group}
    matrix = np.full(piece.columns.size, -1) if piece.dummy else tile.cols
    word = {"kind": "word", "line": tile.line_numbers, "matrix": tile.rows, "sign": 0, "slice": 0}
    sign = piece.sign if piece.dummy else piece.sign * tile.half_signs
    bit = {"kind": "bit", "line": piece.columns, "matrix": matrix, "sign": sign, "slice": piece.slice}
    order = ["array", "kind", "line", "layer", "tile", "group", "matrix", "sign", "slice"]
    return pd.concat([pd.DataFrame(common | word), pd.DataFrame(common | bit)])[order]  # type: ignore[return-value]


def _head(placement: Placement) -> dict[str, Any]:
    kind = TypeAdapter(ArraySpec)
    return {
        "schema": SCHEMA,
        "units": {"conductance": "S"},
        "array": kind.dump_python(placement.array, mode="json"),
        "layers": [
            {
                "layer": layer.label,
                "weight_shape": layer.geometry.weight_shape,
                "groups": layer.shape.groups,
                "scale": np.asarray(layer.grid.scale).tolist(),
                "array": None if layer.array is None else kind.dump_python(layer.array, mode="json"),
            }
            for layer in placement.layers.values()
        ],
    }
