"""ADMM with a hardware budget: the layers' sizes are found, the budget holds, and a run can be interrupted."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from admm import Compressed, LayerPlan, Plan, Schedule, compress
from admm.constraints import Budget, ColumnBalanced, Levels
from admm.relax import relaxed_budget
from crossbar.tiling import LayerShape
from hwmodels.errors import UserError

SHAPES = {
    "0": LayerShape(rows=9, cols=8, positions=16),
    "3": LayerShape(rows=36, cols=6, groups=2, positions=16),
    "7": LayerShape(rows=192, cols=10),
}
LEVELS = Levels((-1.0, -0.5, 0.5, 1.0), "fit")


def arrays(shape, rows, cols):
    return shape.groups * np.ceil(rows / 8) * np.ceil(cols / 4)


def _plan(limit, **changes):
    budget = Budget.of(SHAPES, arrays, limit, array=(8, 4), whole_cols=["7"], measure="share")
    schedule = Schedule(admm_epochs=4, update_every=1, retrain_epochs=2, finish_epochs=1, lr=2e-3)
    layers = (LayerPlan(name="*", levels=LEVELS),)
    return Plan(layers=layers, budgets=(budget,), schedule=schedule, **changes)


def _arrays_of(model):
    """Arrays by hand: rows and columns of every group's matrix that are not zero."""
    total = 0
    for name, shape in SHAPES.items():
        w = model.get_submodule(name).weight.detach()
        for matrix in w.reshape(shape.groups, shape.cols, -1):
            live = matrix != 0
            total += -(-int(live.any(0).sum()) // 8) * -(-int(live.any(1).sum()) // 4)
    return total


def test_the_budget_holds_and_the_choices_are_told(convolutional, batches, evaluate):
    made = compress(convolutional, _plan(30.0), batches, evaluate)
    assert made.violations() == {"levels": 0, "constraints": 0}
    assert _arrays_of(made.model) <= 30 < _arrays_of(convolutional)
    choices = made.choices
    assert set(choices["stage"]) == {"admm", "retrain"}
    assert choices["epoch"].unique().tolist() == [0, 1, 2, 3, 4]
    assert (
        choices.groupby(["stage", "epoch"])["cost"].sum().tolist()
        == choices.groupby(["stage", "epoch"])["total"].first().tolist()
    )
    assert (choices["total"] <= 30).all()
    assert (choices["kept"] <= choices["bound"] * (1 + 1e-9)).all()
    final = choices[choices["stage"] == "retrain"].set_index("layer")
    for name, mask in made.masks.items():
        assert int(mask.sum()) == SHAPES[name].groups * final.loc[name, "rows"] * final.loc[name, "cols"]
    assert final.loc["7", "cols"] == 10
    assert made.stages["quantised"] > 0.5


def test_other_pruning_sets_hold_too(convolutional, batches, evaluate):
    plan = _plan(30.0)
    layers = (LayerPlan(name="7", levels=LEVELS, prune=(ColumnBalanced(8, 3),)), *plan.layers)
    made = compress(convolutional, Plan(layers=layers, budgets=plan.budgets, schedule=plan.schedule), batches, evaluate)
    assert made.violations() == {"levels": 0, "constraints": 0}
    assert ColumnBalanced(8, 3).holds(made.model.get_submodule("7").weight)
    assert _arrays_of(made.model) <= 30


@pytest.mark.parametrize("solver", ["admm", "slr"])
def test_rounds_of_pruning_close_in_on_the_budget(convolutional, batches, evaluate, solver):
    schedule = Schedule(
        admm_epochs=2,
        update_every=1,
        retrain_epochs=1,
        finish_epochs=1,
        lr=2e-3,
        steps=3,
        step_ratio=1.5,
        solver=solver,
    )
    plan = _plan(30.0)
    seen = []

    def arrays_live(masks):
        seen.append({name: mask.clone() for name, mask in masks.items()})
        return {"live": sum(int(mask.sum()) for mask in masks.values())}

    made = compress(
        convolutional, Plan(layers=plan.layers, budgets=plan.budgets, schedule=schedule), batches, evaluate,
        cost=arrays_live,
    )  # fmt: skip
    assert made.violations() == {"levels": 0, "constraints": 0}
    assert _arrays_of(made.model) <= 30
    limits = made.choices.groupby("epoch", sort=True)["limit"].max().unique()
    assert limits.tolist() == [67.5, 45.0, 30.0]
    assert (made.choices["total"] <= made.choices["limit"]).all()
    # A later round keeps nothing that an earlier one had cut.
    decided = [seen[number] for number in np.flatnonzero(made.history["stage"] == "retrain")]
    for before, after in pairwise(decided):
        assert all(not bool((after[name] & ~before[name]).any()) for name in after)


def test_a_relaxed_limit_ends_at_the_unpruned_cost():
    budget = _plan(30.0).budgets[0]
    assert relaxed_budget(budget, 1.5, {}).limit == 45.0
    assert relaxed_budget(budget, 1e6, {}).limit == budget.largest
    assert relaxed_budget(replace(budget, limit=1e5), 2.0, {}).limit == 1e5


class StoppedError(Exception):
    """What a test stops a run with."""


def test_an_interrupted_run_ends_in_the_same_bits(convolutional, batches, evaluate, tmp_path):
    whole = compress(convolutional, _plan(30.0), batches, evaluate, seed=3)

    def stop(row):
        if row["epoch"] == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        compress(convolutional, _plan(30.0), batches, evaluate, seed=3, checkpoint_dir=tmp_path, on_epoch=stop)
    resumed = compress(convolutional, _plan(30.0), batches, evaluate, seed=3, checkpoint_dir=tmp_path)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    assert whole.choices.equals(resumed.choices)
    # Another limit is another run.
    with pytest.raises(UserError, match="belongs to another run"):
        compress(convolutional, _plan(29.0), batches, evaluate, seed=3, checkpoint_dir=tmp_path)
    # What is saved comes back, the budget and its account too.
    resumed.save(tmp_path / "made")
    loaded = Compressed.load(tmp_path / "made", convolutional)
    assert loaded.budgets == resumed.budgets
    assert loaded.choices.equals(resumed.choices)
    assert loaded.violations() == {"levels": 0, "constraints": 0}
    loaded.model.get_submodule("0").weight.data += 1
    assert loaded.violations()["constraints"] == 1


def test_an_impossible_budget_and_a_foreign_layer_are_refused_at_once(convolutional, batches, evaluate):
    with pytest.raises(UserError, match=r"budget of 3 is impossible: .* cost 6"):
        compress(convolutional, _plan(3.0), batches, evaluate)
    budget = Budget.of({"8": SHAPES["0"]}, arrays, 9.0, array=(8, 4))
    with pytest.raises(UserError, match="layer '8'"):
        compress(convolutional, Plan(budgets=(budget,)), batches, evaluate)
