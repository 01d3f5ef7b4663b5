"""What a compression gives back: the model on its levels, its masks and grids, and how it came there."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from admm import checkpoint
from admm.constraints import Shared, nearest
from admm.plan import LayerPlan
from admm.solver import Residuals
from crossbar.levels import LevelGrid
from hwmodels.errors import UserError

NAME = "compressed"
BUDGETS = TypeAdapter(tuple[Shared, ...])

HISTORY = (
    "stage", "epoch", "loss", "accuracy", "rho",
    "primal_prune", "dual_prune", "primal_quantise", "dual_quantise", "kept",
)  # fmt: skip
RESIDUALS = ("stage", "epoch", "rho", "layer", "copy", "primal", "dual", "norm", "primal_relative", "dual_relative")
CHOICES = ("stage", "epoch", "layer", "rows", "cols", "cost", "total", "limit", "kept", "bound", "exact")


@dataclass(frozen=True, eq=False)
class Compressed:
    """A compressed model with everything that placing it needs.

    model: in evaluation mode, every planned weight exactly on its grid or exactly 0.
    masks: module name → bool tensor of the weight's shape, True where the weight is live (all of them for a
        layer that is only quantised). grids: module name → level grid; empty when nothing was quantised.
    history: a row per epoch: stage, epoch (from 1, through all stages), loss (mean training loss without
        penalties), accuracy (the caller's `evaluate` at the end of the epoch; in stage "finish" on the levels),
        rho, primal_… and dual_… (residuals of all layers over ‖W‖; NaN in epochs without an update and where
        there is no such copy), kept (live weights of the planned layers if pruning were final now); then whatever the
        caller's `cost` named.
    residuals: a row per update, layer and copy ("prune" or "quantise"), absolute and relative to the layer's ‖W‖.
    stages: accuracy "pruned" (pruned and retrained, weights still free) and "quantised" (the final model; the
        same number when nothing is quantised).
    layers: module name → the constraints that hold there; budgets: those that several layers share.
    choices: a row per projection on a hardware budget and layer: stage, epoch, layer, the rows and columns that stay,
        cost (the layer's) and total (of all), the budget's limit, the measure that is kept along the stated orders, the
        Lagrangian bound of it over the budget's options, and whether the choice is known to be the best of them.
    """

    model: nn.Module
    masks: dict[str, Tensor]
    grids: dict[str, LevelGrid]
    history: pd.DataFrame
    residuals: pd.DataFrame
    stages: dict[str, float]
    layers: dict[str, LayerPlan]
    budgets: tuple[Shared, ...] = ()
    choices: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(CHOICES)))

    def violations(self) -> dict[str, int]:
        """What does not hold: {"levels": …, "constraints": …}, both 0 for a sound result.

        levels: live weights that are not bit for bit a level of their grid, and dead weights that are not 0;
        constraints: pairs of a layer and a pruning set that does not hold, and shared budgets that do not.
        """
        off = sum(self._off(name) for name in self.masks)
        broken = 0
        for name, plan in self.layers.items():
            module = self.model.get_submodule(name)
            broken += sum(not s.holds(_weight(module), _groups(module)) for s in plan.prune)
        for budget in self.budgets:
            modules = {name: self.model.get_submodule(name) for name in budget.layers}
            groups = {name: _groups(module) for name, module in modules.items()}
            broken += not budget.holds({name: _weight(module) for name, module in modules.items()}, groups)
        return {"levels": off, "constraints": broken}

    def _off(self, name: str) -> int:
        w, live = _weight(self.model.get_submodule(name)), self.masks[name]
        dead = int((w[~live] != 0).sum())
        if name not in self.grids:
            return dead
        return dead + int((nearest(w, self.grids[name]) != w)[live].sum())

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write everything to a folder (safetensors and JSON); the model's code is not stored."""
        plans = TypeAdapter(dict[str, LayerPlan]).dump_python(self.layers, mode="json")
        tensors, tree = checkpoint.flatten(
            {
                "weights": dict(self.model.state_dict()),
                "masks": dict(self.masks),
                "grids": {name: grid_tree(grid) for name, grid in self.grids.items()},
                "history": self.history.to_dict("records"),
                "residuals": self.residuals.to_dict("records"),
                "choices": self.choices.to_dict("records"),
                "stages": self.stages,
                "layers": json.dumps(plans),
                "budgets": json.dumps(BUDGETS.dump_python(self.budgets, mode="json")),
            }
        )
        checkpoint.save(folder, tensors, {"compressed": tree}, name=NAME)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], model: nn.Module) -> Compressed:
        """Read what `save` wrote into a copy of a model of the same architecture.

        Raises UserError when the folder holds none, the files are damaged, or the model does not fit.
        """
        found = checkpoint.load(folder, name=NAME)
        if found is None:
            raise UserError(f"There is no compressed model in {os.fspath(folder)!r} (no {NAME}.json).")
        state = checkpoint.unflatten(found[0], found[1]["compressed"])
        model = copy.deepcopy(model)
        try:
            model.load_state_dict(state["weights"])
        except RuntimeError as error:
            raise UserError(
                f"The compressed model in {os.fspath(folder)!r} has another architecture: {error}"
            ) from error
        layers = TypeAdapter(dict[str, LayerPlan]).validate_json(state["layers"])
        return cls(
            model=model.eval(),
            masks={name: mask.to(_weight(model.get_submodule(name)).device) for name, mask in state["masks"].items()},
            grids={name: tree_grid(tree) for name, tree in state["grids"].items()},
            history=history_table(state["history"]),
            residuals=pd.DataFrame(state["residuals"], columns=list(RESIDUALS)),
            stages=state["stages"],
            layers=layers,
            budgets=BUDGETS.validate_json(state.get("budgets", "[]")),
            choices=pd.DataFrame(state.get("choices", []), columns=list(CHOICES)),
        )


def grid_tree(grid: LevelGrid) -> dict[str, Any]:
    """A level grid as tensors, for a checkpoint."""
    return {"values": torch.tensor(grid.values), "scale": torch.tensor(grid.scale)}


def tree_grid(tree: Mapping[str, Tensor]) -> LevelGrid:
    """Undo `grid_tree`."""
    return LevelGrid(tree["values"].numpy(), tree["scale"].numpy())


def total(residuals: Sequence[Residuals], kind: str) -> tuple[float, float]:
    """Primal and dual residual of all layers with such a copy, over the norm of their weights; NaN without one."""
    mine = [r for r in residuals if r.copy == kind]
    norm = math.hypot(*(r.norm for r in mine))
    if not norm:
        return math.nan, math.nan
    return math.hypot(*(r.primal for r in mine)) / norm, math.hypot(*(r.dual for r in mine)) / norm


def history_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of a history as a table: the columns of every history, then those that the caller's `cost` added."""
    more = [key for key in (rows[0] if rows else {}) if key not in HISTORY]
    return pd.DataFrame(rows, columns=[*HISTORY, *more])


def _groups(module: nn.Module) -> int:
    return int(getattr(module, "groups", 1))


def _weight(module: nn.Module) -> Tensor:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight.detach()
