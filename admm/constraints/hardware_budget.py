"""A budget in hardware for a whole network: which word and bit lines stay in which layer is found by projection.

A layer of ⌈r / R⌉ · ⌈c / C⌉ arrays costs less only when a strip of rows, a strip of columns or an array is freed, so
the costs of single rows and columns do not add up. What adds up over the layers is the cost of *options*: a layer keeps
r rows and c columns of its matrix. Options along fixed orders of rows and columns make the projection a multiple-choice
knapsack, solved exactly (`constraints.knapsack`). Where one layer reads what another puts out, a filter that goes takes
its rows of the next layer with it, and the options of the two are chosen together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from math import ceil
from typing import Annotated, Literal, NamedTuple, final

import numpy as np
import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from admm.constraints.knapsack import Choice, choose
from admm.constraints.submatrices import Supports
from admm.constraints.support import expected_loss, matrix_shape, require_finite
from crossbar.tiling import LayerShape, from_matrix, to_matrix
from hwmodels.errors import UserError
from hwmodels.quantities import Count, NonNegative, Positive

Cost = Callable[[LayerShape, np.ndarray, np.ndarray], np.ndarray]
"""(shape, kept rows, kept columns of the matrix of every group; int64, one shape) → cost of the layer, float64."""

Measure = Literal["energy", "share", "loss"]
"""What a projection loses least of; see `Budget`."""
MOST_STEPS = 32
"""Numbers of rows, and of columns, that the options of a layer are made of, at most."""
_TOLERANCE = 1e-9


class Option(NamedTuple):
    """Kept rows and columns of the matrix of each of the layer's groups, and what the layer then costs."""

    rows: Count
    cols: Count
    cost: NonNegative


@plain_dataclass(frozen=True, eq=False)
class Solution:
    """masks: name → bool of the weight's shape; options: name → the option taken; choice: cost, value and bound."""

    masks: dict[str, Tensor]
    options: dict[str, Option]
    choice: Choice


@final
@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Budget:
    """All layers together cost at most `limit`, each by the rows and columns of its matrix that are not zero.

    options: module name → what the layer may shrink to; `Budget.of` makes them from a cost function, so that the
    budget itself is data. measure: what the projection loses: "energy", the squared norm of what it zeroes (the
    Euclidean projection), "share", the same over each layer's own squared norm (Euclidean with every layer scaled to
    norm 1, so that layers of small weights are not the first to go), or "loss", an estimate of what zeroing costs in
    loss: squares of weights times their curvature (Euclidean with every weight scaled by its root). feeds: reader → the
    layer whose filters alone it reads and that nobody else reads, neither with groups (`crossbar.paths.Paths.feeds`);
    filter j of the one makes rows j·s … (j + 1)·s − 1 of the other. The projection keeps such rows only where it keeps
    the filter.

    The orders: rows by falling energy over all columns; columns by falling energy over all rows, theirs and those of
    the reader that they make; in each group of a grouped convolution by itself; a tie leaves the lower number first.
    Option (r, c) keeps the first c columns and the first r of the rows that the layer before makes (all of them where
    there are fewer). A layer keeps at least as many rows as the layer before keeps columns, since others could not all
    be read, unless those are the fewest that it can keep. The projection takes the options of largest kept measure
    within the limit: exactly, unless `Choice.exact` is False. Then rows and columns are chosen again in turns, each by
    its energy in what the others keep, as long as that gains. The Lagrangian bound of the choice is one for options
    along those orders; it bounds nothing outside them (the best submatrix of a given size is NP-hard), and what the
    turns keep can lie above it.
    """

    options: Annotated[dict[str, tuple[Option, ...]], Field(min_length=1)]
    limit: Positive
    measure: Measure = "energy"
    feeds: dict[str, str] = Field(default_factory=dict)

    @staticmethod
    def of(
        shapes: Mapping[str, LayerShape],
        cost: Cost | Mapping[str, Cost],
        limit: float,
        *,
        array: tuple[int, int],
        whole_cols: Collection[str] = (),
        measure: Measure = "energy",
        feeds: Mapping[str, str] | None = None,
    ) -> Budget:
        """Tabulate a cost.

        shapes: module name → the layer as arrays see it. cost: of a layer, one for all or one for each name.
        array: rows and columns of an array; the options step by quarters of it, by halves and whole ones where a layer
        has many. Of options of equal cost only those stay that no larger one contains: where arrays are counted, those
        that fill them. (Of layers that feed another one all numbers of columns stay, since every column that is kept
        takes a row of the reader.) whole_cols: layers that keep every column (a network's outputs). measure, feeds: see
        the class.
        Raises UserError for a cost that is not finite or falls when more is kept.
        """
        feeds, options = dict(feeds or {}), {}
        for name, shape in shapes.items():
            rows, cols = steps(shape.rows, array[0]), steps(shape.cols, array[1])
            table = _Table(name, shape, rows, cols[-1:] if name in whole_cols else cols)
            costs = table.costs(cost[name] if isinstance(cost, Mapping) else cost)
            options[name] = table.options(costs, any_cols=name in feeds.values())
        return Budget(options=options, limit=limit, measure=measure, feeds=feeds)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that share the budget."""
        return tuple(self.options)

    @property
    def smallest(self) -> float:
        """The least that the layers can cost."""
        return sum(min(option.cost for option in options) for options in self.options.values())

    @property
    def largest(self) -> float:
        """What the layers cost unpruned."""
        return sum(max(option.cost for option in options) for options in self.options.values())

    def solve(
        self,
        weights: Mapping[str, Tensor],
        groups: Mapping[str, int] | None = None,
        curvature: Mapping[str, Tensor] | None = None,
    ) -> Solution:
        """The projection's masks and the account of it. weights: of every layer of the budget, any device.

        curvature: for measure = "loss", of every weight (`admm.curvature`); 1 where none is given.

        Raises UserError for weights that are not finite, options larger than a layer, an impossible limit, and feeds
        between layers that cannot read one another.
        """
        self._check_limit()
        supports = Supports(self._gains(weights, groups or {}, curvature or {}), self.feeds)
        order = [name for chain in supports.chains for name in chain]
        tables = {name: np.array(self.options[name]) for name in order}
        values, states, cols = [], [], {}
        for name in order:
            sizes = tables[name][:, :2].astype(np.int64)
            values.append(supports.kept(name, sizes, cols[self.feeds[name]] if name in self.feeds else None))
            cols[name], handed = np.unique(sizes[:, 1], return_inverse=True)
            states.append(handed if name in supports.readers else None)
        choice = choose(values, [tables[name][:, 2] for name in order], self.limit, states)
        numbers = dict(zip(order, choice.options, strict=True))
        taken = {name: options[numbers[name]] for name, options in self.options.items()}
        kept = supports.kept_at({name: (option.rows, option.cols) for name, option in taken.items()})
        masks = {name: _mask(kept[name], weights[name]) for name in self.options}
        return Solution(masks, taken, replace(choice, options=tuple(numbers[name] for name in self.options)))

    def masks(
        self,
        weights: Mapping[str, Tensor],
        groups: Mapping[str, int] | None = None,
        curvature: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Name → bool of the weight's shape, what the projection keeps; see `solve`."""
        return self.solve(weights, groups, curvature).masks

    def project(self, weights: Mapping[str, Tensor], groups: Mapping[str, int] | None = None) -> dict[str, Tensor]:
        """Name → the tensors of the set that the projection takes, all layers together."""
        masks = self.masks(weights, groups)
        return {name: weights[name].detach().masked_fill(~mask, 0) for name, mask in masks.items()}

    def cost(self, weights: Mapping[str, Tensor], groups: Mapping[str, int] | None = None) -> dict[str, float]:
        """Name → the cost of the smallest option that holds all non-zero rows and columns of the layer."""
        return {name: self._cost_of(name, weights[name], (groups or {}).get(name, 1)) for name in self.options}

    def holds(self, weights: Mapping[str, Tensor], groups: Mapping[str, int] | None = None) -> bool:
        """Whether the cost of what is not zero stays within the limit (to nine digits)."""
        return sum(self.cost(weights, groups).values()) <= self.limit * (1 + _TOLERANCE)

    def _gains(
        self, weights: Mapping[str, Tensor], groups: Mapping[str, int], curvature: Mapping[str, Tensor]
    ) -> dict[str, np.ndarray]:
        """Name → (groups, rows, cols): what each crossing adds to the measure, float64."""
        found = {}
        for name in self.options:
            w, count = weights[name], groups.get(name, 1)
            matrix_shape(tuple(w.shape), count)
            gain = expected_loss(w, curvature.get(name) if self.measure == "loss" else None)
            total = float(gain.sum()) if self.measure == "share" else 0.0
            found[name] = np.ascontiguousarray(to_matrix(gain / total if total else gain, count).numpy())
        return found

    def _cost_of(self, name: str, w: Tensor, groups: int) -> float:
        require_finite(w)
        live = to_matrix(w.detach().cpu(), groups) != 0
        rows, cols = int(live.any(2).sum(1).max()), int(live.any(1).sum(1).max())
        fitting = [option.cost for option in self.options[name] if option.rows >= rows and option.cols >= cols]
        return min(fitting, default=float("inf"))

    def _check_limit(self) -> None:
        if self.smallest > self.limit * (1 + _TOLERANCE):
            raise UserError(
                f"A budget of {self.limit:g} is impossible: with the fewest rows and columns that the options leave, "
                f"the layers together cost {self.smallest:g}. Give at least that."
            )


def _mask(kept: np.ndarray, w: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(from_matrix(kept, tuple(w.shape)))).to(w.device)


class _Table(NamedTuple):
    """Numbers of rows and columns that a layer may keep, each ascending."""

    name: str
    shape: LayerShape
    rows: np.ndarray
    cols: np.ndarray

    def costs(self, cost: Cost) -> np.ndarray:
        """(rows, cols): what they cost; refuses what is not finite or falls."""
        rows, cols = np.meshgrid(self.rows, self.cols, indexing="ij")
        costs = np.asarray(cost(self.shape, rows, cols), dtype=np.float64)
        if not np.isfinite(costs).all() or (costs < 0).any():
            raise UserError(f"The cost of layer {self.name!r} is not finite for all of its options: {costs.tolist()}.")
        if (costs > _onward(costs) + _slack(costs)).any():
            raise UserError(f"The cost of layer {self.name!r} falls when more rows or columns are kept; it must not.")
        return costs

    def options(self, costs: np.ndarray, *, any_cols: bool) -> tuple[Option, ...]:
        """Those that no larger one of the same cost contains; any_cols: none with the same columns."""
        larger = np.full((costs.shape[0] + 1, costs.shape[1] + 1), np.inf)
        larger[:-1, :-1] = _onward(costs)
        contained = larger[1:, :-1] if any_cols else np.minimum(larger[1:, :-1], larger[:-1, 1:])
        kept = np.argwhere(contained > costs + _slack(costs))
        return tuple(Option(int(self.rows[i]), int(self.cols[j]), float(costs[i, j])) for i, j in kept)


def _onward(costs: np.ndarray) -> np.ndarray:
    """From the far corner: the least that any option with as many rows and columns costs."""
    return np.minimum.accumulate(np.minimum.accumulate(costs[::-1, ::-1], 0), 1)[::-1, ::-1]


def _slack(costs: np.ndarray) -> float:
    return _TOLERANCE * float(costs.max())


def steps(total: int, size: int) -> np.ndarray:
    """Numbers of lines to keep, ascending to `total`: by quarters of an array's size, coarser where that is too many.

    Coarser steps are halves, whole strips, or several strips, so that at most `MOST_STEPS` numbers come out; every
    step that is not a fraction ends on a strip's edge.
    """
    fractions = [size // parts for parts in (4, 2, 1) if size % parts == 0]
    coarse = size * ceil(ceil(total / size) / MOST_STEPS)
    step = next((step for step in fractions if ceil(total / step) <= MOST_STEPS), coarse)
    return np.unique(np.append(np.arange(step, total, step), total)).astype(np.int64)
