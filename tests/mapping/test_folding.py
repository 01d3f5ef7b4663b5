"""Batch normalisation folded where it is the same network, and only there."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import mapping
from crossbar import LevelGrid
from hwmodels.errors import UserError


def _shaken(network):
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
    return network.eval()


def _folded(network, x, array):
    """Placed with folding, checked against the network given."""
    placement = mapping.place(network, array, x, fold_batch_norm=True)
    with torch.no_grad():
        expected = network(x)
        unquantised = placement.network(x)
        torch.testing.assert_close(unquantised, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            mapping.CrossbarNetwork(placement)(x), placement.reference()(x), rtol=1e-5, atol=1e-5
        )
    return placement


@pytest.mark.parametrize("bias", [True, False])
def test_normalisation_folds_into_every_layer_it_may(ideal, bias):
    net = _shaken(
        nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1, groups=2, bias=bias),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 3, 3, bias=bias),
            nn.BatchNorm2d(3, affine=False),
            nn.Flatten(),
            nn.Linear(3 * 16, 5, bias=bias),
            nn.BatchNorm1d(5),
        )
    )
    placement = _folded(net, torch.randn(4, 2, 6, 6), ideal)
    assert placement.folded == (("0", "1"), ("3", "4"), ("6", "7"))
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in placement.network.modules())


class Joined(nn.Module):
    """A layer whose output is read twice, one that runs twice, and a normalisation without statistics."""

    def __init__(self):
        super().__init__()
        self.one, self.norm1 = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)
        self.two, self.norm2 = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)
        self.three, self.norm3 = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2, track_running_stats=False)
        self.last, self.norm4 = nn.Linear(6, 4), nn.BatchNorm1d(2)

    def forward(self, x):
        y = self.one(x)
        y = self.norm1(y) + y
        y = self.norm2(self.two(y)) + self.norm2(y)
        y = self.norm3(self.three(y)).flatten(2)
        return self.norm4(self.last(y))


def test_it_stays_where_it_may_not_fold(ideal):
    x = torch.randn(3, 2, 2, 3)
    assert _folded(_shaken(Joined()), x, ideal).folded == ()


def test_a_folded_placement_comes_back_from_its_file(tmp_path, ideal):
    net = _shaken(nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 3)))
    x = torch.randn(4, 2, 6, 6)
    placement = mapping.place(net, ideal, x, fold_batch_norm=True)
    placement.save(tmp_path)
    loaded = mapping.Placement.load(tmp_path)
    assert loaded.folded == placement.folded
    assert loaded.macs_on_arrays == placement.macs_on_arrays
    with torch.no_grad():
        assert torch.equal(mapping.CrossbarNetwork(loaded, network=net)(x), mapping.CrossbarNetwork(placement)(x))


def test_weights_on_a_grid_are_not_moved_off_it(ideal):
    net = _shaken(nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)))
    compressed = SimpleNamespace(model=net, masks={}, grids={"0": LevelGrid(ideal.weight_levels(), 0.1)})
    with pytest.raises(UserError, match=r"'0' has a level grid of its own.*'1'"):
        mapping.place(compressed, ideal, torch.randn(2, 2, 4, 4), fold_batch_norm=True)


def test_a_network_that_cannot_be_followed_is_not_folded(ideal):
    class Decides(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x):
            return self.fc(x) if x.sum() > 0 else x

    with pytest.raises(UserError, match="paths of this network cannot be followed"):
        mapping.place(Decides(), ideal, torch.ones(2, 3), fold_batch_norm=True)
