"""`ohmweave doctor`: its flags, and what it prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class _Doctor:
    """Check this installation with cases whose answers are known: printed totals, closed forms, brute force."""

    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print everything as JSON."""


def run(args: list[str]) -> int:
    """Run the command line `ohmweave doctor …` and return its exit code: 0, or 1 where a check failed."""
    flags = tyro.cli(_Doctor, prog="ohmweave doctor", args=args, use_underscores=True)
    from experiments.diagnosis.doctor import diagnose, ending, line

    if flags.json:
        found = diagnose()
        print(found.json())
    else:
        found = diagnose(lambda check: print(line(check), flush=True))
        print(ending(found))
    return 0 if found.healthy else 1
