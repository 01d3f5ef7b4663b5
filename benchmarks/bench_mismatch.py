"""Cells per second of the mismatch kernels against NumPy drawing from the same distributions, in one run.

    python benchmarks/bench_mismatch.py [--cells 10000000] [--repeats 3]

NumPy draws from one stream, so its cells depend on the order of the work; the kernels' do not. A kernel takes one
Philox block (four 32-bit words) for the normal deviation of a cell and one for its faults; NumPy takes one 64-bit word
for most normal deviations (ziggurat) and one for the faults. Programming
writes into an array that is there on both sides; a read allocates on both. Memory is what each side allocates besides
that (tracemalloc); `peak` is the whole process.
"""

from __future__ import annotations

import argparse
import resource
import time
import tracemalloc
from collections.abc import Callable
from functools import partial

import numba
import numpy as np

from hwmodels import Device, conductances_at, program
from hwmodels.devices.device import LognormalError, PolynomialError
from hwmodels.devices.effects import PowerLaw

SIDE = 512


def in_numpy(g: np.ndarray, device: Device, rng: np.random.Generator, out: np.ndarray) -> np.ndarray:
    """Programming with NumPy's own generator, written for speed, into `out`."""
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
    return out


def later_in_numpy(g: np.ndarray, device: Device, t_s: float, rng: np.random.Generator) -> np.ndarray:
    """Drift and 1/f read noise of `pcm-like` a time later, with NumPy's own generator."""
    assert isinstance(device.drift, PowerLaw)
    x = g / device.g_max_s
    log_x = np.log(x)
    nu = np.clip(-0.0155 * log_x + 0.0244, 0.049, 0.1)
    nu += np.clip(-0.0125 * log_x - 0.0059, 0.008, 0.045) * rng.standard_normal(g.shape)
    out = g * np.exp(-np.abs(nu) * np.log(t_s / 20.0))
    sigma = np.minimum(0.0088 * (out / device.g_max_s) ** -0.65, 0.2) * np.sqrt(np.log((t_s + 250e-9) / 500e-9))
    return np.maximum(out + out * sigma * rng.standard_normal(g.shape), 0)


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
    parser.add_argument("--cells", type=float, default=1e7, help=f"rounded to arrays of {SIDE} × {SIDE} (default 1e7)")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    arrays = max(1, round(options.cells / SIDE**2))
    rng = np.random.default_rng(0)
    print(f"{arrays * SIDE**2 / 1e6:.1f} M cells, numba {numba.__version__}, NumPy {np.__version__}")
    print(
        f"{'what':18} {'words':>5} {'normals':>7} {'threads':>7} {'kernel':>10} {'NumPy':>10} {'ratio':>6}   "
        "memory per cell"
    )
    faults = {"stuck_at_lrs": 0.0175, "stuck_at_hrs": 0.0904}
    for name, changes in (("yuan2019", {}), ("yuan2019", faults), ("hfox", {}), ("neurram", faults)):
        device = Device.load(name).with_(**changes)
        g = rng.choice(device.level_conductances(), size=(arrays, SIDE, SIDE))
        label = f"{name}{', faults' if changes else ''}"
        out = np.zeros_like(g)  # both write where memory has been touched before
        fast = partial(program, g, device, out=out)
        plain = partial(in_numpy, g, device, rng, out)
        compare(label, 8 if changes else 4, 1, g.size, fast, plain, options.repeats)
    device = Device.load("pcm-like")
    g = rng.choice(device.level_conductances(), size=(arrays, SIDE, SIDE))
    fast = lambda: conductances_at(g, device, t_s=86400.0, read=1)  # noqa: E731
    compare("pcm-like, a read", 8, 2, g.size, fast, lambda: later_in_numpy(g, device, 86400.0, rng), options.repeats)
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB, both sides and the targets")


def compare(
    label: str,
    words: int,
    normals: int,
    size: int,
    fast: Callable[[], object],
    plain: Callable[[], object],
    repeats: int,
) -> None:
    """Time both sides on the same targets and print a line for one thread and one for all."""
    fast()  # compile
    plain_s = seconds(plain, repeats)
    kernel_bytes, plain_bytes = (allocated(run) / size for run in (fast, plain))
    for threads in dict.fromkeys((1, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(threads)
        fast_s = seconds(fast, repeats)
        print(
            f"{label:18} {words:5} {normals:7} {threads:7} {size / fast_s / 1e6:8.1f} M {size / plain_s / 1e6:8.1f} M "
            f"{plain_s / fast_s:6.2f}   {kernel_bytes:.0f} B against {plain_bytes:.0f} B"
        )


if __name__ == "__main__":
    main()
