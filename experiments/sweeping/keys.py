"""What every stage depends on, as a key: two configurations share a stage's work exactly where the keys are equal.

A key is the hash of the values that the stage reads and of the keys of the stages before it. What is read was settled
by reasoning, stage by stage (docs/sweeps.md has the table), and a test holds every key of the configuration to it:

- dense: the network, its data, [train], the seed, the batch that accuracies are measured with, and whether samples are
  held out for an accuracy floor;
- compressed: dense, the compression plan (constraints, levels of the array, schedule) and its batch size, purification
  with its calibration images; with compress.train_on, all that placing and simulating read of the imperfections that it
  names; the content of compress.stuck_map; with a hardware target, that target and all that options are priced with:
  the arrays, the bits and sharing of the converters, read time and voltage, the library's content and [hardware], and
  for power the frame rate or the baseline that gives it; a reduction is counted in weights and reads the arrays' size
  only;
- placement: compressed, whether its weights may snap to other levels, the choices of [mapping], the shape of the
  arrays, how weights stand on cells, nominal conductances, wires, how inputs are driven, whether there are converters
  and how their range is found (and by which of them, where each has its own), the calibration images;
- baseline: the same of the dense network on the baseline's arrays;
- chips: placement, the device with its errors, the bits of the converters and their errors (with how many columns share
  one, as each errs by itself), the conditions of reading, whether every chip is placed around its own faults;
- cost: placement and baseline, the bits of the converters and how many columns share one, read time and voltage, the
  writing of the device, the library's content and [hardware].
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter

from admm import Plan
from admm.constraints import Budget, Option
from crossbar import ArraySpec
from experiments import data, hardware_loop
from experiments.config import Compress, Config, Simulate
from experiments.placements import placing_of
from experiments.plans import compression_plan
from experiments.pricing import Pricing
from experiments.progress import SILENT
from experiments.setup import (
    HELD_OUT,
    array_spec,
    asked_target,
    baseline_spec,
    device,
    network_files,
    read_conditions,
    start_digest,
    stuck_input,
)
from hwmodels import Device, Library
from mapping import Conditions, Placing

T = TypeVar("T")

Stage = Literal["dense", "compressed", "baseline", "placement", "chips", "cost"]
STAGES: tuple[Stage, ...] = ("dense", "compressed", "baseline", "placement", "chips", "cost")

REVISIONS: dict[Stage, int] = {"dense": 2, "compressed": 1, "baseline": 1, "placement": 1, "chips": 1, "cost": 1}
"""Grows when a stage comes to give something else for the same values, so that old entries are not taken for new."""

_TEXT = ("name", "technology", "description", "sources", "unverified")
"""Fields of a device that only people read."""

_PLACED_FIELDS = (
    "rows", "cols", "encoding", "slices", "slice_bits", "slice_layout", "idle", "pair_subtraction", "pair_layout",
    "offset_correction", "fragment", "fragment_order", "input_bits", "dac_bits", "signed_inputs", "input_range",
    "input_percentile", "input_full_scale", "r_word_ohm", "r_bit_ohm", "r_source_ohm", "r_sink_ohm", "r_access_ohm",
    "both_ends", "unused_rows", "wire_model",
)  # fmt: skip
"""Fields of an array that placing and calibrating read as they are."""
_RANGE_FIELDS = ("adc_range", "adc_percentile", "adc_range_per")
"""Those that they read where there are converters."""
_LEVEL_FIELDS = (
    "rows", "cols", "encoding", "slices", "slice_bits", "slice_layout", "idle", "pair_layout", "offset_correction",
    "fragment", "fragment_order",
)  # fmt: skip
"""Those that a compression plan can depend on, beside the conductances."""
_AIM = Budget(options={"chip": (Option(1, 1, 1.0),)}, limit=1.0)
"""Stands in a plan for the budget of a hardware target, which only a network's shapes give."""

_DEVICE = TypeAdapter(Device)
_LIBRARY = TypeAdapter(Library)
_PLAN = TypeAdapter(Plan)


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The key of every stage of one configuration; 20 hex digits each."""

    dense: str
    compressed: str
    baseline: str
    placement: str
    chips: str
    cost: str

    def digest(self) -> str:
        """One key for all of them: what the point's results are known by."""
        return digest([self.dense, self.compressed, self.baseline, self.placement, self.chips, self.cost])


def digest(values: Any) -> str:
    """Hash of plain values (JSON-able), 20 hex digits (80 bits: no two stages of a store will ever meet)."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


@cache
def program() -> str:
    """The version of this program: another version may compute something else, so it computes anew."""
    try:
        return version("ohmweave")
    except PackageNotFoundError:  # run from a folder that is not installed
        return "unknown"


class KeyMaker:
    """Works out keys; what many points of one sweep have in common is read and hashed once.

    Files (weights, devices, libraries, data) are taken to stay as they are as long as one KeyMaker lives. Parts of a
    configuration that are the same object as before are not hashed again (`Configurations` shares them).
    """

    MOST = 5_000
    """Parts that are remembered."""

    def __init__(self, data_known: dict[str, Any] | None = None) -> None:
        """Start without anything known but, perhaps, the hashes of data sets (they take long)."""
        self._known: dict[str, Any] = {}
        self._made: dict[Any, tuple[tuple[Any, ...], Any]] = {}
        self._data: dict[str, Any] = {} if data_known is None else data_known

    def keys(self, config: Config) -> Keys:
        """The keys of a configuration.

        Raises UserError for what the configuration's own parts cannot be made into: an unknown device or library,
        levels that a device lacks, constraints that contradict each other, converters that the library cannot price.
        """
        array, baseline = self.arrays(config)
        simulate, compress = config.simulate, config.compress
        dense = self._same("dense", (*self._dense_parts(config),), lambda: _stage("dense", self._dense_values(config)))
        priced = (config.crossbar, config.hardware) if compress.target is not None else ()
        compressed = self._same(
            "compressed",
            (dense, compress, config.train, array, baseline, simulate, config.mapping, *priced),
            lambda: self._compressed(config, dense, array, baseline),
        )
        placement = self._same(
            "placement",
            (compressed, array, simulate, compress.snap, config.mapping),
            lambda: _placed(
                "placement", compressed, array, simulate, snap=compress.snap, **_chosen(placing_of(config))
            ),
        )
        unpruned = self._same(
            "baseline", (dense, baseline, simulate), lambda: _placed("baseline", dense, baseline, simulate)
        )
        tested = config.mapping.avoid_faults
        chips = self._same("chips", (placement, array, simulate, tested), lambda: self._chips(config, placement, array))
        cost = {"placement": placement, "baseline": unpruned, **self._cost_values(config, array)}
        return Keys(
            dense=dense,
            compressed=compressed,
            baseline=unpruned,
            placement=placement,
            chips=chips,
            cost=_stage("cost", cost),
        )

    def _compressed(self, config: Config, dense: str, array: ArraySpec, baseline: ArraySpec) -> str:
        return _stage(
            "compressed",
            {
                "dense": dense,
                **self._plan_values(config, array),
                **_method_values(config.compress),
                **self._loop_values(config, array),
                **self._target_values(config, array, baseline),
            },
        )

    def _chips(self, config: Config, placement: str, array: ArraySpec) -> str:
        conditions = read_conditions(config, array.device, SILENT)
        chips = {
            "placement": placement,
            "device": self._device_values(array.device),
            **_chip_values(array, conditions),
            **({"avoid_faults": True} if config.mapping.avoid_faults else {}),
        }
        return _stage("chips", chips)

    def arrays(self, config: Config) -> tuple[ArraySpec, ArraySpec]:
        """The arrays of a configuration and those of its baseline."""

        def build() -> tuple[ArraySpec, ArraySpec]:
            section = config.device
            cells = self._once("device", _flat(section), lambda: device(config))
            array = array_spec(config, cells)
            return array, baseline_spec(config, array)

        return self._same("arrays", (config.crossbar, config.device, config.hardware.baseline_bits), build)

    def pricing(self, config: Config, array: ArraySpec) -> Pricing:
        """What the configuration's chips are priced with; the library is read and its converters checked once."""
        section = config.hardware
        named = [section.library, section.node_nm, section.adc_model, array.input_bits, array.dac_bits, array.adc_bits]
        known: Pricing = self._once("pricing", named, lambda: Pricing.of(section, array))
        return Pricing(section=section, library=known.library, array=array)

    def _same(self, what: str, parts: tuple[Any, ...], make: Callable[[], T]) -> T:
        """What was made of these very parts before: of objects by identity, of numbers and texts by value."""
        key = (what, *(part if isinstance(part, str | int | None) else id(part) for part in parts))
        if key not in self._made:
            if len(self._made) >= self.MOST:
                self._made.clear()
            # The parts are kept, so that no other object takes their identity.
            self._made[key] = (parts, make())
        return self._made[key][1]

    def _once(self, what: str, named: Any, make: Any) -> Any:
        key = what + json.dumps(named, sort_keys=True, default=repr)
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def _dense_parts(self, config: Config) -> tuple[Any, ...]:
        floored = config.compress.accuracy_floor is None
        return config.seed, config.network, config.data, config.train, config.simulate.batch_size, floored

    def _dense_values(self, config: Config) -> dict[str, Any]:
        section = config.data
        return {
            "seed": config.seed,
            "network": config.network.name,
            "files": self._once("files", _flat(config.network), lambda: network_files(config)),
            "data": [section.name, section.train_limit, section.test_limit, *_given(section.held_out)],
            "data_sha256": self._content(section.name, section.dir),
            "train": _flat(config.train),
            "test_batch": config.simulate.batch_size,
            "held_out": None if config.compress.accuracy_floor is None else HELD_OUT,
        }

    def _content(self, name: str, folder: str | None) -> str | None:
        key = f"{name} {folder}"
        if key not in self._data:
            self._data[key] = data_digest(name, folder)
        return self._data[key]

    def _plan_values(self, config: Config, array: ArraySpec) -> dict[str, Any]:
        section = config.compress
        named = [repr(section), _some(array, _LEVEL_FIELDS), array.device.level_conductances().tolist()]
        shared = () if section.target is None else (_AIM,)
        plan = self._once(
            "plan", named, lambda: digest(_PLAN.dump_python(compression_plan(config, array, shared), mode="json"))
        )
        purify = None if section.purify is None else [section.purify, config.simulate.calibration_samples]
        return {
            "plan": plan,
            "start": self._once("start", section.start, lambda: start_digest(config)),
            "batch_size": section.batch_size or config.train.batch_size,
            "purify": purify,
        }

    def _target_values(self, config: Config, array: ArraySpec, baseline: ArraySpec) -> dict[str, Any]:
        target, section = asked_target(config), config.compress
        if target is None:
            return {}
        values = {
            "target": [target.kind, target.limit, section.measure],
            "floor": section.accuracy_floor if target.limit is None else None,
            "array": [array.rows, array.weight_cols],
        }
        if target.kind == "reduction":
            return values
        samples = config.simulate.calibration_samples
        prices = self._cost_values(config, array)
        rate = prices.pop("frame_rate_hz")
        del prices["writing"]  # no total that a target limits
        if target.kind == "power":
            values["rate"] = _placement_values(baseline, samples) if rate is None else rate
        return {**values, "priced": prices, "placed": _placement_values(array, samples)}

    def _loop_values(self, config: Config, array: ArraySpec) -> dict[str, Any]:
        """What hardware in the training loop reads: everything that chips do, as far as training is told of it."""
        section = config.compress
        values: dict[str, Any] = {}
        if section.stuck_map is not None:
            values["stuck"] = stuck_input(config)
        if section.train_on:
            seen = hardware_loop.training_array(section, array)
            conditions = read_conditions(config, array.device, SILENT)
            values["loop"] = {
                **_placement_values(seen, config.simulate.calibration_samples),
                **_chip_values(seen, hardware_loop.training_conditions(section, conditions)),
                "device": self._device_values(seen.device),
                "chips": section.train_chips,
                **_chosen(placing_of(config)),
            }
        return values

    def _device_values(self, cells: Device) -> dict[str, Any]:
        values = self._same("cells", (cells,), lambda: _DEVICE.dump_python(cells, mode="json"))
        return {name: value for name, value in values.items() if name not in _TEXT}

    def _cost_values(self, config: Config, array: ArraySpec) -> dict[str, Any]:
        section, cells = config.hardware, array.device
        library = self.pricing(config, array).library
        named = [section.library, section.node_nm]
        return {
            "library": self._once("library", named, lambda: digest(_LIBRARY.dump_python(library, mode="json"))),
            "adc_model": section.adc_model,
            "execution": section.execution,
            "frame_rate_hz": section.frame_rate_hz,
            "replicas": dict(section.replicas),
            "adc_bits": array.adc_bits,
            "columns_per_converter": array.columns_per_converter,
            "t_read_s": array.t_read_s,
            "read_voltage_v": cells.read_voltage_v,
            # Writing is priced from the device's pulses, which its errors and faults decide, where it has any.
            "writing": None
            if cells.write_verify is None
            else self._same("writing", (cells,), lambda: digest(self._device_values(cells))),
        }


def _method_values(section: Compress) -> dict[str, Any]:
    """What other methods than plain ADMM read of [compress], beside the plan."""
    if section.method == "parents":
        return {"parents": [section.parents, section.rates]}
    if section.method == "gates":
        gates = {name: [each.weights, each.gates] for name, each in section.gates.items()}
        return {
            "gates": [gates, section.gates_epochs, section.gates_rho, section.gates_alpha, section.gates_lr],
        }
    return {}


def _chip_values(array: ArraySpec, conditions: Conditions) -> dict[str, Any]:
    """What simulating chips reads of the converters and drivers, and of when and how warm they are read."""
    errors = array.adc_errors
    return {
        "adc_bits": array.adc_bits,
        "converter_errors": None if errors is None else [asdict(errors), array.columns_per_converter],
        "driver_errors": None if array.dac_errors is None else asdict(array.dac_errors),
        "conditions": [conditions.t_s, conditions.temperature_k, conditions.read_noise],
    }


def _flat(section: Any) -> dict[str, Any]:
    """The keys of a section without sections of its own."""
    return {name: getattr(section, name) for name in section.__dataclass_fields__}


def _some(array: ArraySpec, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(array, name) for name in names}


def _stage(stage: Stage, values: Mapping[str, Any]) -> str:
    return digest({"stage": stage, "revision": REVISIONS[stage], "program": program(), **values})


def _placed(
    stage: Stage, network: str, array: ArraySpec, simulate: Simulate, *, snap: bool = False, **chosen: Any
) -> str:
    values = _placement_values(array, simulate.calibration_samples)
    return _stage(stage, {"network": network, "snap": snap, **values, **chosen})


def _chosen(placing: Placing) -> dict[str, Any]:
    """Nothing for plain tiling, so that keys from before there was a choice still hold."""
    return {} if placing == Placing() else {"placing": placing.options()}


def _placement_values(array: ArraySpec, calibration: int) -> dict[str, Any]:
    """What placing and calibrating read: of the converters only whether there are any and how their range is found."""
    device = array.device
    return {
        **_some(array, _PLACED_FIELDS),
        "levels_s": device.level_conductances().tolist(),
        "range_s": [device.g_min_s, device.g_max_s],
        "converters": None if array.adc_bits is None else _some(array, _RANGE_FIELDS),
        "shared": array.columns_per_converter if array.adc_bits and array.adc_range_per == "converter" else None,
        "calibration_samples": calibration,
    }


def _given(value: Any) -> list[Any]:
    """Nothing for a key that was not given, so that keys from before there was such a one still hold."""
    return [] if value is None else [value]


def data_digest(name: str, folder: str | None) -> str | None:
    """SHA-256 of a data set's content; None for the digits, which are part of a package and never change.

    By content and not by path, so that a store may move to a machine that keeps its data elsewhere.
    """
    if name == "digits":
        return None
    dataset = data.load(name, data_dir=Path(folder) if folder else None)
    found = hashlib.sha256()
    for x, y in (dataset.train, dataset.test):
        found.update(x.numpy().tobytes())
        found.update(y.numpy().tobytes())
    return found.hexdigest()


assert {item.name for item in fields(Keys)} == set(STAGES)
