"""From [compress] to an ADMM plan: pruning sets, quantisation sets, shared budgets and the schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from pydantic import ValidationError

from admm import Plan, Schedule
from admm.constraints import (
    NM,
    ArrayColumn,
    ArrayRow,
    Binary,
    Block,
    Channel,
    Cluster,
    Column,
    ColumnBalanced,
    Counted,
    Filter,
    GlobalBudget,
    Kernel,
    Levels,
    Pattern,
    Polarised,
    PowerOfTwo,
    Shared,
    Ternary,
    Uniform,
    Unstructured,
    Values,
)
from admm.constraints import Prune as AnyPrune
from crossbar import ArraySpec
from crossbar.levels import embedding, evenly_spaced
from experiments.config import Compress, Config, LevelSet, Prune
from hwmodels.errors import UserError


def compression_plan(config: Config, array: ArraySpec, shared: Sequence[Shared] = ()) -> Plan:
    """The ADMM plan: the configuration's pruning patterns, and levels, the array's where it names no others.

    shared: further budgets, of a hardware target. With method = "gates" what gates left is kept, and all that is
    planned is to retrain and quantise it.
    """
    section = config.compress
    check_method(section, aims=bool(shared))
    prune = {
        pattern: _polarised(constraints(choice, array, pattern), array, pattern)
        for pattern, choice in section.prune.items()
    }
    if array.encoding == "polarised":
        prune.setdefault("*", _polarised((), array, "*"))
    if section.method == "gates":
        prune["*"] = (*prune.get("*", ()), Unstructured(1.0))
    budgets: list[Shared] = [
        GlobalBudget(
            layers=(pattern,), of=_counted(b.kind, b.keep, array), cost=b.cost, measure=b.measure, floor=b.floor
        )
        for pattern, b in section.budget.items()
    ]
    levels = {pattern: level_set(choice, array, section, pattern) for pattern, choice in section.levels.items()}
    try:
        return Plan.for_array(
            array,
            {pattern: chosen for pattern, chosen in prune.items() if chosen},
            levels=levels,
            quantise=section.quantise,
            order=section.order,
            schedule=_schedule(section),
            budgets=[*budgets, *shared],
            joint=section.rank == "gain",
        )
    except ValidationError as error:
        raise UserError(f"[compress] {reasons(error)}.") from None


def _schedule(section: Compress) -> Schedule:
    values: dict[str, Any] = {item.name: getattr(section, item.name) for item in fields(Schedule)}
    if section.method == "gates" and not (section.quantise and section.order == "joint"):
        if section.quantise and section.quantise_epochs is None:
            values["quantise_epochs"] = section.admm_epochs
        values["admm_epochs"] = 0  # nothing is left to prune
    return Schedule(**values)


def check_method(section: Compress, *, aims: bool) -> None:
    """Refuse keys that compress.method does not read, and a method that lacks its own.

    aims: whether there is a budget in hardware. Raises UserError.
    """
    own = {
        "gates": ("gates", "gates_epochs", "gates_rho", "gates_alpha", "gates_lr"),
        "parents": ("rates", "parents"),
    }
    for method, keys in own.items():
        for key in keys:
            if section.method != method and getattr(section, key):
                raise UserError(f"compress.{key} is read with compress.method = {method!r} only.")
    if section.method == "gates":
        _check_gates(section, aims)
    if section.method == "parents":
        rates = section.rates or ()
        if not rates or list(rates) != sorted(set(rates)):
            raise UserError(f'compress.method = "parents" needs rising compress.rates, as [2.0, 4.0], not {rates}.')
    for key, given in (
        ("start", section.start is not None),
        ("accuracy_floor", section.accuracy_floor is not None and section.limit is None),
    ):
        if section.method != "admm" and given:
            raise UserError(f"compress.{key} goes with compress.method = 'admm' only, not {section.method!r}.")


def _check_gates(section: Compress, aims: bool) -> None:
    """Refuse gates for no layer, and budgets beside them."""
    if not section.gates or ("*" in section.gates and len(section.gates) > 1):
        raise UserError('compress.method = "gates" needs [compress.gates.<layer>] for each layer, or "*" alone.')
    by_hand = [name for name in ("prune", "budget") if getattr(section, name)] + ["target"] * aims
    if by_hand:
        raise UserError(f'compress.{by_hand[0]} does not go with method = "gates": [compress.gates] prunes there.')


def reasons(error: ValidationError) -> str:
    """What a specification refuses, in one line."""
    return "; ".join(problem["msg"].removeprefix("Value error, ") for problem in error.errors())


def constraints(choice: Prune, array: ArraySpec, name: str = "") -> tuple[AnyPrune, ...]:
    """The constraints of one pruning pattern; those that count groups in the order block, filter, channel, column, …

    Compression puts inner sets before outer ones by itself. Raises UserError that names the key.
    """
    made: list[AnyPrune] = [_counted(kind, getattr(choice, kind), array) for kind in COUNTED if getattr(choice, kind)]
    try:
        if choice.n_m is not None:
            n, m = map(int, choice.n_m.split(":"))
            made.append(NM(n, m, choice.n_m_axis or "channels"))
        if choice.balanced is not None:
            made.append(ColumnBalanced(array.rows, choice.balanced))
        if choice.pattern is not None:
            made.append(Pattern(choice.pattern_entries or 4, choice.pattern))
        if choice.polarised is not None:
            made.append(
                Polarised(
                    choice.polarised,
                    choice.polarised_order or array.fragment_order,
                    choice.polarised_refresh or 1,
                    choice.polarised_rule or "energy",
                )
            )
    except ValidationError as error:
        raise UserError(f"[compress.prune.{name}] {reasons(error)}.") from None
    for key, needs in (
        ("n_m_axis", "n_m"),
        ("pattern_entries", "pattern"),
        ("polarised_order", "polarised"),
        ("polarised_refresh", "polarised"),
        ("polarised_rule", "polarised"),
    ):
        if getattr(choice, key) is not None and getattr(choice, needs) is None:
            raise UserError(f"compress.prune.{name}.{key} says how to prune by {needs}: give {needs} as well.")
    return tuple(made)


def level_set(choice: LevelSet, array: ArraySpec, section: Compress, name: str = "") -> Values | None:
    """The quantisation set of one pattern of layers; None where its layers are not quantised.

    Raises UserError that names the key, for keys that the kind does not have, and for levels that the array lacks
    (unless compress.snap lets them be).
    """
    where = f"compress.levels.{name}"
    if not section.quantise:
        raise UserError(f"{where} says how to quantise, and compress.quantise = false; leave one of the two out.")
    takes = LEVEL_KEYS[choice.kind]
    given = {key: value for key in vars(choice) if key != "kind" and (value := getattr(choice, key)) is not None}
    for key in given:
        if key not in takes:
            raise UserError(f"{where}.{key} is no key of kind = {choice.kind!r}; that takes: {', '.join(takes)}.")
    for key in takes:
        if key in ("count", "bits", "exponents") and key not in given:
            raise UserError(f"{where}: kind = {choice.kind!r} needs {key}.")
    try:
        made = _values(choice.kind, given, array)
    except ValidationError as error:
        raise UserError(f"[{where}] {reasons(error)}.") from None
    except UserError as error:
        raise UserError(f"[{where}] {error}") from None
    if made is not None and not section.snap:
        _check_placeable(made, array, where)
    return made


def _values(kind: str, given: Mapping[str, Any], array: ArraySpec) -> Values | None:
    if kind == "free":
        return None
    if kind in FORMULAS:
        return FORMULAS[kind](**given)
    given = {"scale": "fit", **given}
    levels = array.weight_levels()
    if kind == "levels":
        levels = evenly_spaced(levels, given.pop("count"))
    return Levels(tuple(levels.tolist()), **given)


def _check_placeable(levels: Values, array: ArraySpec, where: str) -> None:
    """Refuse, before any work, levels that are not some of the array's."""
    ways = (
        "Use kind = 'levels' with a count for levels that the cells have, another device, or compress.snap = true, "
        "which moves the weights to the cells' nearest levels when they are placed."
    )
    if isinstance(levels, Cluster):
        raise UserError(f"{where}: kind = 'cluster' learns levels that the cells need not have. {ways}")
    own = array.weight_levels()
    if embedding(levels.unit(), own) is None:
        raise UserError(
            f"{where}: the {levels.unit().size} levels of kind = {levels.kind!r} are not, at any scale, among the "
            f"{own.size} of the array (multiples of its largest: ±{own[own > 0][0]:.3g} … ±1). {ways}"
        )


LEVEL_KEYS: dict[str, tuple[str, ...]] = {
    "array": ("scale", "per"),
    "levels": ("count", "scale", "per"),
    "uniform": ("bits", "zero", "scale", "per"),
    "power_of_two": ("exponents", "zero", "shift", "scale", "per"),
    "binary": ("scale", "per"),
    "ternary": ("scale", "per"),
    "cluster": ("count",),
    "free": (),
}
"""Keys of each kind of levels, [compress.levels.<pattern>]."""

FORMULAS: dict[str, Any] = {
    "uniform": Uniform,
    "power_of_two": PowerOfTwo,
    "binary": Binary,
    "ternary": Ternary,
    "cluster": Cluster,
}
"""Quantisation sets that do not take their values from the array."""


def _polarised(chosen: tuple[AnyPrune, ...], array: ArraySpec, name: str) -> tuple[AnyPrune, ...]:
    """The sets of a pattern, with the fragments of one sign that polarised arrays need.

    Raises UserError for fragments asked for that the arrays' own do not part evenly, or in another order of rows.
    """
    if array.encoding != "polarised":
        return chosen
    assert array.fragment is not None
    own = next((sets for sets in chosen if isinstance(sets, Polarised)), None)
    if own is None:
        return (*chosen, Polarised(array.fragment, array.fragment_order))
    if own.fragment % array.fragment or own.order != array.fragment_order:
        raise UserError(
            f"compress.prune.{name}.polarised = {own.fragment} in order {own.order!r} does not make fragments of "
            f"crossbar.fragment = {array.fragment} rows polarised; leave it out, or use a multiple and the order "
            f"{array.fragment_order!r} of crossbar.fragment_order."
        )
    return chosen


def _counted(kind: str, keep: int | float, array: ArraySpec) -> Counted:
    """A set that counts groups, of the array's size where it has one."""
    if kind == "block":
        return Block(array.rows, array.weight_cols, keep)
    if kind == "array_row":
        return ArrayRow(array.weight_cols, keep)
    if kind == "array_column":
        return ArrayColumn(array.rows, keep)
    return COUNTED[kind](keep)


COUNTED: dict[str, Any] = {
    "block": Block,
    "filter": Filter,
    "channel": Channel,
    "column": Column,
    "kernel": Kernel,
    "array_row": ArrayRow,
    "array_column": ArrayColumn,
    "unstructured": Unstructured,
}
"""Sets that count groups, by their key, in the order of projection."""
