import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import mapping
from crossbar import ArraySpec
from hwmodels import Device
from hwmodels.errors import UserError
from mapping.hardware_aware import wrap


@pytest.mark.parametrize(
    "changes", [{}, {"dac_bits": 6}, {"pair_subtraction": "analog"}, {"input_bits": None, "adc_bits": None}]
)
def test_forward_is_that_of_the_crossbar_network(network, images, spec, changes):
    array = spec.with_(device=Device.load("yuan2019"), **changes)
    aware = wrap(network, array, images, seed=3).eval()
    chip = mapping.CrossbarNetwork(aware.placement, seed=3)
    with torch.no_grad():
        assert torch.allclose(aware(images), chip(images), rtol=1e-5, atol=1e-5)


def test_gradients_without_rounding_are_those_of_the_network(network, images, ideal):
    """No converter, fine levels: the straight-through gradients equal torch's own, for inputs, weights and biases."""
    array = ideal.with_(device=ideal.device.with_(levels=2048), slices=1)
    plain = mapping.place(network, array, images).reference()
    aware = wrap(plain, array, images).eval()
    found, wanted = images.clone().requires_grad_(), images.clone().requires_grad_()
    aware(found).square().sum().backward()
    hardware = {name: parameter.grad.clone() for name, parameter in plain.named_parameters()}
    plain.zero_grad()
    plain(wanted).square().sum().backward()
    assert torch.allclose(found.grad, wanted.grad, rtol=1e-3, atol=1e-4)
    for name, parameter in plain.named_parameters():
        live = aware.placement.layers.get(name.removesuffix(".weight"))
        expected = parameter.grad
        if live is not None and name.endswith(".weight"):
            expected = torch.where(parameter != 0, expected, torch.zeros(()))  # masked weights get no gradient
        assert torch.allclose(hardware[name], expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()) + 1e-6), name


@pytest.mark.parametrize("kind", ["transposed", "recurrent"])
def test_gradients_reach_the_weights_of_every_layer_type(ideal, kind):
    torch.manual_seed(0)
    array = ideal.with_(device=ideal.device.with_(levels=2048), slices=1)
    layers = (nn.Conv1d(2, 4, 3, groups=2), nn.Tanh(), nn.ConvTranspose1d(4, 3, 3, stride=2, output_padding=1))
    net = nn.Sequential(*layers) if kind == "transposed" else mapping.prepare(nn.GRU(2, 3, batch_first=True))
    x = torch.randn(2, 2, 6) if kind == "transposed" else torch.randn(3, 5, 2)
    net = mapping.place(net, array, x).reference()

    def gradients(module):
        y = module(x)
        net.zero_grad()
        (y[0] if isinstance(y, tuple) else y).square().sum().backward()
        return [parameter.grad.clone() for parameter in net.parameters()]

    found, wanted = gradients(wrap(net, array, x).eval()), gradients(net)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * float(b.abs().max()))


def test_a_recurrent_layer_is_prepared_before_it_is_wrapped(ideal):
    with pytest.raises(UserError, match=r"'0' is a GRU, which holds several matrices; wrap mapping.prepare\(model\)"):
        wrap(nn.Sequential(nn.GRU(2, 3)), ideal, torch.randn(5, 1, 2))


def test_a_training_call_is_a_new_chip_and_an_evaluation_call_is_not(network, images, spec):
    aware = wrap(network, spec.with_(device=Device.load("yuan2019")), images)
    network.eval()
    with torch.no_grad():
        aware.training = True
        assert not torch.equal(aware(images), aware(images))
        aware.training = False
        assert torch.equal(aware(images), aware(images))
    assert all("forward" not in vars(module) for module in network.modules())


def test_ranges_and_level_grids_follow_the_weights(network, images, spec):
    network.eval()
    aware = wrap(network, spec, images, calibrate_every=2)
    aware.training = True
    before = float(aware.placement.layers["8"].grid.scale)
    with torch.no_grad():
        network[8].weight *= 4
        aware(images)
        aware(images)
        assert float(aware.placement.layers["8"].grid.scale) == before
        aware(images)
    assert float(aware.placement.layers["8"].grid.scale) == pytest.approx(4 * before)
    with pytest.raises(UserError, match="calibrate_every must be at least 1"):
        wrap(network, spec, images, calibrate_every=0)


def test_the_layers_own_forward_comes_back_after_an_error(network, images, spec):
    aware = wrap(network, spec, images)
    with pytest.raises(UserError, match=r"Layer '0' takes an input of shape \(batch, 3, "):
        aware(images[:, :1])
    assert all("forward" not in vars(module) for module in network.modules())


def test_diverged_weights_are_named(network, images, spec):
    aware = wrap(network, spec, images)
    with torch.no_grad():
        network[0].weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(UserError, match="layer '0' are not finite"):
        aware(images)


def _blobs(n, seed):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand(10, 16, generator=torch.Generator().manual_seed(0))
    target = torch.randint(0, 10, (n,), generator=generator)
    return (centres[target] + 0.12 * torch.randn(n, 16, generator=generator)).clamp(0, 1), target


def _train(model, x, target, steps, lr):
    optimiser = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    for step in range(steps):
        batch = slice(64 * step % 1024, 64 * step % 1024 + 64)
        optimiser.zero_grad()
        F.cross_entropy(model(x[batch]), target[batch]).backward()
        optimiser.step()


def test_training_on_noisy_arrays_helps_on_noisy_arrays():
    """Ten blobs, two layers, σ = 0.8: chips that training never saw read the retrained weights better."""
    x, target = _blobs(1024, 1)
    seen, labels = _blobs(512, 2)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 10))
    _train(net, x, target, 300, 1e-2)
    device = Device.load("ideal").with_(programming_error={"kind": "lognormal", "sigma": 0.8})
    array = ArraySpec(rows=32, cols=32, device=device, input_bits=6, adc_bits=8)

    def accuracy(model):
        placement = mapping.place(model, array, x)
        with torch.no_grad():
            found = [mapping.CrossbarNetwork(placement, seed=s)(seen).argmax(1) == labels for s in range(100, 116)]
        return float(torch.stack(found).float().mean())

    without = copy.deepcopy(net)
    _train(without, x, target, 240, 5e-3)
    retrained = copy.deepcopy(net)
    _train(wrap(retrained, array, x, seed=1), x, target, 240, 5e-3)
    before, after = accuracy(without), accuracy(retrained)
    assert after > before + 0.02


@pytest.mark.parametrize("encoding", ["flipped", "offset"])
def test_the_digital_signs_follow_the_weights(network, images, ideal, encoding):
    """Flipped columns flip anew when weights change; what is read is the network of the new weights."""
    array = ideal.with_(encoding=encoding, idle="hrs")
    aware = wrap(network, array, images, calibrate_every=None).eval()
    with torch.no_grad():
        for name in aware.placement.layers:
            network.get_submodule(name).weight.neg_()
        expected = mapping.place(network, array, images).reference()(images)
        scale = float(expected.abs().max())
        assert torch.allclose(aware(images), expected, atol=0.15 * scale)


def test_read_noise_is_drawn_anew_at_every_call(network, images, ideal):
    noisy = Device.load("yuan2019").scaled_error(0).with_(read_noise=Device.load("neurram").read_noise)
    aware = wrap(network, ideal.with_(device=noisy), images)
    still = wrap(network, ideal.with_(device=noisy), images, conditions=mapping.Conditions(read_noise=False))
    network.eval()
    with torch.no_grad():
        for each in (aware, still):
            each.training = True
        assert not torch.equal(aware(images), aware(images))
        assert torch.equal(still(images), still(images))
    aware(images).sum().backward()
    assert all(bool(torch.isfinite(parameter.grad).all()) for parameter in network.parameters())


def test_calibrating_places_as_it_was_placed(network, images, spec):
    placing = mapping.Placing(scale="channel", repack=True, share="network", spare_rows=2, spare_cols=1)
    own = {"8": spec.with_(rows=24, cols=12)}
    placement = mapping.place(network, spec, images, arrays=own, free_unused=False, **placing.options())
    aware = mapping.HardwareAware(network, placement)
    aware.calibrate(images)
    assert aware.placement.placing == placement.placing == placing
    assert mapping.diff(aware.placement, placement).same
    assert aware.placement.tiles.equals(placement.tiles)
    assert wrap(network, spec, images, placing=placing).placement.placing == placing
