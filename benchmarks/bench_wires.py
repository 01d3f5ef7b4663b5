"""Wires: all bit-line currents of one array for 128 inputs, against other solvers in the same run, one thread.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/bench_wires.py [--sizes 32 64] [--peers PYTHON] [--out CSV]

Processor seconds (user and system), the fastest of the repeats; first calls (compiling, planning a shape) are shown on
their own. Cells are log-uniform from 1 to 100 µS, segments 1 Ω. `scipy.sparse.linalg.splu` is run with its defaults,
factors and solution only: building its matrix is not counted. PYTHON is an interpreter of an environment of its own
with badcrossbar and scikit-sparse (CHOLMOD); what it lacks is left out. An error is the largest difference of any
current from ours, as a share of the largest current. Further lines: the fast approximation (its error and its bound are
those of the worst inputs from 0 to 1 V), arrays of which three rows in four and every second column are empty, floating
word lines (every second), a second driver, the torch twin (up to 128) and its gradients.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

R_OHM = 1.0
INPUTS = 128
PEERS = {"splu": 256, "badcrossbar": 256, "cholmod": 512}  # largest side that each is asked for


def seconds(run: Callable[[], Any], repeats: int) -> tuple[float, float, Any]:
    """Processor and wall time of the fastest run [s], and what it returned."""
    best, result = (float("inf"), float("inf")), None
    for _ in range(repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        result = run()
        best = min(best, (time.process_time() - cpu, time.perf_counter() - wall))
    return *best, result


def nodal(g: np.ndarray, v: np.ndarray):
    """Conductance matrix of all nodes (CSC) and the currents fed to them for each input (nodes, inputs)."""
    import scipy.sparse as sparse

    m, n = g.shape
    cells = np.arange(m * n)
    i, j = np.divmod(cells, n)
    word, bit = cells, m * n + cells
    gw, diagonal = 1 / R_OHM, np.zeros(2 * m * n)
    pairs = [(word[j > 0] - 1, word[j > 0], gw), (bit[i < m - 1], bit[i < m - 1] + n, gw), (word, bit, g.ravel())]
    rows, cols, values = [], [], []
    for a, b, value in pairs:
        value = np.broadcast_to(value, a.shape)
        np.add.at(diagonal, a, value)
        np.add.at(diagonal, b, value)
        rows += [a, b]
        cols += [b, a]
        values += [-value, -value]
    diagonal[word[j == 0]] += gw
    diagonal[bit[i == m - 1]] += gw
    every = np.arange(2 * m * n)
    entries = (np.concatenate([*values, diagonal]), (np.concatenate([*rows, every]), np.concatenate([*cols, every])))
    fed = np.zeros((2 * m * n, len(v)))
    fed[word[j == 0]] = gw * v.T
    return sparse.csc_matrix(entries, shape=(2 * m * n, 2 * m * n)), fed


def by_splu(g: np.ndarray, v: np.ndarray, repeats: int) -> tuple[float, float, np.ndarray]:
    from scipy.sparse.linalg import splu

    matrix, fed = nodal(g, v)
    cpu, wall, voltage = seconds(lambda: splu(matrix).solve(fed), repeats)
    return cpu, wall, voltage[-g.shape[1] :].T / R_OHM


def by_cholmod(g: np.ndarray, v: np.ndarray, repeats: int) -> tuple[float, float, np.ndarray]:
    from sksparse.cholmod import cholesky

    matrix, fed = nodal(g, v)
    cpu, wall, voltage = seconds(lambda: cholesky(matrix)(fed), repeats)
    return cpu, wall, voltage[-g.shape[1] :].T / R_OHM


def by_badcrossbar(g: np.ndarray, v: np.ndarray, repeats: int) -> tuple[float, float, np.ndarray]:
    import logging

    import badcrossbar

    logging.disable(logging.INFO)
    compute = lambda: badcrossbar.compute(v.T, 1 / g, R_OHM, node_voltages=False, all_currents=False)  # noqa: E731
    cpu, wall, solution = seconds(compute, repeats)
    return cpu, wall, np.asarray(solution.currents.output)


SOLVERS = {"splu": by_splu, "cholmod": by_cholmod, "badcrossbar": by_badcrossbar}


def as_peer(name: str, folder: Path, repeats: int) -> None:
    """Run one solver on the array in the folder: its currents go there too, its times are printed."""
    problem = np.load(folder / "problem.npz")
    try:
        cpu, wall, currents = SOLVERS[name](problem["g"], problem["v"], repeats)
    except ImportError as error:
        print(json.dumps({"missing": str(error)}))
        return
    np.save(folder / f"{name}.npy", currents)
    print(json.dumps({"cpu": cpu, "wall": wall}))


def peer(name: str, python: str, g: np.ndarray, v: np.ndarray, repeats: int) -> tuple[float, float, np.ndarray] | None:
    """A solver in a process of its own, under the given interpreter; None where it is missing."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "problem.npz", g=g, v=v)
        command = [python, __file__, "--as-peer", name, "--folder", folder, "--repeats", str(repeats)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        times = json.loads(said.splitlines()[-1])
        return None if "missing" in times else (times["cpu"], times["wall"], np.load(Path(folder) / f"{name}.npy"))


ROWS: list[dict[str, object]] = []
"""Every line printed, for the table."""


def line(
    size: int, what: str, cpu: float, wall: float, ratio: float, error: float | None = None, note: str = ""
) -> None:
    """Print one line and keep it; ratio: processor time as a multiple of effective_conductance's."""
    found = "" if error is None else f"{error:.1e}"
    print(f"{size:5}  {what:26} {cpu:9.4f} {wall:9.4f}  {ratio:7.2f} x ours  {found:8}  {note}")
    figures = {"cpu_s": f"{cpu:.5f}", "wall_s": f"{wall:.5f}", "times_ours": f"{ratio:.3g}", "error": found}
    ROWS.append({"size": size, "what": what, **figures, "note": note})


def variants(size: int, g: np.ndarray, exact: np.ndarray, ours: float, repeats: int) -> None:
    """The lines of what is not a plain array computed exactly; ours: processor time of effective_conductance [s]."""
    from crossbar import Wiring, approximate_conductance, effective_conductance

    cpu, wall, fast = seconds(lambda: approximate_conductance(g, R_OHM, R_OHM, limit=np.inf), 3 * repeats)
    error = fast.g_eff - exact
    worst = np.maximum(np.maximum(error, 0).sum(axis=0), np.maximum(-error, 0).sum(axis=0)) / exact.sum(axis=0)
    line(size, "approximate_conductance", cpu, wall, cpu / ours, worst.max(), f"bound {fast.share():.1e}")
    sparse = g * (np.arange(size) % 4 == 0)[:, None] * (np.arange(size) % 2 == 0)
    found = {
        "three rows in four empty": lambda: effective_conductance(sparse, R_OHM, R_OHM),
        "every second row floating": lambda: effective_conductance(
            g, R_OHM, R_OHM, wiring=Wiring(driven=np.arange(size) % 2 == 0, undriven="floating")
        ),
        "a second driver": lambda: effective_conductance(g, R_OHM, R_OHM, wiring=Wiring(r_far_source_ohm=0.0)),
    }
    for what, run in found.items():
        run()
        cpu, wall, _ = seconds(run, repeats)
        line(size, what, cpu, wall, cpu / ours)
    if size <= 128:
        in_torch(size, g, exact, ours, repeats)


def in_torch(size: int, g: np.ndarray, exact: np.ndarray, ours: float, repeats: int) -> None:
    """The lines of the torch twin, without and with a backward pass."""
    import torch

    from crossbar import wires_torch

    torch.set_num_threads(1)
    tensor = torch.tensor(g)
    cpu, wall, found = seconds(lambda: wires_torch.effective_conductance(tensor, R_OHM, R_OHM), repeats)
    line(size, "torch twin", cpu, wall, cpu / ours, float(np.abs(found.numpy() - exact).max() / exact.max()))

    def both() -> None:
        wires_torch.effective_conductance(tensor.clone().requires_grad_(), R_OHM, R_OHM).sum().backward()

    cpu, wall, _ = seconds(both, repeats)
    line(size, "torch twin, gradients", cpu, wall, cpu / ours)


def compare(size: int, interpreters: dict[str, str], repeats: int) -> tuple[float, float]:
    """Print the lines of one size; return the times of g_eff and of one input by `solve`."""
    from crossbar import effective_conductance, solve

    rng = np.random.default_rng(size)
    g, v = 10 ** rng.uniform(-6, -4, (size, size)), rng.uniform(0, 1, (INPUTS, size))
    first, *_ = seconds(lambda: effective_conductance(g, R_OHM, R_OHM), 1)
    cpu, wall, ours = seconds(lambda: v @ effective_conductance(g, R_OHM, R_OHM), repeats)
    solve(g[:2, :2], v[0, :2], R_OHM, R_OHM)
    one, one_wall, solution = seconds(lambda: solve(g, v[0], R_OHM, R_OHM), repeats)
    line(size, "effective_conductance", cpu, wall, 1.0, note=f"first call {first:.3f} s")
    for name, python in interpreters.items():
        found = peer(name, python, g, v, repeats) if size <= PEERS[name] else None
        if found:
            error = np.abs(found[2] - ours).max() / np.abs(ours).max()
            line(size, name, found[0], found[1], found[0] / cpu, error)
    error = np.abs(solution.currents[0] - ours[0]).max() / np.abs(ours[0]).max()
    line(size, "solve, one input", one, one_wall, one / cpu, error, f"{solution.stats['steps']} steps")
    variants(size, g, effective_conductance(g, R_OHM, R_OHM), cpu, repeats)
    return cpu, one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 128, 256, 512])
    parser.add_argument("--peers", default="", metavar="PYTHON", help="interpreter with badcrossbar and scikit-sparse")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a CSV file for the table")
    parser.add_argument("--as-peer", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_peer:
        as_peer(options.as_peer, options.folder, options.repeats)
        return
    if os.environ.get("OMP_NUM_THREADS") != "1":
        parser.error("start it with OMP_NUM_THREADS=1: waiting threads would count as processor time")
    interpreters = {"splu": sys.executable}
    if options.peers:
        interpreters |= {"badcrossbar": options.peers, "cholmod": options.peers}
    from crossbar import effective_conductance

    effective_conductance(np.full((20, 20), 1e-5), R_OHM, R_OHM)  # compile
    print(f"{INPUTS} inputs, processor and wall seconds")
    times = [compare(size, interpreters, options.repeats) for size in options.sizes]
    for label, column in (("effective_conductance", 0), ("solve", 1)):
        pairs = [
            f"{np.log(b[column] / a[column]) / np.log(n / m):.2f}"
            for a, b, m, n in zip(times, times[1:], options.sizes, options.sizes[1:], strict=False)
        ]
        print(f"exponent of growth from size to size, {label}: {' '.join(pairs)}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"largest memory of this process: {peak:.2f} GiB")
    if options.out:
        with options.out.open("w", newline="") as file:
            table = csv.DictWriter(file, list(ROWS[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(ROWS)


if __name__ == "__main__":
    main()
