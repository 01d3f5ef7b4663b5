"""What progress writes, and where."""

from __future__ import annotations

import copy
import io
import sys

import pytest

from experiments.progress import SILENT, Progress, duration


class Clock:
    """Time that moves only when told."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Steps:
    """A re-iterable with a length and an epoch, as batches have."""

    def __init__(self) -> None:
        self.epoch = 0

    def __len__(self) -> int:
        return 3

    def __iter__(self):
        return iter([self.epoch, self.epoch + 1, self.epoch + 2])

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


def plain(every_s: float = 5.0) -> tuple[Progress, io.StringIO, Clock]:
    stream, clock = io.StringIO(), Clock()
    return Progress(stream=stream, clock=clock, every_s=every_s), stream, clock


def test_plain_lines_start_end_and_at_most_one_per_interval():
    progress, stream, clock = plain()
    with progress, progress.task("Training", 10) as task:
        for _ in range(10):
            clock.now_s += 2.0
            task.advance(detail="loss 0.5")
    assert stream.getvalue().splitlines() == [
        "Training: start",
        "Training: 3/10 (30 %), 6.0 s, about 14 s left, loss 0.5",
        "Training: 6/10 (60 %), 12 s, about 8.0 s left, loss 0.5",
        "Training: 9/10 (90 %), 18 s, about 2.0 s left, loss 0.5",
        "Training: 10/10 (100 %), 20 s, loss 0.5; done",
    ]


def test_resumed_steps_count_as_done_but_not_in_the_rate():
    progress, stream, clock = plain()
    with progress, progress.task("Training", 10, done=6) as task:
        clock.now_s = 10.0
        task.advance()
        task.advance(3)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "Training: start, from 6/10"
    assert lines[1] == "Training: 7/10 (70 %), 10 s, about 30 s left"


def test_short_inner_tasks_are_silent_and_long_ones_are_not():
    progress, stream, clock = plain()
    with progress, progress.task("Training", 2) as outer:
        for _ in progress.track(range(3), "epoch 1"):
            clock.now_s += 1.0
        outer.advance()
        for _ in progress.track(range(3), "epoch 2"):
            clock.now_s += 4.0
        outer.advance()
    assert stream.getvalue().splitlines() == [
        "Training: start",
        "  epoch 2: 2/3 (66 %), 8.0 s, about 4.0 s left",
        "  epoch 2: 3/3 (100 %), 12 s; done",
        "Training: 2/2 (100 %), 15 s; done",
    ]


def test_an_interrupted_task_says_where_it_stopped():
    progress, stream, _ = plain()

    def work() -> None:
        with progress, progress.task("Training", 4) as task:
            task.advance()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert stream.getvalue().splitlines()[-1] == "Training: 1/4 (25 %), 0.0 s; stopped"


def test_unknown_total_and_notes():
    progress, stream, _ = plain()
    with progress:
        progress.note("Reading [all] files")
        assert list(progress.track((n for n in range(3)), "Points")) == [0, 1, 2]
    assert stream.getvalue().splitlines() == ["Reading [all] files", "Points: start", "Points: 3, 0.0 s; done"]


def test_tracked_stays_what_it_wraps():
    tracked = SILENT.track(Steps(), "steps")
    assert len(tracked) == 3
    tracked.set_epoch(5)
    assert list(tracked) == list(tracked) == [5, 6, 7]
    assert not hasattr(tracked, "nothing_of_the_kind")
    assert list(copy.copy(tracked)) == [5, 6, 7]


def test_quiet_writes_nothing():
    stream = Terminal()
    with Progress(quiet=True, stream=stream) as progress, progress.task("Training", 1) as task:
        task.advance()
        progress.note("not said")
    assert stream.getvalue() == ""


def test_standard_error_is_the_default_and_standard_output_stays_empty(capsys):
    with Progress() as progress, progress.task("Training", 1) as task:
        task.advance()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Training: start\nTraining: 1/1 (100 %)")


def test_bars_on_a_terminal_leave_standard_output_alone(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream, before = Terminal(), sys.stdout
    with Progress(stream=stream) as progress, progress.task("Training [a]", 2) as task:
        assert sys.stdout is before
        task.advance(detail="loss 0.25")
        progress.note("a note [b]")
        assert list(progress.track([1, 2], "inner")) == [1, 2]
        task.advance()
    shown = stream.getvalue()
    assert "a note [b]" in shown
    assert "Training [a]: 2/2 (100 %)" in shown
    assert "\x1b[" in shown, "a live display moves the cursor"
    assert SILENT.track([1], "after").__len__() == 1


def test_a_dumb_terminal_gets_plain_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    with Progress(stream=stream) as progress:
        progress.note("hello")
    assert stream.getvalue() == "hello\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
