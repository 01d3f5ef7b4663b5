"""Copies of slow layers: how often each layer's arrays stand on the chip so that the pipeline is fastest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import pandas as pd

from hwmodels import Library, estimate
from hwmodels.errors import UserError
from mapping.placement import Placement


@dataclass(frozen=True, eq=False)
class Replication:
    """How often each layer stands on the chip.

    replicas: by the layer's name in the tile table, as `hwmodels.estimate(…, replicas=…)` takes it; table: a row per
    layer: layer, replicas, stage_us before and after (time that an inference occupies its busiest array), area_mm2 of
    all its copies; interval_us: time from one inference to the next in a full pipeline, before and after; area_mm2 of
    the chip, before and after.
    """

    replicas: dict[str, int]
    table: pd.DataFrame
    interval_us: tuple[float, float]
    area_mm2: tuple[float, float]


@dataclass(frozen=True)
class Stage:
    """Layers that are copied together, because they share arrays: cost of one copy, and the time of r copies."""

    layers: tuple[str, ...]
    cost: float
    vectors: tuple[int, ...]
    time: Callable[[int], float]

    def next_count(self, copies: int) -> int | None:
        """The least count above `copies` that serves fewer vectors a copy; None where one vector a copy is left."""
        shares = [-(-vectors // copies) for vectors in self.vectors]
        counts = [-(-vectors // (share - 1)) for vectors, share in zip(self.vectors, shares, strict=True) if share > 1]
        return min(counts, default=None)


def balance(stages: list[Stage], budget: float) -> list[int]:
    """Copies of every stage for the least time of the slowest, at a total cost within the budget.

    The slowest stage gets its next useful copy until none can be paid for. That is the optimum: a stage is only ever
    raised while it is the slowest, so any choice that is faster than the result needs at least these copies of every
    stage and more of the slowest, which the budget does not cover. O(copies · stages).
    """
    copies = [1] * len(stages)
    times = [stage.time(1) for stage in stages]
    spent = sum(stage.cost for stage in stages)
    while stages:
        slowest = max(range(len(stages)), key=times.__getitem__)
        target, count = times[slowest], copies[slowest]
        while (more := stages[slowest].next_count(count)) is not None and stages[slowest].time(more) >= target:
            count = more
        extra = inf if more is None else (more - copies[slowest]) * stages[slowest].cost
        if more is None or spent + extra > budget * (1 + 1e-12):
            break
        spent += extra
        copies[slowest], times[slowest] = more, stages[slowest].time(more)
    return copies


def replicate(placement: Placement, library: Library | str, area_mm2: float) -> Replication:
    """Copy layers so that the pipeline is as fast as an area allows.

    library: prices area and time as in `hwmodels.estimate`; area_mm2: of the whole chip, copies included [mm²]. Early
    layers of a convolutional network serve thousands of vectors an inference, late ones a few, so a pipeline waits for
    the early ones; r copies share their vectors. The optimum for these models, see `balance`; layers that share arrays
    are copied together. Raises UserError for an area below that of one copy of everything.
    """
    whole = estimate(placement.tiles, library)
    start = whole.totals["area_mm2"]
    if area_mm2 < start:
        raise UserError(f"An area of {area_mm2:g} mm² is less than one copy of every layer takes, {start:.4g} mm².")
    stages = [_stage(placement.tiles, group, library) for group in _groups(placement.tiles)]
    copies = balance(stages, area_mm2)
    replicas = {layer: count for stage, count in zip(stages, copies, strict=True) for layer in stage.layers}
    after = estimate(placement.tiles, library, replicas=replicas)
    rows = [
        {
            "layer": layer,
            "replicas": count,
            "stage_us_before": stage.time(1) * 1e6,
            "stage_us": stage.time(count) * 1e6,
        }
        for stage, count in zip(stages, copies, strict=True)
        for layer in stage.layers
    ]
    table = pd.DataFrame(rows).merge(after.layers[["layer", "area_mm2"]], on="layer")
    order = {name: at for at, name in enumerate(dict.fromkeys(placement.tiles["layer"]))}
    return Replication(
        {name: replicas[name] for name in order},
        table.sort_values("layer", key=lambda names: names.map(order)).reset_index(drop=True),
        (1e6 / whole.totals["full_rate_hz"], 1e6 / after.totals["full_rate_hz"]),
        (start, after.totals["area_mm2"]),
    )


def _groups(tiles: pd.DataFrame) -> list[list[str]]:
    """Layers that share arrays, directly or through others, in network order."""
    owner: dict[str, str] = {}

    def root(name: str) -> str:
        while owner.setdefault(name, name) != name:
            name = owner[name]
        return name

    first: dict[int, str] = {}
    for array, layer in zip(tiles["array"].tolist(), tiles["layer"].tolist(), strict=True):
        owner[root(layer)] = root(first.setdefault(array, layer))
    groups: dict[str, list[str]] = {}
    for layer in dict.fromkeys(tiles["layer"].tolist()):
        groups.setdefault(root(layer), []).append(layer)
    return list(groups.values())


def _stage(tiles: pd.DataFrame, layers: list[str], library: Library | str) -> Stage:
    own: pd.DataFrame = tiles.loc[tiles["layer"].isin(layers)]  # pyright: ignore[reportAssignmentType]
    once = estimate(own, library)
    vectors = own.groupby("layer", sort=False)["reads_per_inference"].first()
    known: dict[int, float] = {1: 1 / once.totals["full_rate_hz"]}

    def time(copies: int) -> float:
        if copies not in known:
            replicas = dict.fromkeys(layers, copies)
            known[copies] = 1 / estimate(own, library, replicas=replicas).totals["full_rate_hz"]
        return known[copies]

    return Stage(tuple(layers), once.totals["area_mm2"], tuple(int(n) for n in vectors), time)
