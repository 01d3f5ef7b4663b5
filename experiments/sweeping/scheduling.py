"""Which job runs next: what points share is done once and first, and a lost worker's job is done again."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace

from experiments.sweeping.executors import Executor, WorkerLostError
from experiments.sweeping.points import Point
from experiments.sweeping.work import TASKS, Done, Job, Task, do
from hwmodels.errors import UserError

ORDER: tuple[Task, ...] = ("dense", "compressed", "point", "placement")
"""What runs first where there is a choice: the long stages that others wait for, then points, so that results come."""

ATTEMPTS = 3
"""Times that a job is given out when its workers die under it."""


@dataclass(eq=False)
class _Shared:
    """A task that several points wait for."""

    job: Job
    number: int
    waiting: list[tuple[Point, Job]] = field(default_factory=list)
    attempts: int = 0


@dataclass
class Scheduler:
    """Runs points on an executor, shared tasks once, and gives each point's outcome as it comes."""

    executor: Executor
    note: Callable[[str], None]
    shared_done: Callable[[Task], None]
    _ready: list[tuple[int, int, str]] = field(default_factory=list)
    _tasks: dict[str, _Shared] = field(default_factory=dict)
    _running: dict[Future[Done], str] = field(default_factory=dict)

    def run(self, points: Iterable[tuple[Point, Job]]) -> Iterator[tuple[Point, Done, int]]:
        """(point, what came of it, attempts), in the order of completion.

        Raises UserError when the disk is full: going on would only fail. Jobs that still run are then abandoned.
        """
        for point, job in points:
            self._ask(point, job, TASKS[0])
        while self._ready or self._running:
            while self._ready and len(self._running) < self.executor.workers:
                self._start(heapq.heappop(self._ready)[2])
            # A time limit, as a cluster may have gained workers meanwhile.
            ended, _ = wait(self._running, timeout=1.0, return_when=FIRST_COMPLETED)
            for future in ended:
                yield from self._finish(future)

    def _ask(self, point: Point, job: Job, task: Task) -> None:
        """Let a point wait for a task; the first one to ask puts it in line."""
        identity = _identity(job, task, point.number)
        if identity not in self._tasks:
            self._tasks[identity] = _Shared(replace(job, task=task), point.number)
            heapq.heappush(self._ready, (ORDER.index(task), point.number, identity))
        self._tasks[identity].waiting.append((point, job))

    def _start(self, identity: str) -> None:
        shared = self._tasks[identity]
        shared.attempts += 1
        self._running[self.executor.submit(do, shared.job)] = identity

    def _finish(self, future: Future[Done]) -> Iterator[tuple[Point, Done, int]]:
        identity = self._running.pop(future)
        shared = self._tasks[identity]
        error = future.exception()
        if isinstance(error, WorkerLostError):
            if shared.attempts < ATTEMPTS:
                self.note(f"Lost a worker at point {shared.number} ({shared.job.task}): {error}; trying again.")
                heapq.heappush(self._ready, (ORDER.index(shared.job.task), shared.number, identity))
                return
            outcome = Done("bug", f"lost {shared.attempts} workers in a row: {error}")
        elif error is not None:
            raise error
        else:
            outcome = future.result()
        yield from self._told(identity, shared, outcome)

    def _told(self, identity: str, shared: _Shared, outcome: Done) -> Iterator[tuple[Point, Done, int]]:
        """Send the waiting points on to their next task, or out."""
        if outcome.kind == "disk":
            raise UserError(
                f"Stopped: {outcome.message}. What is finished is kept; make room and give the same command again."
            )
        task, waiting = shared.job.task, shared.waiting
        del self._tasks[identity]
        if task != TASKS[-1] and outcome.kind == "ok":
            self.shared_done(task)
        for point, job in waiting:
            if outcome.kind == "ok" and task != TASKS[-1]:
                self._ask(point, job, TASKS[TASKS.index(task) + 1])
            elif outcome.kind == "own" and point.number != shared.number:
                self._ask(point, job, task)
            else:
                yield point, outcome, shared.attempts


def _identity(job: Job, task: Task, number: int) -> str:
    keys = job.keys
    shared = {
        "dense": keys.dense,
        "compressed": keys.compressed,
        "placement": keys.placement + keys.baseline,
        "point": str(number),
    }
    return f"{task} {shared[task]}"
