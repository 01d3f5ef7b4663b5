"""Specs written down as TOML: packaged by name or a user's own by path, with every mistake named at once."""

from __future__ import annotations

import os
import tomllib
import types
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from hwmodels.errors import UserError, suggestion, unknown

Spec = TypeVar("Spec")


def packaged(folder: str) -> dict[str, Any]:
    """The TOML files of a folder of this package: {name: readable resource}, sorted by name."""
    files = resources.files("hwmodels").joinpath(folder).iterdir()
    found = {item.name.removesuffix(".toml"): item for item in files if item.name.endswith(".toml")}
    return dict(sorted(found.items()))


def read(kind: str, folder: str, name_or_path: str | os.PathLike[str]) -> tuple[str, dict[str, Any]]:
    """Find and parse a spec file; returns where it stands (for messages) and its content.

    A path is anything that is a `Path`, holds a separator or ends in .toml; everything else is the name of a
    packaged spec, in any case. Raises UserError for an unknown name, a missing file and broken TOML.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, os.PathLike) or os.sep in text or text.lower().endswith(".toml"):
        where, source = text, Path(text)
        if not source.is_file():
            raise UserError(f"There is no {kind} file {text!r}. Give the path of a TOML file, or the name of a preset.")
    else:
        known = packaged(folder)
        by_lower = {name.lower(): name for name in known}
        if text.lower() not in by_lower:
            raise unknown(kind, text, known)
        name = by_lower[text.lower()]
        where, source = f"{folder}/{name}.toml", known[name]
    try:
        return where, tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{where} is not valid TOML: {error}.") from None
    except OSError as error:
        raise UserError(f"{where} cannot be read: {error.strerror}.") from None


@lru_cache
def _adapter(spec: type[Spec]) -> TypeAdapter[Spec]:
    """Building the validator of a spec takes milliseconds; it is built once."""
    return TypeAdapter(spec)


def validated(spec: type[Spec], content: dict[str, Any], where: str) -> Spec:
    """Build a spec from plain values; every error of the content in one UserError, each with its key."""
    try:
        return _adapter(spec).validate_python(content)
    except ValidationError as error:
        lines = [_sentence(spec, item) for item in error.errors()]
        raise UserError("\n".join([f"{where}:" if len(lines) > 1 else f"{where}: {lines.pop()}", *lines])) from None


def _sentence(spec: Any, item: Any) -> str:
    """One line for one pydantic error: key, value, what is wrong and the way out."""
    location = item["loc"]
    key = ".".join(str(part) for part in _readable(spec, location)) or "(whole file)"
    kind, given = item["type"], item["input"]
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown key {key!r}. {suggestion(str(location[-1]), _keys(spec, location[:-1]))}"
    if kind in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return f"the key {key!r} is missing."
    cause = item.get("ctx", {}).get("error")
    message = str(cause) if cause is not None else item["msg"]
    value = (
        ""
        if isinstance(given, dict) or is_dataclass(given) or type(given).__name__ == "ArgsKwargs"
        else f" = {given!r}"
    )
    return f"{key}{value}: {message.rstrip('.')}."


def _members(hint: Any) -> Sequence[Any]:
    """The alternatives of a type: members of a union, the type itself otherwise; Annotated is looked through."""
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, types.UnionType):
        return [member for part in get_args(hint) for member in _members(part)]
    return [hint]


def _step(hint: Any, part: Any) -> tuple[Any, bool]:
    """The type one step of an error's location further in; False when the step is a union's tag, not a key."""
    members = _members(hint)
    for member in members:
        if is_dataclass(member) and part in (hints := get_type_hints(member, include_extras=True)):
            return hints[part], True
        if is_dataclass(member) and getattr(member, "kind", None) == part:
            return member, False
        if get_origin(member) in (dict, tuple, list):
            return get_args(member)[1 if get_origin(member) is dict else 0], True
    return Any, part not in {getattr(member, "__name__", None) for member in members}


def _readable(spec: Any, location: Sequence[Any]) -> list[Any]:
    """A location as the file writes it: keys only, without the tags of unions."""
    kept, hint = [], spec
    for part in location:
        hint, is_key = _step(hint, part)
        if is_key:
            kept.append(part)
    return kept


def _keys(spec: Any, location: Sequence[Any]) -> list[str]:
    """The keys that are allowed at a location."""
    hint = spec
    for part in location:
        hint, _ = _step(hint, part)
    return [field.name for member in _members(hint) if is_dataclass(member) for field in fields(member)]
