"""The sweep engine by itself: cost-only points per second, points that are there already, two workers against one.

    python benchmarks/bench_sweep.py [--points 2000] [--compute 8] [--folder DIR]

A tiny network is trained, compressed, placed and simulated once; then `cost` prices a grid over what only costs read
(columns per converter, time of a read, way of execution, frame rate), `again` takes the same grid from its journal, and
`ratio` simulates `--compute` points that share all but their chips with one worker and with two. Processor time counts
the workers, with what loading and compiling take; seconds are of the clock and mean something only on a machine that
does nothing else.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

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
            ratio(folder, flags.compute)


def report(what: str, points: int, clock: float, processor: float) -> None:
    """One line: points, rate by the processor's time and by the clock."""
    each = 1e3 * processor / points
    print(
        f"{what:<8} {points} points, {each:.3f} ms of processor time each, {clock:.1f} s, {processor:.1f} s processor"
    )


def ratio(folder: Path, points: int) -> None:
    """Time of the same simulations with one worker and with two, after a first point has made what they share."""
    base = BASE.format(test=359, seeds=20)
    clocks = {}
    for workers in (1, 2):
        # Other chips for each, so that the second finds none of the first's in the store.
        seeds = [0.01 * workers + 1e-4 * n for n in range(points)]
        text = f'{base}"device.stuck_at_lrs" = {seeds}\n'
        _, clock, processor = run(folder, f"compute{workers}", text, workers, f"compute{workers}")
        clocks[workers] = clock
        print(f"workers  {workers}: {points} points in {clock:.1f} s, {processor:.1f} s processor")
    print(f"ratio    {clocks[1] / clocks[2]:.2f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
