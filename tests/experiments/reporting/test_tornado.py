"""The tornado picture: bars from the total at one end of a number to the total at its other end."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.reporting import drawing, tornado
from hwmodels import Matrix, dense_tiles, estimate


@pytest.fixture(scope="module")
def priced():
    tiles = dense_tiles([Matrix(name="fc", rows=300, cols=200, reads_per_inference=5)], g_mean_s=1e-6)
    return estimate(tiles, "isaac-32nm")


def drawn(table, width=drawing.WIDE):
    figure = Figure(figsize=(width, 3.0), layout="constrained")
    tornado.draw(figure, table)
    return figure


def bars(ax):
    """(left, right) of every bar, low ends first."""
    edges = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches]
    return np.array(edges).reshape(2, -1, 2)


@pytest.mark.parametrize("width", [drawing.WIDE, drawing.NARROW])
def test_bars_reach_from_the_total_to_its_ends(priced, width):
    table = tornado.table(priced)
    figure = drawn(table, width)
    for ax, total in zip(figure.axes, tornado.TITLES, strict=True):
        rows = table[table["total"] == total]
        rows = rows[rows["swing"] >= 0.01 * rows["swing"].max()]
        assert len(rows) > 0
        low, high = bars(ax)
        assert low[:, 0] == pytest.approx(priced.totals[total])
        assert low[:, 1] == pytest.approx(rows["total_low"].to_numpy())
        assert high[:, 1] == pytest.approx(rows["total_high"].to_numpy())
        assert rows["swing"].is_monotonic_decreasing
        left, right = ax.get_xlim()
        assert left < min(low.min(), high.min()) < max(low.max(), high.max()) < right


def test_the_largest_swings_and_nothing_else_are_drawn(priced):
    table = tornado.table(priced)
    many = table[table["total"] == "power_mw"].iloc[[0] * 12].reset_index(drop=True)
    many["swing"] = np.linspace(1.0, 0.5, 12)
    assert len(tornado.rows(many)) == tornado.MAX_BARS
    many["swing"] = [1.0] + [0.009] * 11
    assert len(tornado.rows(many)) == 1
    assert bars(drawn(many).axes[1]).shape[1] == 1


def test_a_library_without_ranges_leaves_a_sentence(priced):
    table = tornado.table(priced)
    figure = drawn(table[table["total"] == "power_mw"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["no number that states a range moves it"]


def test_rows_name_number_range_and_ends(priced):
    first = next(row for row in tornado.rows(tornado.table(priced)) if row[0].startswith("power"))
    assert first[0] == "power: adc 8 bit power"
    assert first[1] == "7.18 … 19.8\u00a0mW"
    assert first[4].endswith("%")


def test_equal_tables_give_equal_bytes(priced):
    table = tornado.table(priced)
    one, two = (drawing.render(lambda figure: tornado.draw(figure, table)) for _ in range(2))
    assert one == two
