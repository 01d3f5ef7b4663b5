"""Where accuracy is lost: the same chips again with errors switched off, one after the other and one at a time.

The errors stand in the order in which a signal meets them: what was written (programming, faults, drift), what drives
it (drivers), what lies between (wires), what the reading adds (read noise, converters). "In turn" switches them on in
this order, so the last step is the simulated chip itself; "alone" adds a single one to ideal arrays. The two differ
where errors interact, as order then matters. Chips keep their seeds and cells their draws, so differences are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from crossbar import ArraySpec
from experiments.setup import Setup
from experiments.sweeping.statistics import half_width
from hwmodels import Device
from hwmodels.devices.faults import any_faults
from hwmodels.devices.programming_error import NoError, form_of
from hwmodels.devices.reading import temperature_factor
from mapping import Conditions, Placement
from mapping.calibration import calibrate

Chip = tuple[ArraySpec, Conditions]
"""What a chip is and how it is read."""

Errors = tuple[str, ...]
"""The errors that are switched on, in the order of `ERRORS`; () for ideal arrays."""


@dataclass(frozen=True)
class Error:
    """One error that can be switched off. without: the chip without it; random: whether it is drawn for each chip."""

    words: str
    here: Callable[[Chip], bool]
    without: Callable[[Chip], Chip]
    random: Callable[[Chip], bool] = lambda _: True


def _with_device(chip: Chip, **changes: Any) -> Chip:
    spec, conditions = chip
    return spec.with_(device=spec.device.with_(**changes)), conditions


def _without_faults(device: Device) -> dict[str, Any]:
    return {"stuck_at_lrs": 0.0, "stuck_at_hrs": 0.0, "clustered_faults": None, "line_faults": None}


def _moves(chip: Chip) -> bool:
    """Whether cells conduct something else when they are read than when they were written."""
    spec, conditions = chip
    drifts = conditions.t_s > 0 and spec.device.drift is not None
    return drifts or temperature_factor(spec.device, conditions.temperature_k) != 1


_NO_WIRES = dict.fromkeys(("r_word_ohm", "r_bit_ohm", "r_source_ohm", "r_sink_ohm", "r_access_ohm"), 0.0)

ERRORS: dict[str, Error] = {
    "program": Error(
        "programming error",
        lambda chip: not form_of(chip[0].device.programming_error, chip[0].device.g_max_s).is_none(),
        lambda chip: _with_device(chip, programming_error=NoError()),
    ),
    "stuck": Error(
        "stuck cells",
        lambda chip: any_faults(chip[0].device),
        lambda chip: _with_device(chip, **_without_faults(chip[0].device)),
    ),
    "drift": Error(
        "drift and temperature",
        _moves,
        lambda chip: (chip[0], replace(chip[1], t_s=0.0, temperature_k=None)),
    ),
    "drivers": Error(
        "drivers",
        lambda chip: chip[0].dac_errors is not None,
        lambda chip: (chip[0].with_(dac_errors=None), chip[1]),
    ),
    "wires": Error(
        "wires",
        lambda chip: chip[0].has_wires,
        lambda chip: (chip[0].with_(**_NO_WIRES), chip[1]),
        random=lambda _: False,
    ),
    "read": Error(
        "read noise",
        lambda chip: chip[1].read_noise and chip[0].device.read_noise is not None,
        lambda chip: (chip[0], replace(chip[1], read_noise=False)),
    ),
    "adc": Error(
        "converters",
        lambda chip: chip[0].adc_bits is not None,
        lambda chip: (chip[0].with_(adc_bits=None, adc_errors=None), chip[1]),
        random=lambda chip: chip[0].adc_errors is not None,
    ),
}
"""Every error that a chip can have, in the order in which a signal meets them."""


def errors_of(chip: Chip) -> Errors:
    """The errors that a chip has."""
    return tuple(name for name, error in ERRORS.items() if error.here(chip))


def with_only(chip: Chip, errors: Iterable[str]) -> Chip:
    """The chip with these of its errors, all others switched off."""
    for name in errors_of(chip):
        if name not in errors:
            chip = ERRORS[name].without(chip)
    return chip


def ladder(own: Errors) -> list[Errors]:
    """Ideal arrays, then the errors of a chip switched on in turn; the last is the chip itself."""
    return [own[:count] for count in range(len(own) + 1)]


def cases(own: Errors) -> list[Errors]:
    """Everything that has to run: the ladder, and each error alone; what both name once."""
    return list(dict.fromkeys([*ladder(own), *((name,) for name in own)]))


def name_of(errors: Errors) -> str:
    """A case in one word: "program+stuck"; "ideal" for none."""
    return "+".join(errors) or "ideal"


def chips_needed(chip: Chip, errors: Errors, chips: int) -> int:
    """How many chips a case takes: one where nothing in it is drawn."""
    return chips if any(ERRORS[name].random(chip) for name in errors) else 1


def reduced(setup: Setup, placement: Placement, errors: Errors) -> tuple[Setup, Placement]:
    """Setup and placement for chips with only some of their errors.

    Converters whose range was measured behind wires are calibrated anew where the wires are off.
    """
    spec, conditions = with_only((placement.array, setup.conditions), errors)
    made = replace(placement, array=spec)
    if spec.adc_bits is not None and placement.array.has_wires and not spec.has_wires:
        made = calibrate(made, setup.calibration)
    return replace(setup, conditions=conditions), made


def record(
    before: Sequence[tuple[str, float]], own: Errors, found: Mapping[str, Sequence[float]], samples: int
) -> dict[str, Any]:
    """The waterfall as the result has it; accuracies are fractions.

    before: accuracies ahead of the arrays, by stage, the trained network first; own: the chip's errors; found: by
    `name_of` a case, the accuracy of each of its chips; samples: test samples that all of it was measured on.
    Differences are of the means; their intervals (95 %, Student's t) are over the chips, each against itself.
    """
    rungs = [*((key, [value]) for key, value in before)]
    rungs += [("map" if not case else case[-1], list(found[name_of(case)])) for case in ladder(own)]
    steps = [_row(*rungs[0], None)]
    steps += [_row(key, values, last) for (key, values), (_, last) in zip(rungs[1:], rungs, strict=False)]
    ideal = list(found[name_of(())])
    return {
        "samples": samples,
        "chips": max(len(values) for values in found.values()),
        "steps": steps,
        "alone": [_row(name, list(found[name]), ideal) for name in own],
    }


def _row(key: str, values: list[float], last: list[float] | None) -> dict[str, Any]:
    row = {"key": key, "accuracy": float(np.mean(values)), "accuracies": values}
    if last is None:
        return row | {"change": None, "change_low": None, "change_high": None}
    change = row["accuracy"] - float(np.mean(last))
    # One value stands for every chip where nothing is drawn.
    each = np.subtract(*np.broadcast_arrays(values, last)).tolist()
    half = half_width(each) if len(each) > 1 else None
    low, high = (None, None) if half is None else (change - half, change + half)
    return row | {"change": change, "change_low": low, "change_high": high}


def interaction(made: Mapping[str, Any]) -> float:
    """What the errors lose together beyond the sum of what each loses alone; negative: together they lose more."""
    steps = made["steps"]
    ideal = next(row["accuracy"] for row in steps if row["key"] == "map")
    return (steps[-1]["accuracy"] - ideal) - sum(row["change"] for row in made["alone"])


def table(made: Mapping[str, Any]) -> pd.DataFrame:
    """The waterfall as a table, a row per step and per error alone: group ("steps" or "alone"), key, and the rest."""
    columns = ("key", "accuracy", "change", "change_low", "change_high")
    rows = [
        {"group": group} | {name: row[name] for name in columns} | {"chips": len(row["accuracies"])}
        for group in ("steps", "alone")
        for row in made[group]
    ]
    return pd.DataFrame(rows).astype(dict.fromkeys(columns[1:], "float64"))
