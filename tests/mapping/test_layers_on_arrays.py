"""Layers that compute on arrays one by one, as a compression wraps them."""

import copy

import numpy as np
import pytest
import torch

import mapping
from admm import retrain
from admm.layers import Layer
from crossbar import LevelGrid
from hwmodels import Device
from mapping import Conditions, LayersOnArrays


def _wrapped(network, wrap, images):
    """The network's output with every placed layer computing as `wrap` says."""
    names = [name for name, module in network.named_modules() if hasattr(module, "in_channels") or name == "8"]
    layers = {name: Layer(name, network.get_submodule(name), (), None) for name in names}
    masks = {name: layer.weight != 0 for name, layer in layers.items()}
    wrap.prepare(network, masks, {})
    with retrain.wrapped(layers, wrap):
        return network(images)


def test_without_errors_the_layers_are_the_quantised_network(network, images, ideal):
    with torch.no_grad():
        found = _wrapped(network, LayersOnArrays(ideal, images), images)
        expected = mapping.place(network, ideal, images).reference()(images)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert all("forward" not in vars(module) for module in network.modules())


@pytest.mark.parametrize("encoding", ["pair", "flipped"])
def test_real_converters_and_codes_are_those_of_the_crossbar_network(network, images, spec, encoding):
    array = spec.with_(encoding=encoding, idle="hrs")
    with torch.no_grad():
        found = _wrapped(network, LayersOnArrays(array, images), images)
        expected = mapping.CrossbarNetwork(mapping.place(network, array, images))(images)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_torchs_seed_gives_the_chips_and_a_step_or_an_epoch_has_its_own(network, images, ideal):
    array = ideal.with_(device=Device.load("yuan2019"))
    with torch.no_grad():
        runs = []
        for chips in ("step", "epoch"):
            wrap = LayersOnArrays(array, images, chips=chips, conditions=Conditions(read_noise=False))
            torch.manual_seed(1)
            runs.append([_wrapped(network, wrap, images) for _ in range(2)])
            torch.manual_seed(1)
            assert torch.equal(_wrapped(network, wrap, images), runs[-1][0])
            assert not torch.equal(*runs[-1])
        linear = network[8]
        wrap.prepare(network, {}, {})
        x = torch.rand(3, 64)
        assert torch.equal(wrap(linear)(x), wrap(linear)(x))
        wrap.chips = "step"
        assert not torch.equal(wrap(linear)(x), wrap(linear)(x))


def test_gradients_reach_live_weights_alone_and_other_layers_stay_digital(network, images, ideal):
    network = copy.deepcopy(network)
    _wrapped(network, LayersOnArrays(ideal, images), images).square().sum().backward()
    for name in ("0", "3", "5", "8"):
        weight = network.get_submodule(name).weight
        assert (weight.grad[weight == 0] == 0).all()
        assert (weight.grad[weight != 0] != 0).any()
    wrap = LayersOnArrays(ideal, images)
    wrap.prepare(network, {}, {})
    norm = network[1]
    assert torch.equal(wrap(norm)(torch.ones(2, 8, 4, 4)), norm(torch.ones(2, 8, 4, 4)))


def test_a_weight_at_a_zero_level_takes_no_cell_and_may_come_back(ideal):
    """Ternary weights on open crossings: a zero is no cell, but its gradient still counts."""
    linear = torch.nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, 0.0, -1.0, 1.0], [0.0, 1.0, 1.0, -1.0], [-1.0, 1.0, 1.0, 1.0]]))
    network, x = torch.nn.Sequential(linear), torch.rand(6, 4)
    wrap = LayersOnArrays(ideal, x)
    ternary = LevelGrid(np.array([-1.0, 0.0, 1.0]), np.array(1.0))
    wrap.prepare(network, {"0": torch.ones(3, 4, dtype=torch.bool)}, {"0": ternary})
    y = wrap(linear)(x)
    assert torch.allclose(y, linear(x), atol=1e-5)
    y.sum().backward()
    assert (linear.weight.grad != 0).all()
