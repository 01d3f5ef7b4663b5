import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import mapping
from crossbar import ArraySpec
from hwmodels import estimate
from hwmodels.errors import UserError
from mapping.sharing import pack, packing_bound


@pytest.fixture
def depthwise():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.ReLU(),
        nn.Conv2d(8, 10, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(10, 4),
    ).eval()


sizes = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 9)), min_size=1, max_size=25)


@settings(deadline=None, max_examples=60)
@given(sizes)
def test_packed_rectangles_lie_inside_their_bins_and_on_no_other(rectangles):
    heights, widths = np.array(rectangles).T
    packing = pack(heights, widths, 12, 9)
    covered = np.zeros((packing.bins, 12, 9), dtype=int)
    for (high, wide), (site, top, left) in zip(rectangles, packing.place, strict=True):
        covered[site, top : top + high, left : left + wide] += 1
    assert covered.max() == 1
    assert covered.sum() == int((heights * widths).sum())
    assert packing.bound <= packing.bins <= len(rectangles)


def _fewest_bins(rectangles, rows, cols):
    """Brute force: every rectangle at every place of every bin."""
    best = len(rectangles)

    def put(number, bins):
        nonlocal best
        if len(bins) >= best:
            return
        if number == len(rectangles):
            best = len(bins)
            return
        high, wide = rectangles[number]
        for used in [*bins, np.zeros((rows, cols), dtype=bool)]:
            for top in range(rows - high + 1):
                for left in range(cols - wide + 1):
                    spot = used[top : top + high, left : left + wide]
                    if not spot.any():
                        spot[:] = True
                        new = not any(used is one for one in bins)
                        put(number + 1, [*bins, used] if new else bins)
                        spot[:] = False

    put(0, [])
    return best


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=5))
def test_the_bound_is_below_the_optimum_of_brute_force(rectangles):
    heights, widths = np.array(rectangles).T
    assert packing_bound(heights, widths, 3, 3) <= _fewest_bins(rectangles, 3, 3)


def test_the_bound_sees_more_than_area():
    # Five squares of side 3 in a bin of side 5: no two of them share one, although the area of two bins would do.
    assert packing_bound(np.full(5, 3), np.full(5, 3), 5, 5) == 5


def test_groups_of_a_depthwise_convolution_share_arrays(depthwise, ideal):
    x = torch.randn(3, 3, 6, 6)
    plain, layer, network = (
        mapping.place(depthwise, ideal.with_(rows=32, cols=16), x, share=share)
        for share in ("none", "layer", "network")
    )
    assert plain.arrays == 2 * (1 + 8 + 1 + 1)
    # Eight blocks of 9 × 1: three above each other, sixteen beside each other.
    assert layer.arrays == 2 * 4
    assert network.arrays < layer.arrays
    reference = plain.reference()(x)
    for placement in (plain, layer, network):
        assert torch.allclose(mapping.CrossbarNetwork(placement)(x), reference, atol=1e-5)
        for one in placement.layers.values():
            assert torch.equal(one.weights_from_cells(placement.array), one.weights())


@pytest.mark.parametrize("encoding", ["pair", "offset", "flipped"])
def test_the_table_of_shared_arrays_is_that_of_their_cells(depthwise, spec, encoding, cells_table):
    idle = "open" if encoding == "pair" else "hrs"
    array = spec.with_(
        rows=32, cols=16, encoding=encoding, idle=idle, pair_layout="columns" if encoding == "pair" else "arrays"
    )
    placement = mapping.place(depthwise, array, torch.randn(3, 3, 6, 6), share="network")
    pd.testing.assert_frame_equal(placement.tiles, cells_table(placement), rtol=1e-12)
    assert placement.arrays < mapping.place(depthwise, array, torch.randn(3, 3, 6, 6)).arrays


def test_sharing_saves_area_and_costs_time(depthwise, spec):
    x = torch.randn(3, 3, 6, 6)
    array = spec.with_(rows=32, cols=16)
    plain, shared = (
        estimate(mapping.place(depthwise, array, x, share=s).tiles, "isaac-32nm").totals for s in ("none", "layer")
    )
    assert shared["area_mm2"] < plain["area_mm2"]
    assert shared["arrays"] < plain["arrays"]
    assert shared["full_rate_hz"] < plain["full_rate_hz"]


def test_a_neighbour_loads_the_wires(depthwise, ideal):
    """With wires the cells of other layers on the same lines draw current too: the same weights read differently."""
    x = torch.randn(3, 3, 6, 6)
    array = ideal.with_(rows=32, cols=16, r_word_ohm=20.0, r_bit_ohm=20.0, unused_rows="grounded")
    apart, beside = (
        mapping.CrossbarNetwork(mapping.place(depthwise, array, x, share=s))(x) for s in ("none", "network")
    )
    assert not torch.equal(apart, beside)


def test_what_cannot_share_says_so(depthwise, spec):
    x = torch.randn(3, 3, 6, 6)
    with pytest.raises(UserError, match=r"^Unknown sharing 'all'; choose 'none', 'layer' or 'network'\.$"):
        mapping.place(depthwise, spec, x, share="all")


def test_blocks_with_dummy_columns_take_them_along(depthwise, ideal, cells_table):
    x = torch.randn(3, 3, 6, 6)
    array = ideal.with_(rows=32, cols=16, encoding="offset", idle="hrs", offset_correction="analog")
    plain, shared = (mapping.place(depthwise, array, x, share=share) for share in ("none", "network"))
    assert shared.arrays < plain.arrays
    dummies = shared.tiles[shared.tiles["sign"] < 0]
    assert len(dummies) == sum(len(layer.tiles) for layer in shared.layers.values())
    pd.testing.assert_frame_equal(shared.tiles, cells_table(shared), rtol=1e-12)
    assert torch.allclose(mapping.CrossbarNetwork(shared)(x), plain.reference()(x), atol=1e-5)
    estimate(shared.tiles, "isaac-32nm")  # no two pieces overlap, none lies beyond its array


@pytest.mark.parametrize("encoding", ["pair", "offset", "polarised"])
@pytest.mark.parametrize("share", ["none", "layer", "network"])
def test_a_placement_says_how_few_arrays_there_could_be(depthwise, ideal, polarised, share, encoding):
    network = polarised(depthwise, 4) if encoding == "polarised" else depthwise
    idle = "hrs" if encoding == "offset" else "open"
    fragment = 4 if encoding == "polarised" else None
    array = ideal.with_(rows=32, cols=16, encoding=encoding, idle=idle, fragment=fragment)
    placement = mapping.place(network, array, torch.randn(3, 3, 6, 6), share=share)
    table = placement.layer_table
    assert (table["arrays_bound"] <= table["arrays"]).all()
    assert (table["arrays_bound"] > 0).all()
    assert 0 < placement.arrays_bound <= placement.arrays
    if share == "none":
        # Groups of a depthwise layer cannot share, so every one needs its arrays: the bound is what stands there.
        assert placement.arrays_bound == table["arrays_bound"].sum() == placement.arrays
    described = mapping.CrossbarNetwork(placement).describe()
    assert described["arrays_bound"].iloc[: len(table)].tolist() == table["arrays_bound"].tolist()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([0.02, 0.2, 0.9]), st.booleans(), st.sampled_from(["none", "layer"]))
def test_no_placement_goes_below_its_bound(seed, keep, positive, share):
    rng = np.random.default_rng(seed)
    net = nn.Linear(int(rng.integers(1, 60)), int(rng.integers(1, 40)))
    with torch.no_grad():
        net.weight.mul_(torch.from_numpy(rng.random(net.weight.shape) < keep))
        if positive:
            net.weight.abs_()
    array = ArraySpec(rows=16, cols=8, device="ideal", idle="open", input_bits=None, adc_bits=None)
    for repack in (False, True):
        placement = mapping.place(net, array, torch.rand(2, net.in_features), repack=repack, share=share)
        assert placement.layer_table["arrays_bound"][0] <= placement.arrays
        assert placement.arrays_bound <= placement.arrays
