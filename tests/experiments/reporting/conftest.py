"""A synthetic run whose numbers add up, and its report; and what every picture is drawn and looked at with."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import ceil, nan, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.reporting import drawing, report

ROWS, COLS = 128, 64
NETWORK = [("conv1", "Conv2d", 9, 16, 64), ("conv2", "Conv2d", 144, 32, 16), ("fc1", "Linear", 512, 64, 1)]
NETWORK += [("fc2", "Linear", 64, 10, 1)]
AREA = {"ADC": 1.2e-3, "driver": 1.7e-4, "cells": 2.5e-5, "sample-and-hold": 4e-5, "buffer": 6.1e-4}
ENERGY = {"ADC": 16.0, "driver": 0.5, "cells": 1.25, "sample-and-hold": 0.01, "buffer": 2.0}
RATE = 1000.0


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


def _made_up(seeds: int = 5, compressed: bool = True) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
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


@pytest.fixture(scope="session")
def made_up() -> Callable[..., tuple[dict[str, Any], dict[str, pd.DataFrame]]]:
    """Record and tables of a run on digits, anew at every call."""
    return _made_up


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, pd.DataFrame], Path]:
    """Record, tables and folder of a written report. Read only."""
    record, tables = _made_up()
    out = tmp_path_factory.mktemp("run")
    report.write(record, tables, out)
    return record, tables, out


@pytest.fixture(scope="session")
def drawn() -> Callable[..., Figure]:
    """Draw a picture, `drawing.WIDE` or as wide as told."""

    def made(draw: drawing.Draw, width: float = drawing.WIDE) -> Figure:
        figure = Figure(figsize=(width, 3), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        return figure

    return made


@pytest.fixture(params=[drawing.WIDE, drawing.NARROW], ids=["wide", "narrow"])
def stays_small(request: pytest.FixtureRequest) -> Callable[[drawing.Draw], None]:
    """Assert that a picture draws at its width, in a page and on a phone, and stays small."""

    def check(draw: drawing.Draw) -> None:
        svg = drawing.render(draw, "svg", request.param)
        assert b"<text" in svg
        view = re.search(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
        assert view is not None
        assert float(view[1]) == pytest.approx(72 * request.param, abs=0.01)
        assert 40 < float(view[2]) < 1500
        assert len(svg) < 300_000

    return check
