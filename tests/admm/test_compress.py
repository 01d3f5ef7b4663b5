import copy

import numpy as np
import pytest
import torch
from torch import nn

from admm import Compressed, LayerPlan, Plan, Schedule, compress
from admm.compressed import HISTORY, RESIDUALS
from admm.constraints import Block, Channel, Column, Filter, Levels
from crossbar.levels import LevelGrid
from hwmodels.errors import UserError

OPEN = tuple(np.concatenate([-np.arange(8, 0, -1), np.arange(1, 9)]) / 8)  # zero is not among them
LEVELS = Levels(OPEN, "fit")
SHORT = {"admm_epochs": 4, "update_every": 2, "retrain_epochs": 2, "finish_epochs": 2, "rho": 0.05, "rho_growth": 1.5}


def full_plan(order="joint", **schedule):
    return Plan(
        layers=(
            LayerPlan(name="0", prune=(Filter(0.75),), levels=LEVELS),
            LayerPlan(name="3", prune=(Channel(0.75), Column(0.5)), levels=LEVELS),
            LayerPlan(name="7", prune=(Block(16, 5, 0.5),), levels=LEVELS),
        ),
        order=order,
        schedule=Schedule(**{**SHORT, **schedule}),
    )


def weights(result):
    return {name: result.model.get_submodule(name).weight.detach() for name in result.masks}


def same_state(a, b):
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("order", ["joint", "sequential"])
def test_the_result_fits_the_plan_exactly(order, convolutional, batches, evaluate):
    before = copy.deepcopy(convolutional.state_dict())
    result = compress(convolutional, full_plan(order), batches, evaluate)
    assert result.violations() == {"levels": 0, "constraints": 0}
    for name, w in weights(result).items():
        live, grid = result.masks[name], result.grids[name]
        assert isinstance(grid, LevelGrid)
        assert np.array_equal(grid.values, OPEN)
        assert (w[~live] == 0).all()
        assert np.isin(w[live].numpy(), grid.table()).all()
        assert (w[live] != 0).all()  # zero is no level
        assert all(s.holds(w, 2 if name == "3" else 1) for s in result.layers[name].prune)
    assert same_state(convolutional.state_dict(), before)
    assert not result.model.training
    assert result.stages["quantised"] > 0.8
    assert result.stages["quantised"] == evaluate(result.model)


@pytest.mark.parametrize("order", ["joint", "sequential"])
def test_history_and_residuals_tell_the_course(order, convolutional, batches, evaluate):
    rows = []
    result = compress(convolutional, full_plan(order), batches, evaluate, on_epoch=rows.append)
    history, residuals = result.history, result.residuals
    stages = {"joint": ["admm"] * 4, "sequential": ["admm"] * 4}[order] + ["retrain"] * 2
    stages += [] if order == "joint" else ["quantise"] * 4
    stages += ["finish"] * 2
    assert history["stage"].tolist() == stages == [row["stage"] for row in rows]
    assert tuple(history.columns) == HISTORY
    assert tuple(residuals.columns) == RESIDUALS
    assert history["epoch"].tolist() == list(range(1, len(stages) + 1))
    assert {row["epochs"] for row in rows} == {len(stages)}
    assert set(rows[0]) == {*HISTORY, "epochs"}
    assert history["loss"].between(0, 3).all()
    assert history["accuracy"].between(0.1, 1).all()
    assert history["accuracy"][history["stage"] == "retrain"].iloc[-1] == result.stages["pruned"]
    assert history["kept"].iloc[-1] == sum(int(mask.sum()) for mask in result.masks.values())
    updates = history[history["primal_prune"].notna()]
    assert updates["epoch"].tolist() == [2, 4]
    assert updates["rho"].tolist() == pytest.approx([0.05, 0.075])
    one = residuals[(residuals["epoch"] == 4) & (residuals["copy"] == "prune")]
    assert sorted(one["layer"]) == ["0", "3", "7"]
    assert updates["primal_prune"].iloc[-1] == pytest.approx(
        np.sqrt((one["primal"] ** 2).sum() / (one["norm"] ** 2).sum())
    )
    assert (one["primal_relative"] * one["norm"]).tolist() == pytest.approx(one["primal"].tolist())
    quantise_epochs = history["epoch"][history["primal_quantise"].notna()].tolist()
    assert quantise_epochs == ([2, 4, 6] if order == "joint" else [8, 10])
    assert history["rho"].isna().tolist() == [
        stage == "finish" or (order == "sequential" and stage == "retrain") for stage in stages
    ]


@pytest.mark.parametrize("order", ["joint", "sequential"])
def test_residuals_fall(order, convolutional, batches, evaluate):
    schedule = {"admm_epochs": 24, "lr": 0.01, "retrain_epochs": 1, "finish_epochs": 0}
    history = compress(convolutional, full_plan(order, **schedule), batches, evaluate).history
    for column in ("primal_prune", "primal_quantise"):
        found = history[column][history["stage"].isin(["admm", "quantise"])].dropna()
        assert found.iloc[-1] < 0.5 * found.max()


def test_admm_beats_cutting_off(convolutional, batches, evaluate):
    """What ADMM is for: hard pruning without it loses much, with it little (no retraining in either)."""
    cut = compress(convolutional, full_plan(admm_epochs=0, retrain_epochs=0, finish_epochs=0), batches, evaluate)
    pulled = compress(
        convolutional, full_plan(admm_epochs=24, lr=0.01, rho=0.2, retrain_epochs=0, finish_epochs=0), batches, evaluate
    )
    assert pulled.stages["quantised"] > cut.stages["quantised"] + 0.1
    assert cut.history.empty
    assert cut.violations() == {"levels": 0, "constraints": 0}


def test_dead_weights_stay_dead_in_every_epoch_after_pruning(convolutional, batches, evaluate):
    seen = []

    def watch(model):
        w = model[7].weight.detach()
        seen.append((w != 0).clone())
        return evaluate(model)

    result = compress(convolutional, full_plan(weight_decay=0.01), batches, watch)
    after = seen[4:]
    assert all(torch.equal(live & ~result.masks["7"], torch.zeros_like(live)) for live in after)
    assert not any(torch.equal(live, result.masks["7"]) for live in seen[:4])


def test_layers_without_a_plan_keep_free_weights(convolutional, batches, evaluate):
    plan = Plan(layers=(LayerPlan(name="7", prune=(Column(0.5),), levels=LEVELS),), schedule=Schedule(**SHORT))
    result = compress(convolutional, plan, batches, evaluate)
    assert list(result.masks) == list(result.grids) == ["7"]
    assert result.model[3].weight.unique().numel() == result.model[3].weight.numel()
    assert (result.model[3].weight != convolutional[3].weight).any()  # they train along


def test_pruning_only_and_quantising_only(convolutional, batches, evaluate):
    pruned = compress(
        convolutional,
        Plan(layers=(LayerPlan(name="*", prune=(Column(0.5),)),), schedule=Schedule(**SHORT)),
        batches,
        evaluate,
    )
    assert pruned.grids == {}
    assert pruned.stages["quantised"] == pruned.stages["pruned"] == evaluate(pruned.model)
    assert pruned.violations() == {"levels": 0, "constraints": 0}
    for order in ("joint", "sequential"):
        plan = Plan(layers=(LayerPlan(name="*", levels=LEVELS),), order=order, schedule=Schedule(**SHORT))
        quantised = compress(convolutional, plan, batches, evaluate)
        assert all(mask.all() for mask in quantised.masks.values())
        assert quantised.violations() == {"levels": 0, "constraints": 0}
        assert quantised.stages["quantised"] > 0.9
        assert quantised.history["primal_prune"].isna().all()


def test_the_best_epoch_of_the_finish_is_kept(convolutional, batches, evaluate):
    """A finish at an absurd learning rate wrecks the weights; the state before it must come back."""
    calm = compress(convolutional, full_plan(finish_epochs=0), batches, evaluate)
    wild = compress(convolutional, full_plan(finish_lr=5.0), batches, evaluate)
    assert wild.history["accuracy"].iloc[-1] < 0.7
    assert same_state(wild.model.state_dict(), calm.model.state_dict())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["plain", "channels_last"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("order", ["joint", "sequential"])
def test_an_interrupted_run_goes_on_bit_for_bit(order, optimizer, layout, convolutional, batches, evaluate, tmp_path):
    convolutional = copy.deepcopy(convolutional).to(memory_format=layout)
    schedule = {"optimizer": optimizer, "admm_epochs": 3, "retrain_epochs": 2, "finish_epochs": 3, "lr": 3e-3}
    plan = full_plan(order, **schedule)
    whole = compress(convolutional, plan, batches, evaluate, seed=5, checkpoint_dir=tmp_path / "whole")

    def stop(row):
        raise KeyboardInterrupt

    epochs = len(whole.history)
    for _ in range(epochs):
        with pytest.raises(KeyboardInterrupt):
            compress(convolutional, plan, batches, evaluate, seed=5, checkpoint_dir=tmp_path / "parts", on_epoch=stop)
    parts = compress(convolutional, plan, batches, evaluate, seed=5, checkpoint_dir=tmp_path / "parts", on_epoch=stop)
    assert same_state(parts.model.state_dict(), whole.model.state_dict())
    assert same_state(parts.masks, whole.masks)
    assert all(parts.grids[name].scale == whole.grids[name].scale for name in whole.grids)
    assert parts.history.equals(whole.history)
    assert parts.residuals.equals(whole.residuals)
    assert parts.stages == whole.stages
    # the last checkpoints, optimiser state included, are the same bytes
    files = [{path.name: path.read_bytes() for path in (tmp_path / d).iterdir()} for d in ("whole", "parts")]
    assert files[0] == files[1]


def test_a_shuffling_loader_and_dropout_repeat_by_the_seed_and_leave_the_callers_draws_alone(
    convolutional, digits, evaluate
):
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*digits), batch_size=50, shuffle=True)
    plan = full_plan(admm_epochs=1, retrain_epochs=1, finish_epochs=0)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = compress(convolutional, plan, loader, evaluate, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    again = compress(convolutional, plan, loader, evaluate, seed=1)
    other = compress(convolutional, plan, loader, evaluate, seed=2)
    assert same_state(first.model.state_dict(), again.model.state_dict())
    assert not same_state(first.model.state_dict(), other.model.state_dict())


def test_epochs_are_announced_to_the_data(convolutional, batches, evaluate):
    plan = full_plan(admm_epochs=2, retrain_epochs=1, finish_epochs=1)
    compress(convolutional, plan, batches, evaluate)
    assert batches.seen == [1, 2, 3, 4, 4, 4]  # the last stage measures its two candidates on its own first epoch


def test_a_checkpoint_of_another_run_is_refused(convolutional, batches, evaluate, tmp_path):
    plan = full_plan(admm_epochs=1, retrain_epochs=0, finish_epochs=0)
    compress(convolutional, plan, batches, evaluate, checkpoint_dir=tmp_path)
    changed = copy.deepcopy(convolutional)
    with torch.no_grad():
        changed[7].bias[0] += 1e-6
    others = [
        (convolutional, full_plan(admm_epochs=2, retrain_epochs=0, finish_epochs=0), 0),
        (convolutional, plan, 1),
        (changed, plan, 0),
    ]
    for model, other, seed in others:
        with pytest.raises(UserError, match=r"belongs to another run: .* Give another checkpoint_dir, or delete it"):
            compress(model, other, batches, evaluate, seed=seed, checkpoint_dir=tmp_path)


def test_divergence_names_stage_and_epoch_and_keeps_the_last_good_state(convolutional, batches, evaluate, tmp_path):
    plan = full_plan()
    poison = {"after": 2}

    def loss(outputs, targets):
        value = nn.functional.cross_entropy(outputs, targets)
        return value * float("nan") if batches.epoch > poison["after"] else value

    message = r"^Stage 'admm', epoch 3: the loss became nan\. Try a smaller learning rate or rho"
    with pytest.raises(UserError, match=rf"{message}\.$"):  # without a folder nothing is kept
        compress(convolutional, plan, batches, evaluate, loss=loss)
    with pytest.raises(UserError, match=rf"{message}; the last good checkpoint is kept\.$"):
        compress(convolutional, plan, batches, evaluate, loss=loss, checkpoint_dir=tmp_path)
    poison["after"] = 4
    with pytest.raises(UserError, match=r"^Stage 'retrain', epoch 5: the loss became nan\."):
        compress(convolutional, plan, batches, evaluate, loss=loss, checkpoint_dir=tmp_path)
    poison["after"] = 6
    with pytest.raises(
        UserError, match=r"^Stage 'finish', epoch 7: the loss became nan\. Try a smaller learning rate;"
    ):
        compress(convolutional, plan, batches, evaluate, loss=loss, checkpoint_dir=tmp_path)
    poison["after"] = 99
    healed = compress(convolutional, plan, batches, evaluate, loss=loss, checkpoint_dir=tmp_path)
    whole = compress(convolutional, plan, batches, evaluate)
    assert same_state(healed.model.state_dict(), whole.model.state_dict())


def test_a_weight_that_overflows_in_the_last_step_is_seen_before_the_checkpoint(
    convolutional, digits, evaluate, tmp_path
):
    one_batch = [digits]
    plan = full_plan(optimizer="sgd", lr=1e38, momentum=0.0, rho=1e-9, lr_schedule="constant")
    with pytest.raises(UserError, match=r"^Stage 'admm', epoch 1: 0\.weight became NaN or infinite\."):
        compress(
            convolutional,
            plan,
            one_batch,
            evaluate,
            loss=lambda o, t: nn.functional.cross_entropy(o, t) * 1e6,
            checkpoint_dir=tmp_path,
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda d: iter([d]), "used up by one pass"),
        (lambda d: [], "train gave no batch"),
        (lambda d: [d[0]], "pairs of tensors"),
        (lambda d: [(d[0], d[1].tolist())], "pairs of tensors"),
    ],
)
def test_unusable_data_is_named(data, message, convolutional, digits, evaluate):
    with pytest.raises(UserError, match=message):
        compress(convolutional, full_plan(), data(digits), evaluate)


def test_an_evaluation_that_gives_no_number_is_named(convolutional, batches):
    with pytest.raises(UserError, match="evaluate must return a number, not None"):
        compress(convolutional, full_plan(), batches, lambda model: None)


def test_tampering_is_counted(convolutional, batches, evaluate):
    result = compress(convolutional, full_plan(admm_epochs=0, retrain_epochs=0, finish_epochs=0), batches, evaluate)
    w, live = result.model[7].weight, result.masks["7"]
    with torch.no_grad():
        w[tuple(live.nonzero()[0])] *= 1 + 2e-7
        assert result.violations() == {"levels": 1, "constraints": 0}
        w[tuple((~live).nonzero()[0])] = 1e-30
        assert result.violations() == {"levels": 2, "constraints": 1}


def test_a_compressed_model_is_saved_and_loaded(convolutional, batches, evaluate, tmp_path):
    result = compress(convolutional, full_plan(), batches, evaluate)
    result.save(tmp_path / "out")
    back = Compressed.load(tmp_path / "out", convolutional)
    assert same_state(back.model.state_dict(), result.model.state_dict())
    assert same_state(back.masks, result.masks)
    assert back.violations() == {"levels": 0, "constraints": 0}
    for name, grid in result.grids.items():
        assert np.array_equal(back.grids[name].table(), grid.table())
    assert back.history.equals(result.history)
    assert back.residuals.equals(result.residuals)
    assert back.stages == result.stages
    assert back.layers == result.layers
    with pytest.raises(UserError, match="has another architecture"):
        Compressed.load(tmp_path / "out", nn.Linear(2, 2))
    with pytest.raises(UserError, match="no compressed model in"):
        Compressed.load(tmp_path, convolutional)


def test_one_dimensional_and_depthwise_convolutions(digits):
    model = nn.Sequential(
        nn.Conv1d(8, 8, 3, groups=8), nn.ReLU(), nn.Conv1d(8, 6, 2), nn.ReLU(), nn.Flatten(), nn.Linear(30, 10)
    )
    batches = [(digits[0][:100].reshape(-1, 8, 8), digits[1][:100])]
    layers = (LayerPlan(name="0", prune=(Channel(4),), levels=LEVELS), LayerPlan(name="*", prune=(Filter(0.5),)))
    result = compress(model, Plan(layers=layers, schedule=Schedule(**SHORT)), batches, lambda m: 0.0)
    assert result.violations() == {"levels": 0, "constraints": 0}
    assert int(result.masks["0"].sum()) == 4 * 3  # whole channels of a depthwise layer are whole filters
    assert list(result.grids) == ["0"]
