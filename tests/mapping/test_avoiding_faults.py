import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import mapping
from hwmodels import Device
from hwmodels.errors import UserError
from mapping.avoiding_faults import avoid_faults, recovered, weight_errors
from mapping.cells import programmed
from mapping.conditions import Conditions
from mapping.fault_maps import faults_of_chip
from mapping.strips import build_strips


@pytest.fixture
def faulty(quiet_device):
    return quiet_device.with_(stuck_at_lrs=0.06, stuck_at_hrs=0.1)


def _placed(spec, rows=12, cols=6, **options):
    torch.manual_seed(0)
    return mapping.place(nn.Linear(rows, cols), spec, torch.rand(4, rows), **options)


ENCODINGS = [
    {},
    {"slices": 2},
    {"pair_layout": "columns"},
    {"pair_layout": "columns", "slice_layout": "columns", "slices": 2, "pair_subtraction": "analog", "idle": "hrs"},
    {"encoding": "offset", "idle": "hrs"},
    {"encoding": "flipped", "idle": "hrs", "slices": 2},
]


@pytest.fixture(scope="session")
def read_back(read_strip):
    """The weights that the cells of a chip give, from its strips read exactly."""

    def made(placement, seed):
        layer = next(iter(placement.layers.values()))
        spec = placement.spec_of(layer)
        strips = build_strips(
            layer, list(placement.pieces()), spec, lambda piece: programmed(piece, spec, seed, Conditions(), None)
        )
        weights = np.zeros((layer.shape.rows, layer.shape.cols))
        for at in strips:
            for row, place in enumerate(at.rows.tolist()):
                codes = torch.zeros(1, at.rows.numel())
                codes[0, row] = 1
                weights[place, at.cols.numpy()] += (
                    read_strip(at.strip, codes, spec, None).sums[0].numpy() * at.strip.unit_s
                )
        return weights * float(layer.grid.scale) / spec.encoder.full_scale_s

    return made


@pytest.mark.parametrize("fields", ENCODINGS, ids=str)
def test_the_error_is_what_the_cells_of_the_chip_really_give(ideal, faulty, fields, read_back):
    placement = _placed(ideal.with_(device=faulty, **fields))
    layer = placement.layers[""]
    off = read_back(placement, seed=5) - layer.weights().numpy().T
    expected = np.linalg.norm(off) / float(layer.weights().norm())
    assert weight_errors(placement, 5)[""] == pytest.approx(expected, rel=1e-4, abs=1e-6)
    # A map given and faults drawn say the same.
    assert weight_errors(placement, faults_of_chip(placement, 5))[""] == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("fields", ENCODINGS, ids=str)
def test_moving_never_makes_it_worse_and_says_what_it_gains(ideal, faulty, fields, read_back):
    placement = _placed(ideal.with_(device=faulty, **fields))
    found = avoid_faults(placement, 5)
    before, after = found.table["error_before"][0], found.table["error_after"][0]
    assert before == pytest.approx(weight_errors(placement, 5)[""])
    assert after == pytest.approx(weight_errors(found.placement, 5)[""])
    assert after < before
    layer = found.placement.layers[""]
    assert torch.equal(layer.weights_from_cells(found.placement.array), placement.layers[""].weights())
    off = read_back(found.placement, seed=5) - layer.weights().numpy().T
    assert after == pytest.approx(np.linalg.norm(off) / float(layer.weights().norm()), rel=1e-4, abs=1e-6)


def test_rows_stand_as_brute_force_would_put_them(ideal, quiet_device):
    """With a single column every order of the rows can be tried."""
    spec = ideal.with_(rows=5, cols=1, device=quiet_device)
    placement = _placed(spec, rows=5, cols=1)
    maps = {number: np.zeros((5, 1), dtype=np.int8) for number in range(placement.arrays)}
    maps[0][[1, 3]], maps[1][2] = 1, 2
    found = avoid_faults(placement, maps, exchange_halves=False, exchange_arrays=False)
    layer, scale = placement.layers[""], float(placement.layers[""].grid.scale)
    halves = {piece.sign: piece.target[:, 0] for piece in placement.pieces()}
    arrays = {piece.sign: piece.array for piece in placement.pieces()}

    def error(order):
        off = np.zeros(5)
        for sign, g in halves.items():
            codes = maps[arrays[sign]][list(order), 0]
            for code, value in ((1, quiet_device.g_max_s), (2, quiet_device.g_min_s)):
                off += sign * np.where((codes == code) & (g > 0), value - g, 0)
        return np.linalg.norm(off) * scale / spec.encoder.full_scale_s

    best = min(error(order) for order in itertools.permutations(range(5)))
    assert found.table["error_after"][0] * float(layer.weights().norm()) == pytest.approx(best, abs=1e-9)


def test_columns_and_halves_stand_as_brute_force_would_put_them(ideal, quiet_device, rng):
    """With a single row every order of the columns, each with its halves either way round, can be tried."""
    spec = ideal.with_(rows=1, cols=4, device=quiet_device, idle="hrs")
    placement = _placed(spec, rows=1, cols=4)
    maps = {number: rng.choice([0, 1, 2, 2], (1, 4)) for number in range(placement.arrays)}
    found = avoid_faults(placement, maps, exchange_arrays=False)
    layer = placement.layers[""]
    halves = {piece.sign: piece.target[0] for piece in placement.pieces()}
    arrays = {piece.sign: maps[piece.array][0] for piece in placement.pieces()}
    stuck = np.array([0, quiet_device.g_max_s, quiet_device.g_min_s])

    def error(order, turned):
        off = np.zeros(4)
        for sign, g in halves.items():
            codes = np.where(turned, arrays[-sign][list(order)], arrays[sign][list(order)])
            off += sign * np.where((codes > 0) & (g > 0), stuck[codes] - g, 0)
        return np.linalg.norm(off) * float(layer.grid.scale) / spec.encoder.full_scale_s

    every = list(itertools.product(itertools.permutations(range(4)), itertools.product([False, True], repeat=4)))
    best, straight = min(error(*way) for way in every), min(error(*way) for way in every if not any(way[1]))
    assert found.table["error_after"][0] * float(layer.weights().norm()) == pytest.approx(best, abs=1e-9)
    assert best < straight
    assert found.table["columns_exchanged"][0] > 0


def test_exchanged_halves_are_the_same_network_in_every_table_and_file(ideal, faulty, cells_table, tmp_path):
    placement = _placed(ideal.with_(rows=12, cols=6, device=faulty, idle="hrs"))
    moved = avoid_faults(placement, 5).placement
    layer = moved.layers[""]
    assert any(tile.exchanged is not None for tile in layer.tiles)
    pd.testing.assert_frame_equal(moved.tiles, cells_table(moved), rtol=1e-12)
    assert torch.equal(layer.weights_from_cells(moved.array), layer.weights())
    x = torch.randn(3, 12)
    assert torch.allclose(mapping.CrossbarNetwork(moved, faults={})(x), placement.reference()(x), atol=1e-6)
    moved.save(tmp_path)
    loaded = mapping.Placement.load(tmp_path)
    assert mapping.diff(loaded, moved).same
    turned = sum(int((tile.half_signs < 0).sum()) for tile in layer.tiles)
    straight = replace(moved, layers={"": replace(layer, tiles=tuple(replace(t, exchanged=None) for t in layer.tiles))})
    found = mapping.diff(moved, straight).layers
    assert 0 < found["cells_moved"][0] == 12 * turned  # every weight of those columns stands on another cell
    # What is exported as subtracted really is.
    moved.export(tmp_path / "csv")
    lines = pd.read_csv(tmp_path / "csv" / "lines.csv")
    rebuilt = np.zeros((12, 6))
    for array, own in lines.groupby("array"):
        g = np.loadtxt(tmp_path / "csv" / f"array-{array}.csv", delimiter=",")
        words, bits = own[own["kind"] == "word"], own[own["kind"] == "bit"]
        cells = g[np.ix_(words["line"], bits["line"])]
        rebuilt[np.ix_(words["matrix"], bits["matrix"])] += cells * bits["sign"].to_numpy()
    scale = float(layer.grid.scale) / moved.array.encoder.full_scale_s
    assert np.allclose(rebuilt * scale, layer.weights().numpy().T, atol=1e-6)


def test_stuck_weights_of_exchanged_halves_are_what_the_chip_computes_with(ideal, faulty, read_back):
    moved = avoid_faults(_placed(ideal.with_(rows=12, cols=6, device=faulty, idle="hrs")), 5).placement
    assert any(tile.exchanged is not None for tile in moved.layers[""].tiles)
    table, layer = mapping.stuck_weights(moved, seed=5), moved.layers[""]
    seen = read_back(moved, seed=5) / float(layer.grid.scale)
    wanted = layer.weights().numpy().T / float(layer.grid.scale)
    listed = np.zeros(seen.shape, dtype=bool)
    listed[table["row"], table["col"]] = True
    assert listed.any()
    assert np.allclose(seen[~listed], wanted[~listed], atol=1e-5)
    levels = np.append(layer.grid.values, 0.0)
    nearest = levels[np.abs(seen[table["row"], table["col"]][:, None] - levels).argmin(axis=1)]
    assert np.allclose(table["value"], nearest, atol=1e-9)


def test_no_array_is_emptied_by_exchanging_halves(ideal, quiet_device):
    """A column of positive and one of negative weights: turning either round would leave an array without a cell."""
    spec = ideal.with_(rows=4, cols=2, device=quiet_device, idle="open")
    net = nn.Linear(4, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0], [-1.0]]).expand(2, 4))
    placement = mapping.place(net, spec, torch.rand(3, 4))
    maps = {0: np.full((4, 2), 2), 1: np.zeros((4, 2))}
    found = avoid_faults(placement, maps, exchange_arrays=False)
    assert found.placement.arrays == placement.arrays == 2
    assert found.table["error_after"][0] <= found.table["error_before"][0]


def test_arrays_are_exchanged_where_that_helps(ideal, quiet_device, cells_table, tmp_path):
    """One array of four is broken altogether; it is given to the layer that has the least on it."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 4))
    with torch.no_grad():
        net[2].weight.mul_(1e-3)
        net[2].weight[0, 0] = 1.0  # hardly anything in this layer matters but one weight
    spec = ideal.with_(rows=8, cols=4, device=quiet_device, idle="hrs")
    x = torch.randn(5, 8)
    placement = mapping.place(net, spec, x)
    positive = placement.tiles[(placement.tiles["layer"] == "0") & (placement.tiles["sign"] > 0)]["array"].iloc[0]
    maps = {number: np.zeros((8, 4)) for number in range(placement.arrays)}
    maps[int(positive)][:] = 2
    apart, found = (avoid_faults(placement, maps, exchange_arrays=exchange) for exchange in (False, True))
    assert (found.table["error_after"] ** 2).sum() < 0.1 * (apart.table["error_after"] ** 2).sum()
    assert found.table["arrays_moved"].sum() == 2
    assert found.table["error_before"].tolist() == apart.table["error_before"].tolist()
    moved = found.placement
    assert sorted(moved.homes) == list(range(4)) != list(moved.homes)
    pd.testing.assert_frame_equal(moved.tiles, cells_table(moved), rtol=1e-12)
    assert set(moved.tiles["array"]) == set(placement.tiles["array"])
    assert weight_errors(moved, maps).tolist() == pytest.approx(found.table["error_after"].tolist(), abs=1e-6)
    moved.save(tmp_path)
    loaded = mapping.Placement.load(tmp_path)
    assert loaded.homes == moved.homes
    assert mapping.diff(loaded, moved).same
    assert not mapping.diff(placement, moved).same
    y = mapping.CrossbarNetwork(moved, faults=maps)(x)
    assert torch.equal(mapping.CrossbarNetwork(loaded, network=net, faults=maps)(x), y)
    state = mapping.CrossbarNetwork(placement).state_dict()
    with pytest.raises(UserError, match="belongs to another placement"):
        mapping.CrossbarNetwork(moved).load_state_dict(state)
    # Moving again from there finds nothing to gain, and the arrays stay where they are.
    again = avoid_faults(moved, maps)
    assert again.placement.homes == moved.homes
    assert again.table["error_after"].sum() <= found.table["error_after"].sum() * (1 + 1e-9)


def test_converters_with_ranges_of_their_own_are_calibrated_again(ideal, faulty):
    spec = ideal.with_(device=faulty, input_bits=6, adc_bits=8, adc_range_per="converter", cols_per_adc=2)
    placement, x = _placed(spec), torch.rand(4, 12)
    with pytest.raises(UserError, match=r"^The converters of layer 'network' have ranges of their own.*example_input"):
        avoid_faults(placement, 5)
    moved = avoid_faults(placement, 5, example_input=x).placement
    sides = [one.layers[""].calibration for one in (placement, moved)]
    assert sides[0].converters.tolist() == sides[1].converters.tolist()
    assert not np.allclose(sides[0].converter_full_scale_s, sides[1].converter_full_scale_s)
    # On a healthy chip the moved columns fill their converters' ranges, and nothing clips.
    net = mapping.CrossbarNetwork(moved, faults={})
    assert torch.allclose(net(x), placement.reference()(x), atol=0.05)
    assert net.clipping()[""].adc == 0


def test_spare_lines_take_what_has_no_better_place(ideal, quiet_device):
    """One word line is stuck at g_max as a whole; with a line to spare nothing stands on it."""
    spec = ideal.with_(rows=8, cols=4, device=quiet_device)
    errors = {}
    for spare in (0, 1):
        placement = _placed(spec, rows=8, cols=4, spare_rows=spare)
        maps = {number: np.zeros((8, 4), dtype=np.int8) for number in range(placement.arrays)}
        for codes in maps.values():
            codes[2] = 1
        errors[spare] = avoid_faults(placement, maps).table["error_after"][0]
        assert len(placement.layers[""].tiles) == 1 + spare
    assert errors[0] > 0.1
    assert errors[1] == 0


def test_polarised_fragments_move_too(ideal, quiet_device, polarised, read_back):
    torch.manual_seed(0)
    net = polarised(nn.Linear(12, 4), 4)
    device = quiet_device.with_(stuck_at_hrs=0.1)
    spec = ideal.with_(encoding="polarised", fragment=4, device=device)
    placement = mapping.place(net, spec, torch.rand(3, 12))
    found = avoid_faults(placement, 1)
    assert found.table["error_after"][0] < found.table["error_before"][0]
    off = read_back(found.placement, seed=1) - placement.layers[""].weights().numpy().T
    expected = np.linalg.norm(off) / float(placement.layers[""].weights().norm())
    assert found.table["error_after"][0] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_moved_lines_are_saved_and_cost_an_index(ideal, faulty, tmp_path):
    found = avoid_faults(_placed(ideal.with_(device=faulty)), 5)
    assert found.table["lines_moved"][0] > 0
    assert found.table["index_bits"][0] > 0
    found.placement.save(tmp_path)
    loaded = mapping.Placement.load(tmp_path)
    net, x = nn.Linear(12, 6), torch.rand(3, 12)
    net.load_state_dict(found.placement.reference().state_dict())
    assert loaded.tiles.equals(found.placement.tiles)
    assert torch.equal(
        mapping.CrossbarNetwork(loaded, seed=5, network=net)(x), mapping.CrossbarNetwork(found.placement, seed=5)(x)
    )


def test_accuracy_comes_back(network, images, ideal, quiet_device):
    spec = ideal.with_(rows=40, cols=16, device=quiet_device.with_(stuck_at_lrs=0.03, stuck_at_hrs=0.03))
    placement = mapping.place(network, spec, images)
    found = avoid_faults(placement, 2)
    with torch.no_grad():
        wanted = placement.reference()(images)

        def evaluate(model):
            return -float((model(images) - wanted).norm())

        result = recovered(placement, found.placement, evaluate, seed=2)
    assert result["reference"] == 0
    assert result["before"] < result["after"] < 0
    assert 0 < result["recovered"] < 1


def test_a_measured_map_takes_the_place_of_drawn_faults(ideal, faulty):
    placement = _placed(ideal.with_(device=faulty))
    x = torch.rand(3, 12)
    drawn = mapping.CrossbarNetwork(placement, seed=5)(x)
    given = mapping.CrossbarNetwork(placement, seed=5, faults=faults_of_chip(placement, 5))(x)
    healthy = mapping.CrossbarNetwork(placement, seed=5, faults={})(x)
    assert torch.equal(drawn, given)
    assert torch.allclose(healthy, placement.reference()(x), atol=1e-6)
    assert not torch.allclose(drawn, healthy, atol=1e-3)


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (
            {0: np.zeros((4, 4), dtype=int)},
            r"^The fault map of array 0 has the shape \(4, 4\), but the array has 16 × 8",
        ),
        (
            {99: np.zeros((16, 8), dtype=int)},
            r"^There is a fault map of array 99, but the placement uses arrays 0 to 1",
        ),
        ({0: np.full((16, 8), 7)}, r"^The fault map of array 0 holds .*7.*; codes are 0 \(healthy\), 1"),
    ],
)
def test_maps_that_do_not_fit_are_refused(ideal, maps, message):
    placement = _placed(ideal)
    for use in (avoid_faults, weight_errors, lambda p, m: mapping.CrossbarNetwork(p, faults=m)):
        with pytest.raises(UserError, match=message):
            use(placement, maps)


def test_spares_that_leave_no_room_are_refused(ideal):
    with pytest.raises(UserError, match=r"^spare_rows = 16 must be from 0 to 15: an array has 16 lines for weights\.$"):
        _placed(ideal, spare_rows=16)


def test_a_device_without_faults_moves_nothing(ideal):
    placement = _placed(ideal.with_(device=Device.load("ideal")))
    found = avoid_faults(placement, 0)
    assert found.table["lines_moved"].sum() == 0
    assert all(tile.in_order for layer in found.placement.layers.values() for tile in layer.tiles)
