"""A sweep from its file to its tables."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
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
from experiments.sweeping.keys import KeyMaker, Keys, Stage, digest
from experiments.sweeping.points import Point, check_alone, chosen, configured
from experiments.sweeping.rows import Read, assemble, only_price_missing
from experiments.sweeping.scheduling import Scheduler
from experiments.sweeping.statistics import Rules, constraint
from experiments.sweeping.store import Store
from experiments.sweeping.work import Done, Job, Prices, price
from hwmodels.errors import UserError

SLICE = 5000
"""Points that are planned at a time: bounds memory."""
CHUNK = 250
"""Points that a worker prices at a time."""


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
    old: dict[str, Record] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    records: dict[int, Record] = field(default_factory=dict)
    failed: int = 0
    best: tuple[float, str] | None = None
    shared: int = 0
    _jobs: dict[int, Job] = field(default_factory=dict)
    _remembered: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _unwritten: list[Record] = field(default_factory=list)

    def take(self, points: Sequence[Point], task: ProgressTask) -> None:
        """Bring points to a result: from the journal, from the store, or by work."""
        for first in range(0, len(points), SLICE):
            self._take(points[first : first + SLICE], task)

    def _take(self, points: Sequence[Point], task: ProgressTask) -> None:
        waiting, unpriced = [], []
        self.points += points
        for point in points:
            job = self._known(point, task)
            if job is not None:
                cheap = only_price_missing(self._read, job.keys, job.rules)
                (unpriced if cheap else waiting).append((point, job))
        self._flush()
        waiting += self._price(unpriced, task)
        scheduler = Scheduler(self.executor, self.progress.note, lambda stage: self._shared(stage, task))
        for point, outcome, attempts in scheduler.run(waiting):
            self._record(point, task, self._made(point, outcome, attempts))
            self._flush()

    def _known(self, point: Point, task: ProgressTask) -> Job | None:
        """Settle a point that needs no work; else the job that it needs."""
        start = time.perf_counter()
        try:
            config = configured(self.sweep.base, point)
            keys = self.maker.keys(config)
        except UserError as error:
            self._record(point, task, _record(point, "", {"status": "failed", "message": str(error)}, cached=True))
            return None
        rules = self.sweep.rules(config)
        identity = _identity(keys, rules)
        earlier = self.old.get(identity)
        if earlier is not None and not (self.retry_failed and earlier["row"]["status"] == "failed"):
            self._record(point, task, {**earlier, "point": point.number}, write=False)
            return None
        row = assemble(self._read, keys, rules)
        if row is not None:
            spent = time.perf_counter() - start
            self._record(point, task, _record(point, identity, row, cached=True, seconds=spent, key=keys.digest()))
            return None
        job = Job("point", config, keys, rules, str(self.store.path.resolve()))
        self._jobs[point.number] = job
        return job

    def _read(self, stage: Stage, key: str) -> Mapping[str, Any] | None:
        """A record of the store; those of stages that many points share are remembered."""
        if stage == "cost":
            return self.store.read(stage, key)
        name = f"{stage} {key}"
        if name not in self._remembered:
            found = self.store.read(stage, key)
            if found is None:
                return None
            self._remembered[name] = found
        return self._remembered[name]

    def _price(self, points: list[tuple[Point, Job]], task: ProgressTask) -> list[tuple[Point, Job]]:
        """Price points that lack nothing else, in bulk; those whose worker was lost come back."""
        groups: dict[str, list[tuple[Point, Job]]] = {}
        for point, job in points:
            groups.setdefault(job.keys.placement + job.keys.baseline, []).append((point, job))
        chunks = [group[n : n + CHUNK] for group in groups.values() for n in range(0, len(group), CHUNK)]
        running: dict[Future[list[Done]], list[tuple[Point, Job]]] = {}
        lost: list[tuple[Point, Job]] = []
        while chunks or running:
            while chunks and len(running) < self.executor.workers:
                chunk = chunks.pop(0)
                running[self.executor.submit(price, Prices(tuple(job for _, job in chunk)))] = chunk
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                chunk = running.pop(future)
                # Whatever happened to the whole chunk happens to its points one by one, where it is recorded.
                if future.exception() is not None:
                    lost += chunk
                    continue
                for (point, job), outcome in zip(chunk, future.result(), strict=True):
                    row = (
                        None
                        if outcome.costs is None
                        else assemble(_with(self._read, outcome.costs), job.keys, job.rules)
                    )
                    self._record(point, task, self._made(point, replace(outcome, row=row), 1))
                self._flush()
        return lost

    def _made(self, point: Point, outcome: Done, attempts: int) -> Record:
        job = self._jobs.pop(point.number)
        row = outcome.row if outcome.row is not None else {"status": "failed", "message": outcome.message}
        about = {"seconds": outcome.seconds, "host": outcome.host, "worker": outcome.worker, "trace": outcome.trace}
        return _record(point, _identity(job.keys, job.rules), row, attempts=attempts, key=job.keys.digest(), **about)

    def _record(self, point: Point, task: ProgressTask, record: Record, *, write: bool = True) -> None:
        self.records[point.number] = record
        # A point that cannot even be planned has nothing that it is known by, and is planned again the next time.
        if write and record["id"]:
            self._unwritten.append(record)
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
            raise UserError(
                f"Stopped: cannot write to {str(self.folder.path)!r}: {error.strerror or error}. What is finished is "
                "kept; make room and give the same command again."
            ) from None
        self._unwritten.clear()

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


def _with(read: Read, costs: Mapping[str, Any]) -> Read:
    """What the store holds, and a cost record that it does not."""
    return lambda stage, key: costs if stage == "cost" else read(stage, key)


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
    maker = KeyMaker()
    search = sweep.settings.method == "search"
    points = [] if search else chosen(sweep.settings, sweep.axes)
    if not search:
        _refuse_hopeless(sweep, points, maker)
    identity = {"name": sweep.name, "digest": sweep.digest}
    with SweepFolder(out, identity) as folder:
        run = _Run(sweep, folder, Store(store or out / "store"), executor, progress, retry_failed, maker)
        run.old = folder.records()
        try:
            _search(run) if search else _all(run, points)
        except BaseException:
            _write(run)  # what there is so far; the next call writes the rest
            raise
        return _write(run)


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


def _refuse_hopeless(sweep: Sweep, points: Iterable[Point], maker: KeyMaker) -> None:
    """Refuse a sweep in which no point can even start: the mistake is the file's, not a point's."""
    first = ""
    for point in points:
        try:
            maker.keys(configured(sweep.base, point))
        except UserError as error:
            first = first or f"{point.text}: {error}"
        else:
            return
    raise UserError(f"No point of this sweep can start. The first: {first}")
