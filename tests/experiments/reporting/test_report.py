"""The report: schema, files, tables, re-reading; on a synthetic run whose numbers add up."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest

from experiments.reporting import page, report
from experiments.reporting.wording import plain
from hwmodels.errors import UserError


def test_the_schema_is_a_schema_and_the_record_keeps_it(made_up: Any) -> None:
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
def test_the_schema_refuses(path: tuple[Any, ...], value: object, made_up: Any) -> None:
    record, _ = made_up()
    place: Any = record
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record, report.schema())


def test_the_schema_refuses_a_record_without_any_of_its_keys(made_up: Any) -> None:
    record, _ = made_up()
    for key in record:
        with pytest.raises(jsonschema.ValidationError, match=key):
            jsonschema.validate({k: v for k, v in record.items() if k != key}, report.schema())


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


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path: Path, made_up: Any) -> None:
    record, tables = made_up()
    with pytest.raises(UserError, match=r"^Unknown picture format 'svgz'\. Did you mean 'svg'\?$"):
        report.write(record, tables, tmp_path / "out", formats=("png", "svgz"))
    assert not (tmp_path / "out").exists()


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


def test_a_key_missing_inside_the_result_is_named(tmp_path: Path, made_up: Any) -> None:
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
