"""The sweep engine by itself: cost-only points per second, points that are there already, two workers against one.

    python benchmarks/bench_sweep.py [--points 2000] [--compute 8] [--repeats 3] [--folder DIR]

A tiny network is trained, compressed, placed and simulated once; then `cost` prices a grid over what only costs read
(columns per converter, time of a read, way of execution, frame rate), `again` takes the same grid from its journal, and
`ratio` simulates `--compute` points that share all but their chips with one worker and with two, in turn, after a first
point that loads and compiles; the shortest of each counts. Processor time counts the workers that have ended.

Of every such run it is said how its workers spent their time, as the kernel knows it (/proc/PID/schedstat): computing,
waiting for a processor (other programs have it: the machine is not quiet, and the clock says little), and idle (waiting
for the sweep: for a lock, the disk, or a job). What is left without the waiting, `undisturbed`, is what a quiet machine
would show; it leaves out what two workers cost each other in caches and memory.
"""

from __future__ import annotations

import argparse
import math
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from experiments.progress import SILENT
from experiments.sweeping import sweep as sweeping
from experiments.sweeping.executors import InProcess, LocalProcesses

BASE = """\
[data]
train_limit = 120
test_limit = {test}
[train]
epochs = 1
[compress]
admm_epochs = 1
update_every = 1
retrain_epochs = 1
finish_epochs = 1
[crossbar]
rows = 64
cols = 64
[simulate]
seeds = {seeds}
calibration_samples = 16
[sweep]
"""
COST = """\
"crossbar.cols_per_adc" = [1, 2, 4, 8, 16, 32, 48, 64]
"crossbar.t_read_s" = {{ log = [2e-8, 2e-7, 25] }}
"hardware.execution" = ["pipelined", "layer-by-layer"]
"hardware.frame_rate_hz" = {{ log = [10.0, 1000.0, {rates}] }}
"""


def spent() -> float:
    """Processor time of this process and of its workers that have ended [s]."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def run(folder: Path, name: str, text: str, workers: int, out: str) -> tuple[int, float, float]:
    """Run one sweep: points, seconds of the clock, processor time [s]."""
    path = folder / f"{name}.toml"
    path.write_text(text)
    clock, processor = time.perf_counter(), spent()
    with LocalProcesses(workers) if workers else InProcess() as executor:
        table = sweeping.run(
            sweeping.load(path), folder / out, executor=executor, store=folder / "store", progress=SILENT
        )
    failed = table[table["status"] != "done"]
    assert failed.empty, failed["message"].tolist()
    return len(table), time.perf_counter() - clock, spent() - processor


def main() -> None:
    """Print the figures, a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=2000, help="cost-only points, rounded up to 400s")
    parser.add_argument("--compute", type=int, default=8, help="points to simulate, with one worker and two; 0: none")
    parser.add_argument("--repeats", type=int, default=3, help="runs with each number of workers")
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (flags.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        rates = max(2, -(-flags.points // 400))
        base = BASE.format(test=40, seeds=2)
        run(folder, "first", base + '"crossbar.t_read_s" = [1e-7]\n', 0, "first")
        grid = base + COST.format(rates=rates)
        report("cost", *run(folder, "cost", grid, 0, "cost"))
        report("again", *run(folder, "cost", grid, 0, "cost"))
        print(f"memory   {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB at most")
        if flags.compute:
            ratio(folder, flags.compute, flags.repeats)


def report(what: str, points: int, clock: float, processor: float) -> None:
    """One line: points, rate by the processor's time and by the clock."""
    each = 1e3 * processor / points
    print(
        f"{what:<8} {points} points, {each:.3f} ms of processor time each, {clock:.1f} s, {processor:.1f} s processor"
    )


@dataclass(frozen=True)
class Spent:
    """How one run's time went [s]: of the clock, and a worker's mean of computing, waiting for a processor, idling."""

    clock: float
    computing: float
    waiting: float

    @property
    def undisturbed(self) -> float:
        """Its time where a worker never waits for a processor."""
        return self.clock - self.waiting

    def __str__(self) -> str:
        """The shares, and what is left."""
        idle = self.clock - self.computing - self.waiting
        computing, waiting, idle = (100 * part / self.clock for part in (self.computing, self.waiting, idle))
        return (
            f"{computing:.1f} % computing, {waiting:.1f} % waiting for a processor, {idle:.1f} % idle; "
            f"{self.undisturbed:.1f} s undisturbed"
        )


def scheduled(worker: int) -> tuple[float, float]:
    """Seconds that a process has computed, and waited for a processor while it could have."""
    computing, waiting, _ = Path(f"/proc/{worker}/schedstat").read_text().split()
    return 1e-9 * int(computing), 1e-9 * int(waiting)


def ratio(folder: Path, points: int, repeats: int) -> None:
    """Time of the same simulations with one worker and with two, in turn."""
    best = {1: Spent(math.inf, 0.0, 0.0), 2: Spent(math.inf, 0.0, 0.0)}
    for turn in range(repeats):
        for workers in best:
            spent = compute(folder, points, workers, 2 * turn + workers)
            print(f"workers  {workers}: {points} points in {spent.clock:.1f} s: {spent}", flush=True)
            best[workers] = min(best[workers], spent, key=lambda one: one.clock)
    of_clock, undisturbed = best[1].clock / best[2].clock, best[1].undisturbed / best[2].undisturbed
    quiet = max(one.waiting / one.clock for one in best.values()) < 0.05
    said = "" if quiet else "; the machine was NOT quiet"
    print(f"ratio    {of_clock:.2f} by the clock, {undisturbed:.2f} undisturbed{said}")


def compute(folder: Path, points: int, workers: int, turn: int) -> Spent:
    """Simulate so many points of chips that no other turn has, with workers that are warm."""
    base = BASE.format(test=359, seeds=20)

    def text(count: int, first: float) -> str:
        return f'{base}"device.stuck_at_lrs" = {[first + 1e-4 * n for n in range(count)]}\n'

    def swept(name: str, content: str) -> set[int]:
        path = folder / f"{name}.toml"
        path.write_text(content)
        sweep = sweeping.load(path)
        sweeping.run(sweep, folder / name, executor=executor, store=folder / "store", progress=SILENT)
        return set(pd.read_parquet(folder / name / "points.parquet")["worker"])

    with LocalProcesses(workers) as executor:
        known = swept(f"warm{turn}", text(2 * workers, 0.5 + 0.01 * turn))
        before, start = {worker: scheduled(worker) for worker in known}, time.perf_counter()
        assert swept(f"compute{turn}", text(points, 0.01 * turn)) <= known, "a worker was new"
        clock = time.perf_counter() - start
        spent = [[now - then for now, then in zip(scheduled(one), before[one], strict=True)] for one in known]
    computing, waiting = (sum(column) / workers for column in zip(*spent, strict=True))
    return Spent(clock, computing, waiting)


if __name__ == "__main__":
    main()
