"""The page of a sweep: what it says of sweeps large and small, whole and broken, and that it needs nothing outside."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from experiments.reporting import sweep_page, sweep_report, sweep_view
from experiments.reporting.pareto import front
from experiments.sweeping import about as about_file
from experiments.sweeping import table as sweep_table
from hwmodels.errors import UserError

VOID = {"meta", "br", "hr", "img", "input", "link", "wbr"}


class Outline(HTMLParser):
    """Headings, ids, unclosed elements and what is loaded from elsewhere; SVG's own elements close themselves."""

    def __init__(self):
        super().__init__()
        self.open, self.headings, self.ids, self.loaded = [], [], [], []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        self.loaded += [values[name] for name in ("src", "href") if name in values and not values[name].startswith("#")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)


def outline(html):
    parser = Outline()
    parser.feed(re.sub(r"<script.*?</script>", "<script></script>", html, flags=re.DOTALL))
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))
    assert parser.loaded == []
    return parser


def without_library(html):
    """The page without its chart library."""
    from plotly.offline import get_plotlyjs

    assert html.count(get_plotlyjs()) == 1
    return html.replace(get_plotlyjs(), "")


def embedded(html):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


def test_the_recorded_sweep(sweep_tables):
    points = sweep_tables.recorded()
    made = sweep_view.view(points)
    html = sweep_report.page(made, "Digits <&> friends")
    found = outline(html)
    assert found.headings[0] == "Digits <&> friends"
    assert "Digits &lt;&amp;&gt; friends" in html
    sections = ["What was swept", "The answer", "Pareto front", "Any two keys", "Which key matters", "All points"]
    assert [name for name in found.headings if name in sections] == sections
    data = embedded(html)
    assert len(data["point"]) == 200
    shown = data["results"]["accuracy_crossbar_mean"]
    assert shown == pytest.approx((100 * points["accuracy_crossbar_mean"]).tolist(), abs=1e-3)
    best = points.loc[points["accuracy_crossbar_mean"].idxmax()]
    mean, low, high = (f"{100 * best[f'accuracy_crossbar_{name}']:.2f}" for name in ("mean", "low", "high"))
    assert f"{mean}\u00a0% ({low} to {high}\u00a0%)" in html
    assert "smallest chip that loses at most 1 point" in html
    assert "complete grid" in html
    assert "not recorded" in html  # a table by itself has no configuration
    assert without_library(html) == without_library(sweep_report.page(made, "Digits <&> friends"))


def test_a_thousand_points_stay_small(sweep_tables):
    html = sweep_report.page(sweep_view.view(sweep_tables.costs(1000)), "Thousand")
    assert len(without_library(html).encode()) < 5e6
    assert len(html.encode()) < 10e6
    assert len(embedded(html)["point"]) == 1000


def test_a_hundred_thousand_points_are_thinned_and_keep_their_fronts(sweep_tables):
    made = sweep_view.view(sweep_tables.costs(100_000, accuracy=False))
    assert sweep_view.MAX_POINTS <= made.shown.sum() <= sweep_view.MAX_POINTS + 500
    pairs = [(x, y) for x in made.varying for y in made.varying if x.column < y.column]
    assert pairs
    for x, y in pairs:
        on = front(made.of(x), made.of(y), x_up=x.up, y_up=y.up)
        kept = set(zip(made.of(x)[made.shown], made.of(y)[made.shown], strict=True))
        assert set(zip(made.of(x)[on], made.of(y)[on], strict=True)) <= kept
    said = sweep_page.contents(made, "Large")
    assert "too many for a page" in said["thinned"]
    assert len(said["points"]["rows"]) == made.shown.sum()
    assert said["axes"][0].column == "area_mm2"
    # every stretch of the table has its point
    places = np.flatnonzero(made.shown)
    assert np.diff(places).max() <= 2 * len(made.table) / sweep_view.MAX_POINTS + 1


def test_one_point(sweep_tables):
    row = {"accuracy_crossbar_mean": 0.9, "area_mm2": 1.0, "chips": 1}
    html = sweep_report.page(sweep_view.view(sweep_tables.table({"crossbar.rows": np.array([64])}, [row])), "One")
    outline(html)
    assert "no key takes more than one value" in html
    assert "1 of 1\u00a0point came to a result" in html
    assert len(html) < 200_000  # no chart, and so no chart library
    assert "No two results vary" in html


def test_failures_only(sweep_tables):
    rows = [{"status": "failed", "message": "device.levels = 3 <script>alert(1)</script>"}] * 3
    broken = [f"area_mm2 = {n} breaks area_mm2 <= 1" for n in (2, 3)]
    rows += [{"status": "infeasible", "message": said, "area_mm2": 2.5} for said in broken]
    points = sweep_tables.table({"device.levels": np.array([3, 4, 5, 6, 7])}, rows)
    html = sweep_report.page(sweep_view.view(points), "Broken")
    outline(html)
    assert "<script>alert" not in html
    assert "None of the 5\u00a0points is done" in html
    failures = sweep_page.contents(sweep_view.view(points), "Broken")["failures"]
    assert [row[0] for row in failures] == ["0, 1, 2", "3, 4"]
    # what an infeasible point costs is told, and no front is made of it
    listed = sweep_page.contents(sweep_view.view(points), "Broken")["points"]
    assert listed["columns"][-1][0] == "area (mm²)"
    assert [row[-1] for row in listed["rows"]] == ["–", "–", "–", "2.500", "2.500"]
    assert failures[1][2] == "area_mm2 breaks area_mm2 <= 1"


def test_costs_without_accuracies(sweep_tables):
    said = sweep_page.contents(sweep_view.view(sweep_tables.costs(27, accuracy=False)), "Costs")
    assert [axis.column for axis in said["axes"]] == ["area_mm2", "power_mw"]
    assert "accuracy" not in str(said["highlights"])
    assert said["seeds"] == "No chip was simulated."


def test_keys_that_change_together_are_one(sweep_tables):
    sizes = np.array([16, 32, 64])
    rows = [{"area_mm2": float(n), "power_mw": 3.0 - n} for n in range(3)]
    points = sweep_tables.table({"crossbar.rows": sizes, "crossbar.cols": sizes, "device.levels": sizes * 0 + 4}, rows)
    made = sweep_view.view(points)
    assert [factor.name for factor in made.factors] == ["crossbar.rows, crossbar.cols"]
    assert "device.levels" in [row[0] for row in sweep_page.contents(made, "t")["swept"]]


def about(**changes):
    return {"schema": about_file.SCHEMA, "name": "s", "digest": "d", "settings": {}, "config": {}, **changes}


def test_a_folder_is_read_and_written(sweep_tables, tmp_path):
    points = sweep_tables.table({"crossbar.rows": np.array([16, 32])}, [{"area_mm2": 1.0}] * 2)
    sweep_table.write(tmp_path, points, points[["point"]])
    config = {"seed": 3, "device": {"preset": "hfox"}}
    settings = {"method": "grid", "constraints": ["area_mm2 <= 2"]}
    known = about(command="ohmweave sweep x --out y", config=config, settings=settings, versions={"torch": "9.9"})
    (tmp_path / "about.json").write_text(json.dumps(known))
    path = sweep_report.write(sweep_report.of_folder(tmp_path), tmp_path, "A folder")
    html = path.read_text()
    for text in ("ohmweave sweep x --out y", "every combination", "hfox", "9.9", "area_mm2 &lt;= 2", "s-d"):
        assert text in html
    with pytest.raises(UserError, match="Cannot write"):
        sweep_report.write(sweep_report.of_folder(tmp_path), tmp_path / "about.json", "A file")


@pytest.mark.parametrize(
    ("written", "said"),
    [("{", "damaged"), ('{"schema": "ohmweave.sweep-about/9"}', "update ohmweave"), ("[]", "version None")],
)
def test_bad_words_about_a_sweep(sweep_tables, tmp_path, written, said):
    sweep_table.write(tmp_path, sweep_tables.costs(8), sweep_tables.costs(8)[["point"]])
    (tmp_path / "about.json").write_text(written)
    with pytest.raises(UserError, match=said):
        sweep_report.of_folder(tmp_path)


def test_no_table_and_a_torn_one(tmp_path):
    with pytest.raises(UserError, match="ohmweave sweep"):
        sweep_report.of_folder(tmp_path)
    (tmp_path / "results.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(UserError, match="damaged"):
        sweep_report.of_folder(tmp_path)


def test_the_chart_library_cannot_end_its_script():
    from plotly.offline import get_plotlyjs

    assert "</script" not in get_plotlyjs().lower()
