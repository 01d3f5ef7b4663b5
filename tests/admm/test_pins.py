import numpy as np
import pytest
import torch
from torch import nn

from admm import LayerPlan, Plan, Schedule, compress, retrain
from admm.constraints import Cluster, Column, Levels, Polarised
from admm.layers import Layer
from admm.pins import Stuck
from hwmodels.errors import UserError

OPEN = tuple(np.concatenate([-np.arange(8, 0, -1), np.arange(1, 9)]) / 8)
SHORT = {"admm_epochs": 2, "update_every": 1, "retrain_epochs": 3, "finish_epochs": 4, "rho": 0.05}


def faults(shape, share, values, seed=0):
    generator = torch.Generator().manual_seed(seed)
    where = torch.rand(shape, generator=generator) < share
    return Stuck(where, torch.tensor(values)[torch.randint(0, len(values), shape, generator=generator)])


def quantised(levels, prune=(), **schedule):
    return Plan(layers=(LayerPlan(name="7", prune=prune, levels=levels),), schedule=Schedule(**{**SHORT, **schedule}))


@pytest.mark.parametrize("per", ["layer", "channel"])
def test_stuck_weights_stand_at_their_values_and_the_others_adapt(per, convolutional, batches, evaluate):
    levels = Levels(OPEN, "fit", per=per)
    pin = faults(convolutional[7].weight.shape, 0.4, [0.0, -1.0, 1.0])
    aware = compress(convolutional, quantised(levels, (Column(0.7),)), batches, evaluate, stuck={"7": pin})
    assert aware.violations() == {"levels": 0, "constraints": 0}
    w, live, grid = aware.model[7].weight.detach(), aware.masks["7"], aware.grids["7"]
    scale = torch.tensor(np.broadcast_to(grid.scale, (10,)).copy())[:, None]
    expected = (pin.value.double() * scale).to(torch.float32)
    assert (live & pin.where).any()
    assert torch.equal(w[live & pin.where], expected[live & pin.where])
    assert not live[pin.where & (pin.value == 0)].any()

    blind = compress(convolutional, quantised(levels, (Column(0.7),)), batches, evaluate)
    faulty = blind.model
    scale = torch.tensor(np.broadcast_to(blind.grids["7"].scale, (10,)).copy())[:, None]
    with torch.no_grad():
        where = pin.where & blind.masks["7"]
        faulty[7].weight.copy_(torch.where(where, (pin.value * scale).float(), faulty[7].weight))
    assert aware.stages["quantised"] > evaluate(faulty) + 0.02


def test_without_levels_pins_are_weights(convolutional, batches, evaluate):
    pin = faults(convolutional[7].weight.shape, 0.1, [0.25])
    plan = Plan(layers=(LayerPlan(name="7", prune=(Column(0.5),)),), schedule=Schedule(**SHORT))
    result = compress(convolutional, plan, batches, evaluate, stuck={"7": pin})
    held = pin.where & result.masks["7"]
    assert (result.model[7].weight[held] == 0.25).all()
    assert held.any()


def test_pins_that_do_not_fit_are_named(convolutional, batches, evaluate):
    shape = convolutional[7].weight.shape
    good = faults(shape, 0.1, [1.0])
    levels = Levels(OPEN, "fit")
    cases = [
        (levels, (), {"8": good}, "layer '8'"),
        (levels, (), {"7": Stuck(good.where[:3], good.value)}, "tensor of its shape"),
        (levels, (), {"7": Stuck(good.where, good.value * float("nan"))}, "NaN or infinite"),
        (levels, (), {"7": Stuck(good.where, good.value * 0.3)}, "stuck value 0.3 of layer '7' is none of its levels"),
        (levels, (Polarised(4),), {"7": good}, "is polarised"),
        (Cluster(4), (), {"7": good}, "learns its levels"),
    ]
    for values, prune, stuck, message in cases:
        with pytest.raises(UserError, match=message):
            compress(convolutional, quantised(values, prune), batches, evaluate, stuck=stuck)


def test_a_wrapper_sees_the_levels_and_lets_gradients_through(convolutional, batches, evaluate):
    seen = {"train": 0, "values": []}

    def wrap(module):
        def forward(x):
            seen["train"] += 1
            seen["values"].append(int(module.weight.unique().numel()))
            return nn.functional.linear(x, module.weight, module.bias)

        return forward

    plan = quantised(Levels(OPEN, "fit"))
    plain = compress(convolutional, plan, batches, evaluate)
    result = compress(convolutional, plan, batches, evaluate, wrap=wrap)
    assert all(torch.equal(v, result.model.state_dict()[k]) for k, v in plain.model.state_dict().items())
    steps = 8  # batches an epoch; 3 epochs of retraining, 4 of the finish, and 5 measurements of its candidates
    assert seen["train"] == steps * (3 + 4 + 5)
    assert max(seen["values"][3 * steps :]) <= 16 < min(seen["values"][: 3 * steps])
    assert "forward" not in vars(result.model[7])


def test_the_layers_compute_as_before_when_a_wrapper_fails():
    module = nn.Linear(3, 2)
    layers = {"fc": Layer("fc", module, (), None)}

    def wrap(twin):
        def forward(x):
            raise ValueError("broken")

        return forward

    with pytest.raises(ValueError, match="broken"), retrain.wrapped(layers, wrap):
        module(torch.ones(1, 3))
    assert module(torch.ones(1, 3)).shape == (1, 2)


def test_training_with_noise_gives_a_network_that_stands_it(convolutional, batches, digits, evaluate):
    def noisy(module):
        def forward(x):
            noise = 1 + 1.5 * torch.randn_like(module.weight)
            return nn.functional.linear(x, module.weight * noise, module.bias)

        return forward

    def robustness(result):
        layer = result.model[7]
        weight, scores = layer.weight.detach().clone(), []
        for seed in range(20):
            noise = 1 + 1.5 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
            with torch.no_grad():
                layer.weight.copy_(weight * noise)
            scores.append(evaluate(result.model))
        return sum(scores) / len(scores)

    plan = quantised(Levels(OPEN, "fit"), retrain_epochs=8, finish_epochs=4)
    with_noise = compress(convolutional, plan, batches, evaluate, wrap=noisy)
    without = compress(convolutional, plan, batches, evaluate)
    assert robustness(with_noise) > robustness(without)
