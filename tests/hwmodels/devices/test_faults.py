import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hwmodels import Device, UserError, fault_map, program
from hwmodels.devices.effects import ClusteredFaults, LineFaults
from hwmodels.devices.faults import anchor_probability


def device(**changes):
    return Device(name="test", g_min_s=1e-6, g_max_s=1e-5, levels=16, **changes)


def clustered(rate, rows, cols, state="hrs"):
    return device(clustered_faults=ClusteredFaults(rate=rate, rows=rows, cols=cols, state=state))


@pytest.mark.parametrize(("rate", "rows", "cols"), [(0.1, 1, 1), (0.05, 3, 3), (0.2, 1, 8), (0.3, 4, 2)])
def test_every_cell_is_faulty_at_the_rate_of_the_clusters_at_the_edge_too(rate, rows, cols):
    faulty = fault_map((20_000, 6, 9), clustered(rate, rows, cols), seed=3) > 0
    per_cell = faulty.mean(axis=0)
    error = np.sqrt(rate * (1 - rate) / len(faulty))
    assert np.abs(per_cell - rate).max() < 5 * error, "each of the 54 cells, corners included"


def test_neighbours_fail_together_and_far_cells_do_not():
    rate, n = 0.1, 4
    faulty = fault_map((40_000, 1, 12), clustered(rate, 1, n), seed=1)[:, 0] > 0
    p = anchor_probability(ClusteredFaults(rate=rate, rows=1, cols=n, state="hrs"))
    for distance in range(1, 7):
        both = (faulty[:, 0] & faulty[:, distance]).mean()
        # neither cell is covered when none of the rectangles that hold the one or the other is there
        union = n + min(distance, n)
        expected = 1 - 2 * (1 - p) ** n + (1 - p) ** union
        assert both == pytest.approx(expected, abs=5 * np.sqrt(expected / len(faulty)))


@given(rate=st.floats(0, 1), rows=st.integers(1, 20), cols=st.integers(1, 20))
def test_rectangles_that_end_at_a_cell_make_the_rate(rate, rows, cols):
    p = anchor_probability(ClusteredFaults(rate=rate, rows=rows, cols=cols, state="lrs"))
    assert 0 <= p <= 1
    assert 1 - (1 - p) ** (rows * cols) == pytest.approx(rate, abs=1e-12)


def test_lines_fail_whole_and_at_their_rates():
    codes = fault_map((2000, 16, 24), device(line_faults=LineFaults(word_line=0.05, bit_line=0.1)), seed=8)
    rows, cols = (codes == 3).all(axis=2), (codes == 3).all(axis=1)
    assert np.array_equal(codes > 0, rows[:, :, None] | cols[:, None, :]), "nothing fails but whole lines"
    for lines, rate in ((rows, 0.05), (cols, 0.1)):
        low, high = stats.binom(lines.size, rate).ppf([1e-4, 1 - 1e-4])
        assert low <= lines.sum() <= high + 2000 * 0.05**8, "a line of the other kind can fill a line by chance"


def test_a_fault_map_is_what_program_applies():
    spec = device(
        stuck_at_lrs=0.1,
        stuck_at_hrs=0.2,
        clustered_faults=ClusteredFaults(rate=0.1, rows=2, cols=2, state="open"),
        line_faults=LineFaults(word_line=0.1, state="lrs"),
    )
    place = {"seed": 5, "array": 3, "row": 2, "col": 1}
    g = program(np.full((4, 32, 32), 4e-6), spec, **place)
    codes = fault_map((4, 32, 32), spec, **place)
    assert set(np.unique(codes)) == {0, 1, 2, 3}
    assert np.array_equal(g, np.array([4e-6, 1e-5, 1e-6, 0.0])[codes])


def test_lines_lie_over_clusters_and_clusters_over_single_cells():
    full = {"stuck_at_hrs": 1.0}
    assert np.all(fault_map((4, 4), device(**full)) == 2)
    full["clustered_faults"] = ClusteredFaults(rate=1.0, rows=2, cols=2, state="lrs")
    assert np.all(fault_map((4, 4), device(**full)) == 1)
    full["line_faults"] = LineFaults(bit_line=1.0)
    assert np.all(fault_map((4, 4), device(**full)) == 3)


def test_shared_faults_leave_the_draws_of_the_others_alone():
    single = device(stuck_at_lrs=0.1)
    both = single.with_(clustered_faults=ClusteredFaults(rate=0.1, rows=2, cols=2, state="hrs"))
    one, two = (fault_map((100, 100), spec, 3) for spec in (single, both))
    assert np.array_equal(one[two != 2], two[two != 2])


def test_independent_over_seeds_and_arrays():
    spec = device(stuck_at_lrs=0.3, line_faults=None)
    maps = np.stack([fault_map((2, 100, 100), spec, seed).reshape(2, -1) for seed in (0, 1)]).reshape(4, -1)
    assert np.abs(np.corrcoef(maps) - np.eye(4)).max() < 5 / 100


@pytest.mark.parametrize("shape", [(3,), (1, 2, 3, 4), (2, -1)])
def test_shapes_of_something_else_are_refused(shape):
    with pytest.raises(UserError, match="A fault map has a shape"):
        fault_map(shape, device(stuck_at_lrs=0.1))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"clustered_faults": {"rate": 1.2, "rows": 2, "cols": 2, "state": "hrs"}}, r"clustered_faults\.rate = 1\.2"),
        ({"clustered_faults": {"rate": 0.1, "rows": 0, "cols": 2, "state": "hrs"}}, r"clustered_faults\.rows = 0"),
        ({"clustered_faults": {"rate": 0.1, "rows": 1, "cols": 2, "state": "shut"}}, r"clustered_faults\.state"),
        ({"line_faults": {"wordline": 0.1}}, r"unknown key 'line_faults\.wordline'\. Did you mean 'word_line'\?"),
    ],
)
def test_mistakes_in_a_fault_table_are_named(table, words):
    with pytest.raises(UserError, match=words):
        device().with_(**table)
