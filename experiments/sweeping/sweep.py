"""A sweep from its file to its tables."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from experiments import config as configuration
from experiments.config import Config
from experiments.progress import Progress
from experiments.progress import Task as ProgressTask
from experiments.sweeping import table
from experiments.sweeping.axes import Axis, Settings, parse
from experiments.sweeping.columns import direction
from experiments.sweeping.executors import Executor
from experiments.sweeping.journal import Record, SweepFolder
from experiments.sweeping.keys import KeyMaker, Keys, digest
from experiments.sweeping.points import Configurations, Point, check_alone, chosen
from experiments.sweeping.rows import Rows
from experiments.sweeping.scheduling import Outcome, Scheduler
from experiments.sweeping.statistics import Rules, constraint
from experiments.sweeping.store import Store
from experiments.sweeping.work import Done, Job
from hwmodels.errors import UserError

BATCH = 500
"""Points that were there already are written to the journal so many at a time."""


@dataclass(frozen=True)
class Sweep:
    """A sweep as its file says it; base: plain values of the configuration that the swept keys are laid over."""

    name: str
    base: dict[str, Any]
    settings: Settings
    axes: tuple[Axis, ...]

    @property
    def digest(self) -> str:
        """Hash of everything the file says."""
        return digest([self.base, repr(self.settings), [repr(axis) for axis in self.axes]])[:8]

    def rules(self, config: Config) -> Rules:
        """What the simulation of a point follows."""
        chosen_constraints = tuple(constraint(text) for text in self.settings.constraints)
        return Rules(config.simulate.seeds, self.settings.interval, self.settings.max_seeds, chosen_constraints)


def load(path: Path) -> Sweep:
    """Read a sweep's file. Raises UserError for everything that is wrong with the file by itself."""
    values = configuration.read(path)
    if "sweep" not in values:
        raise UserError(
            f"{path} has no [sweep]: say which keys take which values, for example\n"
            '[sweep]\n"crossbar.rows, crossbar.cols" = [32, 64, 128]'
        )
    settings, axes = parse(values.pop("sweep"), str(path))
    config = configuration.validated(values, str(path))
    check_alone(config.resolved(), axes, str(path))
    sweep = Sweep(path.stem, config.resolved(), settings, axes)
    sweep.rules(config)
    return sweep


@dataclass
class _Run:
    """A sweep under way."""

    sweep: Sweep
    folder: SweepFolder
    store: Store
    executor: Executor
    progress: Progress
    retry_failed: bool
    maker: KeyMaker
    configurations: Configurations
    rows: Rows
    old: dict[str, Record] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    records: dict[int, Record] = field(default_factory=dict)
    failed: int = 0
    best: tuple[float, str] | None = None
    shared: int = 0
    _priced: dict[int, Done] = field(default_factory=dict)
    _rules: dict[int, Rules] = field(default_factory=dict)
    _unwritten: list[Record] = field(default_factory=list)

    def note_plan(self, points: int, counts: Mapping[str, int] | None = None) -> None:
        """Say in the folder how many points there are; counts: what they came to, at the end."""
        try:
            self.folder.plan(points, self.sweep.settings.objectives, counts)
        except OSError as error:
            raise self._full(error) from None

    def take(self, points: Sequence[Point], task: ProgressTask) -> None:
        """Bring points to a result: from the journal, from the store, or by work."""
        self.points += points
        left = iter(points)

        def more() -> bool:
            point = next(left, None)
            if point is not None:
                self._plan(point, task, scheduler)
            return point is not None

        scheduler = Scheduler(self.executor, self.progress.note, lambda stage: self._shared(stage, task), more)
        for outcomes in scheduler.run():
            for outcome in outcomes:
                self._settle(outcome, task, scheduler)
            self._flush()
        self._flush()

    def _plan(self, point: Point, task: ProgressTask, scheduler: Scheduler) -> None:
        """Settle a point that needs no work; else give it to the scheduler."""
        start = time.perf_counter()
        try:
            config = self.configurations.of(point)
            keys = self.maker.keys(config)
        except UserError as error:
            self._record(point, task, _record(point, "", {"status": "failed", "message": str(error)}, cached=True))
            return
        rules = self._rules_of(config)
        identity = _identity(keys, rules)
        earlier = self.old.get(identity)
        if earlier is not None and not (self.retry_failed and earlier["row"]["status"] == "failed"):
            self._record(point, task, {**earlier, "point": point.number}, write=False)
            return
        row = self.rows.row(keys, rules)
        if row is not None:
            spent = time.perf_counter() - start
            self._record(point, task, _record(point, identity, row, cached=True, seconds=spent, key=keys.digest()))
            return
        job = Job("point", config, keys, rules, str(self.store.path.resolve()))
        if self.rows.placed(keys):
            scheduler.price(point, job)
        else:
            scheduler.ask(point, job)

    def _rules_of(self, config: Config) -> Rules:
        seeds = config.simulate.seeds
        if seeds not in self._rules:
            self._rules[seeds] = self.sweep.rules(config)
        return self._rules[seeds]

    def _settle(self, outcome: Outcome, task: ProgressTask, scheduler: Scheduler) -> None:
        """Record what came of a point, or have it simulated where it is priced and lacks chips."""
        point, job, done, attempts = outcome
        row = {"status": "failed", "message": done.message}
        if done.kind == "ok":
            costs = done if done.costs is not None else self._priced.get(point.number)
            assert costs is not None, "a point came back without a price"
            found = self.rows.row(job.keys, job.rules, costs.costs)
            if found is None:
                assert done.costs is not None, "a stage vanished from the store while its point was computed"
                self._priced[point.number] = done
                scheduler.simulate(point, job)
                return
            row = found
        priced = self._priced.pop(point.number, None)
        seconds = done.seconds + (0.0 if priced is None else priced.seconds)
        about = {"seconds": seconds, "host": done.host, "worker": done.worker, "trace": done.trace}
        identity, key = _identity(job.keys, job.rules), job.keys.digest()
        self._record(point, task, _record(point, identity, row, attempts=attempts, key=key, **about))

    def _record(self, point: Point, task: ProgressTask, record: Record, *, write: bool = True) -> None:
        self.records[point.number] = record
        # A point that cannot even be planned has nothing that it is known by, and is planned again the next time.
        if write and record["id"]:
            self._unwritten.append(record)
            if len(self._unwritten) >= BATCH:
                self._flush()
        row = record["row"]
        if row["status"] == "failed":
            self.failed += 1
            self.progress.note(f"Point {point.number} ({point.text}) failed: {row['message']}")
        self._compare(point, row)
        task.advance(detail=self._detail())

    def _flush(self) -> None:
        """Bring records to the disk; raises UserError where it is full."""
        try:
            if self._unwritten:
                self.folder.append(self._unwritten)
        except OSError as error:
            raise self._full(error) from None
        self._unwritten.clear()

    def _full(self, error: OSError) -> UserError:
        return UserError(
            f"Stopped: cannot write to {str(self.folder.path)!r}: {error.strerror or error}. What is finished is "
            "kept; make room and give the same command again."
        )

    def _shared(self, stage: str, task: ProgressTask) -> None:
        self.shared += 1
        task.advance(0, detail=self._detail() or f"{self.shared} shared stages done, {stage} the last")

    def _compare(self, point: Point, row: Mapping[str, Any]) -> None:
        column = self.sweep.settings.objectives[0]
        value = row.get(column)
        if row["status"] != "done" or value is None:
            return
        signed = value if direction(column) == "maximize" else -value
        if self.best is None or signed > self.best[0]:
            self.best = (signed, f"best {column} {value:.4g} at {point.text}")

    def _detail(self) -> str:
        parts = [self.best[1]] if self.best else []
        return "; ".join([*parts, f"{self.failed} failed"] if self.failed else parts)


def _identity(keys: Keys, rules: Rules) -> str:
    """What a point's results are known by: all its keys, and the rules that end its simulation."""
    return digest([keys.digest(), repr(rules)])


def _record(point: Point, identity: str, row: Mapping[str, Any], **about: Any) -> Record:
    """A line of the journal."""
    given = {"cached": False, "attempts": 0, "seconds": 0.0, "host": "", "worker": 0, "key": ""} | about
    return {"id": identity, "point": point.number, "row": dict(row), **given}


def run(
    sweep: Sweep,
    out: Path,
    *,
    executor: Executor,
    store: Path | None = None,
    retry_failed: bool = False,
    progress: Progress,
) -> pd.DataFrame:
    """Bring every point of a sweep to a result and write the tables; goes on where an earlier run stopped.

    executor: where jobs run, entered by the caller; store: default `out`/store. Returns the results table.
    Raises UserError for a user's mistake, when all points fail to start, and for a full disk; what is finished is kept.
    """
    maker, configurations = KeyMaker(), Configurations(sweep.base)
    search = sweep.settings.method == "search"
    points = [] if search else chosen(sweep.settings, sweep.axes)
    if not search:
        _refuse_hopeless(points, configurations, maker)
    identity = {"name": sweep.name, "digest": sweep.digest}
    with SweepFolder(out, identity) as folder:
        kept = Store(store or out / "store")
        run = _Run(sweep, folder, kept, executor, progress, retry_failed, maker, configurations, Rows(kept.read))
        run.old = folder.records()
        expected = sweep.settings.points if search else len(points)
        run.note_plan(expected or 0)
        try:
            _search(run) if search else _all(run, points)
        except BaseException:
            _write(run)  # what there is so far; the next call writes the rest
            raise
        results = _write(run)
        run.note_plan(len(results), {str(name): int(n) for name, n in results["status"].value_counts().items()})
        return results


def _all(run: _Run, points: list[Point]) -> None:
    with run.progress.task("Sweeping", len(points)) as task:
        run.take(points, task)


def _search(run: _Run) -> None:
    from experiments.sweeping.search import Search

    sweep = run.sweep
    assert sweep.settings.points is not None
    search = Search(sweep.settings, sweep.axes)
    with run.progress.task("Searching", sweep.settings.points) as task:
        while search.left:
            batch = search.ask()
            run.take(batch, task)
            search.tell({point.number: run.records[point.number]["row"] for point in batch})


def _write(run: _Run) -> pd.DataFrame:
    points = sorted(run.points, key=lambda point: point.number)
    rows = {number: record["row"] for number, record in run.records.items()}
    results = table.results_table(points, rows)
    try:
        table.write(run.folder.path, results, table.bookkeeping_table(points, run.records))
    except OSError as error:
        raise UserError(
            f"Cannot write the tables to {str(run.folder.path)!r}: {error.strerror or error}. The points are kept; "
            "make room and give the same command again."
        ) from None
    return results


def _refuse_hopeless(points: Iterable[Point], configurations: Configurations, maker: KeyMaker) -> None:
    """Refuse a sweep in which no point can even start: the mistake is the file's, not a point's."""
    first = ""
    for point in points:
        try:
            maker.keys(configurations.of(point))
        except UserError as error:
            first = first or f"{point.text}: {error}"
        else:
            return
    raise UserError(f"No point of this sweep can start. The first: {first}")
