"""The curvature of filters: against the closed form of logistic regression, and sample by sample."""

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from admm import LayerPlan, Plan, compress
from admm.constraints import Budget, Levels
from admm.curvature import filter_curvature
from admm.layers import resolve
from crossbar.tiling import LayerShape

CPU = torch.device("cpu")


def _layers(model):
    return resolve(Plan(layers=(LayerPlan(name="*", levels=Levels((-1.0, 1.0), "fit")),)), model)


@pytest.mark.parametrize("size", [1, 8, 64])
def test_logistic_regression_has_its_closed_form_at_any_batch_size(size):
    """E[p (1 − p) x²] where the model is the truth, within what 128 squares of normal numbers leave open."""
    generator = torch.Generator().manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 2, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.randn(2, 6, generator=generator))
    x = torch.randn(128 * size, 6, generator=generator)
    chance = torch.sigmoid(model(x).detach())
    y = torch.bernoulli(chance, generator=generator)
    batches = list(zip(x.split(size), y.split(size), strict=True))

    def loss(outputs, targets):
        return binary_cross_entropy_with_logits(outputs, targets, reduction="sum") / len(outputs)

    found = torch.tensor(filter_curvature(model, _layers(model), batches, loss, CPU)["0"], dtype=torch.float64)
    closed = ((chance * (1 - chance))[:, :, None] * x[:, None, :].square()).mean((0, 2))
    assert torch.allclose(found, closed.double(), rtol=0.3)
    assert not torch.allclose(found / 2, closed.double(), rtol=0.3)


def test_single_samples_are_averaged_exactly(convolutional, digits):
    inputs, targets = digits[0][:20], digits[1][:20]
    layers = _layers(convolutional)
    singles = [(inputs[i : i + 1], targets[i : i + 1]) for i in range(20)]
    found = filter_curvature(convolutional, layers, singles, cross_entropy, CPU)
    sums = dict.fromkeys(layers, 0.0)
    for one in singles:
        convolutional.zero_grad()
        cross_entropy(convolutional(one[0]), one[1]).backward()
        sums = {name: sums[name] + layers[name].weight.grad.double().square() / 20 for name in layers}
    for name, total in sums.items():
        assert torch.allclose(torch.tensor(found[name], dtype=torch.float64), total.flatten(1).mean(1), rtol=1e-6), name


def test_nothing_is_left_behind(convolutional, batches):
    convolutional.zero_grad()
    layers = _layers(convolutional)
    before = {name: value.clone() for name, value in convolutional.state_dict().items()}
    filter_curvature(convolutional, layers, batches, cross_entropy, CPU)
    assert all(parameter.grad is None for parameter in convolutional.parameters())
    assert all(torch.equal(before[name], value) for name, value in convolutional.state_dict().items())


def test_compress_measures_it_once_and_keeps_it(convolutional, batches, evaluate, tmp_path):
    shape = LayerShape(rows=192, cols=10)
    budget = Budget.of({"7": shape}, lambda s, r, c: r * c / 32, 30.0, array=(8, 4), measure="loss")
    plan = Plan(budgets=(budget,))
    rows = []

    def stop(row):
        rows.append(row)
        if len(rows) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compress(convolutional, plan, batches, evaluate, checkpoint_dir=tmp_path, on_epoch=stop)
    resumed = compress(convolutional, plan, batches, evaluate, checkpoint_dir=tmp_path)
    whole = compress(convolutional, plan, batches, evaluate)
    layers = {"7": _layers(convolutional)["7"]}
    batches.set_epoch(1)
    measured = filter_curvature(convolutional, layers, batches, cross_entropy, CPU)
    assert dict(resumed.budgets[0].curvature) == dict(whole.budgets[0].curvature) == measured
    assert resumed.choices.equals(whole.choices)
    given = compress(convolutional, Plan(budgets=resumed.budgets), batches, evaluate)
    assert given.choices.equals(whole.choices), "a curvature that is given is not measured again"
