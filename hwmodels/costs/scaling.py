"""Digital parts from one technology node to another, after Stillmaker & Baas (Integration 58, 2017, 74-81).

Area by their table, delay and energy by their polynomials in the supply. Only digital parts scale like this:
converters, drivers, sample-and-holds and cells stay as they are, because matching and noise set their size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hwmodels.costs.adc_cost import published
from hwmodels.costs.library import Library, Part, Quantity
from hwmodels.errors import UserError

DIGITAL = (
    "shift_add",
    "adder",
    "accumulator",
    "input_register",
    "output_register",
    "buffer",
    "bus",
    "router",
    "activation",
    "pooling",
    "control",
)
"""Parts of a library that scale with the node. Memories and wires are among them, which the source did not fit."""


@dataclass(frozen=True)
class Scaling:
    """Factors from one node to another: a number there is the number here times the factor."""

    area: float
    energy: float
    delay: float
    power: float
    notes: tuple[str, ...] = ()


def area_factor(from_nm: float, to_nm: float) -> float:
    """Area at `to_nm` over area at `from_nm`: the printed table; between its nodes log–log in both.

    Raises UserError outside 7 to 180 nm.
    """
    table = published("scaling")["area"]
    nodes, factors = np.array(table["nodes_nm"], dtype=float), np.log(np.array(table["factors"]))
    for node in (from_nm, to_nm):
        if not nodes.min() <= node <= nodes.max():
            raise UserError(f"Node scaling holds from {nodes.min():g} to {nodes.max():g} nm, not {node:g} nm.")
    ascending = np.log(nodes[::-1])
    over_columns = [np.interp(np.log(to_nm), ascending, row[::-1]) for row in factors]
    return float(np.exp(np.interp(np.log(from_nm), ascending, over_columns[::-1])))


def node_scaling(
    from_nm: float, to_nm: float, from_v: float | None = None, to_v: float | None = None, flavour: str = "hp"
) -> Scaling:
    """The factors between two nodes.

    from_v, to_v: supplies [V]; None: the usual one of the node. flavour: "hp" (high performance) or "lp" (low power),
    which differ from 45 nm on. factor = polynomial(to, to_v) / polynomial(from, from_v). A node that is not listed uses
    the polynomials of the nearest listed one within 15 %, and a note says so.
    Raises UserError for a node further away, a supply beyond 40 % of the usual one, or an unknown flavour.
    """
    if flavour not in ("hp", "lp"):
        raise UserError(f"flavour is 'hp' or 'lp', not {flavour!r}.")
    area = area_factor(from_nm, to_nm)
    (source, supply0, note0), (target, supply1, note1) = (
        _polynomials(node, volt, flavour) for node, volt in ((from_nm, from_v), (to_nm, to_v))
    )
    energy, delay, power = (
        float(np.polyval(target[what], supply1) / np.polyval(source[what], supply0))
        for what in ("energy", "delay", "power")
    )
    if not min(energy, delay, power) > 0:
        raise UserError(
            f"The polynomials do not hold from {from_nm:g} nm at {supply0:g} V to {to_nm:g} nm at {supply1:g} V: a "
            "factor came out at or below 0. Choose supplies nearer to the usual ones."
        )
    return Scaling(area, energy, delay, power, tuple(note for note in (note0, note1) if note))


def _polynomials(node: float, supply: float | None, flavour: str) -> tuple[dict[str, Any], float, str]:
    """The polynomials of a node, the supply [V] to take them at, and a note where the node is not listed."""
    data = published("scaling")
    listed = min(data["area"]["nodes_nm"], key=lambda other: abs(np.log(other / node)))
    if abs(np.log(listed / node)) > np.log(1.15):
        raise UserError(
            f"Node scaling lists {', '.join(str(n) for n in data['area']['nodes_nm'])} nm; {node:g} nm is near none."
        )
    usual = data["supply_v"][str(listed)]
    chosen = usual if supply is None else supply
    if not 0.6 * usual <= chosen <= 1.4 * usual:
        raise UserError(f"A supply of {chosen:g} V is far from the {usual:g} V of {node:g} nm: the fit does not hold.")
    key = str(listed) if listed > 45 else f"{flavour}{listed}"
    note = "" if listed == node else f"Energy and delay at {node:g} nm are taken from the {listed} nm polynomials"
    return data["factors"][key], chosen, note


def at_node(
    library: Library, node_nm: float, from_v: float | None = None, to_v: float | None = None, flavour: str = "hp"
) -> Library:
    """A library with its digital parts moved to another node; converters, drivers and cells stay, and a note says so.

    Each number is scaled from its own node; one without a node is refused. Power scales like energy, because the rate
    of the work stays; leakage is scaled the same way, for want of a fit of its own. Raises UserError as `node_scaling`.
    """
    changes: dict[str, Any] = {}
    notes: dict[str, None] = {}
    for name in DIGITAL:
        part: Part | None = getattr(library, name)
        if part is not None:
            changes[name] = _moved(name, part, node_nm, (from_v, to_v, flavour), notes)
    told = (
        f"Digital parts are scaled to {node_nm:g} nm after Stillmaker & Baas (2017), memories and wires too, though "
        "the source fits logic; converters, drivers, sample-and-holds and cells are not scaled."
    )
    return replace(library, **changes, notes=(*library.notes, told, *notes))


def _moved(name: str, part: Part, node_nm: float, how: tuple[Any, Any, str], notes: dict[str, None]) -> Part:
    """A part with its numbers at another node."""
    moved: dict[str, Quantity] = {}
    for field, kind in (("area", "area"), ("power", "energy"), ("energy", "energy"), ("leakage", "energy")):
        number: Quantity | None = getattr(part, field)
        if number is None or number.node_nm == node_nm:
            continue
        if not number.node_nm:
            raise UserError(f"{name}.{field} states no node (node_nm), so it cannot be moved to {node_nm:g} nm.")
        scaling = node_scaling(number.node_nm, node_nm, *how)
        notes.update(dict.fromkeys(scaling.notes))
        moved[field] = _times(number, getattr(scaling, kind), node_nm)
    return replace(part, **moved) if moved else part


def _times(number: Quantity, factor: float, node_nm: float) -> Quantity:
    """A number and its range times a factor, with where it came from."""
    low, high = (None if end is None else end * factor for end in (number.low, number.high))
    source = f"{number.source}; scaled from {number.node_nm:g} nm after Stillmaker & Baas (2017)"
    return replace(number, value=number.value * factor, low=low, high=high, node_nm=float(node_nm), source=source)
