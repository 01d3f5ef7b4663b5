"""The folder of a sweep: whom it belongs to, and a journal with a line per finished point."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from experiments.run_folder import read_json, write_json
from hwmodels import atomic
from hwmodels.errors import UserError

IDENTITY = "sweep.json"
SCHEMA = "ohmweave.sweep/1"
PLAN_SCHEMA = "ohmweave.plan/1"
JOURNAL = "points.jsonl"
PLAN = "plan.json"
Record = dict[str, Any]


class SweepFolder:
    """An output folder that belongs to one sweep; a context that holds it.

    A point's record is appended to the journal in one write; a line that a kill has torn is dropped on reading.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        """Take the folder, making it if it is missing; identity: what makes this sweep another one (JSON-able).

        Raises UserError when it is a file, holds something else or another sweep, cannot be written, or is in use.
        Nothing is written before these checks.
        """
        self.path = path
        self._identity = {"schema": SCHEMA, **identity}
        self._check()
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = (path / ".lock").open("w")
        except OSError as error:
            raise _unwritable(path, error) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise UserError(
                f"Another process is sweeping in {str(path)!r}; wait for it or choose another --out."
            ) from None
        try:
            if not (path / IDENTITY).exists():
                write_json(path / IDENTITY, self._identity)
            self._journal: IO[bytes] = (path / JOURNAL).open("ab")
        except OSError as error:
            self._lock.close()
            raise _unwritable(path, error) from None

    def _check(self) -> None:
        path = self.path
        if path.exists() and not path.is_dir():
            raise UserError(f"{str(path)!r} is a file; choose another --out.")
        if not path.is_dir():
            return
        found = read_json(path / IDENTITY)
        if found is None:
            strangers = [
                p for p in path.iterdir() if p.name not in (".lock", "store") and not p.name.endswith(atomic.PART)
            ]
            if strangers:
                raise UserError(f"{str(path)!r} holds other files and no sweep; choose another --out.")
        elif not isinstance(found, dict) or found.get("schema") != SCHEMA:
            name = found.get("schema") if isinstance(found, dict) else None
            raise UserError(f"{str(path / IDENTITY)!r} is of the version {name!r}, this program's is {SCHEMA!r}.")
        elif found != self._identity:
            raise UserError(
                f"{str(path)!r} holds another sweep ({found.get('name')}-{found.get('digest')}, this one is "
                f"{self._identity['name']}-{self._identity['digest']}); choose another --out. To use the work that is "
                f"done there, give --store {path / 'store'}."
            )

    def plan(self, points: int, objectives: Sequence[str], counts: Mapping[str, int] | None = None) -> None:
        """Note for those who look on how many points there are to be; counts: by status, once the sweep is finished.

        Raises OSError on a full disk.
        """
        finished = counts is not None
        write_json(
            self.path / PLAN,
            {
                "schema": PLAN_SCHEMA,
                "points": points,
                "objectives": list(objectives),
                "finished": finished,
                "counts": None if counts is None else dict(counts),
            },
        )

    def records(self) -> dict[str, Record]:
        """The last record of every point, by what the point is known by ("id")."""
        found: dict[str, Record] = {}
        try:
            content = (self.path / JOURNAL).read_bytes()
        except FileNotFoundError:
            return found
        for line in content.split(b"\n"):
            try:
                record = json.loads(line)
                found[record["id"]] = record
            except (ValueError, KeyError, TypeError):  # torn by a kill, or the empty end
                continue
        if content and not content.endswith(b"\n"):
            self._write(b"\n")  # end the torn line, so that the next record stands on its own
        return found

    def append(self, records: Iterable[Record]) -> None:
        """Write points' records; on the disk before it returns. Raises OSError on a full disk."""
        self._write(b"".join(json.dumps(record, allow_nan=False).encode() + b"\n" for record in records))

    def _write(self, content: bytes) -> None:
        self._journal.write(content)
        self._journal.flush()
        os.fsync(self._journal.fileno())

    def __enter__(self) -> SweepFolder:
        """Hold the folder."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        self._journal.close()
        self._lock.close()


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"Cannot write to {str(path)!r}: {error.strerror or error}; choose another --out.")
