"""Fixtures of the tests of experiments: one thread, a small run, and tables of sweeps for the tests of pages."""

from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from experiments.sweeping.columns import COUNTS, RESULTS, TEXTS

RECORDED = Path(__file__).parents[2] / "docs" / "results" / "sweep-digits-200.csv"


def recorded():
    """The 200 points of docs/results."""
    table = pd.read_csv(RECORDED, dtype={"message": object})
    table["message"] = table["message"].fillna("")
    return table


def table(keys, rows):
    """A table from columns of keys and rows of results; what a row lacks is not known."""
    made = {"point": np.arange(len(rows))} | keys
    for name in RESULTS:
        values = [row.get(name) for row in rows]
        if name in TEXTS:
            made[name] = [value or ("done" if name == "status" else "") for value in values]
        elif name in COUNTS:
            made[name] = pd.Series(values, dtype="Int64")
        else:
            made[name] = pd.Series([np.nan if value is None else value for value in values], dtype="float64")
    return pd.DataFrame(made)


def costs(count, accuracy=True):
    """A grid of about `count` points; with accuracies or prices alone."""
    side = round(count ** (1 / 3))
    grid = np.array(list(product(range(side), repeat=3)))
    rows = [
        {"area_mm2": 1 + a + 0.1 * b, "power_mw": 2 + b + 0.01 * c, "energy_nj": 5 + c, "arrays": int(1 + a)}
        | ({"accuracy_crossbar_mean": 0.9 + 0.001 * a - 0.0001 * c, "chips": 1} if accuracy else {})
        for a, b, c in grid.tolist()
    ]
    return table({"crossbar.rows": 16 * (grid[:, 0] + 1), "device.levels": grid[:, 1] + 2, "seed": grid[:, 2]}, rows)


@pytest.fixture(scope="session")
def sweep_tables():
    """Tables laid out like those of `experiments.load_results`: recorded, from rows, and grids of any size."""
    return SimpleNamespace(recorded=recorded, table=table, costs=costs)


@pytest.fixture
def one_thread():
    """Training repeats bit for bit at one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def small():
    """The text of small.toml, a configuration that runs within seconds."""
    return (Path(__file__).parent / "small.toml").read_text()


@pytest.fixture(scope="session")
def run_small():
    """Run a file as `ohmweave run small` would."""
    from experiments import config, pipeline
    from experiments.progress import SILENT

    def run(path, out, progress=SILENT):
        return pipeline.run(config.load(path), out, name="small", command="ohmweave run small", progress=progress)

    return run


@pytest.fixture(scope="session")
def small_network():
    """Make the network of small.toml, untrained."""
    from experiments import models

    return lambda: models.build("digits-conv", in_channels=1, classes=10, image_size=8)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, small, run_small):
    """A finished run of small.toml: its configuration, folder and record. Read only."""
    folder = tmp_path_factory.mktemp("run")
    path = folder / "small.toml"
    path.write_text(small)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        record = run_small(path, folder / "out")
    finally:
        torch.set_num_threads(before)
    return path, folder / "out", record
