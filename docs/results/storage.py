"""Storage of pruned, quantised networks as the papers count it: `python docs/results/storage.py RUN_FOLDER …`.

A row per run: kept weights × their bits (b bits for 2^b levels), with what names their levels (the papers do not count
it): a scale of 32 bits for every layer whose levels are evenly spaced among those of the cells, or else a table of
them, 32 bits each; and with the places of the weights. A place is
stored as the gap to the kept weight before it, in a fixed number of bits, with a filler weight wherever a gap is too
long (Han et al., ICLR 2016, section 2). Of each layer the cheapest way counts: gaps along rows or columns, over the
whole matrix or over its live rows and columns with one bit a row and column that says which these are.
"""

import math
from pathlib import Path

import numpy as np
from collect import print_table

from crossbar.levels import evenly_spaced
from mapping import Placement
from mapping.placement import LayerPlacement


def gap_bits(live: np.ndarray, bits: int) -> tuple[int, int]:
    """Least total of place and filler bits of one layer, and the gap width that gives it; bits: of one weight."""
    gaps = np.diff(np.flatnonzero(live.ravel()), prepend=-1) - 1
    totals = []
    for width in range(1, 17):
        fillers = int((gaps // 2**width).sum())  # a filler stands where a gap does not fit its bits
        totals.append((gaps.size * width + fillers * (width + bits), width))
    return min(totals)


def place_bits(live: np.ndarray, bits: int) -> int:
    """Bits for the places of one layer; live: (groups, rows, cols)."""
    found = []
    for mask in (live, live[:, live.any(axis=(0, 2))][:, :, live.any(axis=(0, 1))]):
        maps = 0 if mask.shape == live.shape else live.shape[1] + live.shape[2]
        found += [maps + gap_bits(order, bits)[0] for order in (mask, np.swapaxes(mask, 1, 2))]
    return min(found)


def evenly(layer: LayerPlacement, bits: int) -> bool:
    """Whether the levels in use are among 2^bits of the cells' that are evenly spaced by number."""
    values = layer.grid.values
    used = values[np.unique(layer.index[layer.live])]
    return bool(np.isin(used, evenly_spaced(values, min(2**bits, values.size))).all())


def row(folder: str) -> dict[str, object]:
    """Sizes of the network of one finished run; 32 bits a weight when dense, biases left out as in the papers."""
    placement = Placement.load(Path(folder) / "placement")
    dense = data = tables = places = 0
    used = []
    for layer in placement.layers.values():
        levels = np.unique(layer.index[layer.live]).size
        bits = max(1, math.ceil(math.log2(levels)))
        dense += 32 * layer.live.size
        data += bits * int(layer.live.sum())
        tables += 32 if evenly(layer, bits) else 32 * levels
        places += place_bits(layer.live, bits)
        used.append(bits)
    return {
        "run": Path(folder).name,
        "bits": "/".join(map(str, used)),
        "data_bytes": round(data / 8, 1),
        "data_reduction": round(dense / data, 1),
        "with_scales_bytes": round((data + tables) / 8, 1),
        "with_scales_reduction": round(dense / (data + tables), 1),
        "with_index_bytes": round((data + tables + places) / 8, 1),
        "with_index_reduction": round(dense / (data + tables + places), 1),
    }


if __name__ == "__main__":
    print_table(row)
