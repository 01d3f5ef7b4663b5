"""What a folder holds: its runs, sweeps and stores, and in what state each of them is."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from experiments import run_folder
from experiments.serving.locks import held
from experiments.serving.watching import Watch
from experiments.sweeping import journal
from experiments.sweeping.keys import STAGES
from hwmodels.errors import UserError

Kind = Literal["run", "sweep", "store"]
State = Literal["running", "finished", "failed", "stopped", "damaged", "store"]
DEPTH = 4
"""Folders below the served one that are looked into."""
MOST = 2000
"""Runs, sweeps and stores that are listed."""
FILES = (
    "report.html", "summary.md", "results.csv", "results.parquet", "points.parquet", "result.json", "config.toml",
)  # fmt: skip
"""Files of a folder that its page links to, where they are there."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run, sweep or store.

    path: below the served folder, "." for itself; done, total: points or stages (0 where that is not known); changed_s:
    since 1970; said: the result or the best so far; counts: points by status; failures: (point, message); files: names.
    """

    path: str
    name: str
    kind: Kind
    state: State
    done: int = 0
    total: int = 0
    changed_s: float = 0.0
    said: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[tuple[int, str], ...] = ()
    files: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "path": self.path,
            "name": self.name,
            "kind": self.kind,
            "state": self.state,
            "done": self.done,
            "total": self.total,
            "changed_s": self.changed_s,
            "ago": ago(self.changed_s),
            "said": self.said,
            "counts": dict(self.counts),
            "failures": [{"point": point, "message": message} for point, message in self.failures],
            "files": list(self.files),
        }


def check(root: Path) -> None:
    """Raise UserError where a folder cannot be served: it is not there, is a file, or may not be read."""
    if not root.exists():
        raise UserError(f"There is no folder {str(root)!r}; give one that holds runs or sweeps (their --out).")
    if not root.is_dir():
        raise UserError(f"{str(root)!r} is a file; give the folder that it is in.")
    try:
        with os.scandir(root):
            pass
    except OSError as error:
        raise UserError(f"The folder {str(root)!r} cannot be read: {error.strerror or error}.") from None


class Folder:
    """A folder that is looked at again and again; journals are read on from where they were."""

    def __init__(self, root: Path) -> None:
        """Take a folder; raises UserError as `check`."""
        check(root)
        self.root = root.resolve()
        self._watches: dict[Path, Watch] = {}
        self._results: dict[Path, tuple[float, Any]] = {}

    def entries(self) -> list[Entry]:
        """Everything in it as it is now, by path."""
        found = []
        for path in self._candidates(self.root, 0):
            entry = self.entry(path)
            if entry is not None:
                found.append(entry)
            if len(found) >= MOST:
                break
        return sorted(found, key=lambda entry: entry.path)

    def entry(self, path: Path) -> Entry | None:
        """What one folder holds; None where it is no run, sweep or store."""
        makers: dict[str, tuple[Kind, Callable[[Path], Entry]]] = {
            journal.IDENTITY: ("sweep", self._sweep),
            run_folder.IDENTITY: ("run", self._run),
            "store.json": ("store", self._store),
        }
        for mark, (kind, make) in makers.items():
            if (path / mark).is_file():
                try:
                    return make(path)
                except (UserError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                    said = f"cannot be read: {error}"
                    return Entry(**self._about(path, mark), kind=kind, state="damaged", said=said)
        return None

    def _candidates(self, folder: Path, depth: int) -> Iterator[Path]:
        yield folder
        if depth >= DEPTH or (folder / "store.json").is_file():
            return
        try:
            with os.scandir(folder) as items:
                inside = sorted(item.path for item in items if item.is_dir(follow_symlinks=False))
        except OSError:
            return
        for name in inside:
            if not Path(name).name.startswith("."):
                yield from self._candidates(Path(name), depth + 1)

    def _about(self, path: Path, changed: str) -> dict[str, Any]:
        relative = path.relative_to(self.root).as_posix()
        try:
            changed_s = (path / changed).stat().st_mtime
        except OSError:
            changed_s = path.stat().st_mtime
        name = path.name if relative != "." else self.root.name
        return {
            "path": relative,
            "name": name,
            "changed_s": changed_s,
            "files": tuple(file for file in FILES if (path / file).is_file()),
        }

    def _sweep(self, path: Path) -> Entry:
        plan = self._json(path / journal.PLAN) or {}
        objective = (plan.get("objectives") or ["accuracy_crossbar_mean"])[0]
        watch = self._watches.setdefault(path, Watch(path / journal.JOURNAL, objective))
        watch.read()
        counts = watch.counts()
        # Points that cannot even be planned stand in no journal; the finished sweep has counted them.
        counts = plan.get("counts") or counts
        done = sum(counts.values())
        state: State = "stopped"
        if held(path / ".lock", path / journal.JOURNAL):
            state = "running"
        elif plan.get("finished"):
            state = "failed" if done and counts.get("failed") == done else "finished"
        return Entry(
            **self._about(path, journal.JOURNAL),
            kind="sweep",
            state=state,
            done=done,
            total=int(plan.get("points") or 0),
            said=best_text(watch.best),
            counts=counts,
            failures=tuple(watch.failures()),
        )

    def _run(self, path: Path) -> Entry:
        state: State = "stopped"
        result = self._json(path / run_folder.RESULT)
        done = [stage for stage in ("dense", "compressed") if (path / "state" / stage / "done.json").is_file()]
        said = f"{', '.join(done)} done" if done else ""
        if held(path / "state" / "lock"):
            state = "running"
        elif result is not None:
            state = "finished"
        if result is not None:
            accuracy, area = result["accuracy"].get("crossbar_mean"), result["area_mm2"]["placed"]
            said = f"{100 * accuracy:.2f} % on crossbars, {area:.4g} mm²" if accuracy is not None else f"{area:.4g} mm²"
        about = self._about(path, run_folder.RESULT if result is not None else "state")
        return Entry(**about, kind="run", state=state, done=3 if result is not None else len(done), total=3, said=said)

    def _store(self, path: Path) -> Entry:
        counts = {}
        for stage in STAGES:
            number = sum(1 for _ in (path / stage).glob("??/*/done.json"))
            if number:
                counts[stage] = number
        said = ", ".join(f"{number} {stage}" for stage, number in counts.items()) or "empty"
        return Entry(**self._about(path, "locks"), kind="store", state="store", said=said, done=sum(counts.values()))

    def _json(self, path: Path) -> Any | None:
        """A JSON file, read again only when it has changed."""
        try:
            changed = path.stat().st_mtime
        except OSError:
            return None
        if self._results.get(path, (None,))[0] != changed:
            self._results[path] = (changed, json.loads(path.read_bytes()))
        return self._results[path][1]


def best_text(best: Mapping[str, Any] | None) -> str:
    """The best point so far, in words."""
    if best is None:
        return ""
    value, column = best["value"], best["column"]
    said = f"{100 * value:.2f} %" if column.startswith("accuracy") else f"{column} {value:.4g}"
    area = f", {best['area_mm2']:.4g} mm²" if best.get("area_mm2") is not None and column != "area_mm2" else ""
    return f"best {said}{area} at point {best['point']}"


def ago(then_s: float) -> str:
    """How long ago, in words."""
    seconds = max(time.time() - then_s, 0.0)
    for unit, length in (("day", 86400.0), ("hour", 3600.0), ("minute", 60.0), ("second", 1.0)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count != 1 else ''} ago"
    return "now"
