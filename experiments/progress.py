"""How long work says that it is alive: bars on a terminal, a few plain lines elsewhere, nothing when quiet.

Everything goes to standard error, so that standard output holds the results and nothing else. This is the only
module that touches rich's live displays.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TextIO, TypeVar, final

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

Item = TypeVar("Item")


@dataclass(eq=False)
class Task:
    """One running piece of work.

    label: what is done; total: how many steps, None when unknown; done: steps so far, those of an earlier run
    included; depth: 0 for a task that runs inside no other.
    """

    label: str
    total: int | None
    done: int
    depth: int
    _view: _View = field(repr=False)
    _first: int = 0
    _started_s: float = 0.0
    _said_s: float = 0.0
    _spoke: bool = False
    _detail: str = ""

    def advance(self, steps: int = 1, detail: str = "") -> None:
        """Count `steps` more; `detail` (say, "loss 0.31") stands behind the count until the next one."""
        self.done += steps
        self._detail = detail or self._detail
        self._view.update(self)

    def summary(self, now_s: float, *, running: bool = True) -> str:
        """One line: label, count, share, time taken, time left by the mean rate of this run, detail."""
        taken_s = now_s - self._started_s
        parts = [f"{self.done}"]
        if self.total:
            parts = [f"{self.done}/{self.total} ({100 * self.done // self.total} %)"]
        parts.append(duration(taken_s))
        fresh = self.done - self._first
        if running and self.total and fresh > 0 and self.done < self.total:
            parts.append(f"about {duration(taken_s * (self.total - self.done) / fresh)} left")
        if self._detail:
            parts.append(self._detail)
        return f"{'  ' * self.depth}{self.label}: {', '.join(parts)}"


class _View(Protocol):
    """What a way of showing progress must do."""

    def open(self) -> None: ...
    def close(self) -> None: ...
    def start(self, task: Task) -> None: ...
    def update(self, task: Task) -> None: ...
    def finish(self, task: Task) -> None: ...
    def note(self, text: str) -> None: ...


@final
class Progress:
    """The place where a command shows its progress; use it as a context: `with Progress() as progress: …`.

    quiet: show nothing, notes included. stream: where to write (standard error unless told); a terminal gets live
    bars, anything else plain lines: the start and the end of every outermost task, and of each task one line in
    `every_s` [s] at most. clock: seconds from any fixed moment.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        stream: TextIO | None = None,
        every_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Choose the view; nothing is written before the first task or note."""
        where: TextIO = sys.stderr if stream is None else stream
        self._clock = clock
        self._open: list[Task] = []
        if quiet:
            self._view: _View = _Silence()
        elif where.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
            self._view = _Bars(where, clock)
        else:
            self._view = _Lines(where, clock, every_s)

    def __enter__(self) -> Progress:
        """Start the live display, where there is one."""
        self._view.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the live display away and give the terminal back."""
        self._view.close()

    @contextmanager
    def task(self, label: str, total: int | None = None, *, done: int = 0) -> Iterator[Task]:
        """Show a piece of work of `total` steps while the block runs; a task inside another is shown below it.

        done: steps that an earlier, interrupted run has taken; they count as done and not in the rate.
        """
        now = self._clock()
        task = Task(label, total, done, len(self._open), self._view, done, now, now)
        self._open.append(task)
        self._view.start(task)
        try:
            yield task
        finally:
            self._open.remove(task)
            self._view.finish(task)

    def track(self, items: Iterable[Item], label: str) -> Tracked[Item]:
        """`items` again, with a task named `label` for each pass over them; length and other attributes stay."""
        return Tracked(items, label, self)

    def note(self, text: str) -> None:
        """Say one sentence (above the bars, where there are bars)."""
        self._view.note(text)


@final
class Tracked(Generic[Item]):
    """A re-iterable that shows its progress on every pass and is otherwise what it wraps (`set_epoch`, length, …)."""

    def __init__(self, items: Iterable[Item], label: str, progress: Progress) -> None:
        """Wrap `items`; see `Progress.track`."""
        self._items = items
        self._label = label
        self._progress = progress

    def __len__(self) -> int:
        """Items of one pass; a TypeError where the wrapped object has no length."""
        return len(self._items)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Item]:
        """One pass, a step of the task per item."""
        total = len(self) if hasattr(self._items, "__len__") else None
        with self._progress.task(self._label, total) as task:
            for item in self._items:
                yield item
                task.advance()

    def __getattr__(self, name: str) -> Any:
        """Everything else is the wrapped object's own."""
        if name.startswith("_"):  # copy and pickle ask before there is anything to delegate to
            raise AttributeError(name)
        return getattr(self._items, name)


def duration(seconds: float) -> str:
    """A time span [s] for people: "0.4 s", "42 s", "3 min 05 s", "2 h 10 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


@final
class _Silence:
    """Shows nothing."""

    def open(self) -> None: ...
    def close(self) -> None: ...
    def start(self, task: Task) -> None: ...
    def update(self, task: Task) -> None: ...
    def finish(self, task: Task) -> None: ...
    def note(self, text: str) -> None: ...


@final
class _Lines:
    """Plain lines for logs and pipes."""

    def __init__(self, stream: TextIO, clock: Callable[[], float], every_s: float) -> None:
        self._stream = stream
        self._clock = clock
        self._every_s = every_s

    def open(self) -> None: ...
    def close(self) -> None: ...

    def start(self, task: Task) -> None:
        if task.depth == 0:
            task._spoke = True
            resumed = f", from {task.done}/{task.total}" if task.done else ""
            self._write(f"{task.label}: start{resumed}")

    def update(self, task: Task) -> None:
        now = self._clock()
        if now - task._said_s >= self._every_s:
            task._said_s, task._spoke = now, True
            if task.done != task.total:  # the last step is told by the last line
                self._write(task.summary(now))

    def finish(self, task: Task) -> None:
        if task._spoke:  # a short inner task comes and goes without a line
            self._write(_last_line(task, self._clock()))

    def note(self, text: str) -> None:
        self._write(text)

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


@final
class _Bars:
    """Live bars by rich; when an outermost task ends its bar becomes one line that stays."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._bars: RichProgress | None = None
        self._ids: dict[int, TaskID] = {}

    def open(self) -> None:
        from rich import progress as rich
        from rich.console import Console

        self._bars = rich.Progress(
            rich.TextColumn("{task.description}", markup=False),
            rich.BarColumn(),
            rich.MofNCompleteColumn(),
            rich.TimeElapsedColumn(),
            rich.TextColumn("left"),
            rich.TimeRemainingColumn(),
            rich.TextColumn("{task.fields[detail]}", markup=False),
            console=Console(file=self._stream, force_terminal=True),
            # One step may take minutes; with rich's own window of 30 s such a task would never show a time left.
            speed_estimate_period=3600.0,
            transient=True,
            # rich would send what is printed to standard output here, to standard error.
            redirect_stdout=False,
        )
        self._bars.start()

    def close(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def start(self, task: Task) -> None:
        assert self._bars is not None, "a task outside `with Progress() as progress:`"
        label = "  " * task.depth + task.label
        self._ids[id(task)] = self._bars.add_task(label, total=task.total, completed=task.done, detail="")

    def update(self, task: Task) -> None:
        if self._bars is not None:
            self._bars.update(self._ids[id(task)], completed=task.done, detail=task._detail)

    def finish(self, task: Task) -> None:
        identity = self._ids.pop(id(task))
        if self._bars is not None:
            self._bars.remove_task(identity)
        if task.depth == 0:
            self.note(_last_line(task, self._clock()))

    def note(self, text: str) -> None:
        if self._bars is None:
            self._stream.write(text + "\n")
            self._stream.flush()
        else:
            self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _last_line(task: Task, now_s: float) -> str:
    ended = "stopped" if task.total is not None and task.done < task.total else "done"
    return f"{task.summary(now_s, running=False)}; {ended}"


SILENT = Progress(quiet=True)
"""The progress of functions that were given none; it keeps nothing and shows nothing."""
