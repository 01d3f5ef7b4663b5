"""What zeros in one layer free in another: only what is provably unused, and the network stays the same."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import mapping
from experiments import networks
from hwmodels.errors import UserError


def _net(padding=0, norm=True, activation=None, bias=True):
    """Two convolutions and a linear layer; filters 1 and 4 of the first are zero."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 6, 3)]
    layers += [nn.BatchNorm2d(6)] if norm else []
    layers += [activation or nn.ReLU(), nn.Conv2d(6, 5, 3, padding=padding, bias=bias), nn.ReLU(), nn.Flatten()]
    net = nn.Sequential(*layers, nn.LazyLinear(4)).eval()
    net(torch.zeros(1, 2, 8, 8))
    with torch.no_grad():
        net[0].weight[[1, 4]] = 0
        if norm:
            net[1].running_mean.normal_()
            net[1].bias.normal_()
            # Behind the normalisation filter 1 is a positive constant, filter 4 a negative one: 0 behind the ReLU.
            net[0].bias[[1, 4]] = net[1].running_mean[[1, 4]]
            net[1].bias[1], net[1].bias[4] = 0.5, -0.5
    return net


def _check(net, array, x=None, **options):
    x = torch.randn(6, 2, 8, 8) if x is None else x
    placement = mapping.place(net, array, x, **options)
    with torch.no_grad():
        torch.testing.assert_close(placement.network(x), net(x), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            mapping.CrossbarNetwork(placement)(x), placement.reference()(x), rtol=1e-5, atol=1e-5
        )
    return placement


def _rows(placement, name):
    """Input channels of a layer with live rows."""
    live = placement.layers[name].live[0].any(axis=1).reshape(-1, 9).any(axis=1)
    return live.nonzero()[0].tolist()


@pytest.mark.parametrize(
    ("padding", "norm", "bias", "kept"),
    [
        (0, True, True, [0, 2, 3, 5]),  # zero, and a constant that folds into the bias
        (1, True, True, [0, 1, 2, 3, 5]),  # at the edges a constant is none
        (0, True, False, [0, 1, 2, 3, 5]),  # nothing to fold into
    ],
)
def test_a_removed_filter_frees_the_next_channel_only_when_that_is_exact(ideal, padding, norm, bias, kept):
    placement = _check(_net(padding, norm, bias=bias), ideal)
    assert _rows(placement, "3") == kept
    assert any(note.startswith("Layer '3'") for note in placement.notes)
    # What is freed is neither driven nor converted: the tile table has no row for it.
    tiles = placement.tiles[placement.tiles["layer"] == "3"]
    assert tiles.drop_duplicates(["tile", "row0"])["rows"].max() <= 16
    driven = {(t.group, int(r)) for t in placement.layers["3"].tiles for r in t.rows}
    assert {row // 9 for _, row in driven} == set(kept)


def test_an_activation_that_makes_no_zero_of_zero_keeps_a_padded_channel(ideal):
    net = _net(padding=1, norm=False, activation=nn.Sigmoid())
    with torch.no_grad():
        net[0].bias[[1, 4]] = 0
    assert _rows(_check(net, ideal), "2") == [0, 1, 2, 3, 4, 5]


def test_filters_that_nobody_reads_are_not_converted(ideal):
    net = _net(norm=False)
    with torch.no_grad():
        net[0].weight[[1, 4]] = 1.0
        net[2].weight[:, [0, 3]] = 0
    placement = _check(net, ideal)
    assert placement.layers["0"].live[0].any(axis=0).nonzero()[0].tolist() == [1, 2, 4, 5]
    assert set(placement.tiles.query("layer == '0'")["outputs"]) == {4}


class Block(nn.Module):
    """A residual join: what one branch removes, the other may still carry."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right, self.last = nn.Conv2d(2, 4, 1), nn.Conv2d(2, 4, 1), nn.Conv2d(4, 3, 1)

    def forward(self, x):
        return self.last(torch.relu(self.left(x) + self.right(x)))


@pytest.mark.parametrize("both", [False, True])
def test_a_residual_join_needs_both_branches_to_be_constant(ideal, both):
    net = Block().eval()
    with torch.no_grad():
        net.left.weight[2] = 0
        if both:
            net.right.weight[2] = 0
    placement = _check(net, ideal)
    assert placement.layers["last"].live[0].any(axis=1).tolist() == [True, True, not both, True]


def test_masks_of_torch_free_across_layers_too(ideal):
    net = _net(norm=False)
    with torch.no_grad():
        net[0].weight[[1, 4]] = 1.0
    prune.ln_structured(net[2], "weight", amount=2, n=2, dim=1)
    gone = (net[2].weight_mask.sum((0, 2, 3)) == 0).nonzero().flatten().tolist()
    placement = _check(net, ideal)
    live = placement.layers["0"].live[0].any(axis=0)
    assert [i for i, alive in enumerate(live) if not alive] == gone


def test_the_masks_of_a_compression_follow(ideal):
    net = _net()
    masks = {"0": net[0].weight != 0, "3": torch.ones_like(net[3].weight, dtype=torch.bool)}
    placement = mapping.place(SimpleNamespace(model=net, masks=masks, grids={}), ideal, torch.randn(4, 2, 8, 8))
    assert _rows(placement, "3") == [0, 2, 3, 5]
    assert bool(masks["3"].all())  # the caller's own are left as they were


def test_it_can_be_left_alone(ideal):
    placement = _check(_net(), ideal, free_unused=False)
    assert _rows(placement, "3") == [0, 1, 2, 3, 4, 5]
    assert placement.notes == ()


def test_a_network_that_cannot_be_followed_says_so(ideal):
    class Decides(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = _net()

        def forward(self, x):
            return self.net(x) if x.shape[0] > 0 and bool(x.sum() < 1e9) else x

    placement = _check(Decides().eval(), ideal)
    assert _rows(placement, "net.3") == [0, 1, 2, 3, 4, 5]
    (note,) = placement.notes
    assert note.startswith("Filters without weights free nothing in other layers: The paths of this network")


def test_a_dense_network_is_not_looked_into(ideal):
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(108, 2))
    assert _check(net, ideal).notes == ()


@pytest.mark.parametrize(
    ("factory", "size", "expected"),
    [
        ("LeNet5", 28, {"conv2": "conv1", "fc1": "conv2", "fc2": "fc1"}),
        ("resnet20", 16, {f"layer{s}.{b}.conv2": f"layer{s}.{b}.conv1" for s in (1, 2, 3) for b in (0, 1, 2)}),
    ],
)
def test_a_layer_feeds_another_where_nobody_else_reads_it(factory, size, expected):
    """Not past a residual sum; where it does, a filter and its rows of the reader can only be of use together."""
    network = getattr(networks, factory)(1, 10, size)
    network.conv1.eval()  # as a frozen layer
    modes = [module.training for module in network.modules()]
    example = torch.rand(2, 1, size, size)
    assert mapping.feeds(network, example) == expected
    assert [module.training for module in network.modules()] == modes
    for name, source in expected.items():
        pruned = copy.deepcopy(network).eval()
        reader, filters = pruned.get_submodule(name).weight.data, pruned.get_submodule(source).weight.data
        reader.reshape(len(reader), len(filters), -1)[:, 1] = 0
        before = pruned(example)
        filters[1] += 1
        assert torch.equal(pruned(example), before)


def test_grouped_layers_feed_nobody_and_a_network_that_cannot_be_followed_says_why():
    grouped = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2), nn.ReLU(), nn.Conv2d(4, 2, 3))
    assert mapping.feeds(grouped, torch.rand(1, 2, 9, 9)) == {}

    pooled = nn.Sequential(nn.Linear(4, 8), nn.MaxPool1d(3, 1, 1), nn.Linear(8, 2))
    assert mapping.feeds(pooled, torch.rand(3, 4)) == {}, "without a batch of channels, pooling mixes the features"

    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x):
            return self.fc(x) if x.sum() > 0 else x

    with pytest.raises(UserError, match=r"paths of this network cannot be followed \("):
        mapping.feeds(Branches(), torch.rand(1, 4))
