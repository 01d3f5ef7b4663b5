"""Where a compression stands: everything that changes from epoch to epoch, and its way to disk and back."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from admm import checkpoint
from admm.compressed import grid_tree, tree_grid
from admm.constraints import Budget, Shared, Solution
from admm.layers import Layer
from admm.plan import Plan
from admm.relatives import Surrogate
from admm.solver import Copies, Residuals
from crossbar.levels import LevelGrid
from hwmodels.errors import UserError


@dataclass
class State:
    """The changing part of a run, beside the model's and the optimiser's own.

    stage, done: number of the stage and its epochs that are behind us; rho: the penalty; copies: ADMM state of
    each layer (empty in stages without ADMM); masks, grids: as in `Compressed`, once they are fixed;
    signs: int8, those of the fragments of polarised layers, fixed with the masks;
    best: lowest training loss of the projected model in stage "finish", and that model's state;
    stopped: whether the stage's ADMM has converged before its last epoch; surrogate: where SLR stands;
    pins: what pinned weights are in this stage, see `pins`; curvature: of the weights, where a budget asks for it;
    rows, residuals, choices: the histories so far; accuracy: the stage accuracies known so far.
    """

    rho: float
    stage: int = 0
    done: int = 0
    copies: dict[str, Copies] = field(default_factory=dict)
    masks: dict[str, Tensor] = field(default_factory=dict)
    signs: dict[str, Tensor] = field(default_factory=dict)
    grids: dict[str, LevelGrid] = field(default_factory=dict)
    best: dict[str, Any] | None = None
    stopped: bool = False
    surrogate: Surrogate | None = None
    pins: dict[str, Tensor] = field(default_factory=dict)
    curvature: dict[str, Tensor] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    residuals: list[dict[str, Any]] = field(default_factory=list)
    choices: list[dict[str, Any]] = field(default_factory=list)
    accuracy: dict[str, float] = field(default_factory=dict)

    def live(self, name: str) -> Tensor:
        """The entries of a layer that pruning keeps, or would keep if it were final now."""
        pruning = name in self.copies and self.copies[name].y is not None
        return self.copies[name].live if pruning or name not in self.masks else self.masks[name]

    def record(self, stage: str, epoch: int, found: list[Residuals]) -> None:
        """Add the residuals of an update, absolute and relative to the layer's weights."""
        for r in found:
            relative = {
                "primal_relative": r.primal / r.norm if r.norm else math.nan,
                "dual_relative": r.dual / r.norm if r.norm else math.nan,
            }
            self.residuals.append({"stage": stage, "epoch": epoch, "rho": self.rho, **vars(r), **relative})

    def account(self, stage: str, epoch: int, budgets: Sequence[Shared], solutions: Sequence[Solution]) -> None:
        """Add what the projections on hardware budgets chose, a row for each layer."""
        limits = [budget.limit for budget in budgets if isinstance(budget, Budget)]
        for limit, solved in zip(limits, solutions, strict=True):
            choice = solved.choice
            whole = {"total": choice.cost, "limit": limit, "kept": choice.value, "bound": choice.bound}
            for layer, option in solved.options.items():
                row = {"stage": stage, "epoch": epoch, "layer": layer, **option._asdict(), **whole}
                self.choices.append(row | {"exact": choice.exact})


def save(
    folder: str | os.PathLike[str], fingerprint: str, state: State, model: nn.Module, optimiser: torch.optim.Optimizer
) -> None:
    """Write everything that `load` needs, in one atomic step."""
    tree = {
        **vars(state),
        "copies": {name: copies.tree() for name, copies in state.copies.items()},
        "grids": {name: grid_tree(grid) for name, grid in state.grids.items()},
        "surrogate": state.surrogate and vars(state.surrogate),
        "model": dict(model.state_dict()),
        "optimiser": optimiser.state_dict(),
    }
    tensors, skeleton = checkpoint.flatten(tree)
    checkpoint.save(folder, tensors, {"fingerprint": fingerprint, "run": skeleton})


def load(
    folder: str | os.PathLike[str],
    fingerprint: str,
    layers: dict[str, Layer],
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
) -> State | None:
    """The state last saved, with model and optimiser put back to it; None when there is none.

    Raises UserError when the folder holds the state of another run.
    """
    found = checkpoint.load(folder)
    if found is None:
        return None
    if found[1].get("fingerprint") != fingerprint:
        raise UserError(
            f"The checkpoint in {os.fspath(folder)!r} belongs to another run: plan, seed or initial weights differ. "
            "Give another checkpoint_dir, or delete it to start afresh."
        )
    tree = checkpoint.unflatten(found[0], found[1]["run"])
    model.load_state_dict(tree.pop("model"))
    optimiser.load_state_dict(tree.pop("optimiser"))
    tree["grids"] = {name: tree_grid(grid) for name, grid in tree["grids"].items()}
    tree["surrogate"] = tree["surrogate"] and Surrogate(**tree["surrogate"])
    for kind in ("masks", "signs", "pins", "curvature"):
        tree[kind] = {name: part.to(layers[name].weight.device) for name, part in tree.get(kind, {}).items()}
    tree["copies"] = {name: _copies(layers[name], parts) for name, parts in tree["copies"].items()}
    return State(**tree)


def fingerprint(plan: Plan, seed: int, model: nn.Module, more: Mapping[str, Tensor] = MappingProxyType({})) -> str:
    """Digest of what determines a run but for its data: plan, seed, initial weights; more: and these tensors."""
    digest = hashlib.sha256(TypeAdapter(Plan).dump_json(plan))
    digest.update(str(seed).encode())
    for name, value in [*model.state_dict().items(), *more.items()]:
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _copies(layer: Layer, parts: dict[str, Any]) -> Copies:
    device = layer.weight.device
    moved = {name: part.to(device) if isinstance(part, Tensor) else part for name, part in parts.items()}
    return Copies(**{**moved, "layer": layer})
