"""`ohmweave explain`: how a number of a result came about, down to counts × printed values × sources."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from hwmodels.errors import UserError

if TYPE_CHECKING:
    from rich.tree import Tree

    from experiments.explaining.explain import Result
    from experiments.explaining.tree import Node

AGREES = 1e-9
"""Relative difference between a figure and what its tree adds up to, above which the command says so."""

_WHOLE = 10_000
"""Letters of a line into a pipe: more than any line has."""

SCHEMA = "ohmweave.explanation/1"


@dataclass(frozen=True, kw_only=True)
class _Explain:
    """Show how a number of a run came about: what it is made of, down to counts, printed numbers and their sources."""

    result: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RESULT")]
    """Folder of a finished run, or its result.json."""
    key: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="KEY")] = None
    """Which number: power_mw.placed, accuracy.crossbar_mean, layers.conv1.kept …; without it: the list of all keys."""
    depth: int | None = None
    """Levels of the tree to show; default: all."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the whole tree as JSON."""
    quiet: Annotated[bool, tyro.conf.arg(aliases=["-q"]), tyro.conf.FlagCreatePairsOff] = False
    """The same as without it; every command takes it."""
    verbose: Annotated[bool, tyro.conf.arg(aliases=["-v"]), tyro.conf.FlagCreatePairsOff] = False
    """Print the full traceback on a failure."""


def run(args: list[str]) -> int:
    """Run the command line `ohmweave explain …` and return its exit code."""
    if not args:
        raise UserError("Which result? ohmweave explain RESULT KEY, where RESULT is the folder of a finished run.")
    flags = tyro.cli(_Explain, prog="ohmweave explain", args=args, use_underscores=True)
    result = load(flags.result)
    if flags.key is None:
        print("\n".join(f"{key} = {value:.6g}" for key, value in result.numbers.items()))
        return 0
    node = result.explain(flags.key)
    stated = result.numbers[flags.key]
    if flags.json:
        told = {"schema": SCHEMA, "key": flags.key, "stated": stated, "agrees": _agrees(node.value, stated)}
        print(json.dumps(told | {"tree": node.as_dict()}, indent=1, ensure_ascii=False))
        return 0
    _show(node, flags.key, stated, flags.depth)
    return 0


def load(path: Path) -> Result:
    """A finished run by its folder or its result.json; UserError where it cannot be read."""
    from experiments.explaining.explain import Result
    from experiments.reporting import report

    folder = path.parent if path.suffix == ".json" else path
    return Result(report.load(folder), report.load_tables(folder))


def _agrees(computed: float, stated: float) -> bool:
    return math.isclose(computed, stated, rel_tol=AGREES, abs_tol=1e-15)


def _show(node: Node, key: str, stated: float, depth: int | None) -> None:
    """The tree: colours on a terminal, plain lines into a pipe."""
    from rich.console import Console
    from rich.text import Text

    terminal = sys.stdout.isatty()
    # A tree is cut at the console's width; into a pipe every line goes whole.
    console = Console(highlight=False, no_color=not terminal, width=None if terminal else _WHOLE)
    console.print(_branch(node, depth, Text(f"{key} = ", style="bold")))
    if _agrees(node.value, stated):
        console.print(f"The tree adds up to the result's {stated:.12g}.")
    else:
        console.print(f"The tree adds up to {node.value:.12g}, but the result says {stated:.12g}.", style="red")


def _branch(node: Node, depth: int | None, head: Any) -> Tree:
    from rich.tree import Tree

    tree = Tree(_line(node, head), guide_style="dim")
    if depth != 0:
        for part in node.parts:
            tree.children.append(_branch(part, None if depth is None else depth - 1, None))
    return tree


def _line(node: Node, head: Any) -> Any:
    """One number: value and unit, what it is, how it is made of what stands below, or its source."""
    from rich.text import Text

    from experiments.explaining.tree import OPERATIONS

    line = Text() if head is None else head
    line.append(f"{amount(node.value)}{' ' if node.unit else ''}{node.unit}", style="bold cyan")
    line.append(f"  {node.label}")
    if node.how != "given":
        line.append(f": {OPERATIONS[node.how][0]}", style="dim")
    if node.note:
        line.append(f" ({node.note})", style="dim")
    if node.source:
        line.append(f"  [{node.source}]", style="green")
    return line


def amount(value: float) -> str:
    """A number with six digits; whole numbers whole."""
    return f"{int(value)}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.6g}"
