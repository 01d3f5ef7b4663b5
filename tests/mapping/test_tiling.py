from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping.tiling import cut


@st.composite
def masks(draw):
    rows, cols = draw(st.integers(1, 40)), draw(st.integers(1, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    density = draw(st.sampled_from([0.0, 0.02, 0.3, 1.0]))
    return rng.random((draw(st.integers(1, 2)), rows, cols)) < density


@given(masks(), st.integers(1, 16), st.integers(1, 16))
def test_every_live_weight_is_in_exactly_one_tile(live, rows, cols):
    covered = np.zeros(live.shape, dtype=int)
    for tile in cut(live, rows, cols):
        assert tile.rows.size <= rows
        assert tile.cols.size <= cols
        covered[tile.group][np.ix_(tile.rows, tile.cols)] += 1
    assert np.all(covered[live] == 1)
    assert covered.max(initial=0) <= 1


@given(masks(), st.integers(1, 16), st.integers(1, 16))
def test_never_more_arrays_than_either_way_of_cutting(live, rows, cols):
    for group, mask in enumerate(live):
        tiles = [tile for tile in cut(live, rows, cols) if tile.group == group]
        r, c = int(mask.any(axis=1).sum()), int(mask.any(axis=0).sum())
        blocks = sum(
            mask[i : i + rows, j : j + cols].any()
            for i in range(0, mask.shape[0], rows)
            for j in range(0, mask.shape[1], cols)
        )
        assert len(tiles) <= min(ceil(r / rows) * ceil(c / cols), blocks)


@given(masks(), st.integers(1, 16), st.integers(1, 16))
def test_no_tile_drives_a_dead_row_or_converts_a_dead_column(live, rows, cols):
    for tile in cut(live, rows, cols):
        block = live[tile.group][np.ix_(tile.rows, tile.cols)]
        assert block.any(axis=1).all()
        assert block.any(axis=0).all()


@pytest.mark.parametrize("shape", [(500, 50), (25, 20), (800, 500)])
def test_row_and_column_masks_give_the_compacted_count(shape):
    rng = np.random.default_rng(0)
    rows, cols = rng.random(shape[0]) < 0.3, rng.random(shape[1]) < 0.5
    live = (rows[:, None] & cols)[None]
    assert len(cut(live, 32, 32)) == ceil(rows.sum() / 32) * ceil(cols.sum() / 32)


def test_block_masks_give_the_live_blocks():
    live = np.zeros((1, 96, 64), dtype=bool)
    live[0, :32, :32] = live[0, 64:, 32:] = True
    assert len(cut(live, 32, 32)) == 2


def test_an_empty_layer_takes_no_array():
    assert cut(np.zeros((1, 10, 10), dtype=bool), 4, 4) == []


@given(masks(), st.integers(1, 16), st.integers(1, 16), st.integers(1, 6))
def test_fragments_part_the_rows_of_an_array(live, rows, cols, fragment):
    """The same arrays; each row once; never two fragments of the matrix in one turn, never one fragment in two."""
    whole, parted = cut(live, rows, cols), cut(live, rows, cols, fragment)
    assert {tile.block for tile in parted} == {tile.block for tile in whole}
    for tile in whole:
        turns = [part for part in parted if part.block == tile.block]
        assert np.array_equal(np.concatenate([part.rows for part in turns]), tile.rows)
        assert [part.row0 for part in turns] == list(np.cumsum([0] + [part.rows.size for part in turns])[:-1])
        numbers = [set((part.rows // fragment).tolist()) for part in turns]
        assert all(len(own) == 1 for own in numbers)
        assert len(set.union(*numbers)) == len(numbers)
        assert all(part.group == tile.group and np.array_equal(part.cols, tile.cols) for part in turns)
