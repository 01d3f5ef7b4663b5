"""`ohmweave diff` and `ohmweave export`: placements beside each other, and as files for people with a chip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from hwmodels.errors import UserError

if TYPE_CHECKING:
    from mapping import Placement


@dataclass(frozen=True, kw_only=True)
class _Diff:
    """Say what differs between two placements, layer by layer."""

    a: Annotated[Path, tyro.conf.Positional]
    """A run folder or a placement folder."""
    b: Annotated[Path, tyro.conf.Positional]
    """Another one."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the table as CSV too."""
    check: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Exit with code 1 where anything differs."""
    quiet: Annotated[bool, tyro.conf.arg(aliases=["-q"]), tyro.conf.FlagCreatePairsOff] = False
    """Print nothing."""
    verbose: Annotated[bool, tyro.conf.arg(aliases=["-v"]), tyro.conf.FlagCreatePairsOff] = False
    """List the layers that are the same, too; print the full traceback on a failure."""


@dataclass(frozen=True, kw_only=True)
class _Export:
    """Write the target conductances of every array as CSV, with the meaning of every line, and pictures."""

    placement: Annotated[Path, tyro.conf.Positional]
    """A run folder or a placement folder."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder for the files."""
    figures: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Draw the chip, what its layers use, the masks of the first arrays, and --array's conductances (SVG)."""
    array: int = 0
    """Number of the array to draw."""
    quiet: Annotated[bool, tyro.conf.arg(aliases=["-q"]), tyro.conf.FlagCreatePairsOff] = False
    """Print nothing."""
    verbose: Annotated[bool, tyro.conf.arg(aliases=["-v"]), tyro.conf.FlagCreatePairsOff] = False
    """Print the full traceback on a failure."""


def diff(args: list[str]) -> int:
    """Run the command line `ohmweave diff …` and return its exit code."""
    if not args:
        raise UserError("Which placements? ohmweave diff A B, two run folders or placement folders.")
    flags = tyro.cli(_Diff, prog="ohmweave diff", args=args, use_underscores=True)
    from mapping.placement_diff import diff as compared

    found = compared(_loaded(flags.a), _loaded(flags.b))
    if flags.out is not None:
        from hwmodels import atomic

        atomic.write(flags.out, found.layers.to_csv(index=False))
    if not flags.quiet:
        from experiments.catalogue import as_table

        for name, (one, two) in found.array.items():
            print(f"array.{name}: {one} → {two}")
        shown = found.layers if flags.verbose else found.layers[found.layers["status"] != "same"]
        if len(shown):
            rows = [tuple(str(value) for value in row) for row in shown.itertuples(index=False)]
            print(as_table(tuple(shown.columns), rows))
        same = found.layers["status"].tolist().count("same")
        print("The placements are the same." if found.same else f"{same} of {len(found.layers)} layers are the same.")
    return 1 if flags.check and not found.same else 0


def export(args: list[str]) -> int:
    """Run the command line `ohmweave export …` and return its exit code."""
    if not args:
        raise UserError("Which placement? ohmweave export PLACEMENT --out DIR, a run folder or a placement folder.")
    flags = tyro.cli(_Export, prog="ohmweave export", args=args, use_underscores=True)
    from mapping.placement_export import export as written

    placement = _loaded(flags.placement)
    draws = {}
    if flags.figures:
        from experiments.reporting import placement_figures as pictures

        draws = {
            "chip": pictures.chip(placement),
            "utilisation": pictures.utilisation(placement),
            "masks": pictures.masks(placement),
            f"array-{flags.array}": pictures.array(placement, flags.array),
        }
    files = written(placement, flags.out)
    if draws:
        from experiments.reporting import device_figures

        files += [device_figures.save(draw, flags.out / f"{name}.svg") for name, draw in draws.items()]
    if not flags.quiet:
        print(f"{placement.arrays} arrays of {len(placement.layers)} layers in {flags.out} ({len(files)} files).")
    return 0


def _loaded(folder: Path) -> Placement:
    """The placement in a run folder or a placement folder."""
    from mapping import Placement

    inner = folder / "placement"
    return Placement.load(inner if inner.is_dir() else folder)
