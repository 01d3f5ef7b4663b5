"""`ohmweave report`: the page of a run, of a sweep, or of several runs, and what a paper takes from them."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from hwmodels.errors import UserError

if TYPE_CHECKING:
    from experiments.reporting.paper import Wanted
    from experiments.reporting.sweep_view import View

Switch = tyro.conf.FlagCreatePairsOff


@dataclass(frozen=True, kw_only=True)
class _Report:
    """Write the report of a run or a sweep again, or one of several runs beside each other."""

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """A finished run, a sweep, or several runs."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Where to write; default: the folder itself, and reports/<names>-<hash> for several runs."""
    figures: Annotated[str | None, tyro.conf.arg(metavar="pdf,svg,png")] = None
    """Write the pictures for a paper, in these formats, into DIR/paper."""
    style: Literal["single", "double"] = "single"
    """Their width: one column of a paper (3.5 in) or both (7.16 in)."""
    latex: Annotated[bool, Switch] = False
    """Write the tables in LaTeX (booktabs) into DIR/paper."""
    bibtex: Annotated[bool, Switch] = False
    """Write the publications of the sources that were used into DIR/paper/sources.bib."""
    quiet: Annotated[bool, tyro.conf.arg(aliases=["-q"]), Switch] = False
    """Print the result only."""
    verbose: Annotated[bool, tyro.conf.arg(aliases=["-v"]), Switch] = False
    """Print the full traceback on a failure."""


def run(args: list[str]) -> int:
    """Run the command line `ohmweave report …` and return its exit code."""
    if not [arg for arg in args if not arg.startswith("-")] and not {"-h", "--help"} & set(args):
        raise UserError(
            "Which run? ohmweave report DIR [DIR …], where DIR is the folder of a finished run or of a sweep."
        )
    flags = tyro.cli(_Report, prog="ohmweave report", args=args, use_underscores=True)
    _wanted(flags)  # a mistake in the flags is said before anything is written
    folders = list(dict.fromkeys(flags.folders))
    for folder in folders:
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "does not exist"
            raise UserError(f"{str(folder)!r} {what}; give the folder of a finished run or of a sweep.")
    sweeps = [folder for folder in folders if is_sweep(folder)]
    if len(folders) > 1:
        if sweeps:
            raise UserError(
                f"{str(sweeps[0])!r} is a sweep: a report is of one sweep by itself, of one run, or of several runs."
            )
        return _runs(folders, flags, shlex.join(["ohmweave", "report", *args]))
    return _sweep(folders[0], flags) if sweeps else _run(folders[0], flags)


def is_sweep(folder: Path) -> bool:
    """Whether a folder holds a sweep or its table."""
    from experiments.sweeping.journal import IDENTITY
    from experiments.sweeping.table import RESULTS_FILE

    return any((folder / name).exists() for name in (IDENTITY, RESULTS_FILE))


def _run(folder: Path, flags: _Report) -> int:
    from experiments.reporting import paper, report
    from experiments.reporting.page import answer

    result, tables, out = report.load(folder), report.load_tables(folder), flags.out or folder
    try:
        report.write(result, tables, out, formats=result["config"]["report"]["figures"])
    except OSError as error:
        raise UserError(f"Cannot write to {str(out)!r}: {error.strerror or error}; choose another --out.") from None
    print(answer(result))
    print(f"Report: {out / 'report.html'}")
    _paper(out, flags, lambda wanted: paper.of_run(result, tables, out, wanted))
    return 0


def _paper(out: Path, flags: _Report, write: Callable[[Wanted], list[Path]]) -> None:
    """Write what a paper takes, where something of it is asked for."""
    from experiments.reporting import paper

    wanted = _wanted(flags)
    if not wanted.anything:
        return
    written = write(wanted)
    print(f"For a paper: {', '.join(path.name for path in written) or 'nothing to write'} in {out / paper.FOLDER}")


def _wanted(flags: _Report) -> Wanted:
    from experiments.reporting import paper

    formats = paper.formats(flags.figures) if flags.figures is not None else ()
    return paper.Wanted(formats=formats, style=flags.style, latex=flags.latex, bibtex=flags.bibtex)


def _sweep(folder: Path, flags: _Report) -> int:
    from experiments.commands.sweep_command import answer
    from experiments.reporting import sweep_report

    made, out = sweep_report.of_folder(folder), flags.out or folder
    path = sweep_report.write(made, out, sweep_report.heading(folder, made.about))
    print(answer(made.table))
    print(f"Report: {path}")
    _points_paper(made, out, flags)
    return 0


def _points_paper(made: View, out: Path, flags: _Report) -> None:
    from experiments.reporting import paper

    _paper(out, flags, lambda wanted: paper.of_sweep(made, out, wanted))


def _runs(folders: list[Path], flags: _Report, command: str) -> int:
    from experiments.reporting import report, runs_table, sweep_report, sweep_view

    names = runs_table.names(folders)
    table = runs_table.table(dict(zip(names, (report.load(folder) for folder in folders), strict=True)))
    out = flags.out if flags.out is not None else _together(folders, names)
    made = sweep_view.view(table, {"command": command}, "run")
    path = sweep_report.write(made, out, " · ".join(names) if len(names) <= 4 else f"{len(names)} runs")
    print(f"{len(names)} runs: {', '.join(names)}")
    print(f"Report: {path}")
    _points_paper(made, out, flags)
    return 0


def _together(folders: list[Path], names: list[str]) -> Path:
    mark = hashlib.sha256("\n".join(str(folder.resolve()) for folder in folders).encode()).hexdigest()[:8]
    return Path("reports") / f"{'+'.join(names[:3])}-{mark}"
