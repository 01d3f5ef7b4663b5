"""Whole compressions by the other schedules and solvers, each interrupted after every epoch as well."""

import numpy as np
import pytest
import torch
from torch import nn

from admm import LayerPlan, Plan, Schedule, compress
from admm.constraints import Channel, Column, Filter, GlobalBudget, Levels, Unstructured
from admm.pins import Stuck
from hwmodels.errors import UserError

OPEN = tuple(np.concatenate([-np.arange(8, 0, -1), np.arange(1, 9)]) / 8)
LEVELS = Levels(OPEN, "fit")
SHORT = {"admm_epochs": 2, "update_every": 1, "retrain_epochs": 1, "finish_epochs": 1, "rho": 0.05}


def plan(order="joint", **schedule):
    return Plan(
        layers=(
            LayerPlan(name="0", prune=(Filter(0.75),), levels=LEVELS),
            LayerPlan(name="3", prune=(Channel(0.75), Column(0.5)), levels=LEVELS),
            LayerPlan(name="7", levels=LEVELS),
        ),
        budgets=(GlobalBudget(layers=("7",), of=Unstructured(0.3)),),
        order=order,
        schedule=Schedule(**{**SHORT, **schedule}),
    )


def noisy(module):
    """A wrapper with multiplicative noise on the weights, through which gradients pass."""

    def forward(x):
        noise = 1 + 0.05 * torch.randn_like(module.weight)
        if isinstance(module, nn.Linear):
            return nn.functional.linear(x, module.weight * noise, module.bias)
        return module._conv_forward(x, module.weight * noise, module.bias)

    return forward


def stuck_cells(model):
    generator = torch.Generator().manual_seed(0)
    shape = model[7].weight.shape
    where = torch.rand(shape, generator=generator) < 0.2
    value = torch.tensor([0.0, *OPEN])[torch.randint(0, 17, shape, generator=generator)]
    return {"7": Stuck(where, value)}


VARIANTS = {
    "progressive": (plan(steps=2, step_ratio=1.5), {}),
    "progressive, sequential": (plan("sequential", steps=2), {}),
    "slr": (plan(solver="slr"), {}),
    "quantise-first": (plan("quantise-first"), {}),
    "quantise in two steps": (plan("sequential", quantise_steps=2), {}),
    "balance and stop": (plan(rho_rule="balance", stop=5.0, admm_epochs=4), {}),
    "mixed": (plan(accumulate=3, precision="bfloat16", distill=0.5, distill_temperature=2.0), {}),
    "hardware in the loop": (plan(finish_epochs=2), {"wrap": noisy}),
    "stuck": (plan("sequential"), {"stuck": stuck_cells}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_schedule_is_feasible_and_resumes_bit_for_bit(variant, convolutional, batches, evaluate, tmp_path):
    chosen, extras = VARIANTS[variant]
    extras = {key: value(convolutional) if key == "stuck" else value for key, value in extras.items()}
    given = {key: value.clone() for key, value in convolutional.state_dict().items()}
    whole = compress(convolutional, chosen, batches, evaluate, seed=5, **extras)
    assert whole.violations() == {"levels": 0, "constraints": 0}
    assert all(torch.equal(value, given[key]) for key, value in convolutional.state_dict().items())
    assert whole.stages["quantised"] > 0.5

    def stop(row):
        raise KeyboardInterrupt

    for _ in range(len(whole.history)):
        with pytest.raises(KeyboardInterrupt):
            compress(convolutional, chosen, batches, evaluate, seed=5, checkpoint_dir=tmp_path, on_epoch=stop, **extras)
    parts = compress(convolutional, chosen, batches, evaluate, seed=5, checkpoint_dir=tmp_path, on_epoch=stop, **extras)
    assert all(torch.equal(value, whole.model.state_dict()[key]) for key, value in parts.model.state_dict().items())
    assert parts.history.equals(whole.history)
    assert parts.residuals.equals(whole.residuals)
    assert all(torch.equal(parts.masks[name], mask) for name, mask in whole.masks.items())


def test_progressive_rounds_prune_within_the_mask_before(convolutional, batches, evaluate):
    chosen = Plan(
        layers=(LayerPlan(name="*", prune=(Unstructured(0.1),)),),
        schedule=Schedule(**{**SHORT, "admm_epochs": 1, "steps": 3}),
    )
    seen = []

    def watch(model):
        seen.append({n: (model.get_submodule(n).weight != 0).clone() for n in ("0", "3", "7")})
        return evaluate(model)

    result = compress(convolutional, chosen, batches, watch)
    assert result.history["stage"].tolist() == ["admm", "retrain"] * 3
    sizes = {name: mask.numel() for name, mask in result.masks.items()}
    for round_, share in ((1, 0.4), (3, 0.2), (5, 0.1)):
        for name, live in seen[round_].items():
            assert int(live.sum()) <= np.ceil(share * sizes[name] + 1)
            assert round_ == 1 or not (live & ~seen[round_ - 2][name]).any()
            assert round_ == 1 or not (seen[round_ - 1][name] & ~seen[round_ - 2][name]).any()  # masked ADMM
    assert result.violations() == {"levels": 0, "constraints": 0}


def test_progressive_beats_one_shot_at_equal_epochs(convolutional, batches, evaluate):
    """The same number of epochs, at a rate where one shot hurts."""

    def run(steps, epochs):
        schedule = Schedule(
            admm_epochs=epochs, update_every=1, retrain_epochs=epochs, rho=0.1, lr=3e-3, retrain_lr=3e-3, steps=steps
        )
        chosen = Plan(layers=(LayerPlan(name="*", prune=(Unstructured(0.03),)),), schedule=schedule)
        return compress(convolutional, chosen, batches, evaluate).stages["pruned"]

    assert run(3, 4) >= run(1, 12)


def test_two_steps_quantise_the_ends_last(convolutional, batches, evaluate):
    seen = []

    def watch(model):
        seen.append([int(model.get_submodule(name).weight.unique().numel()) for name in ("0", "3", "7")])
        return evaluate(model)

    chosen = Plan(
        layers=(LayerPlan(name="*", levels=LEVELS),),
        order="sequential",
        schedule=Schedule(**SHORT, quantise_steps=2),
    )
    result = compress(convolutional, chosen, batches, watch)
    assert result.history["stage"].tolist() == ["quantise"] * 4 + ["finish"]
    inner = result.residuals[result.residuals["epoch"] <= 2]["layer"].unique().tolist()
    outer = result.residuals[result.residuals["epoch"] > 2]["layer"].unique().tolist()
    assert (inner, outer) == (["3"], ["0", "7"])
    assert all(middle <= 16 < last for _, middle, last in seen[3:5])
    few = Plan(
        layers=(LayerPlan(name="7", levels=LEVELS),), order="sequential", schedule=Schedule(**SHORT, quantise_steps=2)
    )
    with pytest.raises(UserError, match="fewer than three layers are quantised"):
        compress(convolutional, few, batches, evaluate)
    unpruned = Plan(layers=(LayerPlan(name="7", levels=LEVELS),), schedule=Schedule(**SHORT, steps=2))
    with pytest.raises(UserError, match="prunes in rounds, and nothing is pruned"):
        compress(convolutional, unpruned, batches, evaluate)


def test_pruning_with_the_weights_on_their_levels(convolutional, batches, evaluate):
    result = compress(convolutional, plan("quantise-first"), batches, evaluate)
    assert result.history["stage"].tolist() == ["quantise"] * 2 + ["admm"] * 2 + ["retrain", "finish"]
    pruning = result.history[result.history["stage"] == "admm"]
    assert pruning["primal_prune"].notna().all()
    assert pruning["primal_quantise"].isna().all()
    assert result.history["kept"].iloc[0] == sum(mask.numel() for mask in result.masks.values())


def test_stopping_early_and_balancing_show_in_the_history(convolutional, batches, evaluate):
    result = compress(convolutional, plan(stop=100.0, admm_epochs=8), batches, evaluate)
    assert result.history["stage"].tolist() == ["admm", "retrain", "finish"]
    balanced = compress(convolutional, plan(rho_rule="balance", rho_threshold=1.0, admm_epochs=5), batches, evaluate)
    rho = balanced.history["rho"].dropna().to_numpy()
    ratios = np.round(rho[1:] / rho[:-1], 6)
    assert set(ratios) <= {1.3, round(1 / 1.3, 6), 1.0}


def linear(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def test_gathered_gradients_are_those_of_one_large_batch(digits, evaluate):
    x, y = digits
    small = list(zip(x.split(30), y.split(30), strict=True))  # 14 batches, the last of 10; 3 a step, 2 in the last
    large = list(zip(x.split(90), y.split(90), strict=True))
    schedule = {**SHORT, "optimizer": "sgd", "lr": 0.05, "momentum": 0.0}
    layers = (LayerPlan(name="1", prune=(Column(0.5),)),)
    found = [
        compress(
            linear(), Plan(layers=layers, schedule=Schedule(**schedule, accumulate=k)), data, evaluate
        ).model[1].weight.detach()
        for k, data in ((3, small), (1, large))
    ]  # fmt: skip
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)


def test_mixed_precision_keeps_float32_weights_and_feels_bfloat16(convolutional, batches, evaluate):
    types = []
    hook = nn.modules.module.register_module_forward_hook(lambda m, i, o: types.append(o.dtype))
    try:
        mixed = compress(convolutional, plan(precision="bfloat16"), batches, evaluate)
    finally:
        hook.remove()
    assert torch.bfloat16 in types
    assert all(p.dtype == torch.float32 for p in mixed.model.parameters())
    full = compress(convolutional, plan(), batches, evaluate)
    assert not torch.equal(mixed.model[7].weight, full.model[7].weight)
    assert abs(mixed.stages["quantised"] - full.stages["quantised"]) < 0.1


def test_the_costs_that_a_caller_counts_are_columns(convolutional, batches, evaluate, tmp_path):
    def cost(masks):
        return {"rows": float(sum(int(mask.flatten(1).any(0).sum()) for mask in masks.values())), "layers": len(masks)}

    result = compress(convolutional, plan(), batches, evaluate, cost=cost)
    assert (result.history["layers"] == 3).all()
    assert result.history["rows"].iloc[-1] == cost(result.masks)["rows"]
    result.save(tmp_path)
    assert type(result).load(tmp_path, convolutional).history.equals(result.history)
    with pytest.raises(UserError, match="cost names a column 'loss'"):
        compress(convolutional, plan(), batches, evaluate, cost=lambda masks: {"loss": 1.0})


def test_a_run_can_start_from_an_earlier_mask(convolutional, batches, evaluate):
    first = compress(convolutional, plan(), batches, evaluate)
    further = Plan(layers=(LayerPlan(name="3", prune=(Column(0.25),)),), schedule=Schedule(**SHORT))
    result = compress(first.model, further, batches, evaluate, masks={"3": first.masks["3"]})
    assert not (result.masks["3"] & ~first.masks["3"]).any()
    with pytest.raises(UserError, match="mask of layer '3' must be a bool tensor"):
        compress(first.model, further, batches, evaluate, masks={"3": first.masks["7"]})
    with pytest.raises(UserError, match="layer"):
        compress(first.model, further, batches, evaluate, masks={"4": first.masks["3"]})
