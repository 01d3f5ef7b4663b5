import numpy as np
import pytest
import torch
from torch import nn

import mapping
from crossbar import OPEN
from crossbar.array_circuit import behind_wires
from hwmodels import estimate
from mapping.cells import nominal, programmed


@pytest.fixture
def spec(spec):
    return spec.with_(input_bits=8)


def _placed(spec, rows=20, cols=9, positive=False):
    torch.manual_seed(0)
    net = nn.Linear(rows, cols)
    if positive:
        with torch.no_grad():
            net.weight.abs_()
    return mapping.place(net, spec, torch.rand(3, rows))


def test_pairs_on_neighbouring_columns_alternate(spec):
    placement = _placed(spec.with_(pair_layout="columns"), rows=10, cols=4)
    plus, minus = placement.pieces()
    assert plus.contents is minus.contents
    assert list(plus.columns) == [0, 2, 4, 6]
    assert list(minus.columns) == [1, 3, 5, 7]
    whole = plus.contents.target
    assert np.array_equal(whole[:, ::2], plus.target)
    assert np.array_equal(whole[:, 1::2], minus.target)


def test_an_array_of_pairs_holds_half_as_many_weight_columns(spec):
    apart, beside = _placed(spec).tiles, _placed(spec.with_(pair_layout="columns")).tiles
    assert apart["array"].nunique() == 2 * 2 * 2  # ⌈20/16⌉ · ⌈9/8⌉, two halves
    assert beside["array"].nunique() == 2 * 3  # ⌈20/16⌉ · ⌈9/4⌉
    assert set(beside["cols"]) == {4, 1}
    assert list(beside["col0"][:2]) == [0, 4]  # counted block by block


def test_slices_on_neighbouring_columns(spec):
    spec = spec.with_(encoding="offset", idle="hrs", slice_bits=(2, 2, 2, 2), slice_layout="columns")
    placement = _placed(spec, rows=8, cols=2)
    pieces = list(placement.pieces())
    assert [list(piece.columns) for piece in pieces] == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert placement.arrays == 1


def test_a_dummy_column_stands_behind_the_weights_of_every_array(spec):
    placement = _placed(spec.with_(encoding="offset", idle="hrs", offset_correction="analog"))
    tiles = placement.tiles
    assert placement.array.weight_cols == 7
    dummies = tiles[tiles["sign"] < 0]
    weights = tiles[tiles["sign"] > 0]
    assert len(dummies) == len(weights) == placement.arrays == 2 * 2
    assert set(dummies["cols"]) == {1}
    assert set(dummies["converted_cols"]) == {0}
    assert set(dummies["live_cells"]) == {0}
    assert np.array_equal(dummies["col0"], weights["cols"])
    assert np.all(dummies["read_energy_j"] > 0)  # real cells, with their power


def test_fragments_share_their_array_and_take_turns(spec):
    placement = _placed(spec.with_(encoding="polarised", fragment=4), positive=True)
    tiles = placement.tiles
    assert placement.arrays == 2 * 2
    assert tiles.groupby("array")["tile"].nunique().tolist() == [4, 4, 1, 1]
    assert sorted(set(tiles["row0"])) == [0, 4, 8, 12]
    assert set(tiles["rows"]) == {4}
    # Whole arrays of positive weights: in one turn they would be read four times as fast.
    pair = _placed(spec, positive=True).tiles
    slow, fast = (estimate(table, "isaac-32nm").totals["latency_us"] for table in (tiles, pair))
    assert slow == pytest.approx(4 * fast)


def test_fragments_keep_to_the_rows_of_the_matrix_when_rows_are_pruned(spec):
    """Rows 0 … 3 are one fragment and 4 … 7 the next, whichever of them are left."""
    net = nn.Linear(8, 2, bias=False)
    with torch.no_grad():
        net.weight[:] = torch.tensor([1.0, 1, 1, 1, -1, -1, -1, -1])
        net.weight[:, [1, 2, 6]] = 0
    placement = mapping.place(net, spec.with_(encoding="polarised", fragment=4), torch.rand(3, 8))
    assert [list(tile.rows) for tile in placement.layers[""].tiles] == [[0, 3], [4, 5, 7]]
    assert [tile.row0 for tile in placement.layers[""].tiles] == [0, 2]


def test_the_half_that_is_subtracted_needs_no_converter(spec):
    both = _placed(spec.with_(pair_subtraction="analog")).tiles
    assert np.array_equal(both["converted_cols"], np.where(both["sign"] > 0, both["cols"], 0))
    one_sided = _placed(spec.with_(pair_subtraction="analog", encoding="pair"), positive=True)
    assert set(one_sided.tiles["sign"]) == {1}


def test_a_negative_half_alone_has_the_converters_of_its_pair(spec):
    net = nn.Linear(6, 4, bias=False)
    with torch.no_grad():
        net.weight.abs_().neg_()
    tiles = mapping.place(net, spec.with_(pair_subtraction="analog"), torch.rand(3, 6)).tiles
    assert tiles["sign"].tolist() == [-1]
    assert tiles["converted_cols"].tolist() == [4]


@pytest.mark.parametrize("layout", ["arrays", "columns"])
def test_subtracting_before_the_converter_halves_the_conversions(spec, layout):
    counts = []
    for subtraction in ("digital", "analog"):
        tiles = _placed(spec.with_(pair_layout=layout, pair_subtraction=subtraction, cols_per_adc=4), cols=8).tiles
        table = estimate(tiles, "isaac-32nm").table.set_index("component")
        counts.append((table.loc["adc", "count"], table.loc["adc", "energy_nj"]))
    (converters, energy), (fewer, less) = counts
    assert converters == 2 * fewer
    assert energy == pytest.approx(2 * less)


def test_reading_a_fragment_leaves_the_other_rows_without_cells(spec):
    """Behind wires, a turn sees only its own rows: the transistors of the others are off."""
    spec = spec.with_(encoding="polarised", fragment=4, r_word_ohm=3e3, r_bit_ohm=2e3)
    placement = _placed(spec, rows=16, cols=5, positive=True)
    for piece in placement.pieces():
        alone = np.zeros((16, 5))
        lines = slice(piece.tile.row0, piece.tile.row0 + 4)
        alone[lines] = piece.target
        assert np.allclose(nominal(piece, spec), behind_wires(alone, spec)[lines], rtol=1e-12)


def test_an_array_is_programmed_as_one_whatever_stands_on_it(spec):
    device = spec.device.load("yuan2019")
    spec = spec.with_(device=device, pair_layout="columns")
    placement = _placed(spec, rows=10, cols=4)
    plus, minus = placement.pieces()
    conditions = mapping.Conditions()
    seen = programmed(plus, spec, 5, conditions), programmed(minus, spec, 5, conditions)
    known = plus.contents.known[(5, conditions)]
    assert np.array_equal(known[:, ::2], seen[0])
    assert np.array_equal(known[:, 1::2], seen[1])
    ratio = seen[0][plus.codes != OPEN] / plus.target[plus.codes != OPEN]
    assert np.unique(ratio).size == ratio.size  # no two cells share their error


def test_needed_bits_come_from_the_encoding(spec):
    """20 rows of 16 levels (g_min 5/3 of a step), inputs bit by bit."""
    needed = {}
    for name, fields in {
        "pair": {"idle": "open"},
        "analog": {"idle": "hrs", "pair_subtraction": "analog"},
        "offset": {"encoding": "offset", "idle": "hrs"},
        "flipped": {"encoding": "flipped", "idle": "hrs"},
        "dummy": {"encoding": "offset", "idle": "hrs", "offset_correction": "analog"},
        "fragment": {"encoding": "polarised", "idle": "open", "fragment": 4},
    }.items():
        placement = _placed(spec.with_(rows=32, **fields), positive=name == "fragment")
        needed[name] = int(placement.tiles["adc_bits_needed"].max())
        totals = [estimate(placement.tiles, "isaac-32nm", adc_bits=bits).totals for bits in ("required", needed[name])]
        assert totals[0]["latency_us"] == totals[1]["latency_us"]
    most = int((_placed(spec.with_(rows=32, idle="open")).tiles["max_live_per_col"]).max())
    assert needed["pair"] == int(np.ceil(most * (15 + 5 / 3))).bit_length()
    assert needed["analog"] == (20 * 15).bit_length() + 1
    assert needed["offset"] == int(np.ceil(20 * (15 + 5 / 3))).bit_length()
    assert needed["flipped"] == int(np.ceil(20 * (7.5 + 5 / 3))).bit_length()
    assert needed["dummy"] == (20 * 8 - 1).bit_length() + 1
    assert needed["fragment"] == int(np.ceil(4 * (15 + 5 / 3))).bit_length()
