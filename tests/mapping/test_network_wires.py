"""Networks on arrays with wires: read as the circuit gives, without loss where wires vanish."""

import numpy as np
import pytest
import torch
from torch import nn

import mapping
from crossbar import solve


def test_networks_are_read_behind_their_wires(ideal, outputs):
    """Every output of a layer on arrays with wires is that of the circuit solved node by node."""
    torch.manual_seed(0)
    net = nn.Linear(12, 6, bias=False)
    x = torch.rand(5, 12)
    wires = {"r_word_ohm": 2000.0, "r_bit_ohm": 3000.0, "r_source_ohm": 500.0, "r_sink_ohm": 700.0}
    spec = ideal.with_(rows=16, cols=8, **wires)  # four word lines are not in use
    placement = mapping.place(net, spec, x)
    layer = placement.layers[""]
    current = 0
    volts = (x / layer.calibration.input_scale).double().numpy()
    for piece in placement.pieces():
        whole = np.zeros((16, 8))
        whole[:12, :6] = piece.target
        drive = np.zeros((5, 16))
        drive[:, :12] = volts[:, piece.tile.rows]
        # Word lines not in use float, so their (open) cells draw nothing at any drive.
        currents = solve(whole, drive, 2000.0, 3000.0, r_source=500.0, r_sink=700.0).currents
        current = current + piece.sign * currents[:, :6]
    expected = current * layer.calibration.input_scale * float(layer.grid.scale) / spec.encoder.full_scale_s
    assert np.allclose(outputs(placement, x).numpy()[:, piece.tile.cols], expected, rtol=1e-5, atol=1e-7)
    with torch.no_grad():
        assert float((outputs(placement, x) - placement.reference()(x)).abs().max()) > 1e-3


def test_vanishing_wires_change_nothing(network, images, ideal, outputs):
    spec = ideal.with_(r_word_ohm=1e-6, r_bit_ohm=1e-6)
    with torch.no_grad():
        expected = mapping.place(network, ideal, images).reference()(images)
    assert torch.allclose(outputs(mapping.place(network, spec, images), images), expected, rtol=1e-4, atol=1e-5)


def test_the_loss_grows_with_the_wires(network, images, ideal, outputs):
    errors = []
    for ohm in (10.0, 100.0, 1000.0):
        placement = mapping.place(network, ideal.with_(r_word_ohm=ohm, r_bit_ohm=ohm), images)
        with torch.no_grad():
            errors.append(float((outputs(placement, images) - placement.reference()(images)).norm()))
    assert errors[0] < errors[1] < errors[2]
    assert errors[1] / errors[0] == pytest.approx(10, rel=0.2)  # first order in the resistance
