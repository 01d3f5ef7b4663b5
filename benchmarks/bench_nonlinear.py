"""Arrays of non-linear cells: what linear models of them miss, and what solving them costs. One thread.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/bench_nonlinear.py [--out docs/results/nonlinear.csv]

n × n cells at random levels of `hfox` (50–225 µS), each word line at 0 V or at the read voltage with probability ½,
wires of 1 Ω a segment. Two linear models are held against `solve(..., conduction=law)`: cells of their conductance at
0 V, and cells of their chord conductance at the read voltage, both behind the same wires, exactly. Errors: of the sum
of all currents (mean), and the largest of any current as a share of the largest (worst). Time: processor time of one
input against `solve` of linear cells in the same run.
"""

import argparse
import time

import numpy as np
import pandas as pd

from crossbar import effective_conductance, solve
from hwmodels import Device, chord_conductance
from hwmodels.devices.effects import SinhConduction

DEVICE = Device.load("hfox")
LAWS = {
    "milo": DEVICE.conduction,
    "sinh 2/V": SinhConduction(a_per_v=2.0, max_v=1.0),
    "sinh 5/V": SinhConduction(a_per_v=5.0, max_v=1.0),
}
READS_V = (0.1, 0.2, 0.5)
SIZES = (16, 64, 128)
OHMS = 1.0
INPUTS, ROUNDS = 4, 7


def seconds(call):
    """Least processor time of several rounds, after one to warm up (and compile)."""
    call()
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found)


def errors(name, law, n, v_read, rng):
    """One row of the table."""
    g = rng.choice(DEVICE.level_conductances(), (n, n))
    bits = rng.random((INPUTS, n)) < 0.5
    bits[:, 0] = True
    v = bits * v_read
    true = solve(g, v, OHMS, OHMS, conduction=law)
    row = {"law": name, "n": n, "read_v": v_read, "newton_steps": true.stats["newton_steps"]}
    for model, cells in {"at 0 V": g, "chord": chord_conductance(g, v_read, law)}.items():
        found = v @ effective_conductance(cells, OHMS, OHMS)
        row[f"{model} mean_%"] = round(100 * (found.sum() / true.currents.sum() - 1), 3)
        row[f"{model} worst_%"] = round(100 * np.abs(found - true.currents).max() / true.currents.max(), 3)
    one = seconds(lambda: solve(g, v[0], OHMS, OHMS, conduction=law))
    row["ms"], row["times_linear"] = round(1e3 * one, 2), round(one / seconds(lambda: solve(g, v[0], OHMS, OHMS)), 1)
    return row


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out")
    out = parser.parse_args().out
    rng = np.random.default_rng(0)
    table = pd.DataFrame(errors(name, law, n, v, rng) for name, law in LAWS.items() for n in SIZES for v in READS_V)
    print(table.to_string(index=False))
    if out:
        table.to_csv(out, index=False)


if __name__ == "__main__":
    main()
