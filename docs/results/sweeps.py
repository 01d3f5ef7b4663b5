"""Two hundred points undisturbed and killed three times: `python docs/results/sweeps.py FOLDER [--workers 2] [FLAG …]`.

Runs `ohmweave sweep sweep-digits-200` twice, each with a store of its own: into FOLDER/whole without a disturbance, and
into FOLDER/killed with kill -9 of the command after 25, 90 and 150 points, the same command again each time. Further
flags go to both. Fails unless the two tables are equal byte for byte, Parquet and CSV; then writes
docs/results/sweep-digits-200.csv and prints what docs/results/sweeps.md quotes. Given again, it goes on where it
stopped.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

KILLED_AT = (25, 90, 150)
TABLES = ("results.parquet", "results.csv")
HERE = Path(__file__).parent


def lines(folder: Path) -> int:
    """Points in a sweep's journal."""
    journal = folder / "points.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def sweep(out: Path, flags: list[str], until: int | None) -> float:
    """Run the command to its end, or kill it once so many points are in its journal: seconds."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "experiments.cli", "sweep", "sweep-digits-200", "--out", str(out), *flags]
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
    with (out.parent / f"{out.name}.log").open("a") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        while process.poll() is None:
            if until is not None and lines(out) >= until:
                process.send_signal(signal.SIGKILL)
            time.sleep(0.05)
    expected = 0 if until is None else -signal.SIGKILL
    if process.returncode != expected:
        raise SystemExit(f"the sweep ended with {process.returncode}; see {out.parent / (out.name + '.log')}")
    return time.perf_counter() - start


def main() -> None:
    """Run both, compare, write the table and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    given, flags = parser.parse_known_args()
    folder: Path = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    seconds = {}
    for name, stops in (("whole", ()), ("killed", KILLED_AT)):
        out = folder / name
        if (out / "results.parquet").exists():
            continue
        started, reached = time.perf_counter(), []
        for until in stops:
            if lines(out) < until:
                sweep(out, flags, until)
                reached.append(lines(out))
        sweep(out, flags, None)
        seconds[name] = time.perf_counter() - started
        print(f"{name}: {seconds[name]:.0f} s, killed at {reached} points", flush=True)
    for table in TABLES:
        if (folder / "whole" / table).read_bytes() != (folder / "killed" / table).read_bytes():
            raise SystemExit(f"{table} differs")
    points = [pd.read_parquet(folder / name / "points.parquet") for name in ("whole", "killed")]
    results = pd.read_csv(folder / "whole" / "results.csv")
    print(f"{len(results)} points, {results['status'].value_counts().to_dict()}; tables equal byte for byte")
    print(f"seconds of the jobs: {[round(float(table['seconds'].sum())) for table in points]}")
    shutil.copyfile(folder / "whole" / "results.csv", HERE / "sweep-digits-200.csv")


if __name__ == "__main__":
    main()
