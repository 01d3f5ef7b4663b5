"""`ohmweave compare`: runs, configurations, points of sweeps and published tables on the same axes."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from hwmodels.errors import UserError

if TYPE_CHECKING:
    from experiments.comparing.differences import Comparison, Line


@dataclass(frozen=True, kw_only=True)
class _Compare:
    """Put runs, configurations, points of sweeps and published tables on the same axes, what differs first.

    Differences are against the first one; what cannot be compared (other data, another library) is said.
    """

    what: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="A B …")]
    """A run's folder; SWEEP:POINT; a configuration (.toml or packaged: priced, not simulated); a table of published
    numbers (.csv, or packaged: yuan2019, ma2020), with :TEXT only the rows whose name holds the text."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.html")] = None
    """Write the comparison as a page."""
    csv: Annotated[Path | None, tyro.conf.arg(metavar="FILE.csv")] = None
    """Write every number as a table: a row per axis and entry."""
    quiet: Annotated[bool, tyro.conf.arg(aliases=["-q"]), tyro.conf.FlagCreatePairsOff] = False
    """Print the result only."""
    verbose: Annotated[bool, tyro.conf.arg(aliases=["-v"]), tyro.conf.FlagCreatePairsOff] = False
    """Print the full traceback on a failure."""


def run(args: list[str]) -> int:
    """Run the command line `ohmweave compare …` and return its exit code."""
    flags = tyro.cli(_Compare, prog="ohmweave compare", args=args or ["--help"], use_underscores=True)
    from experiments.comparing.differences import compare
    from experiments.comparing.entries import entries, renamed
    from experiments.progress import Progress

    _check_files(flags)
    with Progress(quiet=flags.quiet) as progress:
        found = renamed([entry for text in flags.what for entry in entries(text, progress)])
    if len(found) < 2:
        raise UserError("A comparison takes at least two: ohmweave compare A B …, such as two run folders.")
    comparison = compare(found)
    try:
        if flags.csv is not None:
            from hwmodels import atomic

            atomic.write(flags.csv, comparison.table().to_csv(index=False, lineterminator="\n"))
        if flags.out is not None:
            from experiments.comparing import page

            page.write(comparison, flags.out, shlex.join(["ohmweave", "compare", *args]))
    except OSError as error:
        raise UserError(f"Cannot write {error.filename!r}: {error.strerror or error}.") from None
    print(text(comparison))
    return 0


def _check_files(flags: _Compare) -> None:
    """Refuse names of files that are none of theirs, before anything long starts."""
    for name, path, ending in (("--out", flags.out, ".html"), ("--csv", flags.csv, ".csv")):
        if path is not None and path.suffix.lower() != ending:
            raise UserError(f"{name} takes the name of a file that ends in {ending}, not {str(path)!r}.")


def text(comparison: Comparison) -> str:
    """The comparison for a terminal: a block per differing axis, a line per entry, then settings and cautions."""
    from experiments.catalogue import as_table
    from experiments.comparing import wordings
    from experiments.reporting.wording import plain

    names = [entry.name for entry in comparison.entries]
    parts = []
    if comparison.differing:
        table = [
            (
                line.metric.words if place == 0 else "",
                name,
                wordings.value(line, place),
                wordings.difference(line, place),
            )
            for line in comparison.differing
            for place, name in enumerate(names)
            if line.numbers[place] is not None
        ]
        parts += [
            "What differs, the largest difference first:",
            as_table(("", "", "value", "against the first"), table),
        ]
    if comparison.settings:
        parts += ["Settings that differ:", _settings(comparison, names)]
    same = [f"{line.metric.words} {wordings.value(line, _known(line))}" for line in comparison.same]
    if same:
        parts.append(f"The same, or stated by one only: {'; '.join(same)}.")
    parts += [f"! {caution}" for caution in comparison.cautions]
    return plain("\n".join(parts))


def _settings(comparison: Comparison, names: list[str]) -> str:
    """The settings: a column per entry where they are few, else a line for each that says something of a key."""
    from experiments.catalogue import as_table
    from experiments.comparing import wordings
    from experiments.reporting.wording import UNKNOWN

    rows = wordings.setting_rows(comparison)
    if len(names) <= wordings.APART:
        return as_table(("key", *names), rows)
    lines: list[tuple[str, str, str]] = []
    for key, *values in rows:
        told = [(name, value) for name, value in zip(names, values, strict=True) if value != UNKNOWN]
        lines += [(key if place == 0 else "", *pair) for place, pair in enumerate(told)]
    return as_table(("key", "", "value"), lines)


def _known(line: Line) -> int:
    """Place of the first entry that states an axis."""
    return next(place for place, value in enumerate(line.numbers) if value is not None)
