"""The store: what stages have made, each under the key of what it depends on; several processes may share one.

Layout (nothing in it names its own place, so a store can be moved or copied as a folder):

    store.json                    name and version of the layout
    STAGE/KE/KEY/done.json        what the stage gave; written last, so an entry without it is unfinished work
    STAGE/KE/KEY/…                its files: weights, placements, checkpoints
    locks/STAGE-KEY.lock          held (flock) by the process that works on the entry; the kernel lets go of it when
                                  that process ends, however it ends, so a lock is never stale
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.run_folder import read_json, write_json
from experiments.sweeping.keys import STAGES, Stage, program
from hwmodels import atomic
from hwmodels.errors import UserError

SCHEMA = "ohmweave.store/1"
DONE = "done.json"
_MARK = "store.json"


@dataclass(frozen=True)
class Entry:
    """One stage's work in the store; made_s, used_s: seconds since 1970; finished: whether it has given its result."""

    stage: Stage
    key: str
    bytes: int
    used_s: float
    finished: bool


class Store:
    """A folder of finished stages."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        """Open a store, making it if it is missing (and `create`).

        Raises UserError for a folder that holds something else, a store of a newer version, or one that cannot be
        written.
        """
        self.path = path
        mark = read_json(path / _MARK) if path.is_dir() else None
        if mark is None:
            self._check_empty(create)
            try:
                (path / "locks").mkdir(parents=True, exist_ok=True)
                write_json(path / _MARK, {"schema": SCHEMA})
            except OSError as error:
                raise UserError(
                    f"Cannot write to {str(path)!r}: {error.strerror or error}; choose another --store."
                ) from None
        elif not isinstance(mark, dict) or mark.get("schema") != SCHEMA:
            name = mark.get("schema") if isinstance(mark, dict) else None
            newer = isinstance(name, str) and name.startswith(SCHEMA.rpartition("/")[0])
            raise UserError(
                f"The store in {str(path)!r} has the layout {name!r}; this version reads {SCHEMA!r}"
                + (" (update ohmweave, or choose another --store)." if newer else ".")
            )

    def _check_empty(self, create: bool) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{str(self.path)!r} is a file, not a store.")
        others = [item.name for item in self.path.iterdir()] if self.path.is_dir() else []
        # Two processes may make the store at the same moment; what the other has made so far is no stranger.
        strangers = [name for name in others if name != "locks" and not name.endswith(atomic.PART) and name != _MARK]
        if strangers or not (create or others):
            raise UserError(f"There is no store in {str(self.path)!r}.")

    def folder(self, stage: Stage, key: str) -> Path:
        """Where the files of an entry stand."""
        return self.path / stage / key[:2] / key

    def read(self, stage: Stage, key: str) -> dict[str, Any] | None:
        """What a finished stage gave; None where it is not finished, or its record is damaged (it is made again)."""
        try:
            return json.loads((self.folder(stage, key) / DONE).read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def write(self, stage: Stage, key: str, value: dict[str, Any]) -> None:
        """Write the record of a stage as a whole; the caller holds the entry's lock."""
        write_json(self.folder(stage, key) / DONE, {**value, "program": program()})

    def discard(self, stage: Stage, key: str) -> None:
        """Remove an entry whose files turned out to be damaged; the caller holds its lock."""
        # The record goes first: an entry is never finished without its files.
        (self.folder(stage, key) / DONE).unlink(missing_ok=True)
        shutil.rmtree(self.folder(stage, key), ignore_errors=True)

    @contextmanager
    def lock(self, stage: Stage, key: str, *, wait: bool = True) -> Iterator[bool]:
        """Hold an entry against other processes; with wait=False it gives False where another one holds it."""
        path = self.path / "locks" / f"{stage}-{key}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True

    def ensure(self, stage: Stage, key: str, make: Callable[[Path], dict[str, Any]]) -> tuple[dict[str, Any], bool]:
        """The record of a stage, made once over all processes: (record, whether this call made it).

        make: gets the entry's folder, writes the stage's files there and returns the record.
        """
        found = self.read(stage, key)
        if found is not None:
            return found, False
        with self.lock(stage, key):
            found = self.read(stage, key)
            if found is not None:
                return found, False
            made = make(self.folder(stage, key))
            self.write(stage, key, made)
        return made, True

    def touch(self, stage: Stage, key: str) -> None:
        """Note that an entry was used now: `trim` removes what was not used for longest."""
        try:
            os.utime(self.folder(stage, key) / DONE)
        except OSError:  # a store that may only be read serves all the same
            return

    def entries(self) -> list[Entry]:
        """Everything in the store, by stage and key."""
        found = []
        for stage in STAGES:
            for folder in sorted((self.path / stage).glob("??/*")):
                sizes, used = 0, folder.stat().st_mtime
                for file in folder.rglob("*"):
                    if file.is_file():
                        sizes += file.stat().st_size
                done = folder / DONE
                if done.exists():
                    used = done.stat().st_mtime
                found.append(Entry(stage, folder.name, sizes, used, done.exists()))
        return found

    def trim(self, *, keep_bytes: int | None = None, older_than_s: float | None = None) -> list[Entry]:
        """Remove entries that no process works on, and return them.

        Always: unfinished work and the checkpoints of finished work. keep_bytes: then those not used for longest until
        so many bytes are left; older_than_s: then those not used for so many seconds.
        """
        gone, left = [], []
        for entry in self.entries():
            if entry.finished:
                self._remove(entry, only="checkpoint")
                left.append(entry)
            elif self._remove(entry):
                gone.append(entry)
        left = sorted((e for e in self.entries() if e.finished), key=lambda e: e.used_s)
        total, now = sum(entry.bytes for entry in left), time.time()
        for entry in left:
            old = older_than_s is not None and now - entry.used_s > older_than_s
            big = keep_bytes is not None and total > keep_bytes
            if (old or big) and self._remove(entry):
                gone.append(entry)
                total -= entry.bytes
        return gone

    def _remove(self, entry: Entry, only: str | None = None) -> bool:
        """Remove an entry, or one folder of it; False where another process holds it."""
        with self.lock(entry.stage, entry.key, wait=False) as held:
            if held and only is None:
                self.discard(entry.stage, entry.key)
            elif held and only is not None:
                shutil.rmtree(self.folder(entry.stage, entry.key) / only, ignore_errors=True)
        return held
