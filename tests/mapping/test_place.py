import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import mapping
from crossbar import LevelGrid
from hwmodels import estimate
from hwmodels.errors import UserError


class Compressed:
    """What mapping needs of a compressed network, and nothing else."""

    def __init__(self, model, masks, grids):
        self.model, self.masks, self.grids = model, masks, grids


@pytest.mark.parametrize("idle", ["open", "hrs"])
@pytest.mark.parametrize("slices", [1, 2])
def test_weights_come_back_from_the_cells_bit_for_bit(network, images, ideal, idle, slices):
    spec = ideal.with_(idle=idle, slices=slices)
    placement = mapping.place(network, spec, images)
    for layer in placement.layers.values():
        assert torch.equal(layer.weights(), layer.weights_from_cells(spec))


def test_exact_zeros_are_masks(network, images, ideal):
    placement = mapping.place(network, ideal, images)
    for name, layer in placement.layers.items():
        weight = network.get_submodule(name).weight
        assert torch.equal(layer.weights() == 0, weight == 0)
        assert int(layer.live.sum()) == int((weight != 0).sum())


def test_the_error_of_snapping_is_reported(network, images, ideal):
    for layer in mapping.place(network, ideal, images).layers.values():
        weight = network.get_submodule(layer.name).weight.detach()
        error = float((layer.weights() - weight).norm() / weight.norm())
        assert layer.snap_error == pytest.approx(error, rel=1e-4)
        assert 0 < error < 0.1


def test_a_scale_per_column_snaps_closer(images, ideal):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(288, 4))
    with torch.no_grad():
        net[0].weight *= torch.logspace(-2, 0, 8).view(-1, 1, 1, 1)
    layer = mapping.place(net, ideal, images).layers["0"]
    column = mapping.place(net, ideal, images, scale="channel").layers["0"]
    assert column.snap_error < layer.snap_error / 2
    assert column.grid.scale.shape == (1, 8)
    assert torch.equal(column.weights(), column.weights_from_cells(ideal))


def test_masks_and_grids_of_a_compression_are_kept(images, ideal):
    values = ideal.weight_levels()
    grid = LevelGrid(values, np.float64(0.25))
    index = np.random.default_rng(0).integers(0, values.size, (27, 4)).astype(np.uint8)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False))
    mask = torch.rand(4, 3, 3, 3) < 0.5
    with torch.no_grad():
        net[0].weight.copy_(torch.from_numpy(grid.weights(index).T.reshape(4, 3, 3, 3).copy()) * mask)
    placement = mapping.place(Compressed(net, {"0": mask}, {"0": grid}), ideal, images)
    layer = placement.layers["0"]
    assert layer.snap_error == 0
    assert torch.equal(layer.weights(), net[0].weight)
    live = mask.reshape(4, -1).T.numpy()
    assert np.array_equal(layer.index[0][live], index[live])


def _on_grid(net, grid, live):
    """Put a linear layer's live weights on random levels of a grid."""
    index = np.random.default_rng(0).integers(0, grid.values.size, (net.in_features, net.out_features))
    with torch.no_grad():
        net.weight.copy_(torch.from_numpy(grid.weights(index.astype(np.uint8)).T.copy()) * live)
    return net


@pytest.mark.parametrize(
    ("values", "idle"),
    [
        ([-1.0, 1.0], "open"),
        ([-1.0, 0.0, 1.0], "open"),
        ([-1.0, 0.0, 1.0], "hrs"),
        ([-0.64, -0.46, 0.46, 0.64], "open"),
        ([-1.0, -0.5, 0.5, 1.0], "hrs"),  # 14 and 7 of the 15 steps of a cell
    ],
)
@pytest.mark.parametrize("scale", [0.3125, 0.2])
def test_levels_that_are_some_of_the_arrays_stay_as_they_are(ideal, values, idle, scale):
    spec = ideal.with_(idle=idle)
    grid = LevelGrid(np.array(values), np.float64(scale))
    live = torch.rand(10, 24) < 0.7
    net = _on_grid(nn.Linear(24, 10), grid, live)
    x = torch.rand(5, 24)
    placement = mapping.place(Compressed(net, {"": live}, {"": grid}), spec, x)
    layer = placement.layers[""]
    assert torch.equal(layer.weights(), net.weight)
    assert torch.equal(layer.weights(), layer.weights_from_cells(spec))
    assert layer.snap_error == 0
    assert np.isin(layer.grid.values, spec.weight_levels()).all()
    assert torch.allclose(mapping.CrossbarNetwork(placement)(x), placement.reference()(x), atol=1e-5)


def test_a_weight_at_a_zero_that_the_array_lacks_takes_no_cell(ideal):
    grid = LevelGrid(np.array([-1.0, 0.0, 1.0]), np.float64(0.5))
    net = _on_grid(nn.Linear(24, 10), grid, 1)
    kept = int((net.weight != 0).sum())
    everywhere = torch.ones(10, 24, dtype=torch.bool)
    layer = mapping.place(Compressed(net, {"": everywhere}, {"": grid}), ideal, torch.rand(5, 24)).layers[""]
    assert 0 < int(layer.live.sum()) == kept < 240


def test_scales_of_single_filters_are_kept(ideal):
    grid = LevelGrid(np.array([-1.0, 1.0]), np.linspace(0.1, 0.5, 10))
    net = _on_grid(nn.Linear(24, 10), grid, 1)
    live = torch.ones(10, 24, dtype=torch.bool)
    layer = mapping.place(Compressed(net, {"": live}, {"": grid}), ideal, torch.rand(5, 24)).layers[""]
    assert torch.equal(layer.weights(), net.weight)
    assert torch.equal(layer.weights(), layer.weights_from_cells(ideal))
    assert layer.grid.scale.shape == (1, 10)


def test_levels_that_the_array_lacks_snap_only_when_asked_to(ideal):
    grid = LevelGrid(np.array([-1.0, -0.73, 0.31, 0.8]), np.float64(0.2))
    live = torch.rand(10, 24) < 0.7
    net = _on_grid(nn.Linear(24, 10), grid, live)
    compressed, x = Compressed(net, {"": live}, {"": grid}), torch.rand(5, 24)
    with pytest.raises(UserError, match=r"4 levels, and their values are not, at any scale.*snap=True"):
        mapping.place(compressed, ideal, x)
    layer = mapping.place(compressed, ideal, x, snap=True).layers[""]
    assert layer.snapped
    weight = net.weight.detach()
    error = float((layer.weights() - weight).norm() / weight.norm())
    assert layer.snap_error == pytest.approx(error, rel=1e-4)
    assert 0 < error < 0.05
    assert torch.equal(layer.weights(), layer.weights_from_cells(ideal))


def test_weights_off_the_mask_are_refused(network, images, ideal):
    masks = {"0": torch.zeros_like(network[0].weight, dtype=torch.bool)}
    with pytest.raises(UserError, match="non-zero weights where its mask is False"):
        mapping.place(Compressed(network, masks, {}), ideal, images)


def test_a_grid_of_another_array_is_refused(network, images, ideal):
    grid = LevelGrid(np.array([-1.0, 0.5]), np.float64(1))
    with pytest.raises(UserError, match="compress and place with the same array"):
        mapping.place(Compressed(network, {}, {"0": grid}), ideal, images)


def test_the_tile_table_counts_every_live_weight_once(network, images, ideal):
    placement = mapping.place(network, ideal.with_(slices=2), images)
    counted = placement.tiles.groupby("layer", sort=False)["live_cells"].sum()
    for name, layer in placement.layers.items():
        assert counted[name] == 2 * layer.live.sum()  # every weight has a cell on each slice
    assert placement.tiles["array"].is_unique
    assert placement.arrays == len(placement.tiles)


def test_the_tile_table_is_what_the_matrix_says(images, quiet_device, ideal):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 10))
    tiles = mapping.place(net, ideal.with_(rows=64, cols=8, input_bits=8, dac_bits=2, adc_bits=6), images).tiles
    assert len(tiles) == 3 * 2 * 2  # ⌈192/64⌉·⌈10/8⌉ tiles, each with a positive and a negative array
    assert set(tiles["rows"]) == {64}
    assert sorted(set(tiles["cols"])) == [2, 8]
    assert set(tiles["reads_per_inference"]) == {1}
    assert set(tiles["input_cycles"]) == {8}  # four cycles of two bits, twice: the inputs have both signs
    assert set(tiles["adc_bits"]) == {6}
    assert tiles["live_cells"].sum() == 1920
    both = tiles.groupby("tile")["g_sum_s"].sum()
    assert np.all(both <= 64 * 8 * quiet_device.g_max_s)


def test_read_energy_is_voltage_squared_times_conductance_times_time(ideal):
    net = nn.Linear(4, 3, bias=False)
    x = torch.tensor([[1.0, 0.5, 0.0, 0.25]])
    spec = ideal.with_(rows=8, cols=8)
    placement = mapping.place(net, spec, x)
    g = np.zeros((4, 3))
    for piece in placement.pieces():
        g[np.ix_(piece.tile.rows, piece.tile.cols)] += piece.target
    volts = spec.device.read_voltage_v * x[0].numpy()
    assert placement.tiles["read_energy_j"].sum() == pytest.approx(float(volts**2 @ g.sum(1)) * spec.t_read_s)


def test_bit_serial_energy_counts_the_ones(ideal):
    net = nn.Linear(2, 3, bias=False)
    x = torch.tensor([[15.0, 5.0]])  # codes 1111 and 0101 of four bits
    spec = ideal.with_(rows=8, cols=8, input_bits=4)
    placement = mapping.place(net, spec, x)
    assert placement.layers[""].calibration.drive.tolist() == [[4.0, 2.0]]


def test_what_stays_digital_is_named(images, ideal):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.norm = nn.BatchNorm2d(4)
            self.pair = nn.Bilinear(3, 3, 2)
            self.unused = nn.Linear(2, 2)
            self.function = nn.Linear(3, 2)
            self.matrix = nn.Parameter(torch.ones(3, 2))

        def forward(self, x):
            y = torch.relu(self.norm(self.conv(x))).flatten(1)[:, :3]
            return self.pair(y, y) + y @ self.matrix + nn.functional.linear(y, self.function.weight)

    placement = mapping.place(Net(), ideal, images)
    digital = {item.module: item for item in placement.digital}
    assert set(digital) == {"", "norm", "pair", "unused", "function"}
    assert "not supported on crossbars" in digital["pair"].reason
    assert "never calls it" in digital["unused"].reason
    macs, product = 6 * 6 * 27 * 4, 3 * 2
    assert placement.macs_total == macs + 2 * product + digital["pair"].macs
    assert placement.macs_on_arrays == pytest.approx(macs / placement.macs_total)
    share = f"{product / placement.macs_total:.1%} of all multiply-accumulates"
    assert digital["function"].reason == (
        f"its weights are used without calling the module; a function multiplies by 'function.weight' ({share})"
    )
    assert digital[""].reason == f"layer type not supported on crossbars; a function multiplies by 'matrix' ({share})"
    assert digital[""].macs == 2 * product
    assert digital[""].operations == {"relu": 144, "add": 4}
    assert list(digital["norm"].operations.values()) == [144]


def test_pruning_and_parametrisations_of_torch_are_recognised(images, ideal):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), parametrizations.weight_norm(nn.Linear(144, 5)))
    prune.random_unstructured(net[0], "weight", amount=0.5)
    placement = mapping.place(net, ideal, images)
    assert int(placement.layers["0"].live.sum()) == 54
    with torch.no_grad():
        found = mapping.CrossbarNetwork(placement)(images)
        assert torch.allclose(found, placement.reference()(images), atol=1e-5)
    assert hasattr(net[0], "weight_mask")  # the caller's network is left as it was


def test_a_layer_called_twice_counts_both_calls(ideal):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 6)

        def forward(self, x):
            return self.fc(torch.relu(self.fc(input=x)))

    placement = mapping.place(Twice(), ideal, torch.randn(4, 6))
    assert placement.layers["fc"].shape.positions == 2


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(network, images, ideal, bad):
    with torch.no_grad():
        network[3].weight[0, 0, 0, 0] = bad
    with pytest.raises(UserError, match="'3' holds 1 NaN or infinite"):
        mapping.place(network, ideal, images)


def test_an_input_that_does_not_fit_is_a_clear_error(network, ideal):
    with pytest.raises(UserError, match=r"does not run on the example input of shape \(2, 5, 8, 8\)"):
        mapping.place(network, ideal, torch.randn(2, 5, 8, 8))


def test_a_network_without_a_mappable_layer(ideal):
    net = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU())
    with pytest.raises(UserError, match=r"No layer of the network can be placed.*BatchNorm2d \('0'\), ReLU \('1'\)"):
        mapping.place(net, ideal, torch.randn(1, 3, 8, 8))


def test_shared_weights_are_refused(ideal):
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    net[2].weight = net[0].weight
    with pytest.raises(UserError, match="share one weight"):
        mapping.place(net, ideal, torch.randn(2, 4))


def test_something_that_is_no_network(ideal, images):
    with pytest.raises(UserError, match="Cannot place a str"):
        mapping.place("net", ideal, images)


def test_an_unknown_scale(network, images, ideal):
    with pytest.raises(UserError, match="'layer' or 'channel'"):
        mapping.place(network, ideal, images, scale="row")


def test_a_scale_per_column_sees_every_group(ideal):
    """A depthwise layer has one column a group: each gets its own scale."""
    torch.manual_seed(0)
    net = nn.Conv2d(8, 8, 3, groups=8, bias=False)
    with torch.no_grad():
        net.weight *= torch.logspace(-7, 0, 8).view(-1, 1, 1, 1)
    layer = mapping.place(net, ideal, torch.rand(2, 8, 6, 6), scale="channel").layers[""]
    assert bool((layer.weights().flatten(1).abs().amax(1) > 0).all())
    weight = net.weight.detach()
    relative = (layer.weights() - weight).flatten(1).norm(dim=1) / weight.flatten(1).norm(dim=1)
    assert float(relative.max()) < 0.1


@pytest.mark.parametrize("levels", [2, 3, 10, 100])
def test_any_number_of_levels_can_be_priced(ideal, quiet_device, levels):
    spec = ideal.with_(device=quiet_device.with_(levels=levels), input_bits=8, adc_bits=8)
    tiles = mapping.place(nn.Linear(6, 4), spec, torch.rand(3, 6)).tiles
    assert set(tiles["cell_bits"]) == {int(np.ceil(np.log2(levels)))}
    assert estimate(tiles, "isaac-32nm").totals["arrays"] == tiles["array"].nunique()


@pytest.mark.parametrize(
    ("changes", "column", "value"),
    [
        ({"dac_bits": 2}, "dac_bits", 2),
        ({"dac_bits": 2}, "input_cycles", 4),
        ({"input_bits": 4}, "input_cycles", 4),
        ({"input_bits": None}, "dac_bits", 0),
        ({"adc_bits": 6}, "adc_bits", 6),
        ({"adc_bits": None}, "adc_bits", 0),
        ({"cols_per_adc": 4}, "cols_per_adc", 4),
        ({}, "cols_per_adc", 8),
        ({"t_read_s": 5e-8}, "t_read_s", 5e-8),
        ({"rows": 32}, "array_rows", 32),
        ({"cols": 16}, "array_cols", 16),
    ],
)
def test_every_field_of_the_array_is_in_its_tiles(spec, changes, column, value):
    spec = spec.with_(input_bits=8, dac_bits=1).with_(**changes)
    tiles = mapping.place(nn.Linear(20, 9), spec, torch.rand(3, 20)).tiles
    assert set(tiles[column]) == {value}


@pytest.mark.parametrize(
    "changes",
    [{"dac_bits": 2}, {"adc_bits": 6}, {"cols_per_adc": 4}, {"t_read_s": 2e-7}, {"input_bits": 4}, {"idle": "hrs"},
     {"slices": 2}, {"rows": 32}, {"cols": 16}],
)  # fmt: skip
def test_every_field_of_the_array_moves_the_cost(spec, changes):
    spec = spec.with_(input_bits=8)
    torch.manual_seed(0)
    net, x = nn.Linear(20, 9), torch.rand(3, 20)
    before = estimate(mapping.place(net, spec, x).tiles, "isaac-32nm").totals
    after = estimate(mapping.place(net, spec.with_(**changes), x).tiles, "isaac-32nm").totals
    assert before != after


def test_the_read_voltage_moves_the_energy_of_the_cells_as_its_square(spec):
    net, x = nn.Linear(20, 9), torch.rand(3, 20)
    hot = spec.with_(device=spec.device.with_(read_voltage_v=2 * spec.device.read_voltage_v))
    cold_j, hot_j = (mapping.place(net, s, x).tiles["read_energy_j"].sum() for s in (spec, hot))
    assert hot_j == pytest.approx(4 * cold_j)


def test_the_full_range_is_every_cell_at_its_most(spec):
    layer = mapping.place(nn.Linear(5, 3), spec.with_(adc_range="full", dac_bits=2), torch.rand(4, 5)).layers[""]
    assert layer.calibration.adc_full_scale_s == pytest.approx(spec.rows * spec.device.g_max_s * 3)


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (torch.rand(3, 8, 8), "without a batch axis"),
        (torch.rand(0, 3, 8, 8), "has no samples"),
        ([torch.rand(2, 3, 8, 8)], "not a list"),
        (torch.full((2, 3, 8, 8), float("nan")), "NaN or infinite"),
    ],
)
def test_odd_example_inputs_are_refused(network, ideal, example, message):
    with pytest.raises(UserError, match=message):
        mapping.place(network, ideal, example)
