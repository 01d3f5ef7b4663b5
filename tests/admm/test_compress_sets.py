"""Every kind of constraint through a whole compression: at the end it holds exactly."""

import numpy as np
import pytest
import torch
from torch import nn

from admm import Compressed, LayerPlan, Plan, Schedule, compress
from admm.constraints import (
    NM,
    ArrayColumn,
    ArrayRow,
    Binary,
    Cluster,
    Column,
    ColumnBalanced,
    Filter,
    GlobalBudget,
    Kernel,
    Levels,
    Pattern,
    Polarised,
    PowerOfTwo,
    Ternary,
    Uniform,
    Unstructured,
)
from admm.layers import resolve, resolve_budgets
from crossbar.tiling import to_matrix
from hwmodels.errors import UserError

OPEN = Levels((-1.0, -0.75, -0.5, -0.25, 0.25, 0.5, 0.75, 1.0), "fit")
LOPSIDED = Levels((-1.0, -0.05, 0.4, 1.0), "fit")  # the nearest level of a small positive weight is negative
SHORT = Schedule(admm_epochs=2, update_every=1, retrain_epochs=1, finish_epochs=1, rho=0.05, quantise_epochs=None)
CONV, LINEAR = "3", "7"


def run(convolutional, batches, evaluate, *layers, **options):
    plan = Plan(layers=layers, schedule=options.pop("schedule", SHORT), **options)
    result = compress(convolutional, plan, batches, evaluate)
    assert result.violations() == {"levels": 0, "constraints": 0}
    return result


def weight(result, name):
    return result.model.get_submodule(name).weight.detach()


@pytest.mark.parametrize(
    ("constraint", "levels"),
    [
        (Kernel(0.5), OPEN),
        (Pattern(4, 3), OPEN),
        (ArrayRow(4, 0.5), None),
        (ArrayColumn(8, 0.5), None),
        (NM(1, 2, "channels"), OPEN),
        (NM(2, 4, "rows"), None),
        (ColumnBalanced(9, 3), None),
        (Polarised(4, "C"), None),
    ],
    ids=lambda c: getattr(c, "kind", "free"),
)
def test_a_pruning_set_holds_at_the_end(constraint, levels, convolutional, batches, evaluate):
    result = run(convolutional, batches, evaluate, LayerPlan(name=CONV, prune=(constraint,), levels=levels))
    w, (held,) = weight(result, CONV), result.layers[CONV].prune
    assert held.holds(w, 2)
    assert not held.holds(convolutional[3].weight.detach(), 2)
    assert 0 < int((w == 0).sum()) < w.numel()
    assert torch.equal(w != 0, result.masks[CONV]) or levels is None
    assert result.stages["quantised"] > 0.6


def test_no_column_of_an_array_sums_more_than_its_live_cells(convolutional, batches, evaluate):
    result = run(convolutional, batches, evaluate, LayerPlan(name=LINEAR, prune=(ColumnBalanced(32, 4),), levels=OPEN))
    matrix = to_matrix(weight(result, LINEAR))[0]
    assert max(int((strip != 0).sum(0).max()) for strip in matrix.split(32)) == 4


@pytest.mark.parametrize(
    ("levels", "order", "joint"),
    [(OPEN, "joint", False), (LOPSIDED, "sequential", False), (LOPSIDED, "joint", True), (Uniform(3), "joint", True)],
    ids=["open", "lopsided-sequential", "lopsided-joint", "uniform-joint"],
)
def test_polarity_survives_retraining_and_the_levels(levels, order, joint, convolutional, batches, evaluate):
    calm = Schedule(admm_epochs=3, update_every=1, retrain_epochs=2, finish_epochs=2, rho=0.05, retrain_lr=0.02)
    constraint = Polarised(8, refresh=2)
    entry = LayerPlan(name=LINEAR, prune=(constraint,), levels=levels, joint=joint)
    result = run(convolutional, batches, evaluate, entry, order=order, schedule=calm)
    fragments = weight(result, LINEAR).reshape(10, -1, 8)
    assert not ((fragments > 0).any(2) & (fragments < 0).any(2)).any()
    assert (weight(result, LINEAR)[result.masks[LINEAR]] != 0).all()  # on a level, and zero is none
    assert {-1, 1} == set(weight(result, LINEAR).sign().unique().tolist()) - {0}


def test_signs_are_refreshed_on_their_schedule(convolutional):
    from admm import solver

    layer = resolve(Plan(layers=(LayerPlan(name=LINEAR, prune=(Polarised(4, refresh=3),)),)), convolutional)[LINEAR]
    copies = solver.begin(layer, None, prune=True, quantise=False)
    first = copies.signs
    assert first is not None
    assert copies.u is not None
    for update in (1, 2, 3):
        copies.u = -2 * layer.weight.detach()  # W + U has every sign turned
        solver.update(copies, 1.0)
        turned = copies.signs is not None and bool((copies.signs != first).any())
        assert turned == (update == 3)


@pytest.mark.parametrize(
    ("levels", "values"),
    [
        (Binary(), 2),
        (Ternary(), 3),
        (PowerOfTwo(3), 6),
        (Uniform(3), 8),
        (Uniform(3, zero=True, per="channel"), 7),
        (Cluster(5), 5),
    ],
    ids=lambda v: getattr(v, "kind", None),
)
def test_a_quantiser_holds_at_the_end(levels, values, convolutional, batches, evaluate, tmp_path):
    entries = [LayerPlan(name=name, prune=(Column(0.75),), levels=levels) for name in (CONV, LINEAR)]
    result = run(convolutional, batches, evaluate, *entries)
    for name in (CONV, LINEAR):
        w, live = weight(result, name), result.masks[name]
        assert levels.holds(w, live)
        each = [w[i][live[i]] for i in range(len(w))] if getattr(levels, "per", "") == "channel" else [w[live]]
        assert all(1 < part.unique().numel() <= values for part in each)
    assert result.stages["quantised"] > 0.5
    result.save(tmp_path)
    back = Compressed.load(tmp_path, convolutional)
    assert back.layers == result.layers
    assert back.violations() == {"levels": 0, "constraints": 0}
    assert all(np.array_equal(back.grids[name].scale, result.grids[name].scale) for name in back.grids)
    with torch.no_grad():
        w = back.model.get_submodule(LINEAR).weight
        w[tuple(back.masks[LINEAR].nonzero()[0])] *= 1 + 2e-7
    assert back.violations()["levels"] == 1


def test_a_budget_for_all_layers_holds_at_the_end(convolutional, batches, evaluate, tmp_path):
    budget = GlobalBudget(layers=("3", "7"), of=Unstructured(0.2))
    plan = (LayerPlan(name="0", levels=OPEN), LayerPlan(name="3", prune=(Filter(0.75),), levels=OPEN))
    result = run(convolutional, batches, evaluate, *plan, budgets=(budget,))
    kept = {name: float(result.masks[name].float().mean()) for name in ("0", "3", "7")}
    total = sum(result.masks[name].numel() for name in ("3", "7"))
    assert sum(int(result.masks[name].sum()) for name in ("3", "7")) <= int(0.2 * total + 1e-9)
    assert kept["0"] == 1
    assert abs(kept["3"] - kept["7"]) > 0.05  # the weights decide, not a rate for each layer
    result.save(tmp_path)
    back = Compressed.load(tmp_path, convolutional)
    assert back.budgets == result.budgets == (GlobalBudget(layers=("3", "7"), of=Unstructured(0.2)),)
    with torch.no_grad():
        back.model.get_submodule("7").weight.fill_(1.0)
    assert back.violations()["constraints"] == 1


def test_a_budget_is_resumed_with_signs_and_counts(convolutional, batches, evaluate, tmp_path):
    plan = Plan(
        layers=(LayerPlan(name="7", prune=(Polarised(4, refresh=2),), levels=OPEN), LayerPlan(name="3", levels=OPEN)),
        budgets=(GlobalBudget(layers=("3", "7"), of=Column(0.5)),),
        schedule=Schedule(admm_epochs=4, update_every=1, retrain_epochs=1, finish_epochs=1),
    )

    def stop(row):
        raise KeyboardInterrupt

    whole = compress(convolutional, plan, batches, evaluate)
    for _ in range(6):
        with pytest.raises(KeyboardInterrupt):
            compress(convolutional, plan, batches, evaluate, checkpoint_dir=tmp_path, on_epoch=stop)
    parts = compress(convolutional, plan, batches, evaluate, checkpoint_dir=tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True))
    assert parts.violations() == {"levels": 0, "constraints": 0}


def test_a_pattern_library_comes_from_the_weights_at_the_start(convolutional):
    plan = Plan(layers=(LayerPlan(name=CONV, prune=(Pattern(4, 3),)),))
    (found,) = resolve(plan, convolutional)[CONV].prune
    assert found == Pattern(4, 3).chosen(convolutional[3].weight, 2)
    assert isinstance(found, Pattern)
    assert found.library is not None


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (LayerPlan(name="7", prune=(Kernel(0.5),)), r"^Layer '7': Kernel prunes inside the kernels of a convolution"),
        (LayerPlan(name="7", prune=(Pattern(2, 2),)), r"^Layer '7': Pattern prunes inside the kernels"),
        (LayerPlan(name="3", prune=(ArrayRow(4, 99999),)), r"^Layer '3': .* asks for 99999 groups"),
        (LayerPlan(name="7", prune=(Polarised(4), Polarised(2))), r"^Layer '7' has one polarity"),
        (
            LayerPlan(name="7", prune=(Polarised(4),), levels=Cluster(4)),
            r"^Layer '7': Polarised needs levels above and",
        ),
        (
            LayerPlan(name="7", prune=(Polarised(4),), levels=Levels((0.5, 1.0))),
            r"^Layer '7': Polarised needs levels above and below zero",
        ),
    ],
)
def test_sets_that_do_not_fit_a_layer_are_named(plan, message, convolutional):
    with pytest.raises(UserError, match=message):
        resolve(Plan(layers=(plan,)), convolutional)


def test_levels_without_the_sign_of_the_weights_are_named_with_the_layer():
    model = nn.Sequential(nn.Linear(3, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[-1.0, 1.0, 0.0], [2.0, 3.0, 4.0]]))
    for levels in (Levels((0.5, 1.0), "fit"), Levels((0.0, 1.0))):
        with pytest.raises(UserError, match=r"^Layer '0': 1 of 6 weights are negative, and the levels .*of both signs"):
            resolve(Plan(layers=(LayerPlan(name="0", levels=levels),)), model)
    with pytest.raises(UserError, match=r"^Layer '0': 4 of 6 weights are positive"):
        resolve(Plan(layers=(LayerPlan(name="0", levels=Levels((-0.5, 0.0), "fit")),)), model)
    with torch.no_grad():
        model[0].weight.abs_()
    resolve(Plan(layers=(LayerPlan(name="0", levels=Levels((0.0, 1.0), "fit")),)), model)  # nothing to refuse


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (GlobalBudget(layers=("fc*",), of=Filter(3)), r"Unknown layer 'fc\*'"),
        (GlobalBudget(layers=("1",), of=Filter(3)), "BatchNorm2d, which has no weight matrix"),
        (GlobalBudget(layers=("3", "7"), of=Filter(99)), "asks for 99 groups, but the layers together have 22"),
        (GlobalBudget(layers=("3", "7"), of=Filter(1)), "leaves less than floor = 1 groups for each of 2 layers"),
    ],
)
def test_budgets_that_do_not_fit_the_model_are_named(budget, message, convolutional):
    with pytest.raises(UserError, match=message):
        resolve_budgets(Plan(layers=(LayerPlan(name="*", levels=OPEN),), budgets=(budget,)), convolutional)
