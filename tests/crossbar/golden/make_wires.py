"""Write wires.json beside this file: currents of small arrays by ngspice, the truth that the tests compare with.

    python tests/crossbar/golden/make_wires.py        (needs ngspice; run where the project is installed)

Conductances, voltages and resistances have three digits, so that the file is short and exact.
"""

import json
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from crossbar import Wiring, run_netlist, write_netlist

CASES = [  # name, rows, cols, wires [Ω], fraction of open cells, inputs
    ("2x3", 2, 3, {"r_word": 1, "r_bit": 1}, 0, 2),
    ("1x1", 1, 1, {"r_word": 5, "r_bit": 0.1, "r_source": 50, "r_sink": 5}, 0, 1),
    ("3x2 ideal word lines", 3, 2, {"r_word": 0, "r_bit": 5}, 0, 2),
    ("2x5 ideal bit lines", 2, 5, {"r_word": 50, "r_bit": 0}, 0, 2),
    ("7x4 source and sink only", 7, 4, {"r_word": 0, "r_bit": 0, "r_source": 1000, "r_sink": 100}, 0.2, 2),
    ("5x8 small wires", 5, 8, {"r_word": 0.1, "r_bit": 0.1}, 0, 2),
    ("8x8", 8, 8, {"r_word": 1, "r_bit": 1, "r_source": 50, "r_sink": 10}, 0, 2),
    ("9x16 open cells", 9, 16, {"r_word": 5, "r_bit": 1}, 0.5, 2),
    ("17x6 ideal word lines behind drivers", 17, 6, {"r_word": 0, "r_bit": 5, "r_source": 50}, 0.1, 2),
    ("6x17 ideal bit lines before sinks", 6, 17, {"r_word": 5, "r_bit": 0, "r_sink": 50}, 0.1, 2),
    ("1x20", 1, 20, {"r_word": 50, "r_bit": 50}, 0, 1),
    ("20x1", 20, 1, {"r_word": 50, "r_bit": 50}, 0, 1),
    ("16x16 large wires", 16, 16, {"r_word": 50, "r_bit": 50, "r_source": 5}, 0, 1),
    ("32x32", 32, 32, {"r_word": 1, "r_bit": 5, "r_source": 100, "r_sink": 1}, 0.1, 1),
]


FLOATING = {"driven": 0.5, "undriven": "floating"}
WIRED = [  # the same with a wiring: its fields; `driven` becomes the fraction of word lines that are driven
    ("8x6 access transistors", 8, 6, {"r_word": 1, "r_bit": 5}, 0.2, 2, {"r_access_ohm": 5000.0}),
    ("6x9 driven at both ends", 6, 9, {"r_word": 50, "r_bit": 5, "r_source": 10}, 0, 2, {"r_far_source_ohm": 10.0}),
    (
        "7x5 two drivers, ideal word lines",
        7,
        5,
        {"r_word": 0, "r_bit": 5, "r_source": 30},
        0,
        2,
        {"r_far_source_ohm": 60.0},
    ),
    ("9x7 grounded", 9, 7, {"r_word": 5, "r_bit": 5, "r_sink": 50}, 0.1, 2, {"driven": 0.5, "undriven": "grounded"}),
    ("9x7 floating", 9, 7, {"r_word": 5, "r_bit": 5, "r_sink": 50}, 0.3, 2, FLOATING),
    (
        "5x8 floating, ideal word lines",
        5,
        8,
        {"r_word": 0, "r_bit": 1, "r_sink": 5},
        0.2,
        2,
        {"driven": 0.6, "undriven": "floating"},
    ),
    (
        "6x6 floating, everything ideal",
        6,
        6,
        {"r_word": 0, "r_bit": 0, "r_sink": 100},
        0,
        1,
        {"driven": 0.5, "undriven": "floating"},
    ),
    ("8x8 shut off", 8, 8, {"r_word": 1, "r_bit": 1}, 0, 2, {"driven": 0.5, "undriven": "off", "r_access_ohm": 2000.0}),
    (
        "12x10 all of it",
        12,
        10,
        {"r_word": 5, "r_bit": 0.1, "r_source": 100, "r_sink": 20},
        0.2,
        2,
        {"r_access_ohm": 1500.0, "r_far_source_ohm": 300.0, "driven": 0.7, "undriven": "floating"},
    ),
]
SHORTED = 0.02
"""Share of cells that are shorted [0.1 S] in the cases with a wiring."""


def short(x: np.ndarray) -> list:
    """The numbers with three digits."""
    return np.vectorize(lambda value: float(f"{value:.3g}"))(x).tolist()


def main() -> None:
    rng = np.random.default_rng(4)
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for name, rows, cols, wires, open_cells, inputs in CASES:
            g = short(10 ** rng.uniform(-6, -4, (rows, cols)) * (rng.random((rows, cols)) >= open_cells))
            v = short(rng.uniform(-0.2, 1, (inputs, rows)))
            currents = run_netlist(write_netlist(Path(folder) / "array.cir", g, v, **wires), cols)
            cases.append({"name": name, "wires": wires, "wiring": {}, "g": g, "v": v, "currents": currents.tolist()})
        for name, rows, cols, wires, open_cells, inputs, fields in WIRED:
            g = 10 ** rng.uniform(-6, -4, (rows, cols)) * (rng.random((rows, cols)) >= open_cells)
            g = short(np.where(rng.random((rows, cols)) < SHORTED, 0.1, g))
            v = short(rng.uniform(-0.2, 1, (inputs, rows)))
            share = fields.get("driven")
            fields = fields | ({"driven": (rng.permutation(rows) < share * rows).tolist()} if share else {})
            path = write_netlist(Path(folder) / "array.cir", g, v, **wires, wiring=Wiring(**fields))
            currents = run_netlist(path, cols).tolist()
            cases.append({"name": name, "wires": wires, "wiring": fields, "g": g, "v": v, "currents": currents})
    banner = subprocess.run(["ngspice", "--version"], capture_output=True, text=True, check=True).stdout
    program = re.search(r"ngspice-\d+", banner)
    result = {"program": program.group() if program else banner, "units": "S, V, ohm, A", "cases": cases}
    Path(__file__).with_name("wires.json").write_text(json.dumps(result, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
