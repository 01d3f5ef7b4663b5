"""`ohmweave estimate` as a user meets it."""

import json

import pandas as pd
import pytest

from experiments.cli import command
from hwmodels import Matrix, dense_tiles, estimate


@pytest.fixture
def tiles(tmp_path):
    frame = dense_tiles([Matrix(name="fc", rows=200, cols=150, reads_per_inference=3)], g_mean_s=5e-6)
    frame.to_csv(tmp_path / "tiles.csv", index=False)
    return tmp_path / "tiles.csv"


def test_a_tile_table_is_priced(tiles, capsys, tmp_path):
    out = tmp_path / "out"
    assert command(["estimate", str(tiles), "--hardware.library", "puma-32nm", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    expected = estimate(pd.read_csv(tiles), "puma-32nm")
    for words in (
        f"{expected.totals['energy_nj']:.5g}",
        "adc 8 bit energy",
        "Taken for granted:",
        "programming_time_us",
    ):
        assert words in said
    record = json.loads((out / "estimate.json").read_text())
    assert record["totals"] == pytest.approx(expected.totals)
    assert {row["component"] for row in record["sources"]} >= {"cell", "adc 8 bit"}
    parts = pd.read_csv(out / "components.csv")
    assert parts["energy_nj"].sum() == pytest.approx(expected.totals["energy_nj"])
    assert len(pd.read_csv(out / "layers.csv")) == 1
    assert "swing" in pd.read_csv(out / "uncertainty.csv").columns


def test_flags_reach_the_model(tiles, capsys):
    flags = ["--hardware.adc_model", "isaac", "--hardware.adc_bits", "5", "--hardware.node_nm", "16", "-q"]
    assert command(["estimate", str(tiles), *flags, "--frame_rate_hz", "1000"]) == 0
    said = capsys.readouterr().out
    assert "Taken for granted" not in said
    assert command(["estimate", str(tiles), "-q"]) == 0
    plain = capsys.readouterr().out
    assert plain != said
    for line in (said, plain):
        assert "What moves energy_nj most" in line


def test_execution_and_copies_reach_the_model(tiles, capsys):
    flags = ["--hardware.execution", "layer-by-layer", "--hardware.replicas", "fc", "2", "-q"]
    assert command(["estimate", str(tiles), *flags]) == 0
    said = capsys.readouterr().out
    totals = estimate(pd.read_csv(tiles), "isaac-32nm", execution="layer-by-layer", replicas={"fc": 2}).totals
    for key in ("frame_rate_hz", "power_mw", "area_mm2", "power_peak_mw"):
        assert f"{totals[key]:.5g}" in said, key
    # the definition stands beside the figure, with the rate that it is stated at
    assert f"power_mw = energy per inference × frame_rate_hz ({totals['frame_rate_hz']:.5g} Hz) + leakage." in said
    assert "power_peak_mw: every unit busy at once" in said


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "Which placement?"),
        (["nowhere"], "neither a run folder, nor a placement folder, nor a tile table"),
        (["TILES", "--hardware.library", "isac-32nm"], "Did you mean 'isaac-32nm'?"),
        (["TILES", "--hardware.adc_bits", "many"], "--hardware.adc_bits is a whole number"),
        (["TILES", "--hardware.adc_bits", "3"], "has no 3-bit converter"),
        (["TILES", "--hardware.adc_model", "walden"], "andrulis"),
        (["TILES", "--hardware.librery", "isaac-32nm"], "--hardware.library"),
        (["TILES", "--hardware.node_nm", "3"], "from 7 to 180 nm"),
        (["TILES", "--frame_rate_hz", "1e12"], "beyond the placement's full rate"),
        (["TILES", "--hardware.replicas", "fx", "2"], "there is no layer 'fx'"),
        (["TILES", "--hardware.execution", "parallel"], "layer-by-layer"),
        (["TILES", "--total", "energy"], "Did you mean 'energy_nj'?"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(args, message, tiles, capsys):
    assert command(["estimate", *(str(tiles) if arg == "TILES" else arg for arg in args)]) == 2
    captured = capsys.readouterr()
    said = " ".join((captured.err + captured.out).split())
    assert message in said.replace("│ ", "")
    assert "Traceback" not in said


def test_a_table_that_lacks_a_column_is_named(tiles, capsys):
    pd.read_csv(tiles).drop(columns="rows").to_csv(tiles, index=False)
    assert command(["estimate", str(tiles)]) == 2
    assert "lacks 'rows'" in capsys.readouterr().err
    tiles.write_text("")
    assert command(["estimate", str(tiles)]) == 2
    assert "cannot be read as a tile table" in capsys.readouterr().err


def test_help_names_the_command(capsys):
    assert command(["--help"]) == 0
    assert "estimate PLACEMENT" in capsys.readouterr().out
    assert command(["estimate", "--help"]) == 0
    assert "--hardware.adc_model" in capsys.readouterr().out
