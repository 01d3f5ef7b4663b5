"""Cells per second of the mismatch kernel against NumPy drawing from the same distributions, in one run.

    python benchmarks/bench_mismatch.py [--arrays 64] [--repeats 5]

NumPy draws from one stream, so its cells depend on the order of the work; the kernel's do not. Memory is what each
side allocates beyond the targets (for the kernel its result, for NumPy its result and temporaries, by tracemalloc).
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable

import numba
import numpy as np

from hwmodels import Device, program
from hwmodels.device import LognormalError, PolynomialError


def in_numpy(g: np.ndarray, device: Device, rng: np.random.Generator) -> np.ndarray:
    """The same model with NumPy's own generator, written for speed."""
    z = rng.standard_normal(g.shape)
    match device.programming_error:
        case LognormalError(sigma=sigma):
            out = np.exp(sigma * z, out=z)
            out *= g
        case PolynomialError(coeffs_s=coefficients):
            sigma = np.polynomial.polynomial.polyval(g / device.g_max_s, coefficients)
            out = np.maximum(g + np.maximum(sigma, 0) * z, 0)
        case _:
            raise ValueError(f"not in this benchmark: {device.programming_error}")
    if device.stuck_at_lrs or device.stuck_at_hrs:
        u = rng.random(g.shape)
        out[u < device.stuck_at_lrs] = device.g_max_s
        out[u > 1 - device.stuck_at_hrs] = device.g_min_s
    out[g == 0] = 0
    return out


def seconds(run: Callable[[], object], repeats: int) -> float:
    """The fastest of some runs [s]."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def allocated(run: Callable[[], object]) -> int:
    """Peak of what a run allocates [B]."""
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--arrays", type=int, default=64, help="arrays of 128 × 128 cells (default 64: a million cells)"
    )
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    print(f"{options.arrays} arrays of 128 × 128, numba {numba.__version__}, NumPy {np.__version__}")
    print(f"{'device':20} {'error':12} {'threads':>7} {'kernel':>10} {'NumPy':>10} {'ratio':>6}   memory per cell")
    faults = {"stuck_at_lrs": 0.0175, "stuck_at_hrs": 0.0904}
    for name, changes in (("yuan2019", {}), ("yuan2019", faults), ("hfox", {}), ("neurram", faults)):
        device = Device.load(name).with_(**changes)
        g = rng.choice(device.level_conductances(), size=(options.arrays, 128, 128))
        compare(f"{name}{', faults' if changes else ''}", device, g, options.repeats)


def compare(label: str, device: Device, g: np.ndarray, repeats: int) -> None:
    """Time both sides on the same targets and print a line for one thread and one for all."""
    rng = np.random.default_rng(0)
    program(g[:1], device)  # compile
    plain = seconds(lambda: in_numpy(g, device, rng), repeats)
    kernel_bytes = allocated(lambda: program(g, device)) / g.size
    plain_bytes = allocated(lambda: in_numpy(g, device, rng)) / g.size
    for threads in dict.fromkeys((1, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(threads)
        fast = seconds(lambda: program(g, device), repeats)
        print(
            f"{label:20} {device.programming_error.kind:12} {threads:7} {g.size / fast / 1e6:8.1f} M "
            f"{g.size / plain / 1e6:8.1f} M {plain / fast:6.2f}   {kernel_bytes:.0f} B against {plain_bytes:.0f} B"
        )


if __name__ == "__main__":
    main()
