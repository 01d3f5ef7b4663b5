"""Numbers of the page open how they came about: every button has its panel, with parts, prices and sources."""

import re

import pytest

from experiments.commands.explain_command import load
from experiments.explaining.tree import Node, leaf, of
from experiments.reporting import page, provenance
from experiments.reporting.wording import plain


@pytest.fixture(scope="module")
def html(finished):
    return (finished[1] / "report.html").read_text()


def test_every_button_has_a_panel_and_every_panel_a_button(html):
    ids = set(re.findall(r'<div popover id="([^"]+)"', html))
    opening = set(re.findall(r'<button type="button" class="how" popovertarget="([^"]+)"', html))
    assert opening == ids
    assert len(ids) > 25


def test_every_figure_of_the_answer_and_the_cost_table_is_linked(finished):
    result = load(finished[1])
    linked = page.linked(result.record)
    panels = provenance.panels(result.record, result.tables, linked)
    assert set(panels) == set(linked)
    for key in ("accuracy.crossbar_mean", "area_mm2.placed", "energy_nj.baseline", "reduction.power", "compression"):
        assert key in panels


def test_a_panel_shows_counts_prices_and_sources(finished):
    result = load(finished[1])
    panel = provenance.panels(result.record, result.tables, ["area_mm2.placed"])["area_mm2.placed"]
    lines = {line[0]: [plain(cell) for cell in line[1:]] for line in panel["lines"]}
    value, how, source = lines["adc 8 bit"]
    # 20 arrays with one converter each, 0.0096 mm² for the 8 of a core (ISAAC, Table I)
    assert value == "0.02400 mm²"
    assert how == "20 converters × 0.009600 mm2 / 8 converters"
    assert source.startswith("tile table of the placement; Shafiee et al., ISAAC, ISCA 2016, Table I")
    assert "explain" in (finished[1] / "report.html").read_text()


def test_formulas_read_as_they_are_computed():
    a, b, c = (
        leaf(name, value, unit, source="a test") for name, value, unit in (("a", 6, "rows"), ("b", 2, ""), ("c", 4, ""))
    )
    half = of("inverse", "half", b)
    assert plain(provenance.formula(of("product", "p", a, half), 3)) == "6 rows / 2"
    assert (
        plain(provenance.formula(of("product", "p", of("sum", "s", b, c), of("square", "q", c)), 3)) == "(2 + 4) × (4)²"
    )
    assert plain(provenance.formula(of("saved", "s", b, c), 2)) == "1 − 2 / 4"
    assert plain(provenance.formula(of("largest", "l", b, c), 2)) == "max(2, 4)"
    assert plain(provenance.formula(of("sum", "s", b, c, b, c), 2)) == "12"
    assert plain(provenance.value_text(of("quotient", "q", b, c))) == "50.0 %"


def test_a_tree_computes_in_si_and_tells_its_leaves():
    length = leaf("length", 3, "mm", to_si=1e-3, source="a test")
    area = of("square", "area", length, unit="mm²", to_si=1e-6)
    assert area.value == pytest.approx(9)
    assert area.leaves() == [length]
    told = of("sum", "twice", area, area, unit="mm²", to_si=1e-6).as_dict()
    assert told["value"] == pytest.approx(18)
    assert told["parts"][0]["parts"][0]["source"] == "a test"
    assert Node(label="x", given=2.0).called("y").label == "y"
