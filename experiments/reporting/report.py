"""The report of a run: one self-contained page, a summary in Markdown, the tables and the pictures.

A run is a value: `result.json` (see `schema`) and the tables hold all that the page shows, so a report can be made
again from its folder with `load`, `load_tables` and `write`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from experiments.reporting import (
    converter_report,
    drawing,
    figures,
    history_figure,
    page,
    rows,
    sheet,
    tornado,
    waterfall_figure,
)
from experiments.reporting.wording import plain
from hwmodels import atomic
from hwmodels.errors import UserError, unknown

SCHEMA = "ohmweave.result/1"
"""Name and version of the record; the version grows when an old reader would misread a new record."""


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the record, the contents of `result.json`."""
    return json.loads(resources.files("experiments").joinpath("schemas/result.schema.json").read_text("utf-8"))


def load(folder: str | Path) -> dict[str, Any]:
    """The record of a finished run.

    Raises UserError where `result.json` is missing, not readable, not of a run, newer than this program or incomplete.
    """
    path = Path(folder) / "result.json"
    try:
        record = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"No result in {folder}: {path} is missing. Finish the run with `ohmweave run` first."
        ) from None
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}). Run again to write it anew.") from None
    name = record.get("schema") if isinstance(record, dict) else None
    if name != SCHEMA:
        raise UserError(f"{path} {_misfit(name)}")
    missing = sorted(_missing(record, schema()))
    if missing:
        raise UserError(f"{path} is damaged: {', '.join(missing)} missing. Run again to write it anew.")
    return record


def load_tables(folder: str | Path) -> dict[str, pd.DataFrame]:
    """The tables of a finished run by name, read from `tables/*.parquet`.

    Raises UserError where there are none or one cannot be read.
    """
    files = sorted((Path(folder) / "tables").glob("*.parquet"))
    if not files:
        raise UserError(f"No tables in {Path(folder) / 'tables'}. Finish the run with `ohmweave run` first.")
    return {path.stem: _read_table(path) for path in files}


def write(
    record: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    out: Path,
    *,
    formats: Sequence[str] = ("svg", "png"),
) -> None:
    """Write `report.html`, `summary.md`, `tables/*.csv`, `tables/*.parquet` and `figures/*` into the folder `out`.

    record: as in `schema`; tables: cost_baseline, cost_placed, cost_layers, uncertainty, layers, history, training,
    tiles, seeds, adc_histogram (an absent or empty one leaves its picture out), and counts, prices, times, clipping,
    which say how numbers came about (without them the page links to fewer). formats: of the pictures, among svg, png
    and pdf; the page always has them.
    Each file appears whole or not at all, the page last. Raises UserError for an unknown picture format.
    """
    for name in formats:
        if name not in drawing.FORMATS:
            raise unknown("picture format", name, drawing.FORMATS)
    for name, table in tables.items():
        atomic.write(out / "tables" / f"{name}.csv", table.to_csv(index=False, lineterminator="\n").encode())
        atomic.write(out / "tables" / f"{name}.parquet", _parquet(table))
    pictures = _pictures(record, tables)
    alternatives = page.alternatives(record, tables)
    drawn: dict[str, dict[str, Markup]] = {}
    for name, draw in pictures.items():
        svg = drawing.render(draw, "svg")
        for fmt in formats:
            data = svg if fmt == "svg" else drawing.render(draw, fmt)
            atomic.write(out / "figures" / f"{name}.{fmt}", data)
        drawn[name] = drawing.both_widths(draw, name, alternatives[name], svg)
    contents = page.contents(record, tables)
    files = {"tables": sorted(tables), "pictures": list(pictures), "formats": list(formats)}
    summary = environment().get_template("summary.md.j2").render(contents, files=files)
    atomic.write(out / "summary.md", plain(summary))
    html = (
        environment().get_template("report.html.j2").render(contents, pictures=drawn, theme=drawing.THEME, files=files)
    )
    atomic.write(out / "report.html", html)


def pictures_of(record: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> dict[str, drawing.Draw]:
    """The pictures of a run by name, to be drawn in another width or format than the page has them."""
    return _pictures(record, tables)


def _pictures(record: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> dict[str, drawing.Draw]:
    """The pictures that the data allow, in the order of the page."""
    empty = pd.DataFrame()
    history, training, tiles = (tables.get(name, empty) for name in ("history", "training", "tiles"))
    decimals = page.precision(record["accuracy"])
    pictures: dict[str, drawing.Draw] = {
        "accuracy": lambda figure: figures.accuracy(figure, record["accuracy"], decimals)
    }
    lost = record.get("waterfall")
    if lost is not None:
        pictures["waterfall"] = lambda figure: waterfall_figure.draw(figure, lost, decimals)
    for by in ("component", "layer"):
        costs = rows.charts(tables, by)
        if costs:
            pictures[f"cost_by_{by}"] = lambda figure, costs=costs: figures.breakdown(figure, costs)
    uncertain = tables.get("uncertainty", empty)
    if not uncertain.empty:
        pictures["uncertainty"] = lambda figure: tornado.draw(figure, uncertain)
    if not (history.empty and training.empty):
        pictures["convergence"] = lambda figure: history_figure.convergence(figure, history, training)
    if not tiles.empty:
        pictures["placement"] = lambda figure: sheet.placement(figure, tiles)
    sums = tables.get("adc_histogram", empty)
    worst = converter_report.worst_layer(record["layers"], sums)
    if worst is not None:
        pictures["adc_range"] = lambda figure: converter_report.draw(figure, sums, worst)
    return pictures


@cache
def environment() -> Environment:
    """Where the templates of all pages are, and how they are filled."""
    environment = Environment(
        loader=PackageLoader("experiments", "templates"),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = _markdown
    return environment


def _markdown(text: object) -> str:
    """Text that Markdown prints as it is: on one line, no character of it taken as markup."""
    line = " ".join(str(text).split())
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in line)


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _read_table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's own errors are one or the other
        raise UserError(f"{path} is damaged ({error}). Run again to write it anew.") from None


def _misfit(name: object) -> str:
    family, _, version = str(name).rpartition("/")
    if family == SCHEMA.rpartition("/")[0] and version.isdigit() and int(version) > int(SCHEMA.rpartition("/")[2]):
        return f"was written by a newer Ohmweave ({name}; this one reads {SCHEMA}). Update Ohmweave to report it."
    return f"is not the result of a run: its schema is {name!r} instead of {SCHEMA!r}."


def _missing(value: object, rule: Mapping[str, Any], path: str = "") -> Iterable[str]:
    """Names of required keys that are not there, in the record and in the objects inside it."""
    if "$ref" in rule:
        rule = schema()["$defs"][rule["$ref"].rpartition("/")[2]]
    if rule.get("type") == "array" and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _missing(item, rule["items"], f"{path}[{index}]")
    if rule.get("type") != "object":
        return
    if not isinstance(value, dict):
        yield path or "the record"
        return
    for key in rule.get("required", ()):
        if key not in value:
            yield f"{path}.{key}" if path else key
    for key, inner in rule.get("properties", {}).items():
        if key in value:
            yield from _missing(value[key], inner, f"{path}.{key}" if path else key)
