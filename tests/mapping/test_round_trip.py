"""Every option of placing, drawn together: no weight is lost or doubled, and cells give the weights back."""

import numpy as np
import pandas as pd
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import mapping
from crossbar import ArraySpec
from hwmodels import Device
from mapping.placement_file import content_hash

QUIET = Device.load("yuan2019").scaled_error(0)
ENCODINGS = [
    {},
    {"idle": "hrs"},
    {"slices": 2, "slice_layout": "columns"},
    {"pair_layout": "columns", "pair_subtraction": "analog"},
    {"encoding": "offset", "idle": "hrs"},
    {"encoding": "offset", "idle": "hrs", "offset_correction": "analog"},
    {"encoding": "flipped", "idle": "hrs", "slices": 2},
    {"encoding": "polarised", "fragment": 3},
]


@st.composite
def placements(draw):
    """A small network with masks, and how it is placed."""
    fields = draw(st.sampled_from(ENCODINGS))
    torch.manual_seed(draw(st.integers(0, 10**6)))
    groups = draw(st.sampled_from([1, 2, 4]))
    net = nn.Sequential(
        nn.Conv2d(4, 8, 3, groups=groups), nn.ReLU(), nn.Flatten(), nn.Linear(32, draw(st.integers(1, 12)))
    )
    keep = draw(st.sampled_from([0.1, 0.5, 1.0]))
    with torch.no_grad():
        for layer in (net[0], net[3]):
            layer.weight.mul_(torch.rand_like(layer.weight) < keep)
            if fields.get("encoding") == "polarised":
                layer.weight.abs_()
    spec = ArraySpec(
        rows=draw(st.integers(6, 24)),
        cols=draw(st.integers(4, 16)),
        device=QUIET.with_(stuck_at_lrs=0.05),
        input_bits=None,
        adc_bits=None,
        **fields,
    )
    options = {
        "share": draw(st.sampled_from(["none", "layer", "network"])),
        "repack": draw(st.booleans()),
        "spare_cols": draw(st.integers(0, 1)),
        "arrays": draw(st.sampled_from([{}, {"3": spec.with_(rows=30, cols=10)}])),
    }
    x = torch.rand(2, 4, 4, 4)
    placement = mapping.place(net, spec, x, **options)
    if draw(st.booleans()):
        placement = mapping.avoid_faults(placement, 1).placement
    return placement, x


@settings(deadline=None, max_examples=25)
@given(made=placements())
def test_no_weight_is_lost_or_doubled_and_cells_give_them_back(cells_table, made):
    placement, x = made
    for layer in placement.layers.values():
        covered = np.zeros(layer.index.shape, dtype=int)
        for tile in layer.tiles:
            covered[tile.group][np.ix_(tile.rows, tile.cols)] += 1
        assert np.all(covered[layer.live] == 1)
        assert covered.max(initial=0) <= 1
        assert torch.equal(layer.weights_from_cells(placement.array), layer.weights())
    taken = {}
    for piece in placement.pieces():
        spec = placement.spec_of(piece.layer)
        used = taken.setdefault(piece.array, np.zeros((spec.rows, spec.cols), dtype=int))
        used[np.ix_(piece.tile.line_numbers, piece.columns)] += 1
        assert np.array_equal(piece.contents.target[np.ix_(piece.tile.line_numbers, piece.columns)], piece.target)
    assert all(used.max() == 1 for used in taken.values())
    pd.testing.assert_frame_equal(placement.tiles, cells_table(placement), rtol=1e-12)
    with torch.no_grad():
        wanted = placement.reference()(x)
        found = mapping.CrossbarNetwork(placement, faults={})(x)
    assert (found - wanted).abs().max() <= 1e-5 * max(wanted.abs().max(), 1)


@settings(deadline=None, max_examples=8)
@given(made=placements())
def test_a_file_brings_everything_back(tmp_path_factory, made):
    placement, _ = made
    folder = tmp_path_factory.mktemp("placement")
    placement.save(folder)
    loaded = mapping.Placement.load(folder)
    assert mapping.diff(placement, loaded).same
    assert loaded.tiles.equals(placement.tiles)
    assert [content_hash(a) for a in loaded.layers.values()] == [content_hash(b) for b in placement.layers.values()]
