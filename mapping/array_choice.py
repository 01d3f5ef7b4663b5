"""Which arrays every layer stands on, where a chip has more than one kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from crossbar import ArraySpec
from hwmodels.errors import UserError


def check_spares(spec: ArraySpec, spare_rows: int, spare_cols: int) -> None:
    """Raise UserError where spare lines are negative or leave no room for a weight."""
    for name, spare, room in (("spare_rows", spare_rows, spec.rows), ("spare_cols", spare_cols, spec.weight_cols)):
        if not 0 <= spare < room:
            raise UserError(f"{name} = {spare!r} must be from 0 to {room - 1}: an array has {room} lines for weights.")


def specs_of(layers: Iterable[str], array: ArraySpec, arrays: Mapping[str, ArraySpec]) -> dict[str, ArraySpec]:
    """The arrays of every layer: those of the first pattern that fits its name (as file names do), else `array`.

    Raises UserError for a pattern that fits no layer.
    """
    names = list(layers)
    for pattern in arrays:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UserError(f"arrays: no layer is called {pattern!r}; layers: {', '.join(map(repr, names))}.")
    return {
        name: next((spec for pattern, spec in arrays.items() if fnmatchcase(name, pattern)), array) for name in names
    }
