"""The report: schema, page, summary, tables, re-reading; on a synthetic run whose numbers add up."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser
from math import ceil, nan, sqrt
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest

from experiments.reporting import page, report
from experiments.reporting.wording import plain
from hwmodels.errors import UserError

ROWS, COLS = 128, 64
NETWORK = [("conv1", "Conv2d", 9, 16, 64), ("conv2", "Conv2d", 144, 32, 16), ("fc1", "Linear", 512, 64, 1)]
NETWORK += [("fc2", "Linear", 64, 10, 1)]
AREA = {"ADC": 1.2e-3, "driver": 1.7e-4, "cells": 2.5e-5, "sample-and-hold": 4e-5, "buffer": 6.1e-4}
ENERGY = {"ADC": 16.0, "driver": 0.5, "cells": 1.25, "sample-and-hold": 0.01, "buffer": 2.0}
RATE = 1000.0

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


def cut(layers: list[tuple[str, str, int, int, int]], slices: int, array_rows: int, array_cols: int) -> pd.DataFrame:
    """A plain placement: every tile piece in an array of its own."""
    pieces = []
    for name, _, rows, cols, _ in layers:
        tile = 0
        for row in range(0, rows, array_rows):
            for col in range(0, cols, array_cols):
                size = {"rows": min(array_rows, rows - row), "cols": min(array_cols, cols - col)}
                for sign in (1, -1):
                    for part in range(slices):
                        where = {"array": len(pieces), "layer": name, "tile": tile, "sign": sign, "slice": part}
                        whole = {"array_rows": array_rows, "array_cols": array_cols}
                        live = {"live_cells": size["rows"] * size["cols"] // 2}
                        pieces.append(where | {"row0": 0, "col0": 0} | size | whole | live)
                tile += 1
    return pd.DataFrame(pieces)


def price(tiles: pd.DataFrame) -> pd.DataFrame:
    """A cost table with a row per layer and component."""
    rows = []
    for layer, mine in tiles.groupby("layer", sort=False):
        arrays = mine["array"].nunique()
        for component, area in AREA.items():
            energy = ENERGY[component] * arrays
            power = {"energy_nj": energy, "power_mw": energy * RATE * 1e-6, "power_peak_mw": 3 * energy * RATE * 1e-6}
            rows.append({"layer": layer, "component": component, "count": arrays, "area_mm2": area * arrays} | power)
    return pd.DataFrame(rows)


def shrunk(size: int) -> int:
    return max(1, ceil(size / 3))


def made_up(seeds: int = 5, compressed: bool = True) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """Record and tables of a run on digits."""
    kept = [(n, k, shrunk(r) if compressed else r, c, p) for n, k, r, c, p in NETWORK]
    before, after = cut(NETWORK, 2, ROWS, COLS), cut(kept, 1 if compressed else 2, ROWS, COLS)
    cost_baseline, cost_placed = price(before), price(after)
    sums = {key: (cost_baseline[key].sum(), cost_placed[key].sum()) for key in cost_baseline.columns[3:]}
    arrays = (before["array"].nunique(), after["array"].nunique())
    pairs = {key: {"baseline": float(b), "placed": float(p)} for key, (b, p) in sums.items()}
    layers = [
        {
            "layer": name,
            "kind": kind,
            "rows": rows,
            "cols": cols,
            "groups": 1,
            "weights": rows * cols,
            "kept": live * cols,
            "rows_kept": live,
            "cols_kept": cols,
            "arrays_baseline": int(before.loc[before["layer"] == name, "array"].nunique()),
            "arrays_placed": int(after.loc[after["layer"] == name, "array"].nunique()),
            "macs": rows * cols * positions,
            "input_phases": 8,
            "adc_clipped": 0.0004 if name != "conv2" else 0.023,
            "input_clipped": 0.0,
            "levels_used": 31,
            "input_range": 1.25,
            "adc_range_s": 3.28e-6,
            "adc_ranges": 1 if name != "fc2" else 4,
            "adc_codes_used": 0.543,
            "adc_bits": 8,
            "adc_bits_lossless": None if name == "fc1" else 10,
        }
        for (name, kind, rows, cols, positions), (_, _, live, _, _) in zip(NETWORK, kept, strict=True)
    ]
    total, live = (sum(layer[key] for layer in layers) for key in ("weights", "kept"))
    measured = (0.9721 + 0.004 * np.sin(7.3 * np.arange(seeds))).round(4).tolist()
    mean, std = float(np.mean(measured)), float(np.std(measured, ddof=1)) if seeds > 1 else None
    half = None if std is None else 2.776 * std / sqrt(seeds)
    record = {
        "schema": "ohmweave.result/1",
        "name": "digits",
        "command": "ohmweave run digits --crossbar.rows 128 --device.preset yuan2019",
        "created": "2026-11-21T11:40:02+00:00",
        "config": {
            "seed": 0,
            "network": {"name": "digits-conv"},
            "data": {"name": "digits"},
            "train": {"epochs": 12, "lr": 0.001},
            "compress": {"quantise": True, "prune": {"conv2": {"column": 0.33}, "*": {"column": 0.33, "filter": 8}}},
            "crossbar": {"rows": ROWS, "cols": COLS, "slices": 1, "input_bits": 8, "adc_bits": 8},
            "device": {"preset": "yuan2019", "levels": 16},
            "hardware": {"library": "isaac-32nm", "baseline_bits": 9},
            "simulate": {"seeds": seeds},
        },
        "config_hash": "3f9a1c07",
        "seed": 0,
        "versions": {"ohmweave": "0.1.0", "python": "3.11.2", "torch": "2.13.0", "numpy": "2.4.6"},
        "seconds": 101.2,
        "stage_seconds": {"train": 12.9, "compress": 49.1, "place": 0.31, "simulate": 38.4, "estimate": 0.06},
        "accuracy": {
            "dense": 0.9806,
            "pruned": 0.975 if compressed else None,
            "quantised": 0.9778,
            "crossbar_mean": mean,
            "crossbar_std": std,
            "crossbar_low": None if half is None else mean - half,
            "crossbar_high": None if half is None else mean + half,
            "crossbar_seeds": measured,
            "samples": 360,
        },
        "weights": {"total": total, "kept": live},
        "compression": total / live,
        "arrays": dict(zip(("baseline", "placed"), arrays, strict=True)),
        **pairs,
        "latency_us": {"baseline": 137.2, "placed": 61.5},
        "frame_rate_hz": RATE,
        "reduction": {
            "area": 1 - pairs["area_mm2"]["placed"] / pairs["area_mm2"]["baseline"],
            "power": 1 - pairs["power_mw"]["placed"] / pairs["power_mw"]["baseline"],
            "energy": 1 - pairs["energy_nj"]["placed"] / pairs["energy_nj"]["baseline"],
            "arrays": 1 - arrays[1] / arrays[0],
        },
        "levels_violations": 0,
        "constraint_violations": 0,
        "layers": layers,
        "digital": [
            {"module": "relu1", "type": "ReLU", "reason": "has no weights"},
            {"module": "relu2", "type": "ReLU", "reason": "has no weights"},
            {"module": "pool", "type": "MaxPool2d", "reason": "has no weights"},
        ],
        "macs_on_arrays": 1.0,
        "warnings": ["The accuracy was measured on 360 samples only."],
        "assumptions": [
            "Activations are counted as 8-bit words in the buffers.",
            "Wires between arrays carry no energy.",
        ],
        "sources": [
            {"what": "g_max_s", "value": 1e-06, "source": "Yuan et al., ISLPED 2019"},
            {"what": "ADC area", "value": "0.0012 mm²", "source": "Shafiee et al., ISCA 2016, Table 6"},
        ],
    }
    tables = {
        "cost_baseline": cost_baseline,
        "cost_placed": cost_placed,
        "layers": pd.DataFrame(layers),
        "history": descent() if compressed else descent().iloc[:0],
        "training": pd.DataFrame(
            {
                "epoch": range(1, 13),
                "loss": np.exp(-np.arange(12) / 3),
                "accuracy": 0.98 - 0.5 * np.exp(-np.arange(12) / 2),
            }
        ),
        "tiles": after,
        "seeds": pd.DataFrame({"seed": range(seeds), "accuracy": measured}),
        "adc_histogram": column_sums(),
    }
    return record, tables


def column_sums() -> pd.DataFrame:
    """Column sums of every layer in codes; some beyond the range."""
    codes = np.arange(0, 300)
    rows = {"low": 0, "top": 255, "code": codes, "width": 1, "samples": (5000 * np.exp(-codes / 40)).astype(int)}
    return pd.concat([pd.DataFrame({"layer": name} | rows) for name, *_ in NETWORK], ignore_index=True)


def descent() -> pd.DataFrame:
    """The history of a compression: pruning, quantisation, masked retraining."""
    rows = []
    for stage, epochs in (("prune", 12), ("quantise", 10), ("retrain", 6)):
        for epoch in range(epochs):
            fall = float(np.exp(-epoch / 3))
            rows.append(
                {
                    "stage": stage,
                    "epoch": epoch + 1,
                    "loss": 0.1 + 0.3 * fall,
                    "accuracy": 0.978 - 0.05 * fall,
                    "rho": 1e-3 * 1.3**epoch if stage != "retrain" else nan,
                    "primal_prune": 0.8 * fall if stage == "prune" else nan,
                    "dual_prune": 0.3 * fall**1.4 if stage == "prune" else nan,
                    "primal_quantise": 0.2 * fall if stage == "quantise" else nan,
                    "dual_quantise": 0.05 * fall**1.5 if stage == "quantise" else nan,
                    "kept": 0.34 if stage != "prune" else 1 - 0.05 * epoch,
                }
            )
    return pd.DataFrame(rows)


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


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, pd.DataFrame], Path]:
    record, tables = made_up()
    out = tmp_path_factory.mktemp("run")
    report.write(record, tables, out)
    return record, tables, out


def write_page(record: dict[str, Any], tables: dict[str, pd.DataFrame], out: Path) -> Page:
    """The page of a run, without pictures beside it."""
    jsonschema.validate(record, report.schema())
    report.write(record, tables, out, formats=())
    return Page((out / "report.html").read_text("utf-8"))


# --- schema --------------------------------------------------------------------------------------------------------


def test_the_schema_is_a_schema_and_the_record_keeps_it() -> None:
    schema = report.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"]
    assert schema["properties"]["schema"]["const"] == report.SCHEMA
    for record in (made_up()[0], made_up(seeds=1, compressed=False)[0]):
        jsonschema.validate(json.loads(json.dumps(record, allow_nan=False)), schema)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("surprise",), 1),
        (("schema",), "ohmweave.result/2"),
        (("accuracy", "dense"), 97.2),
        (("accuracy", "crossbar_mean"), -0.1),
        (("accuracy", "crossbar_seeds"), [0.9, 1.2]),
        (("accuracy", "guess"), 0.1),
        (("macs_on_arrays",), 1.01),
        (("reduction", "area"), 1.5),
        (("area_mm2", "placed"), -1.0),
        (("weights", "kept"), 0.5),
        (("compression",), 0.9),
        (("layers", 0, "adc_clipped"), 2.0),
    ],
)
def test_the_schema_refuses(path: tuple[Any, ...], value: object) -> None:
    record, _ = made_up()
    place: Any = record
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record, report.schema())


def test_the_schema_refuses_a_record_without_any_of_its_keys() -> None:
    record, _ = made_up()
    for key in record:
        with pytest.raises(jsonschema.ValidationError, match=key):
            jsonschema.validate({k: v for k, v in record.items() if k != key}, report.schema())


# --- page ----------------------------------------------------------------------------------------------------------


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


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
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


def test_what_the_run_was_not_is_said(tmp_path: Path) -> None:
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


def test_a_run_without_tables_still_has_a_page(tmp_path: Path) -> None:
    record, _ = made_up(compressed=False)
    none = {"crossbar_mean": None, "crossbar_std": None, "crossbar_low": None, "crossbar_high": None}
    record["accuracy"] |= none | {"crossbar_seeds": [], "quantised": None}
    page_ = write_page(record, {}, tmp_path)
    assert "it was not run on crossbars" in page_.text
    assert "Nothing was placed on arrays." in page_.text
    assert not (tmp_path / "tables").exists()


def test_one_device_has_no_interval() -> None:
    record, _ = made_up(seeds=1)
    mean = record["accuracy"]["crossbar_mean"]
    record["accuracy"] |= {"crossbar_std": 0.0, "crossbar_low": mean, "crossbar_high": mean}
    assert f"Accuracy {100 * mean:.1f} % on crossbars (1 device seed), " in plain(page.answer(record))
    assert "interval" not in page.captions(record, {})["accuracy"]


def test_growth_is_written_with_a_plus() -> None:
    record, _ = made_up()
    record["reduction"]["area"] = -0.123
    assert "area +12.3 %" in plain(page.answer(record))


def test_warnings_name_broken_promises_first() -> None:
    record, _ = made_up()
    record["levels_violations"], record["constraint_violations"] = 3, 1
    assert [plain(text) for text in page.warnings(record)] == [
        "3 weights off the device’s levels: do not use this result.",
        "1 pruning constraint broken: do not use this result.",
        *made_up()[0]["warnings"],
    ]


def test_the_title_of_the_configuration_heads_the_page(tmp_path: Path) -> None:
    record, tables = made_up()
    record["config"]["report"] = {"title": "My chip", "figures": ["svg"]}
    assert write_page(record, tables, tmp_path).headings[0] == "My chip"
    assert (tmp_path / "summary.md").read_text("utf-8").startswith("# My chip\n")


# --- files ---------------------------------------------------------------------------------------------------------


def test_the_folder_holds_what_was_promised_and_nothing_else(written: Any) -> None:
    _, tables, out = written
    pictures = ("accuracy", "cost_by_component", "cost_by_layer", "convergence", "placement", "adc_range")
    expected = {"report.html", "summary.md"}
    expected |= {f"tables/{name}.{kind}" for name in tables for kind in ("csv", "parquet")}
    expected |= {f"figures/{name}.{kind}" for name in pictures for kind in ("svg", "png")}
    assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == expected
    assert all(path.stat().st_size for path in out.rglob("*"))


def test_the_same_run_gives_the_same_bytes(written: Any, tmp_path: Path) -> None:
    record, tables, out = written
    report.write(copy.deepcopy(record), {name: table.copy() for name, table in tables.items()}, tmp_path)
    for path in out.rglob("*"):
        if path.is_file():
            assert (tmp_path / path.relative_to(out)).read_bytes() == path.read_bytes(), path.name


def test_tables_come_back_as_they_were(written: Any) -> None:
    _, tables, out = written
    back = report.load_tables(out)
    assert back.keys() == tables.keys()
    for name, table in tables.items():
        pd.testing.assert_frame_equal(back[name], table.reset_index(drop=True))
        csv = pd.read_csv(out / "tables" / f"{name}.csv")
        pd.testing.assert_frame_equal(csv, table.reset_index(drop=True), rtol=1e-15, atol=0.0)


def test_a_report_can_be_made_again_from_its_folder(written: Any, tmp_path: Path) -> None:
    record, _, out = written
    (out / "result.json").write_text(json.dumps(record), "utf-8")
    try:
        report.write(report.load(out), report.load_tables(out), tmp_path)
    finally:
        (out / "result.json").unlink()
    assert (tmp_path / "report.html").read_bytes() == (out / "report.html").read_bytes()


def test_the_summary_is_the_answer_with_tables(written: Any) -> None:
    record, _, out = written
    text = (out / "summary.md").read_text("utf-8")
    assert f"**{plain(page.answer(record))}**" in text
    assert "\u00a0" not in text
    assert "\u202f" not in text
    assert f"| latency per inference | 137 µs | 61.5 µs | {'−55.2 %'} |" in text
    tables = re.findall(r"(?:^\|.*\|$\n)+", text, flags=re.MULTILINE)
    assert len(tables) == 5
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    record, tables = made_up()
    with pytest.raises(UserError, match=r"^Unknown picture format 'svgz'\. Did you mean 'svg'\?$"):
        report.write(record, tables, tmp_path / "out", formats=("png", "svgz"))
    assert not (tmp_path / "out").exists()


# --- reading -------------------------------------------------------------------------------------------------------


def test_a_folder_without_a_result_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"result\.json.*`ohmweave run`"):
        report.load(tmp_path)
    with pytest.raises(UserError, match=r"^No tables in .*tables\. Finish the run"):
        report.load_tables(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is damaged"),
        (b'{"schema": "ohmweave.res', "is damaged"),
        (b"\xff\xfe", "is damaged"),
        (b"[1, 2]", r"is not the result of a run: its schema is None"),
        (b'{"schema": "ohmweave.run/1"}', r"its schema is 'ohmweave\.run/1' instead of 'ohmweave\.result/1'"),
        (b'{"schema": "ohmweave.result/2"}', r"newer Ohmweave \(ohmweave\.result/2; this one reads"),
        (b'{"schema": "ohmweave.result/1"}', r"is damaged: accuracy, area_mm2,.* missing"),
    ],
)
def test_a_result_that_cannot_be_read_is_a_clear_error(text: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_bytes(text)
    with pytest.raises(UserError, match=message):
        report.load(tmp_path)


def test_a_key_missing_inside_the_result_is_named(tmp_path: Path) -> None:
    record, _ = made_up()
    del record["layers"][1]["macs"], record["accuracy"]["samples"], record["area_mm2"]["placed"]
    (tmp_path / "result.json").write_text(json.dumps(record), "utf-8")
    with pytest.raises(UserError, match=r"damaged: accuracy\.samples, area_mm2\.placed, layers\[1\]\.macs missing"):
        report.load(tmp_path)


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "tiles.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(UserError, match=r"tiles\.parquet is damaged"):
        report.load_tables(tmp_path)
