"""What is on the shelf, for reading in a terminal: device presets and component libraries, with their sources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from io import StringIO
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from hwmodels import Device, Library
from hwmodels.costs.library import Quantity
from hwmodels.devices.device import EFFECTS


def devices() -> str:
    """A table of the packaged device presets."""
    table = _table("name", "technology", "G min … max [µS]", "levels", "programming error", "also", "unverified")
    for name in Device.names():
        device = Device.load(name)
        table.add_row(
            name,
            device.technology,
            f"{device.g_min_s * 1e6:.4g} … {device.g_max_s * 1e6:.4g}",
            str(device.levels),
            device.programming_error.kind,
            ", ".join(name.replace("_", " ") for name in EFFECTS if getattr(device, name) is not None) or "–",
            ", ".join(device.unverified) or "–",
        )
    return _text(table) + "\nohmweave devices NAME shows the source of every number.\n"


def device(name_or_path: str) -> str:
    """One device: every field with its value and source."""
    chosen = Device.load(name_or_path)
    table = _table("field", "value", "source")
    values = {
        "g_min_s": f"{chosen.g_min_s:.4g} S",
        "g_max_s": f"{chosen.g_max_s:.4g} S",
        "levels": str(chosen.levels),
        "level_g_s": "evenly spaced" if chosen.level_g_s is None else f"{len(chosen.level_g_s)} measured levels",
        "programming_error": _error(chosen),
        "stuck_at_lrs": f"{chosen.stuck_at_lrs:g}",
        "stuck_at_hrs": f"{chosen.stuck_at_hrs:g}",
        **{name: _effect(effect) for name in EFFECTS if (effect := getattr(chosen, name)) is not None},
        "read_voltage_v": f"{chosen.read_voltage_v:g} V",
        "idle": chosen.idle,
    }
    for field, value in values.items():
        mark = " (unverified)" if field in chosen.unverified else ""
        table.add_row(field, value + mark, chosen.sources.get(field, "–"))
    return f"{chosen.name}: {chosen.technology}\n{chosen.description}\n\n{_text(table)}"


def libraries() -> str:
    """A table of the packaged component libraries."""
    table = _table("name", "numbers", "with a range", "converter bits", "description")
    for name in Library.names():
        library = Library.load(name)
        numbers = [number for _, _, number in library.quantities()]
        ranged = sum(number.low is not None or number.high is not None for number in numbers)
        bits = sorted(library.adc.bits)
        listed = f"{bits[0]} … {bits[-1]}" if len(bits) > 1 else str(bits[0])
        table.add_row(name, str(len(numbers)), str(ranged), listed, library.description)
    return _text(table) + "\nohmweave libraries NAME shows the source of every number.\n"


def library(name_or_path: str) -> str:
    """One component library: every number with unit, node and source."""
    chosen = Library.load(name_or_path)
    table = _table("component", "quantity", "value", "low … high", "node", "source")
    for component, quantity, number in chosen.quantities():
        node = f"{number.node_nm:g} nm" if number.node_nm else "–"
        value = f"{number.value:g} {number.unit}"
        table.add_row(component, quantity, value, _range(number), node, number.source)
    notes = "".join(f"\n{note}" for note in chosen.notes)
    return f"{chosen.name}: {chosen.description}\n\n{_text(table)}{notes}\n"


def as_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Plain text of a table, as wide as the terminal."""
    table = _table(*columns)
    for row in rows:
        table.add_row(*row)
    return _text(table)


def _range(number: Quantity) -> str:
    """The range of a published number; a dash where none is known."""
    if number.low is None and number.high is None:
        return "–"
    low, high = (number.value if end is None else end for end in (number.low, number.high))
    return f"{low:g} … {high:g}"


def _error(device: Device) -> str:
    """A programming error in one line."""
    values: dict[str, Any] = asdict(device.programming_error)
    kind = values.pop("kind")
    return f"{kind} " + ", ".join(f"{key} = {_number(value)}" for key, value in values.items()) if values else kind


def _effect(effect: Any) -> str:
    """The table of an effect in one line."""
    return ", ".join(f"{key} = {_number(value)}" for key, value in asdict(effect).items() if value is not None)


def _number(value: Any) -> str:
    """A value of a spec: numbers short, curves as their kind and numbers."""
    if isinstance(value, dict):
        named = {key: item for key, item in value.items() if key != "kind" and item is not None}
        return f"{value.get('kind', '')}({', '.join(f'{key} {_number(item)}' for key, item in named.items())})"
    if isinstance(value, tuple):
        return "(" + ", ".join(_number(item) for item in value) + ")"
    return value if isinstance(value, str) else f"{value:.3g}"


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _text(table: Table) -> str:
    """The table as plain text, as wide as the terminal (at most 160 columns, 120 where there is none)."""
    stream = StringIO()
    probe = Console()
    width = min(probe.width, 160) if probe.is_terminal else 120
    Console(file=stream, width=width, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in stream.getvalue().strip("\n").splitlines())
