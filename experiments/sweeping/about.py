"""What a sweep's report says about where its table comes from: configuration, swept keys, versions, command, store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.run_folder import read_json, write_json
from hwmodels.errors import UserError

if TYPE_CHECKING:
    from experiments.sweeping.sweep import Sweep

ABOUT_FILE = "about.json"
SCHEMA = "ohmweave.sweep-about/1"


def write(folder: Path, sweep: Sweep, *, command: str, store: Path, seconds: float) -> None:
    """Write `about.json` into a sweep's folder.

    command: the command line; store: where its stages are; seconds: [s] that this call took. Raises OSError.
    """
    from experiments.record import versions

    write_json(
        folder / ABOUT_FILE,
        {
            "schema": SCHEMA,
            "name": sweep.name,
            "digest": sweep.digest,
            "command": command,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "store": os.fspath(store),
            "versions": versions(),
            "config": sweep.base,
            "settings": asdict(sweep.settings),
            "axes": [asdict(axis) for axis in sweep.axes],
        },
    )


def read(folder: Path) -> Mapping[str, Any] | None:
    """What `write` wrote, None where there is nothing (a table by itself).

    Raises UserError where the file is damaged or of a newer version.
    """
    found = read_json(folder / ABOUT_FILE)
    if found is not None and (not isinstance(found, dict) or found.get("schema") != SCHEMA):
        name = found.get("schema") if isinstance(found, dict) else None
        raise UserError(
            f"{str(folder / ABOUT_FILE)!r} is of the version {name!r}, this program's is {SCHEMA!r}: "
            "update ohmweave, or run the sweep again, which writes it anew."
        )
    return found
