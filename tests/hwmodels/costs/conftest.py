"""A tile of round numbers, and a library of round numbers, so that each term of a cost can be done by hand."""

import pandas as pd
import pytest

from hwmodels import Library, spec_files

PIECE = {
    "array": 0,
    "layer": "conv1",
    "tile": 0,
    "sign": 1,
    "slice": 0,
    "row0": 0,
    "col0": 0,
    "rows": 4,
    "cols": 6,
    "array_rows": 8,
    "array_cols": 8,
    "live_cells": 20,
    "max_live_per_col": 4,
    "cell_bits": 4,
    "reads_per_inference": 10,
    "input_cycles": 8,
    "dac_bits": 1,
    "adc_bits": 8,
    "cols_per_adc": 4,
    "g_sum_s": 1e-4,
    "read_energy_j": 2e-12,
}


@pytest.fixture(scope="session")
def table():
    """A tile table: one row per dict of changes against PIECE."""

    def made(*changes):
        return pd.DataFrame([PIECE | change for change in changes])

    return made


@pytest.fixture(scope="session")
def quantity():
    """A number with its unit, as a library file states it."""
    return _quantity


def _quantity(value, unit):
    return {"value": value, "unit": unit, "source": "a test"}


@pytest.fixture(scope="session")
def small_library():
    """A library of round numbers, every unit for one row, column or array; with other parts where given."""

    def made(**changes):
        return spec_files.validated(Library, SMALL | changes, "small library")

    return made


def _part(area, power, energy, serves=None):
    numbers = {"area": _quantity(area, "um2"), "power": _quantity(power, "uW"), "energy": _quantity(energy, "pJ")}
    return numbers | ({"serves": _quantity(*serves)} if serves else {})


SMALL = {
    "name": "small",
    "description": "round numbers",
    "reading": {"voltage": _quantity(0.5, "V"), "time": _quantity(100.0, "ns")},
    "cell": {"area": _quantity(0.01, "um2")},
    "dac": {"rate": _quantity(10.0, "MS/s"), "bits": {1: _part(1.0, 3.0, 2.0), 2: _part(2.0, 6.0, 4.0)}},
    "adc": {
        "rate": _quantity(1.0, "GS/s"),
        "bits": {8: {"area": _quantity(1000.0, "um2"), "power": _quantity(2.0, "mW")}},
    },
    "sample_hold": _part(0.1, 0.2, 0.3),
    "shift_add": _part(10.0, 20.0, 0.5, (4, "columns")),
    "output_register": _part(5.0, 6.0, 0.25),
    "adder": _part(7.0, 8.0, 0.125),
    "accumulator": _part(3.0, 4.0, 0.0625),
    "input_register": _part(11.0, 12.0, 0.75),
    "buffer": _part(13.0, 14.0, 0.05),
    "bus": _part(15.0, 16.0, 0.025),
    "router": _part(17.0, 18.0, 0.01),
    "activation": _part(19.0, 20.0, 1.5),
    "pooling": _part(21.0, 22.0, 2.5),
}


@pytest.fixture(scope="session")
def component():
    """Count, area, energy and peak power of one component of an estimate, of one layer where given."""

    def made(result, name, layer=None):
        rows = result.table[result.table["component"] == name]
        rows = rows if layer is None else rows[rows["layer"] == layer]
        return rows[["count", "area_mm2", "energy_nj", "power_peak_mw"]].sum().tolist()

    return made
