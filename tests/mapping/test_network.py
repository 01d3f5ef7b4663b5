import copy
import subprocess
import sys
from itertools import pairwise

import numba
import numpy as np
import pytest
import torch
from torch import nn

import mapping
from crossbar import solve
from hwmodels import Device, conductances_at, program
from hwmodels.errors import UserError
from mapping.layer import unit_conductance


def _run(placement, x, seed=0):
    with torch.no_grad():
        return mapping.CrossbarNetwork(placement, seed=seed)(x)


@pytest.mark.parametrize("idle", ["open", "hrs"])
@pytest.mark.parametrize("subtraction", ["digital", "analog"])
@pytest.mark.parametrize("slices", [1, 2])
def test_ideal_arrays_equal_the_quantised_network(network, images, ideal, idle, slices, subtraction):
    array = ideal.with_(idle=idle, slices=slices, pair_subtraction=subtraction)
    placement = mapping.place(network, array, images)
    with torch.no_grad():
        expected = placement.reference()(images)
    assert torch.allclose(_run(placement, images), expected, rtol=1e-5, atol=1e-6)


def test_the_calibrated_input_range_does_not_limit_ideal_arrays(network, images, ideal):
    placement = mapping.place(network, ideal, images)
    with torch.no_grad():
        expected = placement.reference()(3 * images)
    assert torch.allclose(_run(placement, 3 * images), expected, rtol=1e-5, atol=1e-6)


def test_ideal_inputs_may_turn_negative_after_calibration(ideal):
    torch.manual_seed(0)
    net = nn.Linear(6, 4)
    placement = mapping.place(net, ideal, torch.rand(8, 6))
    x = torch.randn(16, 6)
    with torch.no_grad():
        assert torch.allclose(_run(placement, x), placement.reference()(x), atol=1e-6)


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


def test_more_bits_come_closer(network, images, spec):
    errors = []
    for bits in (4, 6, 8, 10, 12):
        placement = mapping.place(network, spec.with_(input_bits=bits, adc_bits=bits + 2), images)
        with torch.no_grad():
            errors.append(float((_run(placement, images) - placement.reference()(images)).norm()))
    assert all(later < earlier for earlier, later in pairwise(errors))
    assert errors[-1] < errors[0] / 50


def test_a_single_layer_is_a_network(ideal):
    net = nn.Linear(5, 3)
    x = torch.randn(4, 5)
    placement = mapping.place(net, ideal, x)
    with torch.no_grad():
        assert torch.allclose(_run(placement, x), placement.reference()(x), atol=1e-6)


def test_one_image_without_a_batch_axis(ideal):
    net = nn.Conv2d(2, 3, 3)
    placement = mapping.place(net, ideal, torch.randn(4, 2, 6, 6))
    x = torch.randn(2, 6, 6)
    with torch.no_grad():
        assert torch.allclose(_run(placement, x), placement.reference()(x), atol=1e-6)


def test_a_linear_layer_over_sequences(ideal):
    net = nn.Linear(5, 3)
    x = torch.randn(4, 7, 5)
    placement = mapping.place(net, ideal, x)
    assert placement.layers[""].shape.positions == 7
    with torch.no_grad():
        assert torch.allclose(_run(placement, x), placement.reference()(x), atol=1e-6)


def test_a_fully_pruned_layer_gives_its_bias(images, spec):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    with torch.no_grad():
        net[0].weight.zero_()
    placement = mapping.place(net, spec.with_(input_bits=12, adc_bits=16), images)
    assert placement.layer_table.set_index("layer").loc["0", "arrays"] == 0
    with torch.no_grad():
        assert torch.allclose(_run(placement, images), placement.reference()(images), atol=2e-2)


def test_converter_codes_are_the_same_with_batches_of_1_and_64(network, spec):
    """Cells on their levels: every column sum is a whole number of grid units, so the codes are bit-identical."""
    images = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    placement = mapping.place(network, spec, images)
    chip = mapping.CrossbarNetwork(placement)
    with torch.no_grad():
        together = chip(images)
        one_by_one = torch.cat([chip(images[i : i + 1]) for i in range(64)])
    # The first layer sees identical inputs, so its outputs are identical; later layers pass through batch norm,
    # where torch itself may round differently, so they are held to float rounding of a code's worth.
    first = chip.model[0]
    with torch.no_grad():
        assert torch.equal(first(images), torch.cat([first(images[i : i + 1]) for i in range(64)]))
    assert torch.allclose(together, one_by_one, atol=1e-5)


def test_real_conductances_move_codes_by_at_most_one_at_an_edge(network, spec):
    """With mismatch, batches may round a sum differently: codes differ by ≤ 1, only within rounding of a code edge."""
    images = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(6))
    placement = mapping.place(network, spec.with_(device=Device.load("yuan2019")), images)
    layer = mapping.CrossbarNetwork(placement, seed=1).model[0]
    at = layer._state.strips[0]
    codes = torch.randint(0, 2, (4096, at.rows.numel()), generator=torch.Generator().manual_seed(7)).float()
    batched = at.strip.column_sums(codes)
    single = torch.cat([at.strip.column_sums(codes[i : i + 1]) for i in range(4096)])
    exact = codes.double() @ at.strip.g.double()
    bound = at.rows.numel() * torch.finfo(torch.float32).eps * (codes.double() @ at.strip.g.double().abs())
    assert torch.all((batched.double() - exact).abs() <= bound)
    step = layer._state.converters[0].step
    a, b = torch.round(batched / step), torch.round(single / step)
    moved = a != b
    assert float((a - b).abs().max()) <= 1
    edge = ((exact / step) - torch.floor(exact / step) - 0.5).abs() * step
    assert torch.all(edge[moved] <= 2 * bound[moved])


def test_the_same_chip_with_1_and_2_threads(network, images, spec):
    device = Device.load("yuan2019").with_(stuck_at_lrs=0.05, stuck_at_hrs=0.05)
    placement = mapping.place(network, spec.with_(device=device), images)
    chips = []
    before = numba.get_num_threads()
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(threads)
        chip = mapping.CrossbarNetwork(placement, seed=4)
        chips.append([at.strip.g for layer in chip._layers.values() for at in layer._state.strips])
    numba.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*chips, strict=True))


def test_integer_codes_are_the_same_with_1_and_2_threads(network, images, spec):
    placement = mapping.place(network, spec, images)
    chip = mapping.CrossbarNetwork(placement)
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        with torch.no_grad():
            found.append(chip.model[0](images))
    torch.set_num_threads(before)
    assert torch.equal(*found)


def test_programming_leaves_torchs_threads_alone():
    """Numba's OpenMP layer would set them when it starts, and with them the last bits of any training after it."""
    code = (
        "import numpy, torch; torch.set_num_threads(1); from hwmodels import Device, program;"
        "program(numpy.full((8, 8), 5e-7), Device.load('yuan2019')); print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_a_seed_is_a_chip(network, images, spec):
    placement = mapping.place(network, spec.with_(device=Device.load("yuan2019")), images)
    chip = mapping.CrossbarNetwork(placement, seed=1)
    with torch.no_grad():
        first = chip(images)
        chip.program(2)
        other = chip(images)
        chip.program(1)
        assert torch.equal(first, chip(images))
    assert not torch.equal(first, other)


def test_mismatch_has_the_devices_spread(images, ideal):
    """Log-normal σ = 0.1: ln(g / target) of all cells has that spread (cells on an ideal grid, no faults)."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 256))
    placement = mapping.place(net, ideal.with_(rows=192, cols=256, device=Device.load("yuan2019")), images)
    chip = mapping.CrossbarNetwork(placement, seed=3)
    unit = unit_conductance(placement.array)
    target = {piece.sign: piece.target for piece in placement.pieces()}
    g = chip.model[1]._state.strips[0].strip.g.view(192, 2, 256).numpy() * unit
    ratio = np.concatenate([np.log(g[:, h][target[s] > 0] / target[s][target[s] > 0]) for h, s in ((0, 1), (1, -1))])
    assert ratio.std() == pytest.approx(0.1, abs=4 * 0.1 / np.sqrt(2 * ratio.size))
    assert ratio.mean() == pytest.approx(0, abs=4 * 0.1 / np.sqrt(ratio.size))


def test_inputs_that_do_not_fit_are_refused(network, images, spec):
    chip = mapping.CrossbarNetwork(mapping.place(network, spec, images))
    for wrong in (images[:, :2], images[:, :, :0]):
        with pytest.raises(UserError, match="Layer '0' takes an input of shape"):
            chip(wrong)
    with pytest.raises(UserError, match="Layer '8' takes an input of shape"):
        chip(torch.rand(2, 3, 6, 6))
    with pytest.raises(UserError, match="input of layer '0' is not a number"):
        chip(images * float("nan"))


def test_wide_input_codes_and_conductances_in_fixed_point(network, images, spec):
    """16-bit inputs take two bytes a code; 8-bit conductances move outputs a little, 3-bit ones a lot."""
    placement = mapping.place(network, spec.with_(input_bits=10, adc_bits=16, device=Device.load("yuan2019")), images)
    with torch.no_grad():
        exact = mapping.CrossbarNetwork(placement, seed=1)(images)
        errors = [
            float((mapping.CrossbarNetwork(placement, seed=1, conductance_bits=bits)(images) - exact).norm())
            for bits in (12, 8, 5)
        ]
    assert 0 < errors[0] < errors[1] < errors[2]
    assert errors[1] < 0.03 * float(exact.norm())


def test_conductances_in_no_such_fixed_point_are_refused(network, images, spec):
    with pytest.raises(UserError, match="conductance_bits must be from 2 to 16, not 1"):
        mapping.CrossbarNetwork(mapping.place(network, spec, images), conductance_bits=1)


@pytest.mark.parametrize("subtraction", ["digital", "analog"])
def test_a_lossless_converter_is_one_product(network, images, spec, subtraction):
    """One step per unit of the grid and bits enough: the same as without a converter, bit for bit."""
    array = spec.with_(adc_range="grid", adc_bits=14, pair_subtraction=subtraction)
    chip = mapping.CrossbarNetwork(mapping.place(network, array, images))
    ideal = mapping.CrossbarNetwork(mapping.place(network, array.with_(adc_bits=None, adc_range="calibrated"), images))
    with torch.no_grad():
        assert torch.equal(chip(images), ideal(images))
    assert all(layer._state.whole_weight is not None for layer in chip._layers.values())
    counts = chip.clipping()["0"]
    assert counts.adc_samples > 0
    assert counts.adc_clipped == 0


def test_a_grid_range_needs_a_grid(network, images, spec):
    with pytest.raises(UserError, match='adc_range = "grid" needs cells whose levels lie on a common grid'):
        mapping.place(network, spec.with_(adc_range="grid", r_word_ohm=1.0), images)


def test_clipping_is_counted(network, images, spec):
    placement = mapping.place(network, spec, images)
    chip = mapping.CrossbarNetwork(placement)
    with torch.no_grad():
        chip(images)
        clean = {name: (c.adc, c.input) for name, c in chip.clipping().items()}
        chip(10 * images)
    assert clean["0"] == (0, 0)  # the calibration inputs themselves fit
    after = chip.clipping()["0"]
    assert after.input > 0.1
    assert after.adc_samples > 0


def test_full_range_never_clips(network, images, spec):
    chip = mapping.CrossbarNetwork(mapping.place(network, spec.with_(adc_range="full"), images))
    with torch.no_grad():
        chip(10 * images)
    assert all(c.adc == 0 for c in chip.clipping().values())


def test_describe_tells_what_runs(network, images, spec):
    table = mapping.CrossbarNetwork(mapping.place(network, spec, images)).describe()
    assert list(table[table["runs"] == "crossbar"]["layer"]) == ["0", "3", "5", "8"]
    assert "normalisation" in table.set_index("layer").loc["1", "note"]


@pytest.mark.parametrize("seed", [-1, 1.5, True, "a"])
def test_a_bad_seed_is_refused(network, images, spec, seed):
    with pytest.raises(UserError, match="device seed"):
        mapping.CrossbarNetwork(mapping.place(network, spec, images), seed=seed)


def test_the_network_given_is_left_alone(network, images, spec):
    before = copy.deepcopy(network.state_dict())
    placement = mapping.place(network, spec, images)
    _run(placement, images)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert isinstance(network[0], nn.Conv2d)


def test_train_mode_changes_nothing(network, images, spec):
    chip = mapping.CrossbarNetwork(mapping.place(network, spec, images)).train()
    assert not any(module.training for module in chip.modules())


def test_networks_are_read_behind_their_wires(ideal):
    """Every output of a layer on arrays with wires is that of the circuit solved node by node."""
    torch.manual_seed(0)
    net = nn.Linear(12, 6, bias=False)
    x = torch.rand(5, 12)
    wires = {"r_word_ohm": 2000.0, "r_bit_ohm": 3000.0, "r_source_ohm": 500.0, "r_sink_ohm": 700.0}
    spec = ideal.with_(rows=16, cols=8, **wires)  # four word lines are not in use
    placement = mapping.place(net, spec, x)
    layer = placement.layers[""]
    current = 0
    volts = (x / layer.calibration.input_scale).double().numpy()
    for piece in placement.pieces():
        whole = np.zeros((16, 8))
        whole[:12, :6] = piece.target
        drive = np.zeros((5, 16))
        drive[:, :12] = volts[:, piece.tile.rows]
        # Word lines not in use float, so their (open) cells draw nothing at any drive.
        currents = solve(whole, drive, 2000.0, 3000.0, r_source=500.0, r_sink=700.0).currents
        current = current + piece.sign * currents[:, :6]
    expected = current * layer.calibration.input_scale * float(layer.grid.scale) / spec.encoder.full_scale_s
    assert np.allclose(_run(placement, x).numpy()[:, piece.tile.cols], expected, rtol=1e-5, atol=1e-7)
    with torch.no_grad():
        assert float((_run(placement, x) - placement.reference()(x)).abs().max()) > 1e-3


def test_vanishing_wires_change_nothing(network, images, ideal):
    spec = ideal.with_(r_word_ohm=1e-6, r_bit_ohm=1e-6)
    with torch.no_grad():
        expected = mapping.place(network, ideal, images).reference()(images)
    assert torch.allclose(_run(mapping.place(network, spec, images), images), expected, rtol=1e-4, atol=1e-5)


def test_the_loss_grows_with_the_wires(network, images, ideal):
    errors = []
    for ohm in (10.0, 100.0, 1000.0):
        placement = mapping.place(network, ideal.with_(r_word_ohm=ohm, r_bit_ohm=ohm), images)
        with torch.no_grad():
            errors.append(float((_run(placement, images) - placement.reference()(images)).norm()))
    assert errors[0] < errors[1] < errors[2]
    assert errors[1] / errors[0] == pytest.approx(10, rel=0.2)  # first order in the resistance


def test_time_and_temperature_reach_the_cells(ideal):
    """A layer of one strip on ideal converters: its outputs are those of the conductances at that time."""
    device = Device.load("pcm-like").with_(stuck_at_lrs=0.0, stuck_at_hrs=0.0)
    layer = nn.Linear(6, 3, bias=False)
    placement = mapping.place(layer, ideal.with_(device=device, idle="hrs"), torch.rand(8, 6))
    conditions = mapping.Conditions(t_s=86400.0, read_noise=False)
    chip = mapping.CrossbarNetwork(placement, seed=5, conditions=conditions)
    g = {
        piece.sign: conductances_at(
            program(piece.target, device, seed=5, array=piece.array), device, t_s=86400.0, seed=5, array=piece.array
        )
        for piece in placement.pieces()
    }
    x = torch.rand(4, 6)
    full_scale = placement.array.encoder.full_scale_s
    scale = float(placement.layers[""].grid.scale)
    expected = x.double().numpy() @ (g[1] - g[-1]) * scale / full_scale
    assert np.allclose(chip(x).detach().numpy(), expected, rtol=1e-4, atol=1e-6)
    fresh = mapping.CrossbarNetwork(placement, seed=5)(x).detach().numpy()
    assert np.abs(fresh - expected).max() > 1e-3


@pytest.mark.parametrize("subtraction", ["digital", "analog"])
def test_read_noise_of_cells_reaches_the_outputs(ideal, subtraction):
    """The same vector read two thousand times: the spread is that of the cells, Σ x² σ²; switched off, none."""
    device = Device.load("ideal").with_(read_noise={"curve": {"kind": "polynomial", "coeffs": [0.05]}, "of": "g_max"})
    layer = nn.Linear(6, 3, bias=False)
    array = ideal.with_(device=device, idle="hrs", pair_subtraction=subtraction)
    placement = mapping.place(layer, array, torch.rand(8, 6))
    x = torch.rand(1, 6)
    with torch.no_grad():
        y = mapping.CrossbarNetwork(placement, seed=3)(x.expand(2000, 6)).double()
        quiet = mapping.CrossbarNetwork(placement, seed=3, conditions=mapping.Conditions(read_noise=False))
        still = quiet(x.expand(20, 6))
    assert torch.equal(still, still[:1].expand(20, 3))
    per_weight = float(placement.layers[""].grid.scale) / placement.array.encoder.full_scale_s
    sigma = 0.05 * device.g_max_s * per_weight * np.sqrt(2 * float(x.square().sum()))
    assert np.allclose(y.std(dim=0).numpy(), sigma, rtol=0.07)
    assert torch.allclose(y.mean(dim=0), still[0].double(), atol=4 * sigma / 2000**0.5)


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


@pytest.mark.parametrize("noisy", [False, True])
def test_a_state_gives_the_same_chip_bit_for_bit(network, images, spec, noisy):
    noise = {"curve": {"kind": "polynomial", "coeffs": [0.05]}, "of": "g_max"}
    device = Device.load("yuan2019").with_(read_noise=noise if noisy else None)
    placement = mapping.place(network, spec.with_(device=device), images)
    chip = mapping.CrossbarNetwork(placement, seed=7)
    with torch.no_grad():
        chip(images)
        state = {key: value.clone() for key, value in chip.state_dict().items()}
        after = chip(images)
        other = mapping.CrossbarNetwork(placement, seed=1)
        assert not torch.equal(other(images), after)
        other.load_state_dict(state)
        assert other.seed == 7
        assert torch.equal(other(images), after)
    assert not any(key.endswith(".weight") and "0." in key for key in state)  # weights stand on cells alone


def test_the_state_of_another_placement_is_refused(network, images, spec):
    chip = mapping.CrossbarNetwork(mapping.place(network, spec, images))
    other = mapping.CrossbarNetwork(mapping.place(network, spec.with_(rows=8), images))
    with pytest.raises(UserError, match="belongs to another placement"):
        other.load_state_dict(chip.state_dict())
    broken = chip.state_dict() | {"_extra_state": torch.zeros(3, dtype=torch.uint8)}
    with pytest.raises(UserError, match="state of the chip is damaged"):
        chip.load_state_dict(broken)


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
