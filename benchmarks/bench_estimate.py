"""Design points per second of the cost model for a VGG-16 placement, everything but the placement varied.

    python benchmarks/bench_estimate.py [--seconds 2]

A design point is one library (numbers drawn within their ranges), converter model and resolution, columns per
converter, frame rate and copies of the first layers, priced to its totals. `prepared` counts the placement once;
`plain` is `hwmodels.estimate` on the table, each time anew; both run in the same process, on one core. All times are
processor time, so that a machine that is shared tells the same.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from hwmodels import Library, Matrix, dense_tiles, estimate, prepare

VGG16 = [(27, 64, 1024), (576, 64, 1024), (576, 128, 256), (1152, 128, 256), (1152, 256, 64)]
VGG16 += [(2304, 256, 64)] * 2 + [(2304, 512, 16)] + [(4608, 512, 16)] * 2 + [(4608, 512, 4)] * 3
VGG16 += [(512, 512, 1), (512, 10, 1)]
"""Rows, columns and input vectors of the layers of VGG-16 for 32 × 32 pixels."""


def placement(scale: int = 1) -> Any:
    """The tile table of VGG-16 with `scale` times the columns in every layer."""
    matrices = [
        Matrix(name=f"layer{i}", rows=rows, cols=cols * scale, reads_per_inference=vectors)
        for i, (rows, cols, vectors) in enumerate(VGG16)
    ]
    return dense_tiles(matrices, g_mean_s=5e-7)


def libraries(count: int) -> list[Library]:
    """ISAAC's library with converter, buffer and read time drawn at random."""
    rng, base = np.random.default_rng(0), Library.load("isaac-32nm")
    assert base.buffer is not None
    assert base.buffer.energy is not None
    found = []
    for factor in rng.uniform(0.5, 2.0, size=(count, 3)):
        time_s = replace(base.reading.time, value=100.0 * float(factor[0]))
        rate = replace(base.adc.rate, value=1.28 * float(factor[1]), low=None, high=None)
        energy = replace(base.buffer.energy, value=base.buffer.energy.value * float(factor[2]), low=None, high=None)
        found.append(
            replace(
                base,
                reading=replace(base.reading, time=time_s),
                adc=replace(base.adc, rate=rate),
                buffer=replace(base.buffer, energy=energy),
            )
        )
    return found


def points() -> itertools.cycle[dict[str, Any]]:
    """Keyword arguments of design points, without end."""
    shelf = libraries(50)
    models = (("table", 8), ("table", 6), ("isaac", 5), ("andrulis", 7), ("andrulis", 6))
    grid = itertools.product(shelf, models, (8, 32, 128), (1, 2, 4))
    return itertools.cycle(
        {"library": library, "adc_model": model, "adc_bits": bits, "cols_per_adc": per, "frame_rate_hz": 100.0}
        | {"replicas": {"layer0": copies, "layer1": copies}}
        for library, (model, bits), per, copies in grid
    )


def per_second(price: Callable[[dict[str, Any]], object], seconds: float) -> float:
    """Design points per second of processor time, the best of three stretches of `seconds` each."""
    best = 0.0
    for _ in range(3):
        done, start, design = 0, time.process_time(), points()
        while (passed := time.process_time() - start) < seconds:
            price(next(design))
            done += 1
        best = max(best, done / passed)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="per measurement (three of each)")
    seconds = parser.parse_args().seconds
    print(f"{'arrays':>8} {'prepare':>10} {'prepared':>14} {'plain':>12} {'ratio':>7}")
    for scale in (1, 4, 16):
        tiles = placement(scale)
        prepared = prepare(tiles)
        first = next(points())
        assert prepared.estimate(**first).totals == estimate(tiles, **first).totals  # and the kernel is compiled
        start = time.process_time()
        prepare(tiles)
        once = time.process_time() - start
        fast = per_second(lambda point, ready=prepared: ready.estimate(**point).totals, seconds)
        slow = per_second(lambda point, table=tiles: estimate(table, **point).totals, seconds)
        print(f"{len(tiles):8} {once * 1e3:7.1f} ms {fast:10.0f} /s {slow:10.1f} /s {fast / slow:7.0f}", flush=True)


if __name__ == "__main__":
    main()
