"""Which job runs next: what points share is done once and first, and a lost worker's job is done again.

A point's way: its dense network, its compression and its placement, each done once for all that share it; its price, in
bulk with all points on the same arrays; and where it lacks chips, the simulation, which one point does for all that
share it. What a point still lacks after its price is for the caller to say.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any

from experiments.sweeping.executors import Executor, WorkerLostError
from experiments.sweeping.points import Point
from experiments.sweeping.work import TASKS, Done, Job, Prices, Task, do, price
from hwmodels.errors import UserError

PRICE = "price"
ORDER: tuple[str, ...] = ("dense", "compressed", PRICE, "point", "placement")
"""What runs first where there is a choice: the long stages that others wait for, then points, so that results come."""

ATTEMPTS = 3
"""Times that a job is given out when its workers die under it."""
CHUNK = 500
"""Points that a worker prices at a time."""
SMALLEST = 20
"""And at least where there are as many: reading the placement comes once for all of them."""
AHEAD = 5000
"""Points that wait for something at a time: bounds memory, and lets planning and work overlap."""

Waiting = list[tuple[Point, Job]]
Outcome = tuple[Point, Job, Done, int]
"""A point, its job, what came of it, and how often it was tried."""


@dataclass(eq=False)
class _Shared:
    """A task that several points wait for; number: of the point whose configuration it is done with."""

    task: str
    job: Job
    number: int
    waiting: Waiting = field(default_factory=list)
    attempts: int = 0


@dataclass
class Scheduler:
    """Runs points on an executor, shared tasks once, and gives each point's outcome as it comes.

    more: plans further points by calling `ask` or `price`, False where there are none; waiting: how many wait.
    """

    executor: Executor
    note: Callable[[str], None]
    shared_done: Callable[[str], None]
    more: Callable[[], bool]
    waiting: int = 0
    _ready: list[tuple[int, int, str]] = field(default_factory=list)
    _tasks: dict[str, _Shared] = field(default_factory=dict)
    _running: dict[Future[Any], str] = field(default_factory=dict)
    _unpriced: dict[str, deque[tuple[Point, Job]]] = field(default_factory=dict)
    _chunks: int = 0
    _exhausted: bool = False

    def ask(self, point: Point, job: Job) -> None:
        """Take a point from its first stage on."""
        self.waiting += 1
        self._ask(point, job, TASKS[0])

    def price(self, point: Point, job: Job) -> None:
        """Take a point whose networks stand on arrays: it is priced with others on the same ones."""
        self.waiting += 1
        self._price(point, job)

    def simulate(self, point: Point, job: Job) -> None:
        """Take a point back that is priced and lacks chips: the first to ask simulates for all that share them."""
        self.waiting += 1
        self._ask(point, job, "point")

    def run(self) -> Iterator[list[Outcome]]:
        """Outcomes, as many at a time as come at a time, until nothing is left to plan or to do.

        Raises UserError when the disk is full: going on would only fail. Jobs that still run are then abandoned.
        """
        while self._fill():
            # A time limit, as a cluster may have gained workers meanwhile.
            ended, _ = wait(self._running, timeout=1.0, return_when=FIRST_COMPLETED)
            for future in ended:
                yield self._finish(future)

    def _fill(self) -> bool:
        """Keep all workers busy, and plan ahead while they are; False where nothing runs any more."""
        while True:
            # Planning takes far less than any job: some of it first makes full chunks, and lets long jobs begin first.
            while not self._exhausted and self.waiting < CHUNK * min(self.executor.workers, 8):
                self._exhausted = not self.more()
            while self._ready and len(self._running) < self.executor.workers:
                self._start(heapq.heappop(self._ready)[2])
            free = len(self._running) < self.executor.workers
            ended = any(future.done() for future in self._running)
            if self._exhausted or ended or (not free and self.waiting >= AHEAD):
                return bool(self._running)
            self._exhausted = not self.more()

    def _ask(self, point: Point, job: Job, task: Task) -> None:
        """Let a point wait for a task; the first one to ask puts it in line."""
        identity = _identity(job, task)
        if identity not in self._tasks:
            self._tasks[identity] = _Shared(task, job.for_task(task), point.number)
            self._line(task, point.number, identity)
        self._tasks[identity].waiting.append((point, job))

    def _price(self, point: Point, job: Job) -> None:
        """Let a point wait for its price; the first one of its arrays puts them in line."""
        group = f"{job.keys.placement} {job.keys.baseline}"
        if group not in self._unpriced:
            self._unpriced[group] = deque()
            self._line(PRICE, point.number, group)
        self._unpriced[group].append((point, job))

    def _line(self, task: str, number: int, identity: str) -> None:
        heapq.heappush(self._ready, (ORDER.index(task), number, identity))

    def _start(self, identity: str) -> None:
        if identity in self._unpriced:
            identity = self._chunk(identity)
        shared = self._tasks[identity]
        shared.attempts += 1
        if shared.task == PRICE:
            order = Prices(shared.job, tuple(job.config for _, job in shared.waiting))
            self._running[self.executor.submit(price, order)] = identity
        else:
            self._running[self.executor.submit(do, shared.job)] = identity

    def _chunk(self, group: str) -> str:
        """Make a task of the first points that wait for their price; the rest stays in line."""
        waiting = self._unpriced[group]
        size = min(CHUNK, max(SMALLEST, -(-len(waiting) // self.executor.workers)), len(waiting))
        taken = [waiting.popleft() for _ in range(size)]
        if waiting:
            self._line(PRICE, waiting[0][0].number, group)
        else:
            del self._unpriced[group]
        point, job = taken[0]
        self._chunks += 1
        identity = f"{PRICE} {self._chunks}"
        self._tasks[identity] = _Shared(PRICE, job.for_task("placement"), point.number, taken)
        return identity

    def _finish(self, future: Future[Any]) -> list[Outcome]:
        identity = self._running.pop(future)
        shared = self._tasks[identity]
        error = future.exception()
        if isinstance(error, WorkerLostError):
            if shared.attempts < ATTEMPTS:
                self.note(f"Lost a worker at point {shared.number} ({shared.task}): {error}; trying again.")
                self._line(shared.task, shared.number, identity)
                return []
            outcome = Done("bug", f"lost {shared.attempts} workers in a row: {error}")
        elif error is not None:
            raise error
        elif shared.task == PRICE and isinstance(future.result(), list):
            return self._priced(identity, shared, future.result())
        else:
            outcome = future.result()
        return self._told(identity, shared, outcome)

    def _priced(self, identity: str, shared: _Shared, outcomes: list[Done]) -> list[Outcome]:
        del self._tasks[identity]
        self.waiting -= len(shared.waiting)
        return [
            (point, job, outcome, shared.attempts)
            for (point, job), outcome in zip(shared.waiting, outcomes, strict=True)
        ]

    def _told(self, identity: str, shared: _Shared, outcome: Done) -> list[Outcome]:
        """Send the waiting points on to their next task, or out."""
        if outcome.kind == "disk":
            said = outcome.message.rstrip(".")
            raise UserError(f"Stopped: {said}. What is finished is kept; make room and give the same command again.")
        out: list[Outcome] = []
        del self._tasks[identity]
        task = shared.task
        if outcome.kind == "ok" and task in SHARED:
            self.shared_done(task)
        for point, job in shared.waiting:
            mine = point.number == shared.number
            # Its own mistake, or a failure past what is shared, is a point's alone; the next one takes its place.
            again = not mine and (outcome.kind == "own" or (outcome.kind != "ok" and task == "point"))
            if again and task != PRICE:
                self._ask(point, job, TASKS[_place(task)])
            elif outcome.kind == "ok" and task in SHARED:
                self._next(point, job, task)
            else:
                self.waiting -= 1
                out.append((point, job, outcome, shared.attempts))
        return out

    def _next(self, point: Point, job: Job, task: str) -> None:
        if task == "placement":
            self._price(point, job)
        else:
            self._ask(point, job, TASKS[_place(task) + 1])


SHARED = TASKS[:-1]


def _place(task: str) -> int:
    return [*TASKS].index(task)  # type: ignore[arg-type]


def _identity(job: Job, task: Task) -> str:
    keys = job.keys
    shared = {
        "dense": keys.dense,
        "compressed": keys.compressed,
        "placement": keys.placement + keys.baseline,
        "point": f"{keys.placement}{keys.baseline}{keys.chips} {job.rules!r}",
    }
    return f"{task} {shared[task]}"
