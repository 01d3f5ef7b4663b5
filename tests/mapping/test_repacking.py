from math import ceil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import mapping
from mapping.repacking import index_bits, lower_bound, repack_group, repacked
from mapping.tiling import cut, cut_group


@st.composite
def masks(draw):
    rows, cols = draw(st.integers(1, 40)), draw(st.integers(1, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    return rng.random((rows, cols)) < draw(st.sampled_from([0.02, 0.1, 0.3, 1.0]))


@settings(deadline=None, max_examples=60)
@given(masks(), st.integers(1, 16), st.integers(1, 16))
def test_every_survivor_is_in_one_tile_and_never_more_arrays_than_plain_tiling(mask, rows, cols):
    covered = np.zeros(mask.shape, dtype=int)
    found = repack_group(mask, rows, cols)
    for r, c in found:
        assert r.size <= rows
        assert c.size <= cols
        assert np.all(np.diff(r) > 0)
        assert np.all(np.diff(c) > 0)
        block = mask[np.ix_(r, c)]
        assert block.any(axis=0).all()
        assert block.any(axis=1).all()
        covered[np.ix_(r, c)] += 1
    assert np.all(covered[mask] == 1)
    assert lower_bound(mask, rows, cols) <= len(found) <= len(cut_group(mask, rows, cols))


def _fewest(mask, rows, cols):
    """The fewest arrays by trying every way of giving the columns to arrays and of cutting the rest (tiny masks)."""
    weights = [tuple(at) for at in np.argwhere(mask)]
    best = len(weights)

    def fits(part):
        return len({r for r, _ in part}) <= rows and len({c for _, c in part}) <= cols

    def grow(left, arrays):
        nonlocal best
        if len(arrays) >= best:
            return
        if not left:
            best = len(arrays)
            return
        for i, part in enumerate(arrays):
            if fits([*part, left[0]]):
                grow(left[1:], [*arrays[:i], [*part, left[0]], *arrays[i + 1 :]])
        grow(left[1:], [*arrays, [left[0]]])

    grow(weights, [])
    return best


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 2), st.integers(1, 3))
def test_the_lower_bound_is_below_the_optimum_of_brute_force(seed, rows, cols):
    rng = np.random.default_rng(seed)
    mask = np.zeros(12, dtype=bool)
    mask[rng.choice(12, 6, replace=False)] = True
    assert lower_bound(mask.reshape(4, 3), rows, cols) <= _fewest(mask.reshape(4, 3), rows, cols)


def test_hidden_blocks_are_found_again():
    rng = np.random.default_rng(0)
    mask = np.kron(np.eye(4, dtype=bool), np.ones((32, 16), dtype=bool))
    shuffled = mask[rng.permutation(128)][:, rng.permutation(64)]
    assert len(cut_group(shuffled, 32, 16)) == 16
    assert len(repack_group(shuffled, 32, 16)) == lower_bound(shuffled, 32, 16) == 4


@pytest.mark.parametrize("shape", [(50, 30), (25, 20)])
def test_row_and_column_masks_keep_the_compacted_count(shape):
    rng = np.random.default_rng(0)
    rows, cols = rng.random(shape[0]) < 0.4, rng.random(shape[1]) < 0.5
    live = (rows[:, None] & cols)[None]
    assert len(repacked(live, 8, 8)) == ceil(rows.sum() / 8) * ceil(cols.sum() / 8)


def test_neighbouring_lines_need_no_index():
    dense, holes = np.ones((1, 8, 8), dtype=bool), np.ones((1, 8, 8), dtype=bool)
    holes[0, 3] = False
    assert index_bits(tuple(cut(dense, 4, 4)), 8, 8) == 0
    # 7 rows and 8 columns left: 2 × 2 tiles with 4 + 4, 4 + 4, 3 + 4, 3 + 4 lines, three bits each.
    assert index_bits(tuple(cut(holes, 4, 4)), 8, 8) == 3 * (8 + 8 + 7 + 7)


def test_a_repacked_network_takes_fewer_arrays_and_computes_the_same(ideal):
    rng = np.random.default_rng(3)
    mask = np.kron(np.eye(3), np.ones((8, 16)))[rng.permutation(24)][:, rng.permutation(48)]
    net = nn.Linear(48, 24)
    with torch.no_grad():
        net.weight.mul_(torch.from_numpy(mask).float())
    x = torch.randn(5, 48)
    plain, packed = (mapping.place(net, ideal, x, repack=repack) for repack in (False, True))
    assert packed.arrays == 3 * 2 < plain.arrays
    reference = plain.reference()(x)
    assert torch.equal(reference, packed.reference()(x))
    assert torch.allclose(mapping.CrossbarNetwork(packed)(x), reference, atol=1e-6)
