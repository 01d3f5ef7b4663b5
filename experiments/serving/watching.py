"""A sweep's journal, read as it grows: how many points came to what, and the best so far."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.sweeping.columns import direction

FAILURES = 50
"""Messages that are kept, the last ones."""


@dataclass
class Watch:
    """One journal; every `read` takes in what was appended since the last one, and a torn last line waits."""

    path: Path
    objective: str = "accuracy_crossbar_mean"
    best: dict[str, Any] | None = None
    _statuses: dict[str, str] = field(default_factory=dict)
    _failures: dict[str, tuple[int, str]] = field(default_factory=dict)
    _at: int = 0
    _inode: int = 0
    _torn: bytes = b""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self) -> None:
        """Take in what is new; a journal that became shorter or another file is read from its beginning."""
        with self._lock:
            try:
                with self.path.open("rb") as file:
                    found = self.path.stat()
                    if found.st_ino != self._inode or found.st_size < self._at:
                        self._begin(found.st_ino)
                    file.seek(self._at)
                    content = file.read()
            except OSError:
                return
            self._at += len(content)
            *lines, self._torn = (self._torn + content).split(b"\n")
            for line in lines:
                self._take(line)

    def counts(self) -> dict[str, int]:
        """Points by status: done, infeasible, failed."""
        with self._lock:
            found = {"done": 0, "infeasible": 0, "failed": 0}
            for status in self._statuses.values():
                found[status] = found.get(status, 0) + 1
            return found

    def failures(self) -> list[tuple[int, str]]:
        """(point, message) of the points that failed, the last ones."""
        with self._lock:
            return list(self._failures.values())[-FAILURES:]

    def _begin(self, inode: int) -> None:
        self._inode, self._at, self._torn, self.best = inode, 0, b"", None
        self._statuses.clear()
        self._failures.clear()

    def _take(self, line: bytes) -> None:
        try:
            record = json.loads(line)
            identity, row, number = record["id"], record["row"], int(record["point"])
            status = str(row["status"])
        except (ValueError, KeyError, TypeError):  # torn by a kill
            return
        self._statuses[identity] = status
        self._failures.pop(identity, None)
        if status == "failed":
            self._failures[identity] = (number, str(row.get("message", "")))
        value = row.get(self.objective)
        if status == "done" and isinstance(value, int | float) and self._better(value):
            self.best = {"point": number, "column": self.objective, "value": value, "area_mm2": row.get("area_mm2")}

    def _better(self, value: float) -> bool:
        if self.best is None:
            return True
        return value > self.best["value"] if direction(self.objective) == "maximize" else value < self.best["value"]
