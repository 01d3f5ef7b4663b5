"""Cells per second of the mismatch kernels against NumPy drawing from the same distributions, in one run.

    python benchmarks/bench_mismatch.py [--cells 10000000] [--repeats 3] [--csv FILE]

A kernel takes one 32-bit Philox word and one normal deviation of a cell for its programming error, and one word for its
faults; a read later on takes two words and two normal deviations (drift, noise). NumPy takes one 64-bit word for most
normal deviations (ziggurat) and one for the faults, from one stream, so that its cells depend on the order of the work;
the kernels' do not. NumPy works array by array, which keeps its temporaries in the cache, and with one thread, as its
functions do. Programming writes into memory that is there on both sides; a read allocates its result on both.

Wall time, the best of the repeats, sides taking turns; `cpu_ratio` compares processor time, which says what one thread
is worth even on a machine that others use. Memory: what each side allocates for its work and result (tracemalloc);
`peak` is the whole process with targets, result and both sides.
"""

from __future__ import annotations

import argparse
import csv
import platform
import resource
import sys
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numba
import numpy as np

from hwmodels import Device, conductances_at, numba_threads, program
from hwmodels.devices.device import LognormalError, PolynomialError
from hwmodels.devices.effects import PowerLaw

SIDE = 512
FAULTS = {"stuck_at_lrs": 0.0175, "stuck_at_hrs": 0.0904}
PROGRAMMED = (("yuan2019", {}), ("yuan2019", FAULTS), ("hfox", {}), ("neurram", FAULTS))
DAY = 86400.0
HEAD = "what                words normals threads    kernel     NumPy  ratio (processor time)  memory per cell"
SHOWN = (
    "{what:18}{words_per_cell:7}{normals_per_cell:8}{threads:8}{kernel_mcells_per_s:8} M{numpy_mcells_per_s:8} M"
    "{ratio:7}{cpu_ratio:17}  {kernel_bytes_per_cell:4} B against {numpy_bytes_per_cell} B"
)


def in_numpy(g: np.ndarray, device: Device, rng: np.random.Generator, out: np.ndarray) -> None:
    """Programming with NumPy's own generator, written for speed, into `out`, array by array."""
    for a in range(len(g)):
        one_in_numpy(g[a], device, rng, out[a])


def one_in_numpy(g: np.ndarray, device: Device, rng: np.random.Generator, out: np.ndarray) -> None:
    """Programming of one array."""
    rng.standard_normal(out=out)
    match device.programming_error:
        case LognormalError(sigma=sigma):
            out *= sigma
            np.exp(out, out=out)
            out *= g
        case PolynomialError(coeffs_s=coefficients):
            x = g / device.g_max_s
            sigma = np.full_like(x, coefficients[-1])
            for coefficient in coefficients[-2::-1]:
                sigma *= x
                sigma += coefficient
            np.maximum(sigma, 0, out=sigma)
            out *= sigma
            out += g
            np.maximum(out, 0, out=out)
        case _:
            raise ValueError(f"not in this benchmark: {device.programming_error}")
    if device.stuck_at_lrs or device.stuck_at_hrs:
        u = rng.random(g.shape)
        out[u < device.stuck_at_lrs] = device.g_max_s
        out[u > 1 - device.stuck_at_hrs] = device.g_min_s
    out[g == 0] = 0


def later_in_numpy(g: np.ndarray, device: Device, t_s: float, rng: np.random.Generator) -> np.ndarray:
    """Drift and 1/f read noise of `pcm-like` a time later, with NumPy's own generator, array by array."""
    assert isinstance(device.drift, PowerLaw)
    out = np.empty_like(g)
    for a in range(len(g)):
        log_x = np.log(g[a] / device.g_max_s)
        nu = np.clip(-0.0155 * log_x + 0.0244, 0.049, 0.1)
        nu += np.clip(-0.0125 * log_x - 0.0059, 0.008, 0.045) * rng.standard_normal(g[a].shape)
        drifted = g[a] * np.exp(-np.abs(nu) * np.log(t_s / 20.0))
        sigma = np.minimum(0.0088 * (drifted / device.g_max_s) ** -0.65, 0.2)
        sigma *= np.sqrt(np.log((t_s + 250e-9) / 500e-9))
        np.maximum(drifted + drifted * sigma * rng.standard_normal(drifted.shape), 0, out=out[a])
    return out


def seconds(run: Callable[[], object]) -> np.ndarray:
    """Wall and processor time of a run [s]."""
    start = np.array([time.perf_counter(), time.process_time()])
    run()
    return np.array([time.perf_counter(), time.process_time()]) - start


def allocated(run: Callable[[], object]) -> int:
    """Peak of what a run allocates [B]."""
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=float, default=1e7, help=f"rounded to arrays of {SIDE} × {SIDE} (default 1e7)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--csv", type=Path, help="write the table to this file too")
    options = parser.parse_args()
    arrays = max(1, round(options.cells / SIDE**2))
    rng = np.random.default_rng(0)
    print(f"{arrays * SIDE**2 / 1e6:.1f} M cells, {processor()}, numba {numba.__version__}, NumPy {np.__version__}")
    print(HEAD)
    g = np.empty((arrays, SIDE, SIDE))
    rows = programming(g, rng, options.repeats) + later(g, rng, options.repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak {peak:.2f} GiB, both sides and the targets")
    if options.csv is not None:
        command = " ".join(["python", "benchmarks/bench_mismatch.py", *sys.argv[1:]])
        for row in rows:
            row |= {"peak_gib": round(peak, 2), "processor": processor(), "numba": numba.__version__}
            row |= {"numpy": np.__version__, "command": command}
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def programming(g: np.ndarray, rng: np.random.Generator, repeats: int) -> list[dict[str, object]]:
    """Compare programming of some devices; g: where their targets go."""
    out, rows = np.zeros_like(g), []  # both write where memory is there already
    for name, changes in PROGRAMMED:
        device = Device.load(name).with_(**changes)
        fill(g, device, rng)
        label, words = (f"{name}, faults", 2) if changes else (name, 1)
        fast, plain = partial(program, g, device, out=out), partial(in_numpy, g, device, rng, out)
        rows += compare(label, (words, 1), g.size, fast, plain, repeats)
    return rows


def later(g: np.ndarray, rng: np.random.Generator, repeats: int) -> list[dict[str, object]]:
    """Compare a read of a drifted device."""
    device = Device.load("pcm-like")
    fill(g, device, rng)
    fast, plain = partial(conductances_at, g, device, t_s=DAY, read=1), partial(later_in_numpy, g, device, DAY, rng)
    return compare("pcm-like, a read", (2, 2), g.size, fast, plain, repeats)


def fill(g: np.ndarray, device: Device, rng: np.random.Generator) -> None:
    """Random levels of the device, array by array."""
    for a in range(len(g)):
        g[a] = rng.choice(device.level_conductances(), size=g[a].shape)


def processor() -> str:
    """What the machine calls its processor, and how many it shows."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {len(names) or 'unknown'} cores"


def compare(
    label: str,
    draws: tuple[int, int],
    size: int,
    fast: Callable[[], object],
    plain: Callable[[], object],
    repeats: int,
) -> list[dict[str, object]]:
    """Time both sides on the same targets, with one thread and with all; prints and returns a row for each.

    draws: random words (32 bits) and normal deviations that the kernels take for a cell.
    """
    fast()  # compile
    threads = list(dict.fromkeys((1, numba_threads.POOL)))
    best = {count: np.full(2, np.inf) for count in (0, *threads)}
    for _ in range(repeats):
        best[0] = np.minimum(best[0], seconds(plain))
        for count in threads:
            numba.set_num_threads(count)
            best[count] = np.minimum(best[count], seconds(fast))
    memory = [allocated(run) / size for run in (fast, plain)]
    rows = []
    for count in threads:
        row: dict[str, object] = {
            "what": label,
            "cells": size,
            "words_per_cell": draws[0],
            "normals_per_cell": draws[1],
        }
        row |= {"threads": count, "kernel_mcells_per_s": round(size / best[count][0] / 1e6, 1)}
        row |= {"numpy_mcells_per_s": round(size / best[0][0] / 1e6, 1)}
        ratio, cpu_ratio = (round(float(x), 2) for x in best[0] / best[count])
        row |= {"ratio": ratio, "cpu_ratio": cpu_ratio}
        row |= {"kernel_bytes_per_cell": round(memory[0]), "numpy_bytes_per_cell": round(memory[1])}
        print(SHOWN.format(**row))
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
