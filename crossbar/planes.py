"""From the planes of an encoding to the columns of an array, and from those to what the converters see."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from crossbar.encodings import Encoding
from crossbar.strip import Strip


def standing(encoder: Encoding, codes: np.ndarray, group: Sequence[int]) -> np.ndarray:
    """Target conductances (rows, columns) [S] of one array: planes on neighbouring columns, then their dummy columns.

    codes: (planes, rows, cols) cell codes; group: the planes that stand on this array (`ArraySpec.plane_groups`).
    """
    _, rows, cols = codes.shape
    dummies = len(group) if encoder.reference_codes is not None else 0
    whole = np.zeros((rows, cols * len(group) + dummies))
    for at, plane in enumerate(group):
        whole[:, at : cols * len(group) : len(group)] = encoder.conductances(codes[plane])
        if encoder.reference_codes is not None:
            reference = np.full(rows, encoder.reference_codes[plane])
            whole[:, cols * len(group) + at] = encoder.conductances(reference)
    return whole


def add_plane(encoder: Encoding, sign: int, part: int, seen: np.ndarray, g: np.ndarray) -> None:
    """Add the cells of one plane, or of a dummy column (sign −1), to what the converters see.

    seen: (rows, cols or 1) [S]; g: (rows, converted planes, cols) [S], changed in place. Before a signed converter,
    negative halves and dummy columns (one for all columns) are subtracted from their slice.
    """
    if encoder.analog:
        g[:, part] += sign * seen
    else:
        g[:, encoder.planes.index((sign, part))] += seen


def add_seen(encoder: Encoding, group: Sequence[int], seen: np.ndarray, g: np.ndarray) -> None:
    """Add one array's cells, as read, to what the converters see.

    seen: (rows, columns) [S], the columns of `standing`; g: (rows, converted planes, cols) [S], changed in place.
    """
    width = g.shape[2] * len(group)
    for at, plane in enumerate(group):
        sign, part = encoder.planes[plane]
        add_plane(encoder, sign, part, seen[:, at : width : len(group)], g)
        if encoder.reference_codes is not None:
            add_plane(encoder, -1, part, seen[:, width + at, None], g)


def places(encoder: Encoding, group: Sequence[int], array: int, first_row: int, place: np.ndarray) -> None:
    """Say where the columns of one array's planes are converted.

    place: (3, converted planes, cols) int64, changed in place: array, number among its converted columns, first word
    line of the part that is read; the positive half's of a subtracted pair.
    """
    subtracted = encoder.analog and len({sign for sign, _ in (encoder.planes[plane] for plane in group)}) > 1
    for at, plane in enumerate(group):
        sign, part = encoder.planes[plane]
        if encoder.analog and sign < 0:
            continue
        columns = np.arange(place.shape[2]) * len(group) + at
        place[0, part if encoder.analog else plane] = array
        place[1, part if encoder.analog else plane] = columns // (2 if subtracted else 1)
        place[2, part if encoder.analog else plane] = first_row


def strip_of(
    g: np.ndarray, unit: float, encoder: Encoding, signs: Sequence[np.ndarray | None], widths: Sequence[int]
) -> Strip:
    """The strip of tiles that share word lines.

    g: (rows, converted planes, cols) [S], the tiles side by side, overwritten; unit: what 1 means in the strip [S];
    signs: per tile the digital signs that go with its cells; widths: per tile its columns.
    """
    rows, _, cols = g.shape
    g /= unit
    weights = [encoder.input_weight_s(own, width) for own, width in zip(signs, widths, strict=True)]
    return Strip(
        g=torch.from_numpy(g.astype(np.float32).reshape(rows, -1)),
        unit_s=unit,
        cols=cols,
        plane_weights=encoder.plane_weights,
        signed=encoder.analog,
        column_sign=_tensor([encoder.column_sign(own) for own in signs], np.float32, 1.0),
        input_weight=_tensor(weights, np.float64, 1 / unit),
    )


def _tensor(parts: Sequence[np.ndarray | None], dtype: type, factor: float) -> Tensor | None:
    """The tiles' digital terms (…, cols), times a factor, side by side in one row; None where there are none."""
    given = [part for part in parts if part is not None]
    if not given:
        return None
    return torch.from_numpy((np.concatenate(given, axis=-1) * factor).astype(dtype).reshape(-1))
