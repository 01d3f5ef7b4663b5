"""A seed is a chip: the same on every number of threads, with the errors, drift and noise of its device."""

import subprocess
import sys

import numba
import numpy as np
import pytest
import torch
from torch import nn

import mapping
from hwmodels import Device, conductances_at, program
from hwmodels.errors import UserError
from mapping.layer import unit_conductance


def test_the_same_chip_with_1_and_2_threads(network, images, spec):
    device = Device.load("yuan2019").with_(stuck_at_lrs=0.05, stuck_at_hrs=0.05)
    placement = mapping.place(network, spec.with_(device=device), images)
    chips = []
    before = numba.get_num_threads()
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(threads)
        chip = mapping.CrossbarNetwork(placement, seed=4)
        chips.append([at.strip.g for layer in chip._layers.values() for at in layer._state.strips])
    numba.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*chips, strict=True))


def test_programming_leaves_torchs_threads_alone():
    """Numba's OpenMP layer would set them when it starts, and with them the last bits of any training after it."""
    code = (
        "import numpy, torch; torch.set_num_threads(1); from hwmodels import Device, program;"
        "program(numpy.full((8, 8), 5e-7), Device.load('yuan2019')); print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_a_seed_is_a_chip(network, images, spec):
    placement = mapping.place(network, spec.with_(device=Device.load("yuan2019")), images)
    chip = mapping.CrossbarNetwork(placement, seed=1)
    with torch.no_grad():
        first = chip(images)
        chip.program(2)
        other = chip(images)
        chip.program(1)
        assert torch.equal(first, chip(images))
    assert not torch.equal(first, other)


def test_mismatch_has_the_devices_spread(images, ideal):
    """Log-normal σ = 0.1: ln(g / target) of all cells has that spread (cells on an ideal grid, no faults)."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 256))
    placement = mapping.place(net, ideal.with_(rows=192, cols=256, device=Device.load("yuan2019")), images)
    chip = mapping.CrossbarNetwork(placement, seed=3)
    unit = unit_conductance(placement.array)
    target = {piece.sign: piece.target for piece in placement.pieces()}
    g = chip.model[1]._state.strips[0].strip.g.view(192, 2, 256).numpy() * unit
    ratio = np.concatenate([np.log(g[:, h][target[s] > 0] / target[s][target[s] > 0]) for h, s in ((0, 1), (1, -1))])
    assert ratio.std() == pytest.approx(0.1, abs=4 * 0.1 / np.sqrt(2 * ratio.size))
    assert ratio.mean() == pytest.approx(0, abs=4 * 0.1 / np.sqrt(ratio.size))


@pytest.mark.parametrize("seed", [-1, 1.5, True, "a"])
def test_a_bad_seed_is_refused(network, images, spec, seed):
    with pytest.raises(UserError, match="device seed"):
        mapping.CrossbarNetwork(mapping.place(network, spec, images), seed=seed)


def test_time_and_temperature_reach_the_cells(ideal):
    """A layer of one strip on ideal converters: its outputs are those of the conductances at that time."""
    device = Device.load("pcm-like").with_(stuck_at_lrs=0.0, stuck_at_hrs=0.0)
    layer = nn.Linear(6, 3, bias=False)
    placement = mapping.place(layer, ideal.with_(device=device, idle="hrs"), torch.rand(8, 6))
    conditions = mapping.Conditions(t_s=86400.0, read_noise=False)
    chip = mapping.CrossbarNetwork(placement, seed=5, conditions=conditions)
    g = {
        piece.sign: conductances_at(
            program(piece.target, device, seed=5, array=piece.array), device, t_s=86400.0, seed=5, array=piece.array
        )
        for piece in placement.pieces()
    }
    x = torch.rand(4, 6)
    full_scale = placement.array.encoder.full_scale_s
    scale = float(placement.layers[""].grid.scale)
    expected = x.double().numpy() @ (g[1] - g[-1]) * scale / full_scale
    assert np.allclose(chip(x).detach().numpy(), expected, rtol=1e-4, atol=1e-6)
    fresh = mapping.CrossbarNetwork(placement, seed=5)(x).detach().numpy()
    assert np.abs(fresh - expected).max() > 1e-3


@pytest.mark.parametrize("subtraction", ["digital", "analog"])
def test_read_noise_of_cells_reaches_the_outputs(ideal, subtraction):
    """The same vector read two thousand times: the spread is that of the cells, Σ x² σ²; switched off, none."""
    device = Device.load("ideal").with_(read_noise={"curve": {"kind": "polynomial", "coeffs": [0.05]}, "of": "g_max"})
    layer = nn.Linear(6, 3, bias=False)
    array = ideal.with_(device=device, idle="hrs", pair_subtraction=subtraction)
    placement = mapping.place(layer, array, torch.rand(8, 6))
    x = torch.rand(1, 6)
    with torch.no_grad():
        y = mapping.CrossbarNetwork(placement, seed=3)(x.expand(2000, 6)).double()
        quiet = mapping.CrossbarNetwork(placement, seed=3, conditions=mapping.Conditions(read_noise=False))
        still = quiet(x.expand(20, 6))
    assert torch.equal(still, still[:1].expand(20, 3))
    per_weight = float(placement.layers[""].grid.scale) / placement.array.encoder.full_scale_s
    sigma = 0.05 * device.g_max_s * per_weight * np.sqrt(2 * float(x.square().sum()))
    assert np.allclose(y.std(dim=0).numpy(), sigma, rtol=0.07)
    assert torch.allclose(y.mean(dim=0), still[0].double(), atol=4 * sigma / 2000**0.5)
