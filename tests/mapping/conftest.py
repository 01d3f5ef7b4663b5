import copy

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from crossbar import ArraySpec
from crossbar.tiling import row_places
from hwmodels import Device
from mapping import CrossbarNetwork
from mapping.tile_table import COLUMNS, common_columns


def _pruned(layer: nn.Module, keep: float, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        weight = layer.weight
        weight *= (torch.rand(weight.shape, generator=generator) < keep).float()
    return layer


@pytest.fixture
def network():
    """A network with stride, padding, groups, dilation, batch norm and masked weights."""
    torch.manual_seed(1)
    net = nn.Sequential(
        _pruned(nn.Conv2d(3, 8, 3, padding=1, stride=2), 0.7, 0),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        _pruned(nn.Conv2d(8, 8, 3, groups=2, padding="same", dilation=2, bias=False), 0.5, 1),
        nn.ReLU(),
        nn.Conv2d(8, 4, (1, 3), padding=(0, 1), padding_mode="reflect"),
        nn.ReLU(),
        nn.Flatten(),
        _pruned(nn.Linear(4 * 16, 10), 0.4, 2),
    )
    with torch.no_grad():
        net[1].running_mean.uniform_(-0.3, 0.3)
        net[1].running_var.uniform_(0.5, 2)
    return net.eval()


@pytest.fixture
def images():
    return torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def quiet_device():
    """The paper's range and levels without any error."""
    return Device.load("yuan2019").scaled_error(0)


@pytest.fixture
def spec(quiet_device):
    return ArraySpec(rows=16, cols=8, device=quiet_device, input_bits=6, adc_bits=8)


@pytest.fixture
def ideal(spec):
    return spec.with_(input_bits=None, adc_bits=None)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def outputs():
    """What the chip of a seed gives for inputs."""

    def made(placement, x, seed=0):
        with torch.no_grad():
            return CrossbarNetwork(placement, seed=seed)(x)

    return made


@pytest.fixture
def polarised():
    """A copy of a network whose weights have one sign in every fragment of rows of a column, as FORMS trains them."""

    def made(network, fragment, order="W"):
        network = copy.deepcopy(network)
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                places = torch.from_numpy(row_places(module.weight.shape, order))
                weight = module.weight.detach().flatten(1)[:, places.argsort()].clone()
                for start in range(0, weight.shape[1], fragment):
                    part = weight[:, start : start + fragment]
                    part.copy_(part.abs() * torch.where(part.sum(dim=1, keepdim=True) < 0, -1.0, 1.0))
                with torch.no_grad():
                    module.weight.copy_(weight[:, places].view_as(module.weight))
        return network

    return made


@pytest.fixture(scope="session")
def cells_table():
    """The tile table from the cells themselves, piece by piece: slow, obvious, the twin of `tile_table`."""

    def made(placement):
        rows = [_row(piece, placement.spec_of(piece.layer)) for piece in placement.pieces()]
        return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)

    return made


def _row(piece, spec):
    """One row of the table, from the cells of its piece."""
    layer, tile = piece.layer, piece.tile
    at = np.ix_(tile.rows, tile.cols)
    sign = np.sign(layer.grid.values)[layer.index[tile.group][at]]
    live = layer.live[tile.group][at]
    # The zero level of a pair stands on no half; without halves every live weight has its cell here.
    half = piece.sign * tile.half_signs
    carried = live & (sign == half) if spec.encoding == "pair" else live & (not piece.dummy)
    drive = layer.calibration.drive[tile.group][tile.rows]
    counted = int((live if spec.signed_converter else carried).sum(axis=0).max(initial=0))
    needed = 0
    if spec.input_bits is not None and piece.converted:
        needed = spec.encoder.required_adc_bits(tile.rows.size, counted, piece.slice, spec.dac_bits)
    return common_columns(layer, spec) | {
        "array": piece.array,
        "layer": layer.label,
        "tile": piece.number,
        "sign": piece.sign,
        "slice": piece.slice,
        "row0": tile.row0,
        "col0": piece.col0,
        "rows": tile.rows.size,
        "cols": piece.columns.size,
        "converted_cols": piece.converted,
        "live_cells": int(carried.sum()),
        "max_live_per_col": int(carried.sum(axis=0).max(initial=0)),
        "adc_bits_needed": needed,
        "g_sum_s": float(piece.target.sum()),
        "read_energy_j": spec.t_read_s * spec.device.read_voltage_v**2 * float(drive @ piece.target.sum(axis=1)),
    }
