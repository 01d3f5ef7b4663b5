"""A placement on disk: `placement.json` (what and where) and `placement.safetensors` (indices, masks, the rest).

Schema `ohmweave.placement/4`. JSON: the array spec with its device, homes (which array of the chip each is), placing
(the choices of `mapping.placing.Placing`), per layer the geometry, matrix shape, calibration and its own array spec
where it has one, the SHA-256 of what stands where (`content_sha256`: level indices, masks, grids and tiles), the
digital layers, and the SHA-256 of the tensor file.
Tensors, per layer NAME:
`NAME/index` (uint8 or uint16), `NAME/live` (uint8), `NAME/levels` and `NAME/scale` (float64), `NAME/drive` (float64),
`NAME/converters` (int64, (n, 2): array, converter) and `NAME/converter_full_scale_s` (float64, n) of the converters
with ranges of their own, `NAME/code_counts` (int64) and `NAME/codes_used` (uint8) of the histogram of column sums,
`NAME/tile_rows`, `NAME/tile_cols` (int32, all tiles behind each other), `NAME/tile_sizes` (int32, (tiles, 3): group,
rows, cols), `NAME/tile_places` (int32, (tiles, 4): block, row0, col0, site or −1), where tiles do not fill their
rectangles in order `NAME/word_lines` and `NAME/bit_lines` (int32, beside tile_rows and tile_cols), where halves of
pairs are exchanged `NAME/exchanged` (uint8, beside tile_cols) and, where the encoding has them, `NAME/signs` (int8, the
tiles' flips or fragment signs behind each other, row by row); and `digital/KEY` for every tensor of the network that is
not a placed weight. Nothing in it is code.

Files of schema 1 to 3 are read: 3 knows neither exchanged halves nor exchanged arrays; 2 neither shared arrays nor
lines out of order nor arrays of a layer's own; 1 holds pairs only, every tile at the top of arrays of its own, and
neither ranges per converter nor histograms.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from pydantic import TypeAdapter, ValidationError

from crossbar import ArraySpec, LayerShape, LevelGrid
from crossbar.histogram import CodeHistogram
from hwmodels import atomic
from hwmodels.errors import UserError
from mapping.lowering import Geometry
from mapping.placement import Calibration, LayerPlacement, Placement
from mapping.placing import Placing
from mapping.tiling import Tile
from mapping.trace import DigitalLayer

SCHEMA = "ohmweave.placement/4"
OLDER = ("ohmweave.placement/1", "ohmweave.placement/2", "ohmweave.placement/3")
"""Schemas that are read as well."""
JSON_FILE, TENSOR_FILE = "placement.json", "placement.safetensors"


def save(placement: Placement, folder: str | os.PathLike[str]) -> None:
    """Write a placement into a folder (made if needed); each file appears whole, the JSON last.

    Raises UserError when the folder cannot be written.
    """
    path = Path(folder)
    tensors = _tensors(placement)
    content = safetensors.torch.save(tensors)
    head = {
        "schema": SCHEMA,
        "tensors_sha256": hashlib.sha256(content).hexdigest(),
        "array": TypeAdapter(ArraySpec).dump_python(placement.array, mode="json"),
        "macs_total": placement.macs_total,
        "macs_digital": placement.macs_digital,
        "folded": placement.folded,
        "notes": placement.notes,
        "homes": placement.homes,
        "placing": placement.placing.options(),
        "layers": [_layer_head(layer) | {"content_sha256": content_hash(layer)} for layer in placement.layers.values()],
        "digital": [asdict(item) for item in placement.digital],
    }
    try:
        atomic.write(path / TENSOR_FILE, content)
        atomic.write(path / JSON_FILE, json.dumps(head, indent=1))
    except OSError as error:
        raise UserError(f"Cannot write the placement to {str(path)!r}: {error.strerror or error}.") from None


def load(folder: str | os.PathLike[str]) -> Placement:
    """Read a placement; without a network (pass it to `reference` or `CrossbarNetwork`).

    Raises UserError for a missing, damaged or newer file.
    """
    path = Path(folder)
    head = _head(path)
    try:
        content = (path / TENSOR_FILE).read_bytes()
    except OSError as error:
        raise UserError(f"The placement in {str(path)!r} lacks {TENSOR_FILE}: {error.strerror or error}.") from None
    if hashlib.sha256(content).hexdigest() != head["tensors_sha256"]:
        raise UserError(f"The placement in {str(path)!r} is damaged: {TENSOR_FILE} does not match {JSON_FILE}.")
    tensors = safetensors.torch.load(content)
    try:
        array = TypeAdapter(ArraySpec).validate_python(_retupled(head["array"]))
        layers = {item["name"]: _checked(item, _own(tensors, item["name"]), array) for item in head["layers"]}
        digital = tuple(DigitalLayer(**item) for item in head["digital"])
        state = {key.removeprefix("digital/"): value for key, value in tensors.items() if key.startswith("digital/")}
        return Placement(
            array=array,
            layers=layers,
            digital=digital,
            macs_total=head["macs_total"],
            macs_digital=head.get("macs_digital"),
            folded=_retupled(head.get("folded", ())),
            notes=tuple(head.get("notes", ())),
            digital_state=state,
            homes=_homes(head.get("homes", ())),
            placing=Placing(**head.get("placing", {})),
        )
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise UserError(f"The placement in {str(path)!r} is damaged: {error}") from None


def _homes(given: Any) -> tuple[int, ...]:
    """The arrays' places on the chip, each once."""
    homes = tuple(int(number) for number in given)
    if sorted(homes) != list(range(len(homes))):
        raise ValueError("homes names an array twice, or one that there is not")
    return homes


def _tensors(placement: Placement) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for layer in placement.layers.values():
        own = _standing(layer) | {
            "drive": layer.calibration.drive,
            "converters": layer.calibration.converters,
            "converter_full_scale_s": layer.calibration.converter_full_scale_s,
        }
        histogram = layer.calibration.histogram
        if histogram is not None:
            assert histogram.used is not None
            own |= {"code_counts": histogram.counts, "codes_used": histogram.used.astype(np.uint8)}
        tensors |= {f"{layer.name}/{key}": torch.from_numpy(value.copy(order="C")) for key, value in own.items()}
    placed = {f"{name}.weight" if name else "weight" for name in placement.layers}
    state = placement.digital_state if placement.network is None else placement.network.state_dict()
    for key, value in state.items():
        if key not in placed:
            tensors[f"digital/{key}"] = value.detach().cpu().clone().contiguous()
    return tensors


def _standing(layer: LayerPlacement) -> dict[str, np.ndarray]:
    """What stands where: level indices, mask, grid and tiles."""
    tiles, none = layer.tiles, [np.zeros(0, dtype=np.int32)]
    sizes = [[tile.group, tile.rows.size, tile.cols.size] for tile in tiles]
    places = [[tile.block, tile.row0, tile.col0, -1 if tile.site is None else tile.site] for tile in tiles]
    own = {
        "index": layer.index,
        "live": layer.live.view(np.uint8),
        "levels": layer.grid.values,
        "scale": layer.grid.scale,
        "tile_rows": np.concatenate([tile.rows for tile in tiles] or none),
        "tile_cols": np.concatenate([tile.cols for tile in tiles] or none),
        "tile_sizes": np.array(sizes, dtype=np.int32).reshape(-1, 3),
        "tile_places": np.array(places, dtype=np.int32).reshape(-1, 4),
    }
    if not all(tile.in_order for tile in tiles):
        own["word_lines"] = np.concatenate([tile.line_numbers for tile in tiles]).astype(np.int32)
        own["bit_lines"] = np.concatenate([tile.columns for tile in tiles]).astype(np.int32)
    if any(tile.exchanged is not None for tile in tiles):
        own["exchanged"] = np.concatenate([tile.half_signs < 0 for tile in tiles]).astype(np.uint8)
    if layer.signs:
        own["signs"] = np.concatenate([sign.ravel() for sign in layer.signs])
    return own


def content_hash(layer: LayerPlacement) -> str:
    """SHA-256 of what stands where in a layer: two layers with the same are placed alike, cell by cell."""
    found = hashlib.sha256()
    for key, value in sorted(_standing(layer).items()):
        found.update(f"{key} {value.dtype} {value.shape}\n".encode())
        found.update(np.ascontiguousarray(value).data)
    return found.hexdigest()


def _checked(head: dict[str, Any], own: dict[str, np.ndarray], array: ArraySpec) -> LayerPlacement:
    """One layer; its content has to be what the JSON says."""
    layer = _layer(head, own, array)
    if "content_sha256" in head and content_hash(layer) != head["content_sha256"]:
        raise ValueError(f"the content of layer {layer.name!r} is not what {JSON_FILE} says of it")
    return layer


def _layer_head(layer: LayerPlacement) -> dict[str, Any]:
    calibration = layer.calibration
    return {
        "name": layer.name,
        "geometry": asdict(layer.geometry),
        "shape": asdict(layer.shape),
        "calibration": {
            "input_scale": calibration.input_scale,
            "signed": calibration.signed,
            "adc_full_scale_s": calibration.adc_full_scale_s,
            "lossless_adc_bits": calibration.lossless_adc_bits,
            "histogram": None
            if calibration.histogram is None
            else {key: getattr(calibration.histogram, key) for key in ("first", "width", "low", "top")},
        },
        "snap_error": layer.snap_error,
        "array": None if layer.array is None else TypeAdapter(ArraySpec).dump_python(layer.array, mode="json"),
    }


def _head(path: Path) -> dict[str, Any]:
    try:
        head = json.loads((path / JSON_FILE).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"There is no placement in {str(path)!r}: {error.strerror or error}.") from None
    except ValueError as error:
        raise UserError(f"The placement in {str(path)!r} is damaged: {JSON_FILE}: {error}") from None
    schema = head.get("schema") if isinstance(head, dict) else None
    if schema != SCHEMA and schema not in OLDER:
        newer = isinstance(schema, str) and schema.startswith(SCHEMA.rpartition("/")[0])
        reason = f"has the schema {schema!r}; this version reads {SCHEMA!r}"
        raise UserError(f"The placement in {str(path)!r} {reason}{' (update ohmweave)' if newer else ''}.")
    return head


def _own(tensors: dict[str, torch.Tensor], name: str) -> dict[str, np.ndarray]:
    """The arrays of one layer by their short names."""
    own = {key: tensors[f"{name}/{key}"].numpy() for key in _ARRAYS}
    return own | {key: tensors[f"{name}/{key}"].numpy() for key in _OPTIONAL if f"{name}/{key}" in tensors}


_ARRAYS = ("index", "live", "levels", "scale", "drive", "tile_rows", "tile_cols", "tile_sizes")
_OPTIONAL = (
    "tile_places",
    "word_lines",
    "bit_lines",
    "exchanged",
    "signs",
    "converters",
    "converter_full_scale_s",
    "code_counts",
    "codes_used",
)


def _layer(head: dict[str, Any], own: dict[str, np.ndarray], array: ArraySpec) -> LayerPlacement:
    tiles = _tiles(own)
    other = head.get("array")
    if other is not None:
        other = TypeAdapter(ArraySpec).validate_python(_retupled(other))
    return LayerPlacement(
        name=head["name"],
        geometry=Geometry(**_retupled(head["geometry"])),
        shape=LayerShape(**head["shape"]),
        grid=LevelGrid(own["levels"], own["scale"]),
        index=own["index"],
        live=own["live"].astype(bool),
        tiles=tiles,
        calibration=_calibration(head["calibration"], own),
        signs=_signs(own["signs"], tiles, other or array) if "signs" in own else (),
        snap_error=head["snap_error"],
        array=other,
    )


def _calibration(head: dict[str, Any], own: dict[str, np.ndarray]) -> Calibration:
    values: dict[str, Any] = head | {"drive": own["drive"]}
    values |= {key: own[key] for key in ("converters", "converter_full_scale_s") if key in own}
    if head.get("histogram"):
        used = own["codes_used"].astype(bool)
        values["histogram"] = CodeHistogram(**head["histogram"], counts=own["code_counts"], used=used)
    return Calibration(**values)


def _tiles(own: dict[str, np.ndarray]) -> tuple[Tile, ...]:
    sizes = own["tile_sizes"]
    rows, cols = _parts(own["tile_rows"], sizes[:, 1]), _parts(own["tile_cols"], sizes[:, 2])
    lines = bits = [None] * len(sizes)
    if "word_lines" in own:
        lines, bits = _parts(own["word_lines"], sizes[:, 1]), _parts(own["bit_lines"], sizes[:, 2])
    halves: list[Any] = [None] * len(sizes)
    if "exchanged" in own:
        halves = _parts(own["exchanged"].astype(bool), sizes[:, 2])
    alone = np.stack([np.arange(len(sizes)), np.zeros(len(sizes), dtype=int)], axis=1)
    given = own.get("tile_places", alone)  # schema 1: every tile at the top of arrays of its own
    places = np.tile([0, 0, 0, -1], (len(sizes), 1))  # schema 2: no arrays that layers share
    places[:, : given.shape[1]] = given
    return tuple(
        Tile(
            group=int(size[0]),
            rows=r,
            cols=c,
            block=int(place[0]),
            row0=int(place[1]),
            col0=int(place[2]),
            site=None if place[3] < 0 else int(place[3]),
            word_lines=w,
            bit_lines=b,
            exchanged=x if x is not None and x.any() else None,
        )
        for size, r, c, place, w, b, x in zip(sizes, rows, cols, places, lines, bits, halves, strict=True)
    )


def _parts(flat: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
    """What stands behind each other, in parts of these sizes."""
    return np.split(flat, np.cumsum(sizes)[:-1]) if len(sizes) else []


def _signs(flat: np.ndarray, tiles: tuple[Tile, ...], array: ArraySpec) -> tuple[np.ndarray, ...]:
    """The signs of every tile: (slices, cols) for flipped columns, (1, cols) for a polarised fragment."""
    lines = array.slices if array.encoding == "flipped" else 1
    ends = np.cumsum([lines * tile.cols.size for tile in tiles])
    if flat.size != ends[-1]:
        raise ValueError(f"there are {flat.size} signs for {ends[-1]} columns")
    return tuple(part.reshape(lines, -1) for part in np.split(flat, ends[:-1]))


def _retupled(value: Any) -> Any:
    """JSON lists back to the tuples that specs hold."""
    if isinstance(value, dict):
        return {key: _retupled(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_retupled(item) for item in value)
    return value
