"""The curvature of weights: against the closed form of logistic regression, and sample by sample."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from admm import LayerPlan, Plan, Schedule, compress, job
from admm.constraints import Budget, GlobalBudget, Levels, Unstructured
from admm.curvature import weight_curvature
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

    found = weight_curvature(model, _layers(model), batches, loss, CPU)["0"]
    closed = ((chance * (1 - chance))[:, :, None] * x[:, None, :].square()).mean(0)
    assert torch.allclose(found, closed, rtol=0.5)  # four standard errors of a weight
    assert torch.allclose(found.mean(1), closed.mean(1), rtol=0.2)


def test_single_samples_are_averaged_exactly(convolutional, digits):
    inputs, targets = digits[0][:20], digits[1][:20]
    layers = _layers(convolutional)
    singles = [(inputs[i : i + 1], targets[i : i + 1]) for i in range(20)]
    found = weight_curvature(convolutional, layers, singles, cross_entropy, CPU)
    sums = dict.fromkeys(layers, 0.0)
    for one in singles:
        convolutional.zero_grad()
        cross_entropy(convolutional(one[0]), one[1]).backward()
        sums = {name: sums[name] + layers[name].weight.grad.double().square() / 20 for name in layers}
    for name, total in sums.items():
        assert torch.allclose(found[name].double(), total, rtol=1e-5), name


def test_nothing_is_left_behind(convolutional, batches):
    convolutional.zero_grad()
    layers = _layers(convolutional)
    before = {name: value.clone() for name, value in convolutional.state_dict().items()}
    weight_curvature(convolutional, layers, batches, cross_entropy, CPU)
    assert all(parameter.grad is None for parameter in convolutional.parameters())
    assert all(torch.equal(before[name], value) for name, value in convolutional.state_dict().items())


class StoppedError(Exception):
    """What a test stops a run with."""


@pytest.mark.parametrize("kind", ["hardware", "weights"])
def test_every_round_measures_it_once_and_goes_on_with_it(
    convolutional, batches, evaluate, tmp_path, monkeypatch, kind
):
    if kind == "hardware":
        shape = LayerShape(rows=192, cols=10)
        budget = Budget.of({"7": shape}, lambda s, r, c: r * c / 32, 30.0, array=(8, 4), measure="loss")
    else:
        budget = GlobalBudget(layers=("0", "7"), of=Unstructured(100), measure="loss")
    plan = Plan(budgets=(budget,), schedule=Schedule(admm_epochs=3, update_every=1, retrain_epochs=1))
    measured = []

    def counted(*args):
        measured.append(weight_curvature(*args))
        return measured[-1]

    def stop(row):
        if row["epoch"] == 2:
            raise StoppedError

    monkeypatch.setattr(job, "weight_curvature", counted)
    with pytest.raises(StoppedError):
        compress(convolutional, plan, batches, evaluate, checkpoint_dir=tmp_path, on_epoch=stop)
    resumed = compress(convolutional, plan, batches, evaluate, checkpoint_dir=tmp_path)
    assert len(measured) == 1
    whole = compress(convolutional, plan, batches, evaluate)
    assert len(measured) == 2
    assert set(measured[0]) == set(budget.layers)
    assert all(torch.equal(measured[0][name], again) for name, again in measured[1].items())
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    compress(convolutional, replace(plan, budgets=(replace(budget, measure="energy"),)), batches, evaluate)
    assert len(measured) == 2, "nobody asked"
    rounds = compress(convolutional, replace(plan, schedule=replace(plan.schedule, steps=2)), batches, evaluate)
    assert rounds.violations() == {"levels": 0, "constraints": 0}
    assert len(measured) == 4, "every round measures what it has"
    assert not torch.equal(measured[2]["7"], measured[3]["7"])
