"""The tables of a sweep: a row per point, written as Parquet and CSV, and read again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.sweeping.columns import BOOKKEEPING, COUNTS, RESULTS, TEXTS
from experiments.sweeping.points import Point
from hwmodels import atomic
from hwmodels.errors import UserError

RESULTS_FILE, POINTS_FILE = "results.parquet", "points.parquet"
SCHEMA_KEY = "ohmweave.results"
SCHEMA_VERSION = 1


def results_table(points: Sequence[Point], rows: Mapping[int, Mapping[str, Any]]) -> pd.DataFrame:
    """A row per point with a result, by number: `point`, the swept keys by their own names, the result columns.

    A swept key with words among its numbers ("ideal") is a column of text. No result column has the name of a key:
    dotted keys cannot meet one, and `seed`, the only one without a dot, is none.
    """
    done = [point for point in points if point.number in rows]
    table: dict[str, Any] = {"point": np.array([point.number for point in done], dtype=np.int64)}
    for key in dict.fromkeys(key for point in done for key in point.swept):
        assert key not in RESULTS, f"the swept key {key} has the name of a result"
        table[key] = _swept([point.swept[key] for point in done])
    for name in RESULTS:
        table[name] = _column(name, [rows[point.number].get(name) for point in done])
    return pd.DataFrame(table)


def _swept(values: list[Any]) -> pd.Series:
    kinds = {type(value) for value in values}
    if kinds <= {bool} or kinds <= {int}:
        return pd.Series(values)
    if kinds <= {int, float}:
        return pd.Series(values, dtype="float64")
    return pd.Series([str(value) for value in values], dtype="str")


def _column(name: str, values: list[Any]) -> pd.Series:
    if name in TEXTS:
        return pd.Series(["" if value is None else value for value in values], dtype="str")
    if name in COUNTS:
        return pd.Series(values, dtype="Int64")
    return pd.Series([np.nan if value is None else value for value in values], dtype="float64")


def bookkeeping_table(points: Sequence[Point], records: Mapping[int, Mapping[str, Any]]) -> pd.DataFrame:
    """A row per point: its number and how its result came about."""
    done = [point.number for point in points if point.number in records]
    table: dict[str, Any] = {"point": np.array(done, dtype=np.int64)}
    for name in BOOKKEEPING:
        values = [records[number].get(name) for number in done]
        kind = {"cached": "bool", "attempts": "int64", "seconds": "float64", "worker": "int64"}.get(name, "str")
        table[name] = pd.Series(values, dtype=kind)  # type: ignore[call-overload]
    return pd.DataFrame(table)


def write(folder: Path, results: pd.DataFrame, bookkeeping: pd.DataFrame) -> None:
    """Write results.parquet, results.csv and points.parquet, each whole or not at all. Raises OSError."""
    atomic.write(folder / RESULTS_FILE, parquet(results))
    atomic.write(folder / "results.csv", results.to_csv(index=False))
    atomic.write(folder / POINTS_FILE, parquet(bookkeeping))


def parquet(table: pd.DataFrame) -> bytes:
    """A table as Parquet, with the version of its layout; the same table gives the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = pa.Table.from_pandas(table, preserve_index=False)
    made = made.replace_schema_metadata(
        {**(made.schema.metadata or {}), SCHEMA_KEY.encode(): str(SCHEMA_VERSION).encode()}
    )
    buffer = BytesIO()
    pq.write_table(made, buffer)
    return buffer.getvalue()


def load_results(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """The table of a sweep: a row per point, its swept keys by their own names, and the columns of docs/sweeps.md.

    Raises UserError where there is no table, it is damaged, or of a newer version.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(folder) / RESULTS_FILE
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise UserError(f"There is no {RESULTS_FILE} in {os.fspath(folder)!r}; `ohmweave sweep` writes it.") from None
    except (pa.ArrowInvalid, pa.ArrowException, OSError) as error:
        reason = str(error).split(". ")[0].rpartition("': ")[2]
        raise UserError(f"{path} is damaged ({reason}); run the sweep again, it only writes the tables anew.") from None
    found = (table.schema.metadata or {}).get(SCHEMA_KEY.encode())
    if found is None or int(found) > SCHEMA_VERSION:
        was = (
            "no table of a sweep"
            if found is None
            else f"of version {found.decode()}, newer than this program's (update ohmweave)"
        )
        raise UserError(f"{path} is {was}.")
    return table.to_pandas()
