"""What a layer costs by the rows and columns that it keeps: the hardware cost models as a function that ADMM takes.

Every option of a layer is a dense matrix on arrays of its own, priced by the library and the choices of [hardware] as a
placement is. Costs of layers add up to the chip's: the models have no part that layers share, and power is taken at a
fixed frame rate (the asked one, else that of the unpruned baseline). An option is an upper bound of what a placement of
a network that keeps its rows and columns costs:

- its cells take the energy of weights at g_max (a flipped column: half of its digits' sum) and of word lines driven
  fully in every cycle, since weights and inputs are not known before training;
- it counts both halves of every pair, and one that no weight of its sign needs is not built;
- of polarised fragments, which are read in turn, it counts as many as the kept rows could fall into.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor, nn

import hwmodels
import mapping
from admm.constraints import Budget
from admm.constraints.hardware_budget import Measure
from crossbar import ArraySpec, LayerShape
from experiments.pricing import Pricing
from experiments.targeting.option_tiles import option_tiles
from experiments.targeting.targets import Kind, Target
from hwmodels.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ChipCost:
    """The cost of every layer of a network by what it keeps.

    shapes, signed: by module name, in execution order; signed: whether inputs have both signs. feeds: reader → the
    layer that it alone reads (`mapping.feeds`), whose pruned filters take rows of the reader with them. unfollowed: why
    there are none, where the network's paths cannot be followed.
    rate_hz: the inferences per second at which power is taken.
    """

    pricing: Pricing
    array: ArraySpec
    shapes: dict[str, LayerShape]
    signed: dict[str, bool]
    feeds: dict[str, str]
    rate_hz: float
    unfollowed: str | None = None

    @staticmethod
    def of(
        network: nn.Module, pricing: Pricing, array: ArraySpec, baseline: ArraySpec, calibration: Tensor
    ) -> ChipCost:
        """Measure the layers' shapes and signs with a few inputs; training changes neither."""
        placed = mapping.place(network, baseline, calibration)  # polarised arrays take no unpruned network
        layers, rate = placed.layers, pricing.section.frame_rate_hz
        if rate is None:
            rate = pricing.estimate(placed.tiles).totals["frame_rate_hz"]
        unfollowed = None
        try:
            feeds = mapping.feeds(network, calibration)
        except UserError as error:
            feeds, unfollowed = {}, str(error)
        return ChipCost(
            pricing=pricing,
            array=array,
            shapes={name: layer.shape for name, layer in layers.items()},
            signed={name: layer.calibration.signed for name, layer in layers.items()},
            feeds={name: source for name, source in feeds.items() if name in layers and source in layers},
            rate_hz=rate,
            unfollowed=unfollowed,
        )

    def budget(self, target: Target, measure: Measure = "energy") -> Budget:
        """The budget that ADMM projects on. The last layer keeps all its columns: they are the network's outputs.

        measure: see `Budget`. A target without a limit gets the unpruned network's cost.
        Raises UserError, naming the smallest possible value, for a target that no choice of the options meets.
        """
        weights = sum(shape.weights for shape in self.shapes.values())
        budget = Budget.of(
            self.shapes,
            {name: self._cost(name, target.kind) for name in self.shapes},
            1.0,
            array=(self.array.rows, self.array.weight_cols),
            whole_cols=[list(self.shapes)[-1]],
            measure=measure,
            feeds=self.feeds,
        )
        if target.limit is None:
            return replace(budget, limit=budget.largest)
        limit = weights / target.limit if target.kind == "reduction" else target.limit
        if budget.smallest > limit * (1 + 1e-9):
            reached = weights / budget.smallest if target.kind == "reduction" else budget.smallest
            most = "the largest possible reduction" if target.kind == "reduction" else f"the smallest {target.kind}"
            raise UserError(
                f"compress.limit: {target.text(target.limit)} is impossible; {most} that pruning "
                f"rows and columns reaches is {target.text(reached)}. Ask for that, or choose another array or library."
            )
        return replace(budget, limit=limit)

    def _cost(self, name: str, kind: Kind) -> Callable[[LayerShape, np.ndarray, np.ndarray], np.ndarray]:
        def cost(shape: LayerShape, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
            if kind == "reduction":
                return (shape.groups * rows * cols).astype(np.float64)
            found = self._priced(name, shape, rows.reshape(-1), cols.reshape(-1), kind)
            return shape.groups * found.reshape(rows.shape)

        return cost

    def _priced(self, name: str, shape: LayerShape, rows: np.ndarray, cols: np.ndarray, kind: Kind) -> np.ndarray:
        """The cost of one group's matrix for every option: each is a layer of its own in one tile table."""
        section = self.pricing.section
        replicas = section.replicas.get(name, 1)
        priced = hwmodels.estimate(
            option_tiles(shape, self.signed[name], rows, cols, self.array),
            self.pricing.library,
            adc_model=section.adc_model,
            execution=section.execution,
            replicas={str(number): replicas for number in range(rows.size)},
        )
        costs = priced.costs
        if kind == "area":
            return costs.area.sum(axis=0) * 1e6
        if kind == "energy":
            return costs.energy.sum(axis=0) * 1e9
        if kind == "power":
            return (costs.energy * self.rate_hz + costs.leakage).sum(axis=0) * 1e3
        return priced.layers["arrays"].to_numpy(np.float64)
