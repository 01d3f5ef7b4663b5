import copy

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from admm import Compressed
from admm.purify import purify, remove_unused
from hwmodels.errors import UserError


def live(model):
    """Masks of all convolutions and linear layers: what is not zero."""
    return {
        name: (module.weight != 0).detach().clone()
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Conv1d | nn.Linear)
    }


def compressed(model):
    return Compressed(model.eval(), live(model), {}, pd.DataFrame(), pd.DataFrame(), {"quantised": 1.0}, {})


@torch.no_grad()
def randomised(model, seed):
    """Random weights, biases and running statistics, so that nothing is exact by luck."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if tensor.dtype.is_floating_point:
            tensor.copy_(torch.randn(tensor.shape, generator=generator) / 2)
            if name.endswith("running_var"):
                tensor.abs_().add_(0.5)
    return model.eval()


@torch.no_grad()
def kill(module, filters):
    module.weight[filters] = 0


def freed(before, after):
    return {name: int((before[name] & ~after[name]).sum()) for name in before}


def chain(*, padding=0, norm=False, bias=True, activation=None):
    return nn.Sequential(
        nn.Conv2d(2, 6, 3),
        nn.BatchNorm2d(6) if norm else nn.Identity(),
        activation or nn.ReLU(),
        nn.Conv2d(6, 5, 3, padding=padding, bias=bias),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(5 * (4 if padding == 0 else 9), 4),
    )


def check_exact(model, dead=(1, 4)):
    kill(model[0], list(dead))
    x = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    before, masks = model(x), live(model)
    after = remove_unused(model, masks, x)
    torch.testing.assert_close(model(x), before, atol=1e-6, rtol=1e-5)
    for name, mask in after.items():
        assert (model.get_submodule(name).weight[~mask] == 0).all()
    return freed(masks, after)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**31), st.sampled_from([nn.ReLU(), nn.Sigmoid(), nn.LeakyReLU(0.1), nn.GELU()]), st.booleans())
def test_a_constant_folds_exactly_into_an_unpadded_layer(seed, activation, norm):
    model = randomised(chain(norm=norm, activation=activation), seed)
    assert check_exact(model) == {"0": 0, "3": 2 * 5 * 9, "7": 0}


def test_with_zeros_padded_only_a_constant_of_zero_frees_the_channel():
    model = randomised(chain(padding=1, norm=True), 3)
    with torch.no_grad():
        model[1].running_mean[:] = 0
        model[0].bias[:] = 0
        model[1].bias[:] = torch.tensor([0.3, 0.3, -0.2, -0.2, -0.2, 0.3])  # the activation makes 0 of a negative one
    assert check_exact(model) == {"0": 0, "3": 5 * 9, "7": 0}  # filter 4 frees its channel, filter 1 does not


def test_padding_by_replication_keeps_a_constant_a_constant():
    model = randomised(chain(padding=1), 4)
    model[3].padding_mode, model[3]._reversed_padding_repeated_twice = "replicate", [1, 1, 1, 1]
    assert check_exact(model)["3"] == 2 * 5 * 9


def test_nothing_folds_where_there_is_no_bias():
    model = randomised(chain(bias=False, activation=nn.Sigmoid()), 5)
    assert check_exact(model) == {"0": 0, "3": 0, "7": 0}


def test_filters_that_nobody_reads_go_with_their_bias():
    model = randomised(chain(padding=1, norm=True), 6)
    with torch.no_grad():
        model[3].weight[:, 2] = 0
        model[7].weight.view(4, 5, 9)[:, 3] = 0  # channel 3 of the second convolution, flattened
    found = check_exact(model, dead=())
    assert found == {"0": 2 * 9, "3": (6 - 1) * 9, "7": 0}
    assert model[0].bias[2] == 0
    assert model[3].bias[3] == 0


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(2, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.c = nn.Conv2d(4, 3, 3)

    def forward(self, x):
        x = torch.relu(self.a(x))
        return self.c(torch.relu(self.norm(self.b(x)) + x))


def test_a_residual_join_is_not_freed():
    model = randomised(Residual(), 7)
    kill(model.b, [0, 2])
    x = torch.randn(2, 2, 6, 6)
    before, masks = model(x), live(model)
    after = remove_unused(model, masks, x)
    assert freed(masks, after) == {"a": 0, "b": 0, "c": 0}
    assert torch.equal(model(x), before)
    kill(model.a, [0])  # now both summands of channel 0 are constant, if the first is zero-padded nowhere
    before, masks = model(x), live(model)
    found = freed(masks, remove_unused(model, masks, x))
    torch.testing.assert_close(model(x), before, atol=1e-6, rtol=1e-5)
    assert found["c"] == 3 * 9


def test_a_filter_read_through_the_join_stays():
    model = randomised(Residual(), 8)
    with torch.no_grad():
        model.b.weight[:, 1] = 0  # b does not read channel 1 of a, but the sum does
    masks = live(model)
    assert freed(masks, remove_unused(model, masks, torch.randn(2, 2, 6, 6)))["a"] == 0


def test_average_pooling_with_padding_is_not_constant_at_the_edges():
    def make(padding):
        layers = (nn.Conv2d(2, 3, 3), nn.AvgPool2d(2, padding=padding), nn.Conv2d(3, 2, 2))
        return randomised(nn.Sequential(*layers), 9)

    for padding, expected in ((0, 2 * 4), (1, 0)):
        model = make(padding)
        kill(model[0], [1])
        x = torch.randn(2, 2, 8, 8)
        before, masks = model(x), live(model)
        found = freed(masks, remove_unused(model, masks, x))
        torch.testing.assert_close(model(x), before, atol=1e-6, rtol=1e-5)
        assert found["2"] == expected


def test_grouped_convolutions():
    model = randomised(nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.Conv2d(8, 6, 3, groups=2)), 10)
    kill(model[0], [1, 6])
    x = torch.randn(2, 4, 8, 8)
    before, masks = model(x), live(model)
    found = freed(masks, remove_unused(model, masks, x))
    torch.testing.assert_close(model(x), before, atol=1e-6, rtol=1e-5)
    assert found == {"0": 0, "2": 2 * 3 * 9}


class Unknown(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.b(torch.softmax(self.a(x), 1)) @ self.b.weight


def test_what_is_not_understood_is_left_alone():
    model = randomised(Unknown(), 11)
    kill(model.a, [1])
    with torch.no_grad():
        model.b.weight[:, 2] = 0
    masks = live(model)
    assert freed(masks, remove_unused(model, masks, torch.randn(2, 3))) == {"a": 0, "b": 0}


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 4)

    def forward(self, x):
        return self.a(x) if x.sum() > 0 else x


def test_a_network_that_cannot_be_followed_is_named():
    with pytest.raises(UserError, match="paths of this network cannot be followed"):
        remove_unused(Branches(), {}, torch.randn(2, 3))


def agreement(model, x):
    """An accuracy: how often a changed network decides as the given one does."""
    reference = model(x).argmax(1)
    return lambda changed: float((changed(x).argmax(1) == reference).float().mean())


def test_a_leftover_constant_is_zeroed_when_accuracy_allows():
    x = torch.randn(200, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    for shift, gone in ((1e-4, True), (50.0, False)):
        model = randomised(chain(padding=1, norm=True), 12)
        kill(model[0], [1])
        with torch.no_grad():
            model[1].weight[1] = 0
            model[1].bias[1] = shift
        given = copy.deepcopy(model.state_dict())
        found = purify(compressed(model), x[:2], agreement(model, x), budget=0.0)
        constant = found.removed[found.removed["cause"] == "constant"]
        assert constant["channels"].sum() == (1 if gone else 0)
        assert bool((found.compressed.model[3].weight[:, 1] == 0).all()) == gone
        assert found.accuracy[1] >= found.accuracy[0]
        assert all(torch.equal(model.state_dict()[key], value) for key, value in given.items())


def test_weak_channels_and_filters_go_within_the_budget():
    model = randomised(chain(padding=1, norm=True), 13)
    with torch.no_grad():
        model[3].weight[:, 2] = 0
        model[3].weight[0, 2, 1, 1] = 1e-4  # nearly empty and of no importance
        model[0].weight[5] *= 1e-3
        model[1].weight[5] *= 1e-3
        model[1].bias[5] = 1e-3
    x = torch.randn(300, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        outputs = model(x)
        model[7].bias -= outputs.mean(0)
        model[7].weight /= outputs.std(0)[:, None]  # every class has its share
    weights = {}
    for budget in (0.0, 0.1, 0.9):
        found = purify(compressed(model), x[:2], agreement(model, x), budget)
        assert found.accuracy[1] >= 1 - budget
        assert found.threshold > 0
        masks = found.compressed.masks
        assert not masks["3"][:, 2].any()
        assert not masks["0"][2].any()  # its path went with it
        assert found.compressed.violations() == {"levels": 0, "constraints": 0}
        assert agreement(model, x)(found.compressed.model) == found.accuracy[1]
        weights[budget] = sum(int(mask.sum()) for mask in masks.values())
    assert weights[0.9] < weights[0.1] <= weights[0.0]
    with pytest.raises(UserError, match="must be 0 or more"):
        purify(compressed(model), x[:2], agreement(model, x), -0.1)
