"""From a configuration to the things it names: data, network, arrays, compression plan, component library.

Everything is built and checked here before the first second of work, so a mistake in the last section is found
before the first stage runs, and before anything is written.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

import mapping
from admm import Compressed, Plan, Stuck, pins
from admm.constraints import Shared
from admm.layers import resolve, resolve_budgets
from admm.schedules import stages
from crossbar import AdcErrors, ArraySpec, DacErrors
from experiments import data, hardware_loop, models, placements
from experiments.config import Config
from experiments.plans import COUNTED, compression_plan, reasons
from experiments.pricing import Pricing
from experiments.progress import Progress
from experiments.targeting import targets
from experiments.targeting.target_cost import ChipCost
from experiments.targeting.targets import Target
from hwmodels import Device, conductances_at
from hwmodels.errors import UserError, unknown
from mapping import Conditions, LayersOnArrays
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
    stuck: dict[str, Stuck]

    def wrapper(self) -> LayersOnArrays | None:
        """What compression wraps layers with, None without compress.train_on."""
        placing = placements.placing_of(self.config)
        return hardware_loop.wrapper(self.config.compress, self.array, self.conditions, self.calibration, placing)

    @property
    def device(self) -> str:
        """Where training and compression run (train.device); chips and tests of placed networks stay on the CPU."""
        return self.config.train.device or "cpu"

    def batches(self, part: data.Part, device: str | torch.device = "cpu") -> data.Batches:
        """Training batches (shuffled, augmented, on the device of training), or test batches of the run on `device`."""
        config = self.config
        if part != "train":  # the test or the held-out samples
            return self.dataset.batches(part, config.simulate.batch_size, device=device)
        augment = None if config.train.augment == "none" else config.train.augment
        size = config.train.batch_size
        return self.dataset.batches("train", size, seed=config.seed, augment=augment, device=self.device)

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
        return self.dataset.batches("train", size, seed=config.seed + 1_000_000, augment=augment, device=self.device)


def prepare(config: Config, name: str, progress: Progress, dataset: data.Dataset | None = None) -> Setup:
    """Build everything a configuration names; every mistake in it is a UserError here.

    dataset: that of the configuration, where the caller has read it already (`load_data`).
    """
    _check_device(config)
    array = array_spec(config)
    baseline = baseline_spec(config, array)
    pricing = Pricing.of(config.hardware, array)
    conditions = read_conditions(config, array.device, progress)
    placements.check(config, array, progress)
    dataset = load_data(config, progress) if dataset is None else dataset
    if config.compress.accuracy_floor is not None:
        dataset = dataset.split(HELD_OUT, seed=config.seed)
    network = models.build(
        config.network.name,
        in_channels=dataset.channels,
        classes=dataset.classes,
        image_size=dataset.image_size,
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
        cost = ChipCost.of(network, pricing, array, baseline, calibration)
        if cost.unfollowed:
            progress.note(f"The budget takes layers one by one, not along their chain: {cost.unfollowed}")
        budgets.append(cost.budget(target, config.compress.measure))
    plan = compression_plan(config, array, budgets)
    layers = resolve(plan, network)
    planned = stages(plan, layers.values())
    resolve_budgets(plan, network)
    for name in set(config.compress.gates) - {"*"}:
        if name not in layers:
            raise unknown("layer", name, layers)
    hardware_loop.wrapper(config.compress, array, conditions, calibration)
    stuck_map = config.compress.stuck_map
    stuck = {} if stuck_map is None else hardware_loop.read_stuck(Path(stuck_map), network)
    pins.check(stuck, layers)
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
        stuck=stuck,
    )


def _check_device(config: Config) -> None:
    if config.train.device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            'train.device = "cuda": torch finds no GPU here. Take --train.device cpu, or a torch that is built for it.'
        )


def load_data(config: Config, progress: Progress) -> data.Dataset:
    """The data set of a configuration, as its seed splits it."""
    dataset = data.load(
        config.data.name,
        data_dir=Path(config.data.dir) if config.data.dir else None,
        seed=config.seed,
        train_limit=config.data.train_limit,
        test_limit=config.data.test_limit,
        progress=progress,
    )
    return dataset if config.data.held_out is None else dataset.held_out(config.data.held_out, seed=config.seed)


def inputs(config: Config) -> dict[str, str]:
    """SHA-256 of the files that a configuration names and that make its result: other content is another run.

    The weights file, the source file of a user's own network (not what that imports in turn), the compressed network
    that another run starts from, and a map of stuck cells.
    """
    start = start_digest(config)
    found = {} if start is None else {"compressed network to start from": start}
    return {**network_files(config), **found, **stuck_input(config)}


def stuck_input(config: Config) -> dict[str, str]:
    """SHA-256 of the map of stuck cells, if the configuration names one that is there."""
    path = Path(config.compress.stuck_map) if config.compress.stuck_map else None
    return {"map of stuck cells": _sha256(path)} if path and path.is_file() else {}


def network_files(config: Config) -> dict[str, str]:
    """SHA-256 of the files that the dense network comes from."""
    weights = config.network.weights
    named = {"weights file": Path(weights) if weights else None}
    if ":" in config.network.name:
        named["network's module"] = models.source_file(config.network.name)
    return {what: _sha256(path) for what, path in named.items() if path and path.is_file()}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


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
    """The device preset with the configuration's changes; raises UserError for levels that it lacks."""
    section = config.device
    chosen = Device.load(section.preset)
    if chosen.level_g_s is not None and section.levels not in (None, chosen.levels):
        listed = ", ".join(f"{1e6 * g:.4g}" for g in chosen.level_g_s[:8])
        raise UserError(
            f"device.levels = {section.levels}, but {chosen.name!r} has just the {chosen.levels} levels that its file "
            f"lists ({listed}{', …' if chosen.levels > 8 else ''} µS). Leave device.levels out, or take a "
            "device.preset with levels at any even spacing."
        )
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
        raise UserError(f"[crossbar] {reasons(error)}.") from None


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
        array = array.with_(encoding="pair", fragment=None, fragment_order="W")
    try:
        return array.for_weight_bits(config.hardware.baseline_bits)
    except ValidationError as error:
        raise UserError(
            f"The baseline of hardware.baseline_bits = {config.hardware.baseline_bits} does not fit cells of "
            f"{array.device.levels} levels: {reasons(error)}."
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


def _calibration_images(dataset: data.Dataset, count: int) -> Tensor:
    """The first `count` training images as the network sees them, without augmentation."""
    images, _ = dataset.train
    samples = dataset.train[0][: min(count, len(images))], dataset.train[1][: min(count, len(images))]
    mean, std = (dataset.mean, dataset.std) if dataset.normalise else (None, None)
    batches = data.Batches(*samples, len(samples[1]), shuffle=False, mean=mean, std=std)
    return next(iter(batches))[0]
