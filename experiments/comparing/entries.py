"""What `ohmweave compare` takes: runs, configurations (priced, not simulated), points of sweeps, published tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from experiments import config as configuration
from experiments.comparing.metrics import CONTEXT, METRICS, Entry
from experiments.progress import Progress
from experiments.run_folder import read_json
from hwmodels.errors import UserError, suggestion

REQUIRED = ("name", "source")
"""Columns that a published table must have; the others: those of `METRICS` and `CONTEXT`, and what else it states."""
_SAVED = ("arrays", "area", "power", "energy")
_ENDS = tuple(end for metric in METRICS.values() for end in metric.interval or ())


def published() -> list[str]:
    """Names of the packaged tables of peers."""
    folder = resources.files("experiments").joinpath("tables")
    return sorted(item.name.removesuffix(".csv") for item in folder.iterdir() if item.name.endswith(".csv"))


def entries(text: str, progress: Progress) -> list[Entry]:
    """What one argument of the command names: one entry, or all rows of a published table.

    A run folder or its result.json; a sweep's folder and the number of a point (`out/sweep:17`); a configuration
    (TOML, or the name of a packaged one), which is priced without training; a CSV of published numbers or the name of a
    packaged one, with `:text` only the rows whose name holds the text.
    Raises UserError for anything else, with what there is.
    """
    path, _, part = _split(text)
    if path.is_dir():
        return [_of_folder(path, part)]
    if path.name == "result.json":
        return [_run(path.parent)]
    name = str(path)
    if path.suffix.lower() == ".csv" or (name in published() and not path.exists()):
        return _rows(name, part)
    if path.suffix.lower() == ".toml" or name in configuration.example_names():
        return [_priced(name, progress)]
    known = [*published(), *configuration.example_names()]
    raise UserError(
        f"Nothing to compare at {text!r}: it is no folder of a run or a sweep (DIR:POINT), no configuration (.toml) "
        f"and no table (.csv). {suggestion(name, known)}"
    )


def _split(text: str) -> tuple[Path, str, str]:
    """Path and what follows its last colon; a path may hold colons itself."""
    if Path(text).exists():
        return Path(text), "", ""
    head, colon, tail = text.rpartition(":")
    return (Path(head), colon, tail) if colon else (Path(text), "", "")


def _of_folder(path: Path, part: str) -> Entry:
    if (path / "results.parquet").exists():
        return _point(path, part)
    if part:
        raise UserError(f"{str(path)!r} is no sweep, so it has no point {part!r}.")
    return _run(path)


def _run(folder: Path) -> Entry:
    from experiments.reporting import report

    record = report.load(folder)
    accuracy, values = record["accuracy"], {}
    for key in ("dense", "pruned", "quantised", "crossbar_mean", "crossbar_low", "crossbar_high"):
        values[f"accuracy_{key}"] = accuracy[key]
    for key in ("area_mm2", "power_mw", "energy_nj", "latency_us", "full_rate_hz", "arrays"):
        values[key] = record.get(key, {}).get("placed")
    values |= {f"reduction_{key}": record["reduction"][key] for key in _SAVED}
    values |= {key: record[key] for key in ("compression", "macs_on_arrays")}
    values["weights_kept"] = record["weights"]["kept"]
    settings = _flat(record["config"])
    context = {**_context(settings), "samples": accuracy["samples"], "frame_rate_hz": record["frame_rate_hz"]}
    return Entry(folder.name, "run", _known(values), context, settings, f"run of {record['created'][:10]}, {folder}")


def _point(folder: Path, part: str) -> Entry:
    from experiments import load_results

    table = load_results(folder)
    numbers = [str(number) for number in table["point"].tolist()]
    if part not in numbers:
        raise UserError(
            f"Which point of the sweep {str(folder)!r}? Write {folder}:N with N among "
            f"{', '.join(numbers[:12])}{' …' if len(numbers) > 12 else ''}."
        )
    row: dict[str, Any] = table.iloc[numbers.index(part)].to_dict()
    values = {key: row.get(key) for key in (*METRICS, *_ENDS)}
    for key, column in (("area", "area_mm2"), ("power", "power_mw"), ("energy", "energy_nj"), ("arrays", "arrays")):
        before, after = row.get(f"{column}_baseline"), row.get(column)
        values[f"reduction_{key}"] = 1 - after / before if _is_number(before) and _is_number(after) and before else None
    settings = _sweep_settings(folder) | {key: value for key, value in row.items() if "." in key or key == "seed"}
    context = {**_context(settings), "frame_rate_hz": row.get("frame_rate_hz"), "samples": None}
    notes = (f"{row['status']}: {row['message']}",) if row["status"] != "done" else ()
    return Entry(f"{folder.name}:{part}", "point", _known(values), context, settings, f"sweep {folder}", notes)


def _sweep_settings(folder: Path) -> dict[str, object]:
    """What all points of a sweep have in common; nothing where its folder does not say."""
    about = read_json(folder / "about.json")
    return _flat(about["config"]) if isinstance(about, dict) and isinstance(about.get("config"), dict) else {}


def _priced(name: str, progress: Progress) -> Entry:
    """A configuration, placed as its constraints project the untrained network, and priced; nothing is trained."""
    from experiments.comparing.priced import cost

    path = configuration.find(name)
    loaded = configuration.load(path)
    values, frame_rate = cost(loaded, path.stem, progress)
    settings = _flat(loaded.resolved())
    context = {**_context(settings), "frame_rate_hz": frame_rate, "samples": None}
    note = (
        "priced without training: masks are those of the untrained network and cells' energy follows from its inputs; "
        "there is no accuracy"
    )
    return Entry(path.stem, "estimate", values, context, settings, f"configuration {path}", (note,))


def _rows(name: str, part: str) -> list[Entry]:
    """The rows of a published table, those whose name holds `part`."""
    if name in published():
        with resources.as_file(resources.files("experiments").joinpath("tables", f"{name}.csv")) as path:
            table = _read(path)
    else:
        table = _read(Path(name))
    lacking = [column for column in REQUIRED if column not in table or bool(table[column].isna().to_numpy().any())]
    if lacking:
        raise UserError(f"{name}: every row of a published table needs {' and '.join(lacking)}.")
    for column in (*METRICS, *_ENDS):
        if column in table and not pd.api.types.is_numeric_dtype(table[column]):
            raise UserError(f"{name}: the column {column} holds something that is no number.")
    found = [entry for entry in _published(table) if part.lower() in entry.name.lower()]
    if not found:
        names = ", ".join(table["name"].astype(str))
        raise UserError(f"{name}: no row has {part!r} in its name; there are {names}.")
    return found


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"There is no table {str(path)!r}; packaged ones: {', '.join(published())}.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a table: {error}") from None


def _published(table: pd.DataFrame) -> Iterator[Entry]:
    for row in table.to_dict("records"):
        given = {str(key): value for key, value in row.items() if not (isinstance(value, float) and math.isnan(value))}
        values = {key: float(given[key]) for key in (*METRICS, *_ENDS) if key in given}
        context: dict[str, Any] = {key: given.get(key) for key in CONTEXT if key != "kind"}
        placed = {*REQUIRED, *METRICS, *_ENDS, *CONTEXT}
        settings = {key: value for key, value in given.items() if key not in placed}
        yield Entry(str(given["name"]), "published", values, context, settings, str(given["source"]))


def _context(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "network": settings.get("network.name"),
        "data": settings.get("data.name"),
        "library": settings.get("hardware.library"),
        "node_nm": settings.get("hardware.node_nm", "as printed"),
        "adc_model": settings.get("hardware.adc_model", "the library's"),
        "baseline_bits": settings.get("hardware.baseline_bits"),
    }


def _flat(section: Mapping[str, Any], path: str = "") -> dict[str, object]:
    """The keys of a configuration, dotted; what only says how a report looks is left out."""
    found: dict[str, object] = {}
    for key, value in section.items():
        if isinstance(value, Mapping):
            if path or key != "report":
                found |= _flat(value, f"{path}{key}.")
        else:
            found[f"{path}{key}"] = value
    return found


def _known(values: Mapping[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in values.items() if _is_number(value)}


def _is_number(value: Any) -> bool:
    return value is not None and not isinstance(value, str) and not pd.isna(value)


def renamed(found: list[Entry]) -> list[Entry]:
    """The entries with names of their own: equal ones are numbered."""
    seen: dict[str, int] = {}
    out = []
    for entry in found:
        seen[entry.name] = seen.get(entry.name, 0) + 1
        out.append(entry if seen[entry.name] == 1 else replace(entry, name=f"{entry.name} ({seen[entry.name]})"))
    return out
