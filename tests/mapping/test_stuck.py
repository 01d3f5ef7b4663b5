import numpy as np
import pytest
import torch
from torch import nn

import mapping
from hwmodels.errors import UserError


@pytest.mark.parametrize(("idle", "slices"), [("open", 1), ("hrs", 1), ("open", 2)])
def test_the_table_is_what_the_chip_computes_with(ideal, quiet_device, idle, slices):
    """Unit vectors read a layer's weights: those in the table stand near its value, all others as placed."""
    faulty = quiet_device.with_(stuck_at_lrs=0.05, stuck_at_hrs=0.05)
    array = ideal.with_(device=faulty, idle=idle, slices=slices)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(40, 12, bias=False))
    placement = mapping.place(net, array, torch.eye(40))
    table = mapping.stuck_weights(placement, seed=7)
    with torch.no_grad():
        seen = mapping.CrossbarNetwork(placement, seed=7)(torch.eye(40)).numpy()
        wanted = placement.reference()(torch.eye(40)).numpy()
    layer = placement.layers["0"]
    scale, levels = float(layer.grid.scale), np.append(layer.grid.values, 0.0)
    listed = np.zeros((40, 12), dtype=bool)
    listed[table["row"], table["col"]] = True
    assert 0.05 < listed.mean() < 0.5
    assert np.allclose(seen[~listed], wanted[~listed], atol=1e-5 * scale)
    nearest = levels[np.abs(seen[listed][:, None] / scale - levels).argmin(axis=1)]
    order = np.lexsort((table["col"], table["row"]))
    assert np.allclose(table["value"].to_numpy()[order], nearest, atol=1e-9)


def test_a_chip_without_faults_and_other_encodings(ideal):
    net = nn.Sequential(nn.Linear(6, 3))
    assert len(mapping.stuck_weights(mapping.place(net, ideal, torch.rand(2, 6)), seed=1)) == 0
    offset = mapping.place(net, ideal.with_(encoding="offset", idle="hrs"), torch.rand(2, 6))
    with pytest.raises(UserError, match="pairs only, not of encoding = 'offset'"):
        mapping.stuck_weights(offset, seed=1)
