"""`ohmweave sweep` and `ohmweave store`: their flags, and what they print."""

from __future__ import annotations

import os
import shlex
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from experiments import config as configuration
from experiments.config import Config
from hwmodels.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from experiments.sweeping.executors import Executor
    from experiments.sweeping.sweep import Sweep

Switch = tyro.conf.FlagCreatePairsOff


@dataclass(frozen=True, kw_only=True)
class _Sweep:
    """Bring every point of a file's [sweep] to a result; the same command goes on where it stopped."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Output folder; default: sweeps/<config>-<hash of the file's content>."""
    store: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Where finished stages are kept and found; several sweeps may share one. Default: OUT/store."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Processes on this machine, each with one thread; default: one per core. 0: in this process."""
    scheduler: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = None
    """Run on the workers of this dask scheduler instead (tcp://host:8786)."""
    resume: bool = True
    """Go on with what the output folder holds; --no-resume refuses a folder that has points already."""
    retry_failed: Annotated[bool, Switch] = False
    """Try points again that failed before."""
    report: bool = True
    """Write report.html at the end; --no-report leaves it out."""
    data_dir: Annotated[Path | None, tyro.conf.arg(name="data-dir", metavar="DIR")] = None
    """Folder that holds the data set (the same as --data.dir)."""
    quiet: Annotated[bool, tyro.conf.arg(aliases=["-q"]), Switch] = False
    """Print the result only."""
    verbose: Annotated[bool, tyro.conf.arg(aliases=["-v"]), Switch] = False
    """Print the full traceback on a failure."""


def sweep(args: list[str]) -> int:
    """Run the command line `ohmweave sweep …` and return its exit code: 0, or 1 where no point came to a result."""
    name = args[0] if args and not args[0].startswith("-") else None
    if name is None and not {"-h", "--help"} & set(args):
        raise UserError("The configuration comes first: ohmweave sweep CONFIG [--out DIR]. Packaged: sweep-digits.")
    if name is None:
        _flags(Config(), "CONFIG", args)
    from experiments.progress import Progress
    from experiments.sweeping import sweep as sweeping

    loaded = sweeping.load(configuration.find(name or ""))
    flags = _flags(configuration.validated(loaded.base, loaded.name), name or "", args[1:])
    config = flags.config
    if flags.data_dir is not None:
        config = replace(config, data=replace(config.data, dir=str(flags.data_dir)))
    chosen = _flagged(loaded, config)
    out = flags.out if flags.out is not None else Path("sweeps") / f"{chosen.name}-{chosen.digest}"
    if not flags.resume and (out / "points.jsonl").exists():
        raise UserError(f"{str(out)!r} holds points already; leave --no-resume out, or choose another --out.")
    start = time.perf_counter()
    with Progress(quiet=flags.quiet) as progress, _executor(flags) as executor:
        progress.note(f"Sweep {chosen.name}-{chosen.digest} in {out}, {executor.workers} worker(s)")
        results = sweeping.run(
            chosen, out, executor=executor, store=flags.store, retry_failed=flags.retry_failed, progress=progress
        )
    print(answer(results))
    print(f"Results: {out / 'results.parquet'} and results.csv")
    _describe(chosen, out, flags, shlex.join(["ohmweave", "sweep", *args]), time.perf_counter() - start)
    return 0 if set(results["status"]) - {"failed"} else 1


def _describe(chosen: Sweep, out: Path, flags: _Sweep, command: str, seconds: float) -> None:
    """Write where the table comes from, and its page."""
    from experiments.sweeping import about

    try:
        about.write(out, chosen, command=command, store=flags.store or out / "store", seconds=seconds)
    except OSError as error:
        raise UserError(
            f"Cannot write to {str(out)!r}: {error.strerror or error}. The results are there; make room and give the "
            "same command again."
        ) from None
    if flags.report:
        from experiments.reporting import sweep_report

        made = sweep_report.of_folder(out)
        print(f"Report: {sweep_report.write(made, out, sweep_report.heading(out, made.about))}")


def _flags(config: Config, name: str, args: list[str]) -> _Sweep:
    return tyro.cli(
        _Sweep,
        prog=f"ohmweave sweep {name}",
        args=args,
        default=_Sweep(config=configuration.with_flagged_patterns(config, args)),
        use_underscores=True,
    )


def _flagged(loaded: Sweep, config: Config) -> Sweep:
    """The sweep with the flags laid over its configuration; a flag for a key that is swept would say nothing."""
    from experiments.sweeping.axes import looked_up

    base = config.resolved()
    for key in (key for axis in loaded.axes for key in axis.keys):
        if looked_up(base, key) != looked_up(loaded.base, key):
            raise UserError(f"{key!r} is swept, so a flag for it has no meaning; change it in [sweep].")
    return replace(loaded, base=base)


def _executor(flags: _Sweep) -> Executor:
    from experiments.sweeping import executors

    if flags.scheduler is not None:
        if flags.workers is not None:
            raise UserError("--workers is for this machine and --scheduler for a cluster; give one of the two.")
        return executors.Cluster(flags.scheduler)
    count = _cores() if flags.workers is None else flags.workers
    if count < 0:
        raise UserError(f"--workers {count}: give a number of processes, or 0 for this one.")
    return executors.LocalProcesses(count) if count else executors.InProcess()


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def answer(results: pd.DataFrame) -> str:
    """A sweep in a few lines: how many points came to what, and the most accurate one."""
    import numpy as np

    counts = results["status"].value_counts()
    said = f"{len(results)} points: " + ", ".join(
        f"{counts.get(status, 0)} {status}" for status in ("done", "infeasible", "failed")
    )
    done = results[results["status"] == "done"]
    accuracies = np.asarray(done["accuracy_crossbar_mean"], dtype=float)
    if np.isnan(accuracies).all():  # nothing done, or another program's table without accuracies
        return said
    best = done.iloc[int(np.nanargmax(accuracies))]
    keys = ", ".join(f"{key} = {best[key]}" for key in results.columns[1 : results.columns.get_loc("status")])
    return (
        f"{said}\nMost accurate: {100 * best['accuracy_crossbar_mean']:.2f} % "
        f"({100 * best['accuracy_crossbar_low']:.2f} to {100 * best['accuracy_crossbar_high']:.2f} % over "
        f"{best['chips']} chips), {best['area_mm2']:.4g} mm², {best['power_mw']:.4g} mW, {best['energy_nj']:.4g} nJ "
        f"at {keys}"
    )


@dataclass(frozen=True, kw_only=True)
class _Store:
    """Say what a store holds, or make it smaller."""

    folder: tyro.conf.Positional[Path]
    """A store, or the folder of a sweep that has one."""
    trim: Annotated[bool, Switch] = False
    """Remove unfinished work and checkpoints that nobody needs any more; and what the next two flags say."""
    keep_gb: float | None = None
    """With --trim: remove what was not used for longest until so many gigabytes are left."""
    older_than_days: float | None = None
    """With --trim: remove what was not used for so many days."""


def store(args: list[str]) -> int:
    """Run the command line `ohmweave store …` and return its exit code."""
    from experiments.sweeping.store import Store

    flags = tyro.cli(_Store, prog="ohmweave store", args=args, use_underscores=True)
    if not flags.trim and (flags.keep_gb is not None or flags.older_than_days is not None):
        raise UserError("--keep_gb and --older_than_days say what --trim removes: give --trim as well.")
    inside = flags.folder / "store"
    opened = Store(inside if (inside / "store.json").exists() else flags.folder, create=False)
    if flags.trim:
        gone = opened.trim(
            keep_bytes=None if flags.keep_gb is None else int(flags.keep_gb * 1e9),
            older_than_s=None if flags.older_than_days is None else flags.older_than_days * 86400,
        )
        print(f"Removed {len(gone)} entries, {_megabytes(sum(entry.bytes for entry in gone))}.")
    print(_contents(opened))
    return 0


def _contents(opened: object) -> str:
    from experiments.sweeping.keys import STAGES
    from experiments.sweeping.store import Store

    assert isinstance(opened, Store)
    entries, now = opened.entries(), time.time()
    lines = [f"{'stage':<12}{'finished':>9}{'unfinished':>12}{'size':>12}{'last used':>14}"]
    for stage in STAGES:
        mine = [entry for entry in entries if entry.stage == stage]
        finished = sum(entry.finished for entry in mine)
        used = f"{(now - max(entry.used_s for entry in mine)) / 86400:.1f} days ago" if mine else "-"
        size = _megabytes(sum(entry.bytes for entry in mine))
        lines.append(f"{stage:<12}{finished:>9}{len(mine) - finished:>12}{size:>12}{used:>14}")
    return "\n".join([*lines, f"{'total':<12}{'':>21}{_megabytes(sum(entry.bytes for entry in entries)):>12}"])


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
