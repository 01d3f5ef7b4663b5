"""Compiled kernel of the cost model: how long every layer and every array is busy, in one pass over the pieces."""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import numpy as np

from hwmodels.compiling import compiled


@compiled()
def timing(
    array: np.ndarray,
    layer: np.ndarray,
    tile: np.ndarray,
    vectors: np.ndarray,
    input_cycles: np.ndarray,
    read_s: np.ndarray,
    columns: np.ndarray,
    bits: np.ndarray,
    rate_hz: np.ndarray,
    replicas: np.ndarray,
    latency_s: np.ndarray,
) -> float:
    """Latency per layer [s], added into `latency_s` (layers,), and the longest busy time of any array [s] as result.

    The first eight: (pieces,), sorted by array, layer, tile; rate_hz: conversions per second by number of bits [1/s];
    replicas: copies of every layer. The pieces of a tile on one array are read at once; tiles on one array take turns.
    """
    slowest = occupied = visit = at_once = 0.0
    for i in range(array.size):
        share = (vectors[i] + replicas[layer[i]] - 1) // replicas[layer[i]]
        cycle = read_s[i]
        if bits[i] > 0:
            cycle = max(cycle, columns[i] / rate_hz[bits[i]])
        at_once = max(at_once, share * input_cycles[i] * cycle)
        last = i + 1 == array.size
        new_array = last or array[i + 1] != array[i]
        new_layer = new_array or layer[i + 1] != layer[i]
        if new_layer or tile[i + 1] != tile[i]:
            visit += at_once
            at_once = 0.0
        if new_layer:
            latency_s[layer[i]] = max(latency_s[layer[i]], visit)
            occupied += visit
            visit = 0.0
        if new_array:
            slowest = max(slowest, occupied)
            occupied = 0.0
    return slowest
