"""Every number of a result can be explained, and its tree adds up to it."""

import json
import math

import pandas as pd
import pytest

from experiments import cli
from experiments.commands.explain_command import load
from experiments.explaining.explain import Result
from experiments.explaining.tree import Node
from hwmodels.errors import UserError


@pytest.fixture(scope="module")
def result(finished):
    return load(finished[1])


def _count_numbers(value):
    if isinstance(value, dict):
        return sum(map(_count_numbers, value.values()))
    if isinstance(value, list):
        return sum(map(_count_numbers, value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def test_every_number_has_a_tree_that_adds_up_to_it(finished, result):
    numbers = result.numbers
    # None is left out and no two share a key.
    assert len(numbers) == _count_numbers(finished[2])
    for key, stated in numbers.items():
        node = result.explain(key)
        assert math.isclose(node.value, stated, rel_tol=1e-9, abs_tol=1e-15), key
        for end in node.leaves():
            assert end.source, f"{key}: {end.label}"


def test_costs_rest_on_counts_and_printed_numbers_only(result):
    for key in ("area_mm2.placed", "energy_nj.baseline", "power_mw.placed", "interval.area_mm2.high"):
        node = result.explain(key)
        assert len(node.leaves()) > 20
        # Nothing is handed through: no leaf is the figure itself.
        assert not [end for end in node.leaves() if math.isclose(end.value * end.to_si, node.value * node.to_si)]
        assert any("ISCA 2016" in end.source for end in node.leaves())


def test_accuracies_go_down_to_images(result):
    node = result.explain("accuracy.crossbar_mean")
    assert node.how == "mean"
    assert {end.unit for end in node.leaves()} == {"images"}
    assert all(end.value.is_integer() for end in node.leaves())


def test_a_wrong_count_or_price_would_show(result):
    """The tree computes: other numbers in the tables give another figure."""
    tables = dict(result.tables)
    counts = tables["counts"].copy()
    row = counts.index[(counts["chip"] == "placed") & (counts["quantity"] == "area")][0]
    counts.loc[row, "amount"] *= 2
    changed = Result(result.record, tables | {"counts": counts})
    assert changed.explain("area_mm2.placed").value > result.explain("area_mm2.placed").value
    assert changed.explain("area_mm2.baseline").value == result.explain("area_mm2.baseline").value
    assert changed.explain("reduction.area").value < result.record["reduction"]["area"]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("area_mm2.palced", r"no number 'area_mm2\.palced'\. Did you mean 'area_mm2\.placed'"),
        ("area_mm2", r"stands for several: area_mm2\.baseline, area_mm2\.placed"),
        ("crossbar_mean", r"stands for several: accuracy\.crossbar_mean"),
        ("warnings", "no number 'warnings'"),
    ],
)
def test_an_unknown_key_names_near_ones(result, key, message):
    with pytest.raises(UserError, match=message):
        result.explain(key)


def test_a_result_without_its_tables_says_so(result):
    bare = Result(result.record, {"layers": pd.DataFrame()})
    with pytest.raises(UserError, match="counts, prices, times are missing"):
        bare.explain("power_mw.placed")
    assert bare.explain("accuracy.dense").value == result.record["accuracy"]["dense"]


def test_the_command_prints_a_plain_tree_into_a_pipe(finished, capsys):
    _, out, record = finished
    assert cli.command(["explain", str(out), "power_mw.placed"]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert said.startswith("power_mw.placed = ")
    assert f"The tree adds up to the result's {record['power_mw']['placed']:.12g}." in said
    assert "adc 8 bit" in said
    assert "[Shafiee et al., ISAAC, ISCA 2016" in said
    # Lines go whole into a pipe, and without blanks at their ends.
    assert "[crossbar.t_read_s]\n" in said
    assert max(map(len, said.splitlines())) > 100
    assert not [line for line in said.splitlines() if line != line.rstrip()]
    assert cli.command(["explain", str(out / "result.json"), "power_mw.placed", "--depth", "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_the_command_gives_json_to_machines_and_lists_keys(finished, result, capsys):
    _, out, _ = finished
    assert cli.command(["explain", str(out), "area_mm2.baseline", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "ohmweave.explanation/1"
    assert told["agrees"] is True
    assert told["tree"]["how"] == "sum"
    assert cli.command(["explain", str(out)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(result.numbers)
    assert cli.command(["explain", str(out), "area_mm2.palced"]) == 2
    assert "Did you mean" in capsys.readouterr().err


def test_a_tree_that_does_not_add_up_says_so(capsys):
    from experiments.commands.explain_command import _show

    _show(Node(label="a", given=1.0, source="a test"), "x", 2.0, None)
    assert "adds up to 1, but the result says 2." in capsys.readouterr().out
