"""From axes to points: which values the swept keys take in each, and the configuration that follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from experiments import config as configuration
from experiments.config import Config
from experiments.sweeping.axes import Axis, Settings, overlaid
from experiments.sweeping.keys import digest
from hwmodels.errors import UserError

Values = dict[str, Any]


@dataclass(frozen=True)
class Point:
    """One configuration of a sweep; number: from 0, in the order of the table; swept: what the swept keys are."""

    number: int
    swept: Values

    @property
    def text(self) -> str:
        """The swept keys for people: "crossbar.rows = 32, device.levels = 16"."""
        return ", ".join(f"{key} = {value}" for key, value in self.swept.items())


def chosen(settings: Settings, axes: Sequence[Axis]) -> list[Point]:
    """The points of every method but search, the same ones each time; points that coincide are taken once."""
    if settings.method == "grid":
        rows = product(*(axis.values or () for axis in axes))
    else:
        assert settings.points is not None
        shares = _shares(settings, len(axes), settings.points)
        rows = ([axis.at(float(share)) for axis, share in zip(axes, row, strict=True)] for row in shares)
    found: dict[str, Values] = {}
    for row in rows:
        values = merged(axes, row)
        found.setdefault(digest(values), values)
    return [Point(number, values) for number, values in enumerate(found.values())]


def merged(axes: Sequence[Axis], row: Sequence[Sequence[Any]]) -> Values:
    """One value of each axis as swept key → value."""
    return {
        key: value for axis, part in zip(axes, row, strict=True) for key, value in zip(axis.keys, part, strict=True)
    }


def _shares(settings: Settings, axes: int, points: int) -> np.ndarray:
    """Where on every axis each point lies: (points, axes) in [0, 1)."""
    generator = np.random.default_rng(settings.sampling_seed)
    if settings.method == "random":
        return generator.random((points, axes))
    from scipy.stats import qmc

    return qmc.LatinHypercube(axes, rng=generator).random(points)


def configured(base: Mapping[str, Any], point: Point) -> Config:
    """The configuration of a point; base: plain values. Raises UserError that names the swept keys."""
    return configuration.validated(overlaid(base, point.swept), f"[sweep] {point.text}")


class Configurations:
    """Configurations of a sweep's points; sections that points have in common are built and checked once.

    Points then share section objects, which is how `KeyMaker` tells cheaply what it has hashed before.
    """

    MOST = 10_000
    """Sections that are kept."""

    def __init__(self, base: Mapping[str, Any]) -> None:
        """base: plain values, without a mistake of their own, that swept keys are laid over."""
        self._base = base
        self._plain = configuration.validated(base, "the sweep's file")
        self._sections: dict[tuple[str, str], Any] = {}

    def of(self, point: Point) -> Config:
        """The same as `configured`, errors included."""
        changes: dict[str, Values] = {}
        for key, value in point.swept.items():
            changes.setdefault(key.partition(".")[0], {})[key] = value
        try:
            return replace(self._plain, **{name: self._section(name, values) for name, values in changes.items()})
        except UserError:
            configured(self._base, point)  # says the same about the whole point
            raise

    def _section(self, name: str, values: Values) -> Any:
        # By text, as 1, 1.0 and true are equal in Python.
        key = (name, repr(values))
        if key not in self._sections:
            if len(self._sections) >= self.MOST:
                self._sections.clear()
            made = configured(self._base, Point(0, values))
            self._sections[key] = getattr(made, name)
        return self._sections[key]


def check_alone(base: Mapping[str, Any], axes: Sequence[Axis], where: str) -> None:
    """Refuse a value that its key can never take, before anything runs; contradictions between keys are a point's."""
    problems = []
    for axis in axes:
        ends = [(axis.low,) * len(axis.keys), (axis.high,) * len(axis.keys)]
        for row in ends if axis.values is None else axis.values:
            try:
                configuration.validated(overlaid(base, dict(zip(axis.keys, row, strict=True))), f"{where}: [sweep]")
            except UserError as error:
                problems.append(str(error))
    if problems:
        raise UserError("\n".join(dict.fromkeys(problems)))
