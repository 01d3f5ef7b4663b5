"""The folder of one run: who it belongs to, what is finished in it, and nothing half-written."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from experiments.config import Config
from hwmodels import atomic
from hwmodels.errors import UserError

IDENTITY = "run.json"
RESULT = "result.json"
SCHEMA = "ohmweave.run/1"


def default_folder(config: Config, name: str) -> Path:
    """runs/<configuration>-<hash of the resolved configuration> in the current folder."""
    return Path("runs") / f"{name}-{config.digest()}"


class RunFolder:
    """An output folder that belongs to one resolved configuration; a context that holds its lock.

    path: the folder. The same configuration finds its finished stages there; another one is refused.
    """

    def __init__(self, path: Path, config: Config, name: str, inputs: Mapping[str, str] | None = None) -> None:
        """Take the folder for this configuration, making it if it is missing.

        inputs: hashes of the files that the configuration names, by what they are.

        Raises UserError when it is a file, holds something else or another run, cannot be written, or is in
        use by another process. Nothing is written before these checks.
        """
        self.path = path
        self._lock: IO[str] | None = None
        identity = {"schema": SCHEMA, "name": name, "digest": config.digest(), "inputs_sha256": dict(inputs or {})}
        _check(path, identity)
        try:
            self.state.mkdir(parents=True, exist_ok=True)
            self._lock = (self.state / "lock").open("w")
            if not (path / IDENTITY).exists():
                atomic.write(path / "config.toml", config.toml())
                self.write(IDENTITY, identity)
        except OSError as error:
            raise UserError(
                f"Cannot write to {str(path)!r}: {error.strerror or error}; choose another --out."
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise UserError(
                f"Another process is running in {str(path)!r}; wait for it or choose another --out."
            ) from None

    def __enter__(self) -> RunFolder:
        """Hold the folder."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the folder back."""
        if self._lock is not None:
            self._lock.close()

    @property
    def state(self) -> Path:
        """Where the stages keep what they need to go on: checkpoints, weights, finished seeds."""
        return self.path / "state"

    def read(self, name: str) -> Any | None:
        """A JSON file of the folder, None when it is not there yet."""
        return read_json(self.path / name)

    def write(self, name: str, value: Any) -> None:
        """Write a JSON file as a whole or not at all."""
        write_json(self.path / name, value)


def _check(path: Path, identity: Mapping[str, Any]) -> None:
    if path.exists() and not path.is_dir():
        raise UserError(f"{str(path)!r} is a file; choose another --out.")
    if not path.is_dir():
        return
    found = read_json(path / IDENTITY)
    if found is None:
        # A run that was killed between making its folder and signing it leaves these, or a file half-written.
        if any(item.name not in ("state", "config.toml") and not _temporary(item) for item in path.iterdir()):
            raise UserError(f"{str(path)!r} holds other files and no run; choose another --out.")
        return
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise UserError(f"{str(path / IDENTITY)!r} is not of this program; choose another --out.")
    if found.get("digest") != identity["digest"]:
        raise UserError(
            f"{str(path)!r} holds another run ({found.get('name')}-{found.get('digest')}, "
            f"this one is {identity['name']}-{identity['digest']}); choose another --out or remove that folder."
        )
    earlier, now = found.get("inputs_sha256") or {}, identity["inputs_sha256"]
    changed = [what for what in sorted({*earlier, *now}) if earlier.get(what) != now.get(what)]
    if changed:
        raise UserError(
            f"{str(path)!r} holds a run from another content of the {' and the '.join(changed)}; "
            "choose another --out or remove that folder."
        )


def _temporary(path: Path) -> bool:
    """Whether a file is what an interrupted write leaves behind."""
    return path.name.startswith(".") and path.name.endswith(atomic.PART)


def read_json(path: Path) -> Any | None:
    """A JSON file, or None when there is none; a damaged one is a UserError that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{str(path)!r} is damaged ({error}); remove it and run again.") from None


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinity are bugs, not numbers."""
    atomic.write(path, json.dumps(value, indent=1, allow_nan=False) + "\n")
