import numpy as np
import torch
from torch import nn

from admm import retrain
from admm.constraints import Filter, Levels
from admm.layers import Layer
from crossbar.levels import LevelGrid

VALUES = (-1.0, -0.5, 0.5, 1.0)


def setup():
    torch.manual_seed(0)
    module = nn.Linear(6, 4)
    layers = {"fc": Layer("fc", module, (Filter(2),), Levels(VALUES, "fit"))}
    masks = {"fc": layers["fc"].mask(module.weight.detach())}
    return module, layers, masks


def test_momentum_gathered_before_does_not_move_masked_weights():
    for make in (lambda p: torch.optim.Adam(p, 0.1, weight_decay=0.1), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)):
        module, layers, masks = setup()
        optimiser = make(module.parameters())
        module(torch.ones(2, 6)).sum().backward()
        optimiser.step()  # momentum for all weights
        retrain.apply_masks(layers, masks)
        for _ in range(5):
            optimiser.zero_grad()
            module(torch.ones(2, 6)).sum().backward()
            retrain.mask_gradients(layers, masks)
            assert module.weight.grad is not None
            assert (module.weight.grad[~masks["fc"]] == 0).all()
            before = module.weight.detach().clone()
            optimiser.step()
            assert (module.weight[~masks["fc"]] != 0).any()  # without the second mask they would have moved
            retrain.apply_masks(layers, masks)
            assert (module.weight[~masks["fc"]] == 0).all()
            assert (module.weight[masks["fc"]] != before[masks["fc"]]).any()


def test_the_gradient_goes_straight_through_to_live_weights():
    module, layers, masks = setup()
    grids = retrain.fit_grids(layers, masks)
    replaced = retrain.on_levels(layers, masks, grids)["fc.weight"]
    table = grids["fc"].table()
    assert np.isin(replaced.detach()[masks["fc"]].numpy(), table).all()  # bit for bit
    assert (replaced[~masks["fc"]] == 0).all()
    (replaced * torch.arange(24.0).reshape(4, 6)).sum().backward()
    expected = torch.arange(24.0).reshape(4, 6).masked_fill(~masks["fc"], 0)
    assert module.weight.grad is not None
    assert torch.equal(module.weight.grad, expected)


def test_projected_lasts_as_long_as_its_block():
    module, layers, masks = setup()
    grids = retrain.fit_grids(layers, masks)
    before = module.weight.detach().clone()
    with retrain.projected(layers, masks, grids):
        assert Levels(VALUES, "fit").holds(module.weight, masks["fc"])
    assert torch.equal(module.weight, before)


def test_latent_weights_stay_between_the_outermost_levels():
    module, layers, _ = setup()
    with torch.no_grad():
        module.weight.mul_(100)
    retrain.clamp_latent(layers, {"fc": LevelGrid(np.array(VALUES), np.array(0.25))})
    assert module.weight.abs().max() == 0.25
