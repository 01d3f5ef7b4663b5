"""Library files that build on one another: `base` is read first, the file's own keys are laid over it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hwmodels import spec_files
from hwmodels.errors import UserError, suggestion


def merged(name_or_path: str | os.PathLike[str], above: tuple[str, ...] = ()) -> tuple[str, dict[str, Any]]:
    """Read a library file and all its bases; returns where it stands (for messages) and its whole content.

    A number (a table with a `value`) replaces the base's number whole, so that a source never stands beside another's
    value; other tables are merged; `notes` are added. `drop` names parts of the base that are left out.
    Raises UserError for an unknown base, a part to drop that is not there, and bases that go round in a circle.
    """
    where, own = spec_files.read("library", "libraries", name_or_path)
    here = _identity(where)
    if here in above:
        raise UserError(f"{where}: its bases go round in a circle: {' → '.join([*above[above.index(here) :], here])}.")
    drop, base = own.pop("drop", []), own.pop("base", None)
    if base is None:
        if drop:
            raise UserError(f"{where}: 'drop' leaves parts of a base out, but there is no 'base'.")
        return where, own
    if not isinstance(base, str) or not (isinstance(drop, list) and all(isinstance(key, str) for key in drop)):
        raise UserError(f"{where}: 'base' is the name or path of a library, and 'drop' a list of names of its parts.")
    content = _base(where, base, (*above, here))
    for key in drop:
        if key not in content:
            raise UserError(f"{where}: drop = {key!r} is no part of {base!r}. {suggestion(key, content)}")
        del content[key]
    own["notes"] = [
        *content.get("notes", []),
        f"Built on the library {content.get('name', base)}",
        *own.get("notes", []),
    ]
    return where, _laid_over(content, own)


def _identity(where: str) -> str:
    """One name for one file, however it was reached; packaged ones are named relative to the package."""
    path = Path(where)
    return str(path.resolve()) if path.is_file() else where


def _base(where: str, base: str, above: tuple[str, ...]) -> dict[str, Any]:
    """The content of a base; a path is looked up beside the file that names it."""
    beside = Path(where).parent / base
    is_path = os.sep in base or base.lower().endswith(".toml")
    try:
        return merged(beside if is_path and not Path(base).is_absolute() else base, above)[1]
    except UserError as error:
        if "go round in a circle" in str(error):
            raise
        raise UserError(f"{where}: base = {base!r}: {error}") from None


def _laid_over(below: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The content of `below` with `own` laid over it, table by table."""
    result = dict(below)
    for key, value in own.items():
        under = result.get(key)
        if isinstance(value, dict) and isinstance(under, dict) and "value" not in value:
            result[key] = _laid_over(under, value)
        else:
            result[key] = value
    return result
