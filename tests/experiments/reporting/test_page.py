"""The page of a run: its sections, numbers and links, what it says of the compression, and what the run was not."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from math import nan
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd

from experiments.reporting import page, report
from experiments.reporting.wording import plain

SECTIONS = (
    "What was asked",
    "The answer",
    "Accuracy through the stages",
    "Cost before and after",
    "By component",
    "By layer",
    "Convergence",
    "Placement",
    "Layers",
    "Converters",
    "Warnings",
    "Assumptions and sources",
    "Configuration and versions",
)


class Page(HTMLParser):
    """Checks that tags are balanced, and collects what the tests ask about."""

    VOID = frozenset({"meta", "link", "br", "hr", "img", "input", "col", "base"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.headings: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings.append(data)
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return plain(" ".join(" ".join(self.words).split()))


def write_page(record: dict[str, Any], tables: dict[str, pd.DataFrame], out: Path) -> Page:
    """The page of a run, without pictures beside it."""
    jsonschema.validate(record, report.schema())
    report.write(record, tables, out, formats=())
    return Page((out / "report.html").read_text("utf-8"))


def test_the_page_has_every_section_in_order_and_every_number(written: Any) -> None:
    record, _, out = written
    page_ = Page((out / "report.html").read_text("utf-8"))
    assert page_.headings == ["digits", *SECTIONS]
    mean, half = record["accuracy"]["crossbar_mean"], record["accuracy"]["crossbar_high"]
    told = [
        "(keeping 33 % of the filter-shape columns in conv2; 33 % of the filter-shape columns and 8 filters in every "
        "other layer) and moves the weights that stay to the conductance levels.",
        "128 × 64 cells of the device yuan2019 (16 levels a cell, 1 slice a weight, 8-bit inputs, 8-bit ADCs)",
        "unpruned 9-bit network",
        "ohmweave run digits --crossbar.rows 128 --device.preset yuan2019",
        f"{100 * mean:.1f} ± {100 * (half - mean):.1f} % on crossbars (95 % interval over 5 device seeds)",
        f"{100 * (record['accuracy']['dense'] - mean):.1f} points below the dense network’s 98.1 %",
        f"{record['compression']:.2f}× compression",
        "10 arrays instead of 32",
        f"area −{100 * record['reduction']['area']:.1f} %",
        f"power −{100 * record['reduction']['power']:.1f} % at 1 000 inferences/s",
        *("97.5 %", "−0.6", "97.8 %", "−0.3"),
        *("137 µs", "61.5 µs", "−55.2 %", "12 748 weights kept", "32 768", "512 × 64", "171 × 64", "33.4 %"),
        f"{record['area_mm2']['baseline']:.4f} mm²",
        f"{record['power_mw']['placed']:.3f} mW",
        f"{record['energy_nj']['baseline']:.0f} nJ",
        *("ReLU relu1, relu2 has no weights", "100 % of the multiply-accumulates run on arrays"),
        "Read it with 1 warning .",
        "< 0.1 % 0 % conv2",
        "conv2 1.25 0 % 3.28 54.3 % 2.3 % 8 10 fc1 1.25 0 % 3.28 54.3 % < 0.1 % 8 none do fc2 1.25 0 % up to 3.28",
        "Column sums of conv2, the layer whose converters clip most",
        "On the test set 2.3 % of its conversions are clipped",
        *record["warnings"],
        *record["assumptions"],
        "g_max_s 1.000 × 10⁻⁶",
        *(source["source"] for source in record["sources"]),
        *record["versions"].values(),
        *("3f9a1c07", "1 min 41 s", "2026-11-21 11:40 UTC", "compress.prune.conv2.column"[9:]),
    ]
    assert [text for text in told if text not in page_.text] == []


def test_the_page_loads_nothing_and_needs_no_script(written: Any) -> None:
    text = (written[2] / "report.html").read_text("utf-8")
    page_ = Page(text)
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in page_.tags}
    targets = [value for _, attrs in page_.tags for key, value in attrs.items() if key.endswith(("href", "src"))]
    assert targets
    assert all(str(target).startswith("#") for target in targets)
    assert all(inside.startswith("#") for inside in re.findall(r"url\(([^)]*)\)", text))
    assert "http" not in text
    assert "@import" not in text


def test_links_find_their_target_and_ids_are_unique(written: Any) -> None:
    page_ = Page((written[2] / "report.html").read_text("utf-8"))
    ids = [attrs["id"] for _, attrs in page_.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = {str(attrs["href"])[1:] for _, attrs in page_.tags if "href" in attrs}
    assert targets <= set(ids)


def test_the_page_is_accessible(written: Any) -> None:
    page_ = Page((written[2] / "report.html").read_text("utf-8"))
    assert ("html", {"lang": "en"}) in page_.tags
    assert all(attrs.get("scope") in ("row", "col") for tag, attrs in page_.tags if tag == "th")
    pictures = [attrs for tag, attrs in page_.tags if tag == "svg"]
    assert len(pictures) == 12  # six, each for the page and for the phone
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in pictures)
    assert sum(tag == "figure" for tag, _ in page_.tags) == sum(tag == "figcaption" for tag, _ in page_.tags) == 6
    assert sum(tag == "table" for tag, _ in page_.tags) == sum(tag == "caption" for tag, _ in page_.tags)


def test_names_are_text_and_never_markup(tmp_path: Path, made_up: Any) -> None:
    evil = "<script>alert(1)</script>\"'&$x^2$"
    record, tables = made_up()
    record["name"] = record["command"] = record["created"] = evil
    for layer in record["layers"]:
        layer["layer"] = layer["layer"] + evil
    for name in ("cost_baseline", "cost_placed", "tiles", "adc_histogram"):
        tables[name] = tables[name].assign(layer=tables[name]["layer"] + evil)
    record["config"]["network"]["name"] = record["config"][evil] = record["config"]["data"][evil] = evil
    record["warnings"] = record["assumptions"] = [evil]
    record["sources"] = [{"what": evil, "value": evil, "source": evil}]
    record["digital"] = [{"module": evil, "type": evil, "reason": evil}]
    record["versions"][evil] = evil
    page_ = write_page(record, tables, tmp_path)
    assert "script" not in {tag for tag, _ in page_.tags}
    assert page_.text.count(evil) >= 15
    summary = (tmp_path / "summary.md").read_text("utf-8")
    marked = [line for line in summary.splitlines() if not line.startswith("    ")]
    assert not [line for line in marked if re.search(r"(?<!\\)<script", line)]


def test_what_the_run_was_not_is_said(tmp_path: Path, made_up: Any) -> None:
    record, tables = made_up(seeds=1, compressed=False)
    record["config"]["compress"] = {}
    record["warnings"], record["assumptions"], record["sources"], record["digital"] = [], [], [], []
    record["layers"] = [layer | {"adc_clipped": None, "input_phases": None} for layer in record["layers"]]
    record["power_mw"]["baseline"] = record["reduction"]["power"] = record["frame_rate_hz"] = None
    tables["cost_baseline"] = tables["cost_baseline"].assign(power_mw=nan)
    page_ = write_page(record, tables, tmp_path)
    for text in (
        "It is not pruned.",
        "on crossbars (1 device seed)",
        "not compressed in this run",
        "Warnings None.",
        "No assumption was stated.",
        "power –",
    ):
        assert text in page_.text


def test_a_run_without_tables_still_has_a_page(tmp_path: Path, made_up: Any) -> None:
    record, _ = made_up(compressed=False)
    none = {"crossbar_mean": None, "crossbar_std": None, "crossbar_low": None, "crossbar_high": None}
    record["accuracy"] |= none | {"crossbar_seeds": [], "quantised": None}
    page_ = write_page(record, {}, tmp_path)
    assert "it was not run on crossbars" in page_.text
    assert "Nothing was placed on arrays." in page_.text
    assert not (tmp_path / "tables").exists()


def test_one_device_has_no_interval(made_up: Any) -> None:
    record, _ = made_up(seeds=1)
    mean = record["accuracy"]["crossbar_mean"]
    record["accuracy"] |= {"crossbar_std": 0.0, "crossbar_low": mean, "crossbar_high": mean}
    assert f"Accuracy {100 * mean:.1f} % on crossbars (1 device seed), " in plain(page.answer(record))
    assert "interval" not in page.captions(record, {})["accuracy"]


def test_growth_is_written_with_a_plus(made_up: Any) -> None:
    record, _ = made_up()
    record["reduction"]["area"] = -0.123
    assert "area +12.3 %" in plain(page.answer(record))


def test_warnings_name_broken_promises_first(made_up: Any) -> None:
    record, _ = made_up()
    record["levels_violations"], record["constraint_violations"] = 3, 1
    assert [plain(text) for text in page.warnings(record)] == [
        "3 weights off the device’s levels: do not use this result.",
        "1 pruning constraint broken: do not use this result.",
        *made_up()[0]["warnings"],
    ]


def test_the_title_of_the_configuration_heads_the_page(tmp_path: Path, made_up: Any) -> None:
    record, tables = made_up()
    record["config"]["report"] = {"title": "My chip", "figures": ["svg"]}
    assert write_page(record, tables, tmp_path).headings[0] == "My chip"
    assert (tmp_path / "summary.md").read_text("utf-8").startswith("# My chip\n")


def test_every_kind_of_pruning_has_its_words():
    prune = {
        "conv1": {"kernel": 0.5, "pattern": 4, "pattern_entries": 3},
        "conv2": {"array_row": 7, "array_column": 0.25, "balanced": 16},
        "fc1": {"n_m": "2:4", "n_m_axis": "rows", "polarised": 8, "polarised_order": "C", "polarised_refresh": 2},
    }
    budget = {"fc*": {"kind": "filter", "keep": 30}, "*": {"kind": "unstructured", "keep": 0.1}}
    record = {
        "name": "x",
        "config": {"compress": {"prune": prune, "budget": budget, "quantise": False}},
        "weights": {"kept": 1, "total": 2},
    }
    assert (
        "keeping 50 % of the kernels and kernels of 4 patterns in conv1; 7 array rows and 25 % of the array "
        "columns and at most 16 live cells in a column of an array in conv2; at most 2 of every 4 neighbouring weights "
        "and one sign in every fragment of 8 weights in fc1; 30 filters over all of fc*; 10 % of the weights over "
        "all of the layers)"
    ) in plain(page.asked(record))


def test_gates_levels_by_layer_and_hardware_in_the_loop_are_told():
    section = {
        "method": "gates",
        "gates": {"conv2": {"weights": 0.1, "gates": 8}},
        "levels": {"fc*": {"kind": "binary"}},
        "quantise": True,
        "train_on": ["mismatch", "adc"],
    }
    record = {"name": "x", "config": {"compress": section}, "weights": {"kept": 1, "total": 2}}
    said = plain(page.asked(record))
    assert "(keeping 10 % of the weights and 8 gates in conv2)" in said
    assert "moves the weights that stay to the conductance levels (binary in fc*)." in said
    assert "Retraining sees of the arrays: mismatch, adc." in said
