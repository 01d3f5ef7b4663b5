"""A network on ideal arrays is the quantised network; what runs where is said, what does not fit is refused."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

import mapping
from hwmodels.errors import UserError


@pytest.mark.parametrize("idle", ["open", "hrs"])
@pytest.mark.parametrize("subtraction", ["digital", "analog"])
@pytest.mark.parametrize("slices", [1, 2])
def test_ideal_arrays_equal_the_quantised_network(network, images, ideal, idle, slices, subtraction, outputs):
    array = ideal.with_(idle=idle, slices=slices, pair_subtraction=subtraction)
    placement = mapping.place(network, array, images)
    with torch.no_grad():
        expected = placement.reference()(images)
    assert torch.allclose(outputs(placement, images), expected, rtol=1e-5, atol=1e-6)


def test_the_calibrated_input_range_does_not_limit_ideal_arrays(network, images, ideal, outputs):
    placement = mapping.place(network, ideal, images)
    with torch.no_grad():
        expected = placement.reference()(3 * images)
    assert torch.allclose(outputs(placement, 3 * images), expected, rtol=1e-5, atol=1e-6)


def test_ideal_inputs_may_turn_negative_after_calibration(ideal, outputs):
    torch.manual_seed(0)
    net = nn.Linear(6, 4)
    placement = mapping.place(net, ideal, torch.rand(8, 6))
    x = torch.randn(16, 6)
    with torch.no_grad():
        assert torch.allclose(outputs(placement, x), placement.reference()(x), atol=1e-6)


def test_a_layer_under_two_names_runs_on_its_arrays_under_both(ideal):
    torch.manual_seed(0)
    shared = nn.Linear(6, 6)
    net = nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(6, 2))
    x = torch.rand(4, 6)
    placement = mapping.place(net, ideal, x)
    assert placement.layers["0"].shape.positions == 2
    chip = mapping.CrossbarNetwork(placement)
    assert not any(isinstance(module, nn.Linear) for module in chip.modules())
    with torch.no_grad():
        assert torch.allclose(chip(x), placement.reference()(x), atol=1e-6)


def test_reading_a_weight_past_its_layer_is_a_clear_error(ideal):
    class Peeks(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x):
            return self.fc(x) + self.fc.weight.sum()

    chip = mapping.CrossbarNetwork(mapping.place(Peeks(), ideal, torch.rand(2, 4)))
    with pytest.raises(UserError, match="reads the weight of layer 'fc' directly"):
        chip(torch.rand(2, 4))


def test_no_samples_give_no_outputs(network, images, spec):
    chip = mapping.CrossbarNetwork(mapping.place(network, spec, images))
    with torch.no_grad():
        assert chip(images[:0]).shape == (0, 10)


def test_a_single_layer_is_a_network(ideal, outputs):
    net = nn.Linear(5, 3)
    x = torch.randn(4, 5)
    placement = mapping.place(net, ideal, x)
    with torch.no_grad():
        assert torch.allclose(outputs(placement, x), placement.reference()(x), atol=1e-6)


def test_one_image_without_a_batch_axis(ideal, outputs):
    net = nn.Conv2d(2, 3, 3)
    placement = mapping.place(net, ideal, torch.randn(4, 2, 6, 6))
    x = torch.randn(2, 6, 6)
    with torch.no_grad():
        assert torch.allclose(outputs(placement, x), placement.reference()(x), atol=1e-6)


def test_a_linear_layer_over_sequences(ideal, outputs):
    net = nn.Linear(5, 3)
    x = torch.randn(4, 7, 5)
    placement = mapping.place(net, ideal, x)
    assert placement.layers[""].shape.positions == 7
    with torch.no_grad():
        assert torch.allclose(outputs(placement, x), placement.reference()(x), atol=1e-6)


def test_a_fully_pruned_layer_gives_its_bias(images, spec, outputs):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    with torch.no_grad():
        net[0].weight.zero_()
    placement = mapping.place(net, spec.with_(input_bits=12, adc_bits=16), images)
    assert placement.layer_table.set_index("layer").loc["0", "arrays"] == 0
    with torch.no_grad():
        assert torch.allclose(outputs(placement, images), placement.reference()(images), atol=2e-2)


def test_inputs_that_do_not_fit_are_refused(network, images, spec):
    chip = mapping.CrossbarNetwork(mapping.place(network, spec, images))
    for wrong in (images[:, :2], images[:, :, :0]):
        with pytest.raises(UserError, match="Layer '0' takes an input of shape"):
            chip(wrong)
    with pytest.raises(UserError, match="Layer '8' takes an input of shape"):
        chip(torch.rand(2, 3, 6, 6))
    with pytest.raises(UserError, match="input of layer '0' is not a number"):
        chip(images * float("nan"))


def test_describe_tells_what_runs(network, images, spec):
    table = mapping.CrossbarNetwork(mapping.place(network, spec, images)).describe()
    assert list(table[table["runs"] == "crossbar"]["layer"]) == ["0", "3", "5", "8"]
    assert "normalisation" in table.set_index("layer").loc["1", "note"]


def test_the_network_given_is_left_alone(network, images, spec, outputs):
    before = copy.deepcopy(network.state_dict())
    placement = mapping.place(network, spec, images)
    outputs(placement, images)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert isinstance(network[0], nn.Conv2d)


def test_train_mode_changes_nothing(network, images, spec):
    chip = mapping.CrossbarNetwork(mapping.place(network, spec, images)).train()
    assert not any(module.training for module in chip.modules())


class Chooses(nn.Module):
    """A layer that only large inputs reach."""

    def __init__(self):
        super().__init__()
        self.fc, self.rare = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        y = self.fc(x)
        return self.rare(y) if x.abs().max() > 10 else y


def test_a_layer_that_the_example_hid_is_named_and_never_computes_digitally(ideal):
    placement = mapping.place(Chooses(), ideal, torch.rand(2, 4))
    assert [(item.module, item.reason) for item in placement.digital if item.module == "rare"] == [
        ("rare", "the example input never calls it")
    ]
    chip = mapping.CrossbarNetwork(placement)
    chip(torch.rand(2, 4))
    with pytest.raises(UserError, match="'rare' stands on no array"):
        chip(torch.full((2, 4), 20.0))


def test_shape_type_and_device_of_an_absent_weight_may_be_asked_for(ideal):
    placement = mapping.place(nn.Sequential(nn.ConvTranspose1d(2, 3, 4), nn.ReLU()), ideal, torch.rand(2, 2, 5))
    weight = mapping.CrossbarNetwork(placement).model[0].weight
    assert (tuple(weight.shape), weight.size(0), weight.dim()) == ((2, 3, 4), 2, 3)
    assert (weight.dtype, weight.device) == (torch.float32, torch.device("cpu"))
    with pytest.raises(UserError, match="reads the weight of layer '0' directly"):
        nn.functional.linear(torch.rand(2, 3), weight)


def test_the_description_says_what_runs_where(images, spec):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    with torch.no_grad():
        net[0].weight[1] = 0
        net[0].bias[1] = -1
    chip = mapping.CrossbarNetwork(mapping.place(net, spec, images))
    table = chip.describe().set_index("layer")
    assert table["runs"].tolist() == ["crossbar", "crossbar", "digital", "digital"]
    assert table.loc["0", "macs"] == 36 * 27 * 4
    assert table.loc["1", "operations"] == "relu 144"
    assert table.attrs["macs_on_arrays"] == 1
    assert table.attrs["notes"] == ["Layer '3': 0 filters, 36 input channels, 108 weights freed across layers."]


MEMORY = """
import resource, torch, mapping
from crossbar import ArraySpec
from experiments.networks import resnet18
images = torch.rand(8, 3, 32, 32)
array = ArraySpec(rows=128, cols=128, device="hfox", input_bits=8, adc_bits=8)
placement = mapping.place(resnet18(3, 10, 32), array, images)
with torch.no_grad():
    mapping.CrossbarNetwork(placement)(images[:2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_resnet_18_needs_less_than_two_gigabytes():
    run = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert int(run.stdout) * 1024 < 2e9
