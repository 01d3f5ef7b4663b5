"""Which array of a faulty chip holds what: whole arrays of one kind exchanged, as a linear assignment.

What an array's cells lose on another array's faults, Σ (Δw)² with every line where it is, is known for every pair of
arrays beforehand, so the best exchange is a linear assignment (scipy). Cells of one weight on several faulty arrays are
counted apart, which is exact where no weight has two faulty cells; so the caller compares the errors that come out.
"""

from __future__ import annotations

import numpy as np

from crossbar import ArraySpec
from hwmodels.devices.faults import HRS, LRS, OPEN, value_of
from mapping.fault_blocks import counts, weight_per_siemens
from mapping.fault_maps import specs_of_arrays
from mapping.placement import Placement

MOST = 1000
"""Arrays that are exchanged with each other at most; of more, every thousand by themselves (costs are of all pairs)."""


def exchanged(placement: Placement, maps: dict[int, np.ndarray]) -> tuple[int, ...]:
    """`Placement.homes` with the arrays of every spec exchanged for the least Σ_layers ‖Δw‖² / ‖w‖².

    maps: by array of the chip. O(arrays · faulty cells of all arrays) and O(arrays³), arrays at most `MOST`.
    """
    kinds: list[ArraySpec] = []
    members: list[list[int]] = []
    for number, spec in specs_of_arrays(placement).items():
        kind = next((i for i, known in enumerate(kinds) if known == spec), len(kinds))
        if kind == len(kinds):
            kinds.append(spec)
            members.append([])
        members[kind].append(number)
    homes = placement.homes or tuple(range(placement.arrays))
    groups = [
        (spec, np.array(numbers[first : first + MOST]))
        for spec, numbers in zip(kinds, members, strict=True)
        for first in range(0, len(numbers), MOST)
    ]
    moves = _moves(placement, maps, [group for group in groups if group[1].size > 1])
    return tuple(moves.get(number, number) for number in homes)


def _moves(
    placement: Placement, maps: dict[int, np.ndarray], groups: list[tuple[ArraySpec, np.ndarray]]
) -> dict[int, int]:
    """Where what stands on an array goes, for the arrays that something moves to or from."""
    from scipy.optimize import linear_sum_assignment

    costs = [np.zeros((numbers.size, numbers.size)) for _, numbers in groups]
    faults = [_Faults(spec, [maps.get(int(number)) for number in numbers]) for spec, numbers in groups]
    place = {int(number): (at, row) for at, (_, numbers) in enumerate(groups) for row, number in enumerate(numbers)}
    norms = {name: float((layer.weights().double() ** 2).sum()) or 1.0 for name, layer in placement.layers.items()}
    for piece in placement.pieces():
        if piece.dummy or piece.array not in place:
            continue
        at, row = place[piece.array]
        layer, spec = piece.layer, groups[at][0]
        share = weight_per_siemens(layer, spec, piece.tile) * counts(layer, piece, spec)
        lines = np.ix_(piece.tile.line_numbers, piece.columns)
        costs[at][row] += faults[at].errors(lines, piece.target, share) / norms[layer.name]
    found: dict[int, int] = {}
    for cost, (_, numbers) in zip(costs, groups, strict=True):
        stay = np.arange(numbers.size)
        cost[stay, stay] -= 1e-9 * cost.max(initial=0.0)  # what gains nothing stays
        rows, homes = linear_sum_assignment(cost)
        found |= dict(zip(numbers[rows].tolist(), numbers[homes].tolist(), strict=True))
    return found


class _Faults:
    """The faults of arrays of one spec, code by code, ready to be counted under any cells."""

    def __init__(self, spec: ArraySpec, maps: list[np.ndarray | None]) -> None:
        from scipy.sparse import csr_array

        self.arrays = len(maps)
        whole = np.stack([np.zeros((spec.rows, spec.cols), np.int8) if each is None else each for each in maps])
        flat = whole.reshape(len(maps), -1)
        self.shape = (spec.rows, spec.cols)
        self.maps = {
            value_of(code, spec.device): csr_array((flat == code).astype(np.float64))
            for code in (LRS, HRS, OPEN)
            if (flat == code).any()
        }

    def errors(self, at: tuple[np.ndarray, ...], g: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Σ (Δw)² on every array, (arrays,), of cells g (rows, cols) [S] at these lines and columns.

        share: (cols,) weight per siemens.
        """
        total = np.zeros(self.arrays)
        for value, faulty in self.maps.items():
            cells = np.zeros(self.shape)
            cells[at] = np.where(g > 0, (value - g) * share, 0.0) ** 2
            total += faulty @ cells.ravel()
        return total
