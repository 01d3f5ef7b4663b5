"""What is wrong with a configuration, in sentences: the key, the value, what is allowed, the nearest spelling."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import ValidationError

from hwmodels.errors import suggestion


def sentences(error: ValidationError, root: type) -> list[str]:
    """One sentence per mistake: the key, the value, what is allowed, the nearest spelling."""
    lines: dict[str, str] = {}
    for problem in error.errors():
        key, owner = _place(problem["loc"], root)
        if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            lines[key] = f"unknown key {key!r}. {suggestion(key.rpartition('.')[2], _keys(owner))}"
        elif problem["type"] in ("dataclass_type", "dict_type"):
            lines[key] = f"{key!r} is a section ([{key}]), not the value {problem['input']!r}."
        else:
            said = lines.get(key)
            reason = problem["msg"].removeprefix("Value error, ")
            reason = reason[:1].lower() + reason[1:]
            # A union reports one reason per member; together they say what is allowed.
            lines[key] = f"{said}, or {reason}" if said else f"{key} = {problem['input']!r}: {reason}"
    return [line if line.endswith((".", "?")) else f"{line}." for line in lines.values()]


def _place(loc: tuple[int | str, ...], root: type) -> tuple[str, Any]:
    """Dotted key of a pydantic location, and the section that the last part was looked up in."""
    parts: list[str] = []
    owner: Any = root
    here: Any = root
    for part in loc:
        following = _member(here, part)
        if following is None and parts and not (is_dataclass(here) or get_origin(here) is dict):
            break  # the rest of the location names the member of a union, not a key
        owner, here = here, following
        parts.append(str(part))
    return ".".join(parts), owner


def _member(kind: Any, part: int | str) -> Any:
    if is_dataclass(kind):
        return _sections(kind).get(str(part))
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    return None


def _sections(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=False)
    return {item.name: _unwrapped(hints[item.name]) for item in fields(kind)}


def _unwrapped(kind: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        return next((arg for arg in get_args(kind) if is_dataclass(arg)), kind)
    return kind


def _keys(owner: Any) -> list[str]:
    return [item.name for item in fields(owner)] if is_dataclass(owner) else []
