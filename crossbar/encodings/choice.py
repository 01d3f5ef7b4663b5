"""Which encodings there are by name, what belongs to each, and the object that a choice stands for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from crossbar.encodings.flipped import FlippedEncoding
from crossbar.encodings.offset import OffsetEncoding
from crossbar.encodings.pair import PairEncoding
from crossbar.encodings.polarised import PolarisedEncoding
from crossbar.encodings.slicing import Slicing

EncodingKind = Literal["pair", "offset", "flipped", "polarised"]
"""How weights stand on cells; a file of this package each."""

Encoding = PairEncoding | OffsetEncoding | FlippedEncoding | PolarisedEncoding
"""Any encoding."""

UNSIGNED = ("offset", "flipped")
"""Encodings whose cells hold a weight's sign in their code, and that need a cell at every crossing."""

OWN_FIELDS = {
    "pair_subtraction": ("digital", "pair"),
    "pair_layout": ("arrays", "pair"),
    "offset_correction": ("digital", "offset"),
    "fragment": (None, "polarised"),
    "fragment_order": ("W", "polarised"),
}
"""Fields of `ArraySpec` that belong to one encoding: their value with any other, and the encoding."""

FRAGMENT = 8
"""Rows of a polarised fragment by default: the one of FORMS' own component table (ISCA 2021, Table III)."""


@lru_cache(maxsize=64)
def encoder(g_s: tuple[float, ...], radices: tuple[int, ...], kind: EncodingKind, options: tuple[Any, ...]) -> Encoding:
    """The encoding of this kind, with what its class takes beside a slicing; made once, for its look-up tables."""
    made = {
        "pair": PairEncoding,
        "offset": OffsetEncoding,
        "flipped": FlippedEncoding,
        "polarised": PolarisedEncoding,
    }[kind]
    return made(Slicing(np.array(g_s), radices), *options)


def check_options(kind: EncodingKind, values: Mapping[str, Any]) -> None:
    """Refuse a field that belongs to another encoding, and open crossings where every crossing needs a cell.

    values: the fields of `OWN_FIELDS`, and idle. Raises ValueError.
    """
    for name, (elsewhere, owner) in OWN_FIELDS.items():
        if kind != owner and values[name] != elsewhere:
            raise ValueError(f"{name} = {values[name]!r} is for encoding {owner!r}, not {kind!r}; leave it out")
    if kind in UNSIGNED and values["idle"] == "open":
        raise ValueError(
            f"idle = 'open' does not go with encoding {kind!r}: the reference is taken off for every driven row, so "
            "every crossing needs a cell. Use idle = 'hrs'"
        )


def check_complements(g_s: np.ndarray, radices: tuple[int, ...], device: str) -> None:
    """Refuse levels on which a flipped column cannot be put right: g[d] + g[R − 1 − d] must be one number.

    g_s: (L,) level conductances [S]; device: its name. Raises ValueError.
    """
    for radix in set(radices):
        if np.ptp(g_s[:radix] + g_s[:radix][::-1]) > 1e-9 * g_s[-1]:
            raise ValueError(
                "encoding = 'flipped' needs levels whose complements add up to one sum, as evenly spaced ones do, but "
                f"those of device {device!r} do not. Use encoding = 'offset'"
            )
