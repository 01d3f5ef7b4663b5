"""From a configuration to the things it names: data, network, arrays, compression plan, component library.

Everything is built and checked here before the first second of work, so a mistake in the last section is found
before the first stage runs, and before anything is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor, nn

import mapping
from admm import Compressed, Plan, Schedule
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
from admm.layers import resolve, resolve_budgets
from admm.schedules import stages
from crossbar import AdcErrors, ArraySpec, DacErrors
from crossbar.levels import embedding, evenly_spaced
from experiments import data, models
from experiments.config import Compress, Config, LevelSet, Prune
from experiments.pricing import Pricing
from experiments.progress import Progress
from experiments.targeting import targets
from experiments.targeting.target_cost import ChipCost
from experiments.targeting.targets import Target
from hwmodels import Device, conductances_at
from hwmodels.errors import UserError
from mapping import Conditions
from mapping.trace import trace

HELD_OUT = 0.1
"""Share of the training samples that an accuracy floor is measured on; nothing is trained on them."""


_COMPRESSED = Path("state/compressed")  # where a run folder keeps its compressed network


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a run works with. network: untrained (or with the weights that the configuration names)."""

    config: Config
    name: str
    dataset: data.Dataset
    network: nn.Module
    array: ArraySpec
    baseline: ArraySpec
    pricing: Pricing
    plan: Plan
    target: Target | None
    compression_epochs: int
    calibration: Tensor
    conditions: Conditions

    def batches(self, part: data.Part) -> data.Batches:
        """Training batches (shuffled, augmented) or test batches of the run."""
        config = self.config
        if part != "train":  # the test or the held-out samples
            return self.dataset.batches(part, config.simulate.batch_size)
        augment = None if config.train.augment == "none" else config.train.augment
        return self.dataset.batches("train", config.train.batch_size, seed=config.seed, augment=augment)

    def with_test_samples(self, count: int | None) -> Setup:
        """The same with the first `count` test samples only; itself where that is all of them (None: all)."""
        images, labels = self.dataset.test
        if count is None or count >= len(labels):
            return self
        return replace(self, dataset=replace(self.dataset, test=(images[:count], labels[:count])))

    def compression_batches(self) -> data.Batches:
        """Training batches of the compression stages."""
        config = self.config
        augment = None if config.train.augment == "none" else config.train.augment
        size = config.compress.batch_size or config.train.batch_size
        # Another seed than dense training, so the two do not walk through the data in the same order.
        return self.dataset.batches("train", size, seed=config.seed + 1_000_000, augment=augment)


def prepare(config: Config, name: str, progress: Progress, dataset: data.Dataset | None = None) -> Setup:
    """Build everything a configuration names; every mistake in it is a UserError here.

    dataset: that of the configuration, where the caller has read it already (`load_data`).
    """
    array = array_spec(config)
    baseline = baseline_spec(config, array)
    pricing = Pricing.of(config.hardware, array)
    conditions = read_conditions(config, array.device, progress)
    dataset = load_data(config, progress) if dataset is None else dataset
    if config.compress.accuracy_floor is not None:
        dataset = dataset.split(HELD_OUT, seed=config.seed)
    network = models.build(
        config.network.name,
        in_channels=dataset.channels,
        classes=dataset.classes,
        image_size=dataset.shape[0],
        seed=config.seed,
        weights=config.network.weights,
    )
    read_start(config, network)
    calibration = _calibration_images(dataset, config.simulate.calibration_samples)
    pricing.check_layers(layer.name for layer in trace(mapping.prepare(network), calibration[:2]).layers)
    if config.hardware.frame_rate_hz is not None:
        # Rates follow from shapes and the signs of inputs, which training does not change; so the dense chip tells.
        pricing.check_rate(mapping.place(network, baseline, calibration).tiles)
    target = asked_target(config)
    budgets: list[Shared] = []
    if target is not None:
        budgets.append(
            ChipCost.of(network, pricing, array, baseline, calibration).budget(target, config.compress.measure)
        )
    plan = compression_plan(config, array, budgets)
    planned = stages(plan, resolve(plan, network).values())
    resolve_budgets(plan, network)
    return Setup(
        config=config,
        name=name,
        dataset=dataset,
        network=network,
        array=array,
        baseline=baseline,
        pricing=pricing,
        plan=plan,
        target=target,
        compression_epochs=sum(stage.epochs for stage in planned),
        calibration=calibration,
        conditions=conditions,
    )


def load_data(config: Config, progress: Progress) -> data.Dataset:
    """The data set of a configuration, as its seed splits it."""
    return data.load(
        config.data.name,
        data_dir=Path(config.data.dir) if config.data.dir else None,
        seed=config.seed,
        train_limit=config.data.train_limit,
        test_limit=config.data.test_limit,
        progress=progress,
    )


def inputs(config: Config) -> dict[str, str]:
    """SHA-256 of the files that a configuration names and that make its result: other content is another run.

    The weights file, the source file of a user's own network (not what that imports in turn), and the compressed
    network that another run starts from.
    """
    start = start_digest(config)
    return {**network_files(config), **({} if start is None else {"compressed network to start from": start})}


def network_files(config: Config) -> dict[str, str]:
    """SHA-256 of the files that the dense network comes from."""
    weights = config.network.weights
    named = {"weights file": Path(weights) if weights else None}
    if ":" in config.network.name:
        named["network's module"] = models.source_file(config.network.name)
    return {
        what: hashlib.sha256(path.read_bytes()).hexdigest() for what, path in named.items() if path and path.is_file()
    }


def start_digest(config: Config) -> str | None:
    """SHA-256 of what compress.start names (its index holds the checksum of the weights); None where it names none."""
    if config.compress.start is None:
        return None
    path = Path(config.compress.start) / _COMPRESSED / "compressed.json"
    if not path.is_file():
        raise UserError(
            f"compress.start = {config.compress.start!r}: there is no {path}. It takes the folder of a finished run."
        )
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_start(config: Config, network: nn.Module) -> Compressed | None:
    """The compressed network that compress.start names; UserError where there is none, or of another architecture."""
    if config.compress.start is None:
        return None
    start_digest(config)
    return Compressed.load(Path(config.compress.start) / _COMPRESSED, network)


def device(config: Config) -> Device:
    """The device preset with the configuration's changes."""
    section = config.device
    chosen = Device.load(section.preset)
    changes: dict[str, Any] = {
        key: value for key in ("levels", "stuck_at_lrs", "stuck_at_hrs") if (value := getattr(section, key)) is not None
    }
    if changes:
        chosen = chosen.with_(**changes)
    return chosen if section.mismatch == 1 else chosen.scaled_error(section.mismatch)


def array_spec(config: Config, cells: Device | None = None) -> ArraySpec:
    """The arrays of a configuration: its [crossbar] keys with its [device]; cells: that device, if known already."""
    section = config.crossbar
    values = {key: getattr(section, key) for key in section.__dataclass_fields__}  # type: ignore[attr-defined]
    for key in ("input_bits", "adc_bits"):
        values[key] = None if values[key] == "ideal" else values[key]
    try:
        for key, kind in (("adc_errors", AdcErrors), ("dac_errors", DacErrors)):
            # Errors of nothing but zeros are ideal converters, which have a faster path.
            errors = kind(**vars(values[key]))
            values[key] = None if errors == kind(inl_shape=errors.inl_shape) else errors
        return ArraySpec(device=device(config) if cells is None else cells, **values)
    except ValidationError as error:
        raise UserError(f"[crossbar] {_reasons(error)}.") from None


def read_conditions(config: Config, device: Device, progress: Progress) -> Conditions:
    """When and where the chips are read; raises UserError beyond the device's data, and notes what it has none for."""
    section = config.simulate
    try:
        conductances_at([[device.g_max_s]], device, t_s=section.t_s, temperature_k=section.temperature_k)
    except UserError as error:
        raise UserError(f"[simulate] {error}") from None
    if section.t_s > 0 and device.drift is None:
        progress.note(f"{device.name} has no data on drift: simulate.t_s = {section.t_s:g} changes nothing.")
    if section.temperature_k is not None and device.temperature is None:
        progress.note(f"{device.name} has no data on temperature: simulate.temperature_k changes nothing.")
    return Conditions(t_s=section.t_s, temperature_k=section.temperature_k, read_noise=section.read_noise)


def baseline_spec(config: Config, array: ArraySpec) -> ArraySpec:
    """The arrays of the unpruned baseline: as many slices as its precision takes.

    A network that was not trained for it has fragments of both signs, so a polarised one is compared with pairs, as
    FORMS does (Yuan et al., ISCA 2021).
    """
    if array.encoding == "polarised":
        array = array.with_(encoding="pair", fragment=None)
    try:
        return array.for_weight_bits(config.hardware.baseline_bits)
    except ValidationError as error:
        raise UserError(
            f"The baseline of hardware.baseline_bits = {config.hardware.baseline_bits} does not fit cells of "
            f"{array.device.levels} levels: {_reasons(error)}."
        ) from None


def asked_target(config: Config) -> Target | None:
    """The hardware target of [compress]; raises UserError where ratios set by hand stand beside it."""
    section = config.compress
    target = targets.of_keys(section.target, section.limit, section.accuracy_floor)
    if target is None:
        return None
    by_hand = [f"compress.budget.{pattern}" for pattern in section.budget]
    by_hand += [
        f"compress.prune.{pattern}.{kind}"
        for pattern, choice in section.prune.items()
        for kind in COUNTED
        if getattr(choice, kind) is not None
    ]
    if by_hand:
        raise UserError(
            f"compress.target finds by itself what each layer keeps; take {', '.join(by_hand)} away, or the target."
        )
    return target


def compression_plan(config: Config, array: ArraySpec, shared: Sequence[Shared] = ()) -> Plan:
    """The ADMM plan: the configuration's pruning patterns, and levels, the array's where it names no others.

    shared: further budgets, of a hardware target.
    """
    section = config.compress
    prune = {
        pattern: _polarised(constraints(choice, array, pattern), array, pattern)
        for pattern, choice in section.prune.items()
    }
    if array.encoding == "polarised":
        prune.setdefault("*", _polarised((), array, "*"))
    budgets: list[Shared] = [
        GlobalBudget(layers=(pattern,), of=_counted(b.kind, b.keep, array), cost=b.cost, floor=b.floor)
        for pattern, b in section.budget.items()
    ]
    levels = {pattern: level_set(choice, array, section, pattern) for pattern, choice in section.levels.items()}
    try:
        schedule = Schedule(**{item.name: getattr(section, item.name) for item in fields(Schedule)})  # type: ignore[arg-type]
        return Plan.for_array(
            array,
            {pattern: chosen for pattern, chosen in prune.items() if chosen},
            levels=levels,
            quantise=section.quantise,
            order=section.order,
            schedule=schedule,
            budgets=[*budgets, *shared],
            joint=section.rank == "gain",
        )
    except ValidationError as error:
        raise UserError(f"[compress] {_reasons(error)}.") from None


def _reasons(error: ValidationError) -> str:
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
            made.append(Polarised(choice.polarised, choice.polarised_order or "W", choice.polarised_refresh or 1))
    except ValidationError as error:
        raise UserError(f"[compress.prune.{name}] {_reasons(error)}.") from None
    for key, needs in (
        ("n_m_axis", "n_m"),
        ("pattern_entries", "pattern"),
        ("polarised_order", "polarised"),
        ("polarised_refresh", "polarised"),
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
        raise UserError(f"[{where}] {_reasons(error)}.") from None
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
        return (*chosen, Polarised(array.fragment))
    if own.fragment % array.fragment or own.order != "W":
        raise UserError(
            f"compress.prune.{name}.polarised = {own.fragment} in order {own.order!r} does not make fragments of "
            f"crossbar.fragment = {array.fragment} rows polarised; leave it out, or use a multiple and order 'W'."
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


def _calibration_images(dataset: data.Dataset, count: int) -> Tensor:
    """The first `count` training images as the network sees them, without augmentation."""
    images, _ = dataset.train
    samples = dataset.train[0][: min(count, len(images))], dataset.train[1][: min(count, len(images))]
    mean, std = (dataset.mean, dataset.std) if dataset.normalise else (None, None)
    batches = data.Batches(*samples, len(samples[1]), shuffle=False, mean=mean, std=std)
    return next(iter(batches))[0]
