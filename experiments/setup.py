"""From a configuration to the things it names: data, network, arrays, compression plan, component library.

Everything is built and checked here before the first second of work, so a mistake in the last section is found
before the first stage runs, and before anything is written.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor, nn

from admm import Plan, Schedule
from admm.constraints import Block, Channel, Column, Filter, Unstructured
from admm.layers import resolve
from admm.schedules import stages
from crossbar import AdcErrors, ArraySpec, DacErrors
from experiments import data, models
from experiments.config import Config, Prune
from experiments.progress import Progress
from hwmodels import Device, Library
from hwmodels.errors import UserError
from mapping.trace import trace


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a run works with. network: untrained (or with the weights that the configuration names)."""

    config: Config
    name: str
    dataset: data.Dataset
    network: nn.Module
    array: ArraySpec
    baseline: ArraySpec
    library: Library
    plan: Plan
    compression_epochs: int
    calibration: Tensor

    def batches(self, part: data.Part) -> data.Batches:
        """Training batches (shuffled, augmented) or test batches of the run."""
        config = self.config
        if part != "train":
            return self.dataset.batches(part, config.simulate.batch_size)
        augment = None if config.train.augment == "none" else config.train.augment
        return self.dataset.batches("train", config.train.batch_size, seed=config.seed, augment=augment)

    def compression_batches(self) -> data.Batches:
        """Training batches of the compression stages."""
        config = self.config
        augment = None if config.train.augment == "none" else config.train.augment
        size = config.compress.batch_size or config.train.batch_size
        # Another seed than dense training, so the two do not walk through the data in the same order.
        return self.dataset.batches("train", size, seed=config.seed + 1_000_000, augment=augment)


def prepare(config: Config, name: str, progress: Progress) -> Setup:
    """Build everything a configuration names; every mistake in it is a UserError here."""
    array = array_spec(config)
    baseline = baseline_spec(config, array)
    library = Library.load(config.hardware.library)
    check_converters(library, array)
    dataset = data.load(
        config.data.name,
        data_dir=Path(config.data.dir) if config.data.dir else None,
        seed=config.seed,
        train_limit=config.data.train_limit,
        test_limit=config.data.test_limit,
        progress=progress,
    )
    network = models.build(
        config.network.name,
        in_channels=dataset.channels,
        classes=dataset.classes,
        image_size=dataset.shape[0],
        seed=config.seed,
        weights=config.network.weights,
    )
    calibration = _calibration_images(dataset, config.simulate.calibration_samples)
    trace(network, calibration[:2])
    plan = compression_plan(config, array)
    planned = stages(plan, resolve(plan, network).values())
    return Setup(
        config=config,
        name=name,
        dataset=dataset,
        network=network,
        array=array,
        baseline=baseline,
        library=library,
        plan=plan,
        compression_epochs=sum(stage.epochs for stage in planned),
        calibration=calibration,
    )


def inputs(config: Config) -> dict[str, str]:
    """SHA-256 of the files that a configuration names and that make its result: other content is another run.

    The weights file, and the source file of a user's own network (not what that imports in turn).
    """
    weights = config.network.weights
    named = {"weights file": Path(weights) if weights else None}
    if ":" in config.network.name:
        named["network's module"] = models.source_file(config.network.name)
    return {
        what: hashlib.sha256(path.read_bytes()).hexdigest() for what, path in named.items() if path and path.is_file()
    }


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


def array_spec(config: Config) -> ArraySpec:
    """The arrays of a configuration: its [crossbar] keys with its [device]."""
    section = config.crossbar
    values = {key: getattr(section, key) for key in section.__dataclass_fields__}  # type: ignore[attr-defined]
    for key in ("input_bits", "adc_bits"):
        values[key] = None if values[key] == "ideal" else values[key]
    try:
        for key, kind in (("adc_errors", AdcErrors), ("dac_errors", DacErrors)):
            # Errors of nothing but zeros are ideal converters, which have a faster path.
            errors = kind(**vars(values[key]))
            values[key] = None if errors == kind(inl_shape=errors.inl_shape) else errors
        return ArraySpec(device=device(config), **values)
    except ValidationError as error:
        raise UserError(f"[crossbar] {_reasons(error)}.") from None


def baseline_spec(config: Config, array: ArraySpec) -> ArraySpec:
    """The arrays of the unpruned baseline: as many slices as its precision takes."""
    try:
        return array.for_weight_bits(config.hardware.baseline_bits)
    except ValidationError as error:
        raise UserError(
            f"The baseline of hardware.baseline_bits = {config.hardware.baseline_bits} does not fit cells of "
            f"{array.device.levels} levels: {_reasons(error)}."
        ) from None


def check_converters(library: Library, array: ArraySpec) -> None:
    """Refuse converters that the library cannot price, before hours of training are spent on them."""
    try:
        if array.adc_bits is not None:
            library.adc.part(array.adc_bits, "ADC (crossbar.adc_bits)", library.name)
        if array.input_bits is not None:
            library.dac.part(array.dac_bits, "DAC (crossbar.dac_bits)", library.name)
    except UserError as error:
        # A tile table says 0 where a configuration says "ideal".
        raise UserError(str(error).replace("0 for no converter", '"ideal" for no converter')) from None


def compression_plan(config: Config, array: ArraySpec) -> Plan:
    """The ADMM plan: the configuration's pruning patterns, and the array's levels on every layer."""
    section = config.compress
    schedule = Schedule(**{item.name: getattr(section, item.name) for item in fields(Schedule)})  # type: ignore[arg-type]
    prune = {pattern: constraints(choice, array) for pattern, choice in section.prune.items()}
    try:
        return Plan.for_array(
            array,
            {pattern: chosen for pattern, chosen in prune.items() if chosen},
            quantise=section.quantise,
            order=section.order,
            schedule=schedule,
        )
    except ValidationError as error:
        raise UserError(f"[compress] {_reasons(error)}.") from None


def _reasons(error: ValidationError) -> str:
    return "; ".join(problem["msg"].removeprefix("Value error, ") for problem in error.errors())


def constraints(choice: Prune, array: ArraySpec) -> tuple[Any, ...]:
    """The constraints of one pruning pattern, in the order block, filter, channel, column, single weights."""
    made: list[Any] = []
    if choice.block is not None:
        made.append(Block(array.rows, array.cols, choice.block))
    for keep, kind in (
        (choice.filter, Filter),
        (choice.channel, Channel),
        (choice.column, Column),
        (choice.unstructured, Unstructured),
    ):
        if keep is not None:
            made.append(kind(keep))
    return tuple(made)


def _calibration_images(dataset: data.Dataset, count: int) -> Tensor:
    """The first `count` training images as the network sees them, without augmentation."""
    images, _ = dataset.train
    samples = dataset.train[0][: min(count, len(images))], dataset.train[1][: min(count, len(images))]
    mean, std = (dataset.mean, dataset.std) if dataset.normalise else (None, None)
    batches = data.Batches(*samples, len(samples[1]), shuffle=False, mean=mean, std=std)
    return next(iter(batches))[0]
