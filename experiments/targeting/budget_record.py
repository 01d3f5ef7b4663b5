"""The record of `ohmweave compress`: what was asked, what the network now is and costs, and the files beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from admm import Compressed, Plan
from admm.constraints import Budget
from experiments.run_folder import write_json
from experiments.setup import Setup
from experiments.targeting.floor_search import held_out_accuracy
from experiments.targeting.targets import TOTALS, Target
from hwmodels import Estimate, atomic

RECORD = "compress.json"
SCHEMA = "ohmweave.compress/1"
_COSTS = ("area_mm2", "power_mw", "energy_nj", "latency_us", "arrays", "frame_rate_hz")


def build(
    setup: Setup,
    compressed: Compressed,
    cost: dict[str, Estimate],
    command: str,
    dense: float,
    tries: list[dict[str, Any]] | None,
) -> dict[str, Any]:
    """The record. dense: test accuracy of the dense network; tries: of a search for the smallest budget."""
    total = sum(mask.numel() for mask in compressed.masks.values())
    kept = sum(int(mask.sum()) for mask in compressed.masks.values())
    floor = setup.config.compress.accuracy_floor
    held_out = None if floor is None else held_out_accuracy(setup, compressed.model)
    return {
        "schema": SCHEMA,
        "command": command,
        "config": setup.config.resolved(),
        "accuracy": {"dense": dense, **compressed.stages},
        "held_out": held_out,
        "weights": {"total": total, "kept": kept},
        "cost": {which: {key: float(cost[which].totals[key]) for key in _COSTS} for which in cost},
        "target": None if setup.target is None else budget_account(setup, setup.target, compressed, cost["placed"]),
        "tries": tries or [],
        "violations": compressed.violations(),
    }


def budget_account(setup: Setup, target: Target, compressed: Compressed, placed: Estimate) -> dict[str, Any]:
    """What the budget allowed, what the options that were taken cost, and what the placement really costs.

    gap: by how much the measure that is kept falls short of its Lagrangian bound, as a share of the bound; the bound
    holds for the budget's options along their orders, and for nothing else. All None without a pruning stage.
    """
    budget = next(b for b in setup.plan.budgets if isinstance(b, Budget))
    last = compressed.choices.tail(len(budget.options)).to_dict("records")
    options = float(last[0]["total"])
    kept = sum(int(mask.sum()) for mask in compressed.masks.values())
    real = float(kept) if target.kind == "reduction" else float(placed.totals[TOTALS[target.kind]])
    return {
        "kind": target.kind,
        "limit": float(last[0]["limit"]),
        "smallest": budget.smallest,
        "unpruned": budget.largest,
        "options": options,
        "placed": real,
        "met": real <= float(last[0]["limit"]) * (1 + 1e-9),
        "gap": 1 - last[0]["kept"] / last[0]["bound"],
        "exact": bool(last[0]["exact"]),
        "layers": [{key: row[key] for key in ("layer", "rows", "cols", "cost")} for row in last],
    }


def write(record: dict[str, Any], compressed: Compressed, plan: Plan, out: Path) -> None:
    """`compress.json`, `plan.json`, `compressed/`, and the histories as CSV."""
    compressed.save(out / "compressed")
    atomic.write(out / "plan.json", TypeAdapter(Plan).dump_json(plan, indent=1).decode() + "\n")
    for name in ("history", "residuals", "choices"):
        table = getattr(compressed, name)
        atomic.write(out / f"{name}.csv", table.to_csv(index=False, lineterminator="\n").encode())
    write_json(out / RECORD, record)
