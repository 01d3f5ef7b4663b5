import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import mapping
from hwmodels.errors import UserError


def test_pruned_recurrent_weights_and_norms_are_applied(ideal):
    torch.manual_seed(0)
    net = nn.ModuleDict({"lstm": nn.LSTM(4, 6, batch_first=True), "fc": parametrizations.weight_norm(nn.Linear(6, 2))})
    prune.l1_unstructured(net["lstm"], "weight_hh_l0", amount=0.5)
    prepared = mapping.prepare(net)
    layer = prepared["lstm"].weight_hh_l0
    assert int((layer.weight == 0).sum()) == 72
    assert [key for key, _ in prepared["fc"].named_parameters()] == ["bias", "weight"]
    x = torch.randn(3, 5, 4)
    with torch.no_grad():
        torch.testing.assert_close(prepared["fc"](prepared["lstm"](x)[0]), net["fc"](net["lstm"](x)[0]))
    assert isinstance(net["lstm"], nn.LSTM)  # the network given is left as it is


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
def test_weight_norm_of_the_old_kind_is_applied(ideal):
    net = nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 3)))
    x = torch.randn(5, 4)
    expected = net(x).detach()
    with torch.no_grad():
        torch.testing.assert_close(mapping.prepare(net)(x), expected)
    assert mapping.place(net, ideal, x).layers["0"].shape.weights == 12


class Tied(nn.Module):
    """An output layer with the weight of the embedding, as language models have it."""

    def __init__(self):
        super().__init__()
        self.embed, self.out = nn.Embedding(6, 4), nn.Linear(4, 6, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, x):
        return self.out(self.embed(x))


def test_a_weight_tied_to_an_embedding_gets_cells_and_leaves_the_table(ideal):
    torch.manual_seed(0)
    net, x = Tied(), torch.tensor([[0, 1, 5]])
    placement = mapping.place(net, ideal, x)
    assert list(placement.layers) == ["out"]
    (reason,) = [item.reason for item in placement.digital if item.module == "embed"]
    assert "'out'" in reason
    reference = placement.reference()
    assert torch.equal(reference.embed.weight, net.embed.weight)
    assert torch.equal(reference.out.weight, placement.layers["out"].weights())
    assert not torch.equal(reference.out.weight, net.out.weight)


def test_two_layers_that_share_a_weight_with_an_embedding_are_an_error_all_the_same(ideal):
    class Twice(Tied):
        def __init__(self):
            super().__init__()
            self.other = nn.Linear(4, 6)
            self.other.weight = self.embed.weight

        def forward(self, x):
            return super().forward(x) + self.other(self.embed(x))

    with pytest.raises(UserError, match="'out' and 'other' share one weight"):
        mapping.place(Twice(), ideal, torch.tensor([[0, 1, 5]]))


def test_preparing_twice_changes_nothing():
    torch.manual_seed(0)
    net = nn.TransformerEncoderLayer(8, 2, 12)
    once = mapping.prepare(net)
    twice = mapping.prepare(copy.deepcopy(once))
    states = [{key: value.tolist() for key, value in each.state_dict().items()} for each in (once, twice)]
    assert states[0] == states[1]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit:FutureWarning")
def test_torchscript_is_refused(ideal):
    with pytest.raises(UserError, match="TorchScript"):
        mapping.place(torch.jit.script(nn.Linear(2, 2)), ideal, torch.ones(1, 2))


def test_layers_without_weights_yet_are_named(ideal):
    with pytest.raises(UserError, match="'1' is not initialised"):
        mapping.place(nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), ideal, torch.ones(1, 2))
