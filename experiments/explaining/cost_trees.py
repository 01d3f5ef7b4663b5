"""Area, energy, power and time of a chip as trees: counts × printed numbers, from the tables beside a result."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from experiments.explaining.tree import Node, leaf, of, product
from hwmodels.costs.units import to_si
from hwmodels.errors import UserError

TABLES = ("counts", "prices", "times")
"""Tables of a run that say how its cost came about (`hwmodels.costs.cost_account`), each with a column chip."""

UNITS = {"area": ("mm²", 1e-6), "energy": ("nJ", 1e-9), "peak": ("mW", 1e-3), "leakage": ("mW", 1e-3),
         "writing": ("nJ", 1e-9)}  # fmt: skip
_EACH = {"area": ("µm²", 1e-12), "energy": ("pJ", 1e-12), "peak": ("µW", 1e-6), "leakage": ("µW", 1e-6),
         "writing": ("pJ", 1e-12)}  # fmt: skip
_WORDS = {"area": "area", "energy": "energy per inference", "peak": "peak power", "leakage": "leakage",
          "writing": "energy of writing all cells once"}  # fmt: skip
_SIGNS = {1: "{}", -1: "1 / {}", 2: "{}²"}
_SHARE = {"read_s": "time of an array read"}
_PLACED = "tile table of the placement"


@dataclass(frozen=True, eq=False)
class ChipTrees:
    """The figures of one chip; chip: "baseline" or "placed"; case: "nominal", or an end of an interval.

    counts, prices, times: the tables, of both chips; read_time: who says how long an array read takes.
    """

    tables: dict[str, pd.DataFrame]
    chip: str
    read_time: str
    case: str = "nominal"

    @staticmethod
    def of(tables: dict[str, pd.DataFrame], chip: str, read_time: str, case: str = "nominal") -> ChipTrees:
        """Those of a run's tables; UserError where an earlier version has not written them."""
        lacking = [name for name in TABLES if name not in tables]
        if lacking:
            raise UserError(
                f"The tables {', '.join(lacking)} are missing, which say how the cost came about: an earlier version "
                "wrote this result. Run again to write them."
            )
        return ChipTrees(tables, chip, read_time, case)

    @cached_property
    def _counts(self) -> list[dict[str, Any]]:
        return self._own("counts")

    @cached_property
    def _prices(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """The factors by part and quantity; those at the end of an interval instead of the nominal ones."""
        found: dict[tuple[str, str, str], dict[str, Any]] = {}
        for row in self._own("prices"):
            if row["case"] in ("nominal", self.case):
                found[row["part"], row["quantity"], row["number"]] = row
        grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for (part, quantity, _), row in found.items():
            grouped.setdefault((part, quantity), []).append(row)
        return grouped

    @cached_property
    def _times(self) -> list[dict[str, Any]]:
        rows = self._own("times")
        return [row for row in rows if row["case"] == self.case] or [row for row in rows if row["case"] == "nominal"]

    def _own(self, name: str) -> list[dict[str, Any]]:
        table = self.tables[name]
        return table[table["chip"] == self.chip].to_dict("records")  # type: ignore[return-value]

    def arrays(self) -> Node:
        """Physical arrays, charged to the first layer that stands on each; copies not counted."""
        rows = [row for row in self._counts if row["quantity"] == "arrays"]
        return of("sum", f"arrays of the {self.chip} network", *(_amount(row, copied=False) for row in rows))

    def amount(self, quantity: str) -> Node:
        """Area, energy, peak, leakage or writing of the chip: the sum over its components of counts × price."""
        components: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in self._counts:
            if row["quantity"] == quantity:
                components.setdefault((row["component"], row["part"]), []).append(row)
        unit, factor = UNITS[quantity]
        parts = [self._component(quantity, part, rows) for (_, part), rows in components.items()]
        return of("sum", f"{_WORDS[quantity]} of the {self.chip} chip", *parts, unit=unit, to_si=factor)

    def _component(self, quantity: str, part: str, rows: list[dict[str, Any]]) -> Node:
        unit, factor = UNITS[quantity]
        counted = [_amount(row) for row in rows]
        amount = counted[0] if len(counted) == 1 else of("sum", "in all layers", *counted, unit=rows[0]["of"])
        return of("product", part, amount, self._price(part, quantity), unit=unit, to_si=factor)

    def _price(self, part: str, quantity: str) -> Node:
        unit, factor = _EACH[quantity]
        factors = [_factor(row) for row in self._prices[part, quantity]]
        one = "one siemens" if part == "cell read" else "one"
        return of("product", f"{quantity} of {one}", *factors, unit=unit, to_si=factor)

    def power(self, rate: Node, label: str) -> Node:
        """Energy per inference × rate + leakage."""
        busy = of("product", "of inferences", self.amount("energy"), rate, unit="mW", to_si=1e-3)
        leakage = self.amount("leakage")
        parts = (busy, leakage) if leakage.parts else (busy,)
        return of("sum", label, *parts, unit="mW", to_si=1e-3)

    def latency(self) -> Node:
        """Layers one after the other."""
        layers: dict[str, list[Node]] = {}
        for row in self._times:
            if row["what"] == "latency":
                layers.setdefault(row["layer"], []).append(self._term(row))
        parts = [of("sum", name, *terms, unit="µs", to_si=1e-6) for name, terms in layers.items()]
        return of("sum", f"latency of the {self.chip} chip", *parts, unit="µs", to_si=1e-6)

    def pace(self) -> Node:
        """The highest rate: one over the time that the busiest array takes per inference."""
        terms = [self._term(row) for row in self._times if row["what"] == "pace"]
        busiest = of("sum", "time of the busiest array per inference", *terms, unit="µs", to_si=1e-6)
        return of("inverse", f"full rate of the {self.chip} chip", busiest, unit="1/s")

    def sequential(self) -> Node:
        """The highest rate of one inference after the other."""
        return of("inverse", f"rate of the {self.chip} chip, layer by layer", self.latency(), unit="1/s")

    def writing_time(self) -> Node:
        """Of the array that takes longest, row after row."""
        row = next(row for row in self._times if row["what"] == "writing")
        source = "the device's pulses until its slowest cell is accepted, or the library's programming time"
        each = leaf("time of a row", row["read_s"] * 1e6, "µs", to_si=1e-6, source=source)
        rows = leaf("rows of the array that takes longest", row["turns"], source=_PLACED)
        return of("product", "time of writing all cells once", rows, each, unit="µs", to_si=1e-6)

    def _term(self, row: dict[str, Any]) -> Node:
        """Turns × vectors × cycles × the longer of a read and the conversions of a converter's columns."""
        read = leaf("time of an array read", row["read_s"] * 1e9, "ns", to_si=1e-9, source=self.read_time)
        slow = read
        if row["rate_hz"]:
            rates = self._prices[row["rate_of"], "rate"]
            columns = leaf("columns of a converter", row["columns"], source="crossbar.cols_per_adc")
            converting = of("quotient", "their conversions", columns, _factor(rates[0]), unit="ns", to_si=1e-9)
            slow = of("largest", "input cycle", read, converting, unit="ns", to_si=1e-9)
        counted = [
            leaf("tiles of an array that take turns", row["turns"], source=_PLACED),
            leaf("input vectors per inference", row["vectors"], source=_PLACED, note="shared by the layer's copies"),
            leaf("input cycles of a vector", row["cycles"], source="crossbar.input_bits and dac_bits, all phases"),
        ]
        return of("product", f"{row['layer']}", *counted, slow, unit="µs", to_si=1e-6)


def _amount(row: dict[str, Any], *, copied: bool = True) -> Node:
    """One layer's amount, times its copies."""
    amount = leaf(row["layer"], row["amount"], row["of"], source=_PLACED)
    if not copied or row["copies"] == 1:
        return amount
    copies = leaf("copies", row["copies"], source="hardware.replicas")
    return product(row["layer"], amount.called("of one copy"), copies, unit=row["of"])


def _factor(row: dict[str, Any]) -> Node:
    """One printed number of a price."""
    told = [f"{row['node_nm']:g} nm"] if row["node_nm"] else []
    told += [] if row["case"] == "nominal" else [f"at its {row['case'].rpartition(' ')[2]} end"]
    value, si = row["value"], row["si"]
    printed = leaf(row["number"], value, row["unit"], to_si=_scale(row), source=row["source"], note=", ".join(told))
    assert abs(value * _scale(row) - si) <= 1e-12 * abs(si), row
    if row["exponent"] == 1:
        return printed
    return of("inverse" if row["exponent"] == -1 else "square", _SIGNS[row["exponent"]].format(row["number"]), printed)


def _scale(row: dict[str, Any]) -> float:
    return to_si(row["unit"])[1]
