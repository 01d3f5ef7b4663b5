"""What the report says: a run's record and tables turned into sentences, rows and figure captions.

Both templates, the page and the summary, print what `contents` returns; nothing is worked out inside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pandas as pd

from experiments.reporting import converter_report, provenance, waterfall_figure
from experiments.reporting.answers import HIGHLIGHT_KEYS, answer, highlights
from experiments.reporting.answers import precision as precision
from experiments.reporting.asked import asked, section
from experiments.reporting.captions import alternatives as alternatives
from experiments.reporting.captions import captions
from experiments.reporting.rows import (
    POWER,
    cost_keys,
    cost_rows,
    costs,
    digital_rows,
    flat_settings,
    layer_row,
    ranges,
    setting_text,
    stage_keys,
    stages,
    table_of,
    uncertain_rows,
)
from experiments.reporting.wording import duration, plural, share

Record = Mapping[str, Any]
Tables = Mapping[str, pd.DataFrame]


def contents(record: Record, tables: Tables) -> dict[str, Any]:
    """Everything the templates print, as text: sentences, rows of cells, and the record itself."""
    return {
        "record": record,
        "title": title(record),
        "created": moment(record["created"]),
        "asked": asked(record),
        "answer": answer(record),
        "highlights": highlights(record),
        "stages": stages(record),
        "lost": _lost(record),
        "costs": costs(record),
        "power": POWER,
        "how": provenance.panels(record, tables, linked(record)),
        "keys": _keys(record),
        "components": cost_rows(tables, "component"),
        "layer_costs": cost_rows(tables, "layer"),
        "ranges": ranges(record),
        "uncertain": uncertain_rows(tables),
        "layers": [layer_row(layer) for layer in record["layers"]],
        "converters": [converter_report.row(layer) for layer in record["layers"]],
        "converter_heads": list(converter_report.HEADS),
        "digital": digital_rows(record),
        "on_arrays": f"{share(record['macs_on_arrays'])} of the multiply-accumulates run on arrays.",
        "warnings": warnings(record),
        "read_with": f"{plural(len(warnings(record)), 'warning')}",
        "compressed": not table_of(tables, "history").empty,
        "captions": captions(record, tables),
        "config": flat_settings(record["config"]),
        "assumptions": list(record["assumptions"]),
        "sources": [(row["what"], setting_text(row["value"]), row["source"]) for row in record["sources"]],
        "times": [(name, duration(seconds)) for name, seconds in record["stage_seconds"].items()],
        "seconds": duration(record["seconds"]),
    }


def linked(record: Record) -> list[str]:
    """The keys of the record that the page links to how they came about."""
    return [key for rows in _keys(record).values() for row in rows for key in row if key]


def _keys(record: Record) -> dict[str, list[list[str]]]:
    """The keys behind the cells of every linked table."""
    lost = record.get("waterfall")
    return {
        "highlights": HIGHLIGHT_KEYS,
        "stages": stage_keys(record),
        "lost": [] if lost is None else waterfall_figure.keys(lost),
        "costs": cost_keys(record),
    }


def _lost(record: Record) -> dict[str, Any] | None:
    """Where accuracy is lost: rows of the table, and a sentence; None where the run did not ask."""
    lost = record.get("waterfall")
    if lost is None:
        return None
    decimals = precision(record["accuracy"])
    return {
        "rows": waterfall_figure.rows(lost, decimals),
        "sentence": waterfall_figure.sentence(lost, decimals),
    }


def title(record: Record) -> str:
    """The heading: the configuration's own title, else the name of the run."""
    return section(record, "report").get("title") or record["name"]


def warnings(record: Record) -> list[str]:
    """What the reader must know before trusting the numbers: broken promises first, then what the run found."""
    found = []
    if record["levels_violations"]:
        off = plural(record["levels_violations"], "weight")
        found.append(f"{off} off the device’s levels: do not use this result.")
    if record["constraint_violations"]:
        broken = plural(record["constraint_violations"], "pruning constraint")
        found.append(f"{broken} broken: do not use this result.")
    return found + list(record["warnings"])


def moment(created: str) -> str:
    """An ISO time as people write it; anything else as it is."""
    try:
        when = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{when:%Y-%m-%d %H:%M} {when.tzname() or ''}".rstrip()
