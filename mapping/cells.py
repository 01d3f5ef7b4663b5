"""What the read-out of an array sees: its cells as wanted or as programmed, behind their wires."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from crossbar import ArraySpec
from crossbar.array_circuit import behind_wires
from hwmodels import conductances_at, program, read_sigma
from mapping.conditions import Conditions
from mapping.fault_maps import FaultMaps, stuck, without_faults
from mapping.pieces import Piece


def nominal(piece: Piece, spec: ArraySpec) -> np.ndarray:
    """Conductances (rows, cols) [S] of a piece without device error, wires included."""
    return _seen(piece, piece.contents.target, spec, ())


def programmed(
    piece: Piece, spec: ArraySpec, seed: int, conditions: Conditions, faults: FaultMaps | None = None
) -> np.ndarray:
    """Conductances (rows, cols) [S] of a piece on the chip of this seed: programming error, faults, drift, wires.

    The whole array is programmed at once, dummy columns with it: a cell's draw is that of its place in the array.
    faults: of a real chip, in the place of those that the device draws.
    """
    return _seen(piece, _standing(piece, spec, seed, conditions, faults), spec, (seed, conditions))


def _standing(piece: Piece, spec: ArraySpec, seed: int, conditions: Conditions, faults: FaultMaps | None) -> np.ndarray:
    """What stands on the whole array of a piece (rows, cols) [S] when it is read; worked out once for its pieces."""
    known, key = piece.contents.known, (seed, conditions)
    if key not in known:
        device = spec.device if faults is None else without_faults(spec.device)
        g = program(piece.contents.target, device, seed=seed, array=piece.array)
        if faults is not None and piece.array in faults:
            rows, cols = g.shape
            g = stuck(g, faults[piece.array][:rows, :cols], device)
        known[key] = conductances_at(
            g, device, t_s=conditions.t_s, temperature_k=conditions.temperature_k, seed=seed, array=piece.array
        )
    return known[key]


def read_variance(
    piece: Piece, spec: ArraySpec, seed: int, conditions: Conditions, faults: FaultMaps | None = None
) -> np.ndarray:
    """σ² (rows, cols) [S²] of the read noise of a piece's cells, as the read-out sees it.

    Behind wires a cell's deviation reaches the read-out as its conductance does, g_eff / g of it: to first order.
    """
    g = _standing(piece, spec, seed, conditions, faults)[piece.tile.lines][:, piece.columns]
    seen = programmed(piece, spec, seed, conditions, faults)
    share = np.divide(seen, g, out=np.zeros_like(g), where=g > 0)
    return (read_sigma(g, spec.device, conditions.t_s) * share) ** 2


def _seen(piece: Piece, whole: np.ndarray, spec: ArraySpec, key: tuple[Hashable, ...]) -> np.ndarray:
    """The piece's part of its whole array (rows, columns) [S], as read while only its tile's word lines are driven.

    key: which chip, when and how warm; with it the array behind its wires is kept for the tile's other pieces.
    """
    lines = piece.tile.lines
    if spec.has_wires:
        known, key = piece.contents.known, (*key, piece.layer.name, piece.number)
        if key not in known:
            known[key] = behind_wires(whole, spec, lines)
        whole = known[key]
    alone = piece.tile.in_order and piece.columns.size == whole.shape[1]
    return whole[lines] if alone else whole[lines][:, piece.columns]
