"""The section [sweep]: which keys take which values, how points are chosen, and what is asked of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, Strict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from experiments.config import PATTERNS, Config
from hwmodels.errors import UserError, suggestion
from hwmodels.quantities import Count, Positive

Method = Literal["grid", "random", "latin-hypercube", "search"]
MAX_POINTS = 1_000_000
FORMS = ("range", "linear", "log", "uniform", "loguniform")
_RESERVED = ("report",)


@pydantic_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Settings:
    """What [sweep] says beside its keys."""

    method: Method = "grid"
    """grid: every combination; random and latin-hypercube: `points` of them; search: `points` chosen by results."""
    points: Annotated[int, Strict(), Field(ge=1, le=MAX_POINTS)] | None = None
    """Points to take; with a grid left out, as it has all of them."""
    sampling_seed: Annotated[int, Strict(), Field(ge=0, lt=2**32)] = 0
    """Seed of what is random in the choice of points (the key `seed` is the configuration's own)."""
    interval: Positive | None = None
    """Width of the accuracy's 95 % interval to reach: chips are added to simulate.seeds until it is as narrow."""
    max_seeds: Count = 100
    """Chips that `interval` may take at most."""
    constraints: tuple[str, ...] = ()
    """What a point must hold to, "area_mm2 <= 2.5": a point that cannot is not simulated further."""
    objectives: tuple[str, ...] = ("accuracy_crossbar_mean", "area_mm2")
    """Result columns that a search weighs against each other; accuracies upwards, costs downwards."""
    sampler: Literal["tpe", "nsga2"] = "tpe"
    """How a search chooses: tree of Parzen estimators, or NSGA-II."""
    batch: Count = 8
    """Points that a search chooses at once, before it sees their results; it does not depend on the workers."""


@dataclass(frozen=True)
class Axis:
    """One swept key, or several that are set together.

    keys: dotted names; values: rows of one value per key (None for a distribution); low, high, log, whole: of a
    distribution: its ends, whether it is even in the logarithm, and whether it gives whole numbers.
    """

    keys: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...] | None = None
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    @property
    def name(self) -> str:
        """The key as the file has it."""
        return ", ".join(self.keys)

    def at(self, share: float) -> tuple[Any, ...]:
        """The value at a share in [0, 1) of the axis: of its list, or of its distribution."""
        if self.values is not None:
            return self.values[min(int(share * len(self.values)), len(self.values) - 1)]
        return (self.between(share),) * len(self.keys)

    def between(self, share: float) -> float | int:
        """The value of a distribution at a share in [0, 1)."""
        low, high = (self.low, self.high + 1) if self.whole else (self.low, self.high)
        value = low * (high / low) ** share if self.log else low + (high - low) * share
        return min(math.floor(value), int(self.high)) if self.whole else value


def parse(section: Any, where: str) -> tuple[Settings, tuple[Axis, ...]]:
    """The settings and axes of a [sweep] section; where: what messages begin with.

    Raises UserError for an empty sweep, unknown keys and settings (with the nearest spelling), keys that are swept
    twice, and values that are no list, range or distribution.
    """
    if not isinstance(section, Mapping):
        raise UserError(f"{where}: 'sweep' is a section ([sweep]), not the value {section!r}.")
    names = {item.name for item in fields(Settings)}
    chosen = {key: value for key, value in section.items() if key in names}
    axes = tuple(
        _axis(name, value, where) for name, value in _flat({k: v for k, v in section.items() if k not in names})
    )
    try:
        settings = TypeAdapter(Settings).validate_python(chosen)
    except ValidationError as error:
        lines = [
            f"{where}: [sweep] {'.'.join(map(str, e['loc'][:1]))} = {e['input']!r}: {e['msg']}." for e in error.errors()
        ]
        raise UserError("\n".join(dict.fromkeys(lines))) from None
    if not axes:
        raise UserError(
            f"{where}: [sweep] names no key to sweep. Give one a list, a range or a distribution, "
            'say "crossbar.rows" = [16, 32, 64].'
        )
    seen: set[str] = set()
    for key in (key for axis in axes for key in axis.keys):
        if key in seen:
            raise UserError(f"{where}: [sweep] sets {key!r} twice; keep one of the two.")
        seen.add(key)
    _check_method(settings, axes, where)
    return settings, axes


def _check_method(settings: Settings, axes: tuple[Axis, ...], where: str) -> None:
    if settings.method == "grid":
        open_ends = [axis.name for axis in axes if axis.values is None]
        if open_ends:
            raise UserError(
                f"{where}: [sweep] {open_ends[0]!r} is a distribution, and a grid needs values: give a list or range, "
                'or choose method = "random", "latin-hypercube" or "search".'
            )
        if settings.points is not None:
            raise UserError(f"{where}: [sweep] points = {settings.points}: a grid has all its points; leave it out.")
        count = math.prod(len(axis.values or ()) for axis in axes)
        if count > MAX_POINTS:
            raise UserError(
                f"{where}: [sweep] the grid has {count} points, more than {MAX_POINTS}; choose a method that samples."
            )
    elif settings.points is None:
        raise UserError(f'{where}: [sweep] method = "{settings.method}" needs points, how many to take.')


def _flat(section: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Dotted names and values; `crossbar.rows = […]` without quotes is a table in TOML and means the same."""
    found: list[tuple[str, Any]] = []
    for name, value in section.items():
        dotted = f"{before}{name}"
        if isinstance(value, Mapping) and not set(value) & set(FORMS):
            if not value:
                raise UserError(f"[sweep] {dotted!r} is empty: give it a list, or one of {', '.join(FORMS)}.")
            found += _flat(value, f"{dotted}.")
        else:
            found.append((dotted, value))
    return found


def _axis(name: str, value: Any, where: str) -> Axis:
    keys = tuple(part.strip() for part in name.split(","))
    for key in keys:
        check_key(key, where)
    place = f"{where}: [sweep] {name!r}"
    if isinstance(value, list):
        return Axis(keys, _rows(value, len(keys), place))
    if isinstance(value, Mapping) and len(value) == 1 and isinstance(next(iter(value.values())), list):
        form, numbers = next(iter(value.items()))
        return _formed(keys, form, numbers, place)
    raise UserError(
        f"{place} = {value!r}: give a list, or one of {{ range = [first, last, step] }}, "
        "{ linear = [low, high, count] }, { log = [low, high, count] }, { uniform = [low, high] }, "
        "{ loguniform = [low, high] }."
    )


def _rows(values: list[Any], keys: int, place: str) -> tuple[tuple[Any, ...], ...]:
    if not values:
        raise UserError(f"{place} is empty: an axis without a value has no point.")
    rows = []
    for value in values:
        if isinstance(value, list) and keys > 1:
            if len(value) != keys:
                raise UserError(f"{place}: {value!r} has {len(value)} values for {keys} keys.")
            rows.append(tuple(value))
        elif isinstance(value, list | Mapping):
            raise UserError(f"{place}: {value!r} is not one value.")
        else:
            rows.append((value,) * keys)
    # 1, 1.0 and true are equal in Python and are three different values here.
    twice = [row for n, row in enumerate(rows) if repr(row) in map(repr, rows[:n])]
    if twice:
        raise UserError(f"{place} has the value {twice[0][0]!r} twice.")
    return tuple(rows)


def _formed(keys: tuple[str, ...], form: str, numbers: list[Any], place: str) -> Axis:
    wanted = {"range": 3, "linear": 3, "log": 3, "uniform": 2, "loguniform": 2}
    if form not in wanted:
        raise UserError(f"{place}: unknown form {form!r}. {suggestion(form, wanted)}")
    good = all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in numbers)
    if len(numbers) != wanted[form] or not good:
        raise UserError(f"{place}: {form} takes {wanted[form]} numbers, not {numbers!r}.")
    whole = all(isinstance(n, int) for n in numbers[:2])
    low, high = numbers[0], numbers[1]
    if not low < high:
        raise UserError(f"{place}: {form} goes from a lower to a higher number, not from {low!r} to {high!r}.")
    if form in ("log", "loguniform") and low <= 0:
        raise UserError(f"{place}: {form} needs numbers above 0, not {low!r}.")
    if form in ("uniform", "loguniform"):
        return Axis(keys, None, low, high, form == "loguniform", whole)
    values = (
        _range(low, high, numbers[2], place) if form == "range" else _spaced(form, low, high, numbers[2], whole, place)
    )
    return Axis(keys, tuple((value,) * len(keys) for value in values))


def _range(first: float, last: float, step: float, place: str) -> list[float]:
    """first, first + step, … up to and with `last` where a step meets it."""
    if step <= 0:
        raise UserError(f"{place}: the step of a range is above 0, not {step!r}.")
    count = math.floor((last - first) / step * (1 + 1e-12) + 1e-9) + 1
    if count > MAX_POINTS:
        raise UserError(f"{place}: a range of {count} values is more than {MAX_POINTS}.")
    # Rounded to 12 digits, so that 0.1 + 2 · 0.1 is written 0.3.
    return [
        value if isinstance(value, int) else float(f"{value:.12g}")
        for value in (first + step * n for n in range(count))
    ]


def _spaced(form: str, low: float, high: float, count: Any, whole: bool, place: str) -> list[float]:
    """`count` values from low to high, both with it, evenly or evenly in the logarithm; whole where both ends are."""
    if not isinstance(count, int) or not 2 <= count <= MAX_POINTS:
        raise UserError(f"{place}: {form} takes a whole number of values, at least 2, not {count!r}.")
    shares = [n / (count - 1) for n in range(count)]
    values = [low * (high / low) ** s if form == "log" else low + (high - low) * s for s in shares]
    if whole:
        return list(dict.fromkeys(round(value) for value in values))
    return [float(f"{value:.12g}") for value in values]


def check_key(key: str, where: str) -> None:
    """Refuse a name that is no key of the configuration, with the nearest that is."""
    kind: Any = Config
    parts = key.split(".")
    while parts:
        if is_dataclass(kind):
            hints = get_type_hints(kind)
            if parts[0] not in hints:
                raise UserError(f"{where}: [sweep] there is no key {key!r}. {_nearest(key)}")
            kind = hints[parts.pop(0)]
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
            # A layer's name or pattern may have dots of its own; what follows it is at most one field.
            parts = parts[-1:] if is_dataclass(kind) and len(parts) > 1 else []
        else:
            raise UserError(f"{where}: [sweep] there is no key {key!r}. {_nearest(key)}")
    if is_dataclass(kind) or get_origin(kind) is dict:
        raise UserError(f"{where}: [sweep] {key!r} is a section, not a key. {_nearest(key)}")
    if key.split(".")[0] in _RESERVED:
        raise UserError(f"{where}: [sweep] {key!r} changes what reports look like and no result.")


def _nearest(key: str) -> str:
    known = all_keys()
    tail = [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]]
    return f"Did you mean {tail[0]!r}?" if len(tail) == 1 else suggestion(key, known)


def all_keys() -> list[str]:
    """Every key of the configuration with a name of its own, dotted."""
    found = []
    for name, kind in get_type_hints(Config).items():
        found += [f"{name}.{key}" for key in get_type_hints(kind)] if is_dataclass(kind) else [name]
    return found


def overlaid(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration's plain values with some dotted keys set anew; the given one stays as it was."""
    made = dict(values)
    for key, value in changes.items():
        parts = _parts(key)
        here = made
        for part in parts[:-1]:
            here[part] = dict(here.get(part) or {})
            here = here[part]
        here[parts[-1]] = value
    return made


def _parts(key: str) -> list[str]:
    """The steps to a key; the name of a layer is one step, whatever dots it has."""
    parts = key.split(".")
    if len(parts) > 3 and parts[0] == "compress" and parts[1] in PATTERNS:
        return [*parts[:2], ".".join(parts[2:-1]), parts[-1]]
    return [*parts[:2], ".".join(parts[2:])] if len(parts) > 2 else parts


def looked_up(values: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key in a configuration's plain values; None where it is not set."""
    here: Any = values
    for part in _parts(key):
        here = here.get(part) if isinstance(here, Mapping) else None
    return here
