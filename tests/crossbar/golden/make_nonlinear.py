"""Write nonlinear.json beside this file: currents of arrays of non-linear cells by ngspice, as make_wires.py does.

python tests/crossbar/golden/make_nonlinear.py        (needs ngspice; run where the project is installed)
"""

import json
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from crossbar import Wiring, run_netlist, write_netlist
from hwmodels import Device
from hwmodels.devices.effects import SinhConduction

SOFT = {"kind": "sinh", "a_per_v": 3.0, "max_v": 1.2}
HARD = {"kind": "sinh", "a_per_v": 12.0, "max_v": 1.2}
MILO = {"kind": "milo"}
CASES = [  # name, rows, cols, law, wires [Ω], wiring, fraction of open cells, inputs
    ("1x1", 1, 1, HARD, {"r_word": 500, "r_bit": 100, "r_source": 1000, "r_sink": 5}, {}, 0, 1),
    ("2x3", 2, 3, SOFT, {"r_word": 1, "r_bit": 1}, {}, 0, 2),
    ("2x3 milo", 2, 3, MILO, {"r_word": 1, "r_bit": 1}, {}, 0, 2),
    ("3x2 ideal word lines", 3, 2, SOFT, {"r_word": 0, "r_bit": 5}, {}, 0, 2),
    ("2x5 ideal bit lines", 2, 5, MILO, {"r_word": 50, "r_bit": 0}, {}, 0, 2),
    ("6x5 no wires", 6, 5, MILO, {"r_word": 0, "r_bit": 0}, {}, 0.1, 2),
    ("7x4 source and sink only", 7, 4, HARD, {"r_word": 0, "r_bit": 0, "r_source": 1000, "r_sink": 100}, {}, 0.2, 2),
    ("8x8 both ends, access", 8, 8, HARD, {"r_word": 20, "r_bit": 20}, {"r_access_ohm": 3000, "far": 10}, 0, 2),
    ("9x12 open cells", 9, 12, SOFT, {"r_word": 5, "r_bit": 20}, {}, 0.5, 2),
    ("8x6 floating word lines", 8, 6, MILO, {"r_word": 5, "r_bit": 50}, {"undriven": "floating"}, 0, 2),
    ("16x16 milo", 16, 16, MILO, {"r_word": 10, "r_bit": 10, "r_source": 50, "r_sink": 10}, {}, 0, 1),
    ("16x16 hard", 16, 16, HARD, {"r_word": 50, "r_bit": 50, "r_source": 5}, {}, 0, 1),
]


def short(x: np.ndarray) -> list:
    """The numbers with three digits."""
    return np.vectorize(lambda value: float(f"{value:.3g}"))(x).tolist()


def law_of(law: dict):
    """A law as it stands in the file; `milo` is that of the preset."""
    kept = {key: value for key, value in law.items() if key != "kind"}
    return SinhConduction(**kept) if law["kind"] == "sinh" else Device.load("milo").conduction


def wiring_of(wiring: dict, rows: int) -> Wiring:
    """A wiring as it stands in the file: every third word line is not driven where `undriven` is said."""
    driven = tuple(i % 3 != 1 for i in range(rows)) if "undriven" in wiring else None
    return Wiring(
        r_access_ohm=float(wiring.get("r_access_ohm", 0.0)),
        r_far_source_ohm=float(wiring["far"]) if "far" in wiring else None,
        driven=driven,
        undriven=wiring.get("undriven", "grounded"),
    )


def main() -> None:
    rng = np.random.default_rng(5)
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for name, rows, cols, law, wires, wiring, open_cells, inputs in CASES:
            low, high, most = (50e-6, 225e-6, 0.35) if law is MILO else (1e-6, 1e-4, 0.7)
            g = short(rng.uniform(low, high, (rows, cols)) * (rng.random((rows, cols)) >= open_cells))
            v = short(rng.uniform(-0.4 * most, most, (inputs, rows)))
            path = write_netlist(
                Path(folder) / "array.cir", g, v, **wires, wiring=wiring_of(wiring, rows), conduction=law_of(law)
            )
            cases.append(
                {
                    "name": name,
                    "law": law,
                    "wires": wires,
                    "wiring": wiring,
                    "g": g,
                    "v": v,
                    "currents": run_netlist(path, cols).tolist(),
                }
            )
    banner = subprocess.run(["ngspice", "--version"], capture_output=True, text=True, check=True).stdout
    program = re.search(r"ngspice-\d+", banner)
    result = {"program": program.group() if program else banner, "units": "S, V, ohm, A", "cases": cases}
    Path(__file__).with_name("nonlinear.json").write_text(json.dumps(result, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
