"""Comparisons: the same axes, differences first, and what cannot be compared is said."""

import math
import shutil

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import cli
from experiments.commands.compare_command import text
from experiments.comparing.differences import compare
from experiments.comparing.entries import entries, published, renamed
from experiments.comparing.metrics import CONTEXT, METRICS, Entry
from experiments.progress import SILENT
from experiments.run_folder import write_json
from experiments.sweeping import table as tables
from experiments.sweeping.columns import RESULTS
from hwmodels.errors import UserError

TASK = {"network": "lenet5", "data": "mnist", "samples": 1000.0, "library": "isaac-32nm", "node_nm": "as printed",
        "adc_model": "table", "frame_rate_hz": 100.0, "baseline_bits": 9.0}  # fmt: skip


def entry(name, numbers, settings=None, **context):
    return Entry(name, "run", numbers, TASK | context, settings or {}, "a test")


def test_differences_are_against_the_first_and_the_largest_comes_first():
    one = entry("a", {"accuracy_dense": 0.9, "area_mm2": 2.0, "energy_nj": 5.0}, {"crossbar.rows": 64})
    two = entry("b", {"accuracy_dense": 0.92, "area_mm2": 1.0, "energy_nj": 5.0}, {"crossbar.rows": 32})
    found = compare([one, two])
    assert [line.key for line in found.differing] == ["area_mm2", "accuracy_dense"]
    assert [line.differences[1] for line in found.differing] == pytest.approx([-0.5, 0.02])
    assert [line.key for line in found.same] == ["energy_nj"]
    assert [(setting.key, setting.told) for setting in found.settings] == [("crossbar.rows", (64, 32))]
    assert found.cautions == ()


@pytest.mark.parametrize(
    ("context", "lost", "kept"),
    [
        ({"data": "cifar10"}, "accuracy_dense", "area_mm2"),
        ({"library": "puma-32nm"}, "area_mm2", "accuracy_dense"),
        ({"frame_rate_hz": 50.0}, "power_mw", "energy_nj"),
        ({"baseline_bits": 8.0}, "reduction_area", "area_mm2"),
        ({"samples": 500.0}, "accuracy_dense", "energy_nj"),
    ],
)
def test_what_was_measured_otherwise_is_not_compared(context, lost, kept):
    numbers = {"accuracy_dense": 0.9, "area_mm2": 2.0, "energy_nj": 5.0, "power_mw": 1.0, "reduction_area": 0.5}
    other = {key: 0.5 * value for key, value in numbers.items()}
    found = compare([entry("a", numbers), entry("b", other, **context)])
    lines = {line.key: line for line in found.differing}
    assert lines[lost].differences == (None, None)
    assert lines[kept].differences[1] is not None
    (key,) = context
    assert any("cannot be compared" in said and CONTEXT[key] in said for said in found.cautions)
    rows = found.table().set_index(["metric", "entry"])
    assert not rows.loc[(lost, "b"), "comparable"]
    assert rows.loc[(kept, "b"), "comparable"]


def test_what_is_not_stated_is_taken_to_agree_and_said():
    peer = Entry("peer", "published", {"compression": 20.0}, {"network": "LeNet-5"}, {}, "a paper")
    found = compare([entry("a", {"compression": 10.0, "area_mm2": 1.0}), peer])
    assert found.differing[0].differences[1] == pytest.approx(1.0)
    assert not [said for said in found.cautions if "not stated" in said]
    peer = Entry("peer", "published", {"area_mm2": 2.0}, {"network": "LeNet-5"}, {}, "a paper")
    (said,) = compare([entry("a", {"area_mm2": 1.0}), peer]).cautions
    assert said == ("peer: component library, technology node, converter model not stated, taken to be the same.")


def test_intervals_that_overlap_make_a_difference_chance():
    def chips(mean, half):
        return {
            "accuracy_crossbar_mean": mean,
            "accuracy_crossbar_low": mean - half,
            "accuracy_crossbar_high": mean + half,
        }

    near = compare([entry("a", chips(0.95, 0.01)), entry("b", chips(0.96, 0.01))])
    assert near.differing[0].overlap == (False, True)
    assert "may be chance" in near.cautions[0]
    far = compare([entry("a", chips(0.95, 0.01)), entry("b", chips(0.98, 0.01))])
    assert far.differing[0].overlap == (False, False)
    assert far.cautions == ()


positive = st.floats(1e-6, 1e6)


@given(st.lists(st.dictionaries(st.sampled_from(list(METRICS)), positive, min_size=1), min_size=2, max_size=4))
def test_nothing_is_lost_and_the_order_is_by_size(all_numbers):
    found = compare([entry(f"e{i}", numbers) for i, numbers in enumerate(all_numbers)])
    shown = [line.key for line in (*found.differing, *found.same)]
    assert sorted(shown) == sorted({key for numbers in all_numbers for key in numbers})
    sizes = [line.size for line in found.differing]
    assert sizes == sorted(sizes, reverse=True)
    table = found.table()
    assert table["value"].notna().sum() == sum(map(len, all_numbers))
    for line in found.differing:
        if not line.metric.share and line.numbers[0] is not None and line.numbers[1] is not None:
            assert line.differences[1] == pytest.approx(line.numbers[1] / line.numbers[0] - 1)


# --- what can be compared ------------------------------------------------------------------------------------------


def test_packaged_tables_hold_what_the_papers_print():
    assert published() == ["ma2020", "yuan2019"]
    found = {item.name: item for item in entries("yuan2019", SILENT)}
    vgg = found["VGG-16 29.81x, 5 bit"]
    assert (vgg.numbers["reduction_power"], vgg.numbers["reduction_area"]) == (0.9838, 0.9828)
    assert vgg.numbers["accuracy_quantised"] == 0.9121
    assert "accuracy_crossbar_mean" not in vgg.numbers  # nobody published one
    assert all("ISLPED 2019" in item.source for item in found.values())
    assert [item.name for item in entries("ma2020:vgg", SILENT)] == [
        "VGG-16 20.16x",
        "VGG-16 44.67x purified",
        "VGG-16 50.02x purified",
    ]


def test_a_table_of_ones_own_needs_a_source(tmp_path):
    path = tmp_path / "peers.csv"
    path.write_text("name,area_mm2\nours,1.0\n")
    with pytest.raises(UserError, match="needs source"):
        entries(str(path), SILENT)
    path.write_text("name,area_mm2,source\nours,large,a paper\n")
    with pytest.raises(UserError, match="area_mm2 holds something that is no number"):
        entries(str(path), SILENT)
    path.write_text("name,area_mm2,power_mw,cells,source\nours,1.0,,2T2R,a paper\n")
    (ours,) = entries(str(path), SILENT)
    assert ours.numbers == {"area_mm2": 1.0}
    assert ours.settings == {"cells": "2T2R"}
    with pytest.raises(UserError, match="no row has 'theirs'"):
        entries(f"{path}:theirs", SILENT)


def _sweep(folder):
    folder.mkdir()
    row = {name: [0.5, 0.6] for name in RESULTS}
    row |= {"status": ["done", "infeasible"], "message": ["", "area_mm2 = 2 breaks area_mm2 <= 1"]}
    row |= {"area_mm2": [1.0, 2.0], "area_mm2_baseline": [4.0, 4.0]}
    frame = pd.DataFrame({"point": [0, 7], "crossbar.rows": [32, 64], **row})
    (folder / "results.parquet").write_bytes(tables.parquet(frame))
    write_json(folder / "about.json", {"config": {"network": {"name": "lenet5"}, "crossbar": {"rows": 1, "cols": 8}}})


def test_points_of_a_sweep_are_named_by_their_number(tmp_path):
    _sweep(tmp_path / "sw")
    (one,), (other,) = (entries(f"{tmp_path / 'sw'}:{number}", SILENT) for number in (0, 7))
    assert one.numbers["reduction_area"] == pytest.approx(0.75)
    assert (one.context["network"], one.settings["crossbar.rows"], one.settings["crossbar.cols"]) == ("lenet5", 32, 8)
    found = compare([one, other])
    assert [setting.key for setting in found.settings] == ["crossbar.rows"]
    assert any("infeasible: area_mm2 = 2 breaks" in said for said in found.cautions)
    for wrong in (str(tmp_path / "sw"), f"{tmp_path / 'sw'}:3"):
        with pytest.raises(UserError, match=r"Which point of the sweep .*among 0, 7"):
            entries(wrong, SILENT)


def test_what_is_nothing_is_refused_with_what_there_is(tmp_path):
    with pytest.raises(UserError, match=r"Nothing to compare at 'yuan2091'.*Did you mean 'yuan2019'"):
        entries("yuan2091", SILENT)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"result\.json is missing"):
        entries(str(tmp_path / "empty"), SILENT)


def test_equal_names_are_numbered():
    assert [item.name for item in renamed([entry("a", {}), entry("b", {}), entry("a", {})])] == ["a", "b", "a (2)"]


def test_runs_a_configuration_and_a_paper_on_one_page(finished, tmp_path, capsys):
    """A run against the same run, against its own configuration priced without training, and a published row."""
    path, out, record = finished
    shutil.copytree(out, tmp_path / "twin")
    args = ["compare", str(out), str(tmp_path / "twin"), str(path), "yuan2019:LeNet-5 17.69x, 5"]
    page, csv = tmp_path / "c.html", tmp_path / "c.csv"
    assert cli.command([*args, "--quiet", "--out", str(page), "--csv", str(csv)]) == 0
    said = capsys.readouterr().out
    assert "priced without training" in said
    table = pd.read_csv(csv).set_index(["metric", "entry"])
    for key in ("area_mm2", "latency_us", "full_rate_hz", "arrays", "compression", "reduction_area"):
        # Shapes and constraints alone decide these, so training changes nothing.
        priced = table.loc[(key, "small"), "value"]
        assert priced == pytest.approx(table.loc[(key, "out"), "value"], rel=0.02), key
        assert table.loc[(key, "twin"), "difference"] == 0
    assert math.isnan(table.loc[("accuracy_dense", "small"), "value"])
    assert table.loc[("accuracy_dense", "out"), "value"] == record["accuracy"]["dense"]
    assert not table.loc[("compression", "LeNet-5 17.69x, 5 bit"), "comparable"]
    html = page.read_text()
    assert "What cannot be compared" in html
    assert "<script" not in html
    assert "http" not in html


def test_mistakes_of_the_command_are_told(finished, capsys):
    _, out, _ = finished
    for args, message in (
        ([str(out)], "takes at least two"),
        ([str(out), str(out), "--out", "page.txt"], "ends in .html"),
        ([str(out), str(out), "--csv", "numbers.xlsx"], "ends in .csv"),
    ):
        assert cli.command(["compare", *args]) == 2
        assert message in capsys.readouterr().err


def test_the_terminal_shows_only_what_is_stated():
    one, two = entry("a", {"area_mm2": 2.0}), entry("b", {"area_mm2": 1.0, "power_mw": 3.0})
    said = text(compare([one, two]))
    assert "−50.0 %" in said
    assert "The same, or stated by one only: power 3.00 mW." in said
