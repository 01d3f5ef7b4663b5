"""Seconds per million weights and peak memory of placing transformers, without simulating them.

    python benchmarks/bench_placing.py [--blocks 2 6 20]

A block is four projections of 2048 × 2048 and two of 2048 × 8192, 50.3 million weights; 20 blocks are a thousand
million. Weights are random, in bfloat16. Each size is placed in a process of its own (its peak memory is what the
system says of it) on arrays of 128 × 128, pairs of four-bit cells, calibration skipped; the tile table is part of it.
Time is processor time of the whole process less that of building the network; the ratio says how it grows beyond the
weights.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from typing import Any

WIDTH, INNER = 2048, 8192


def network(blocks: int) -> Any:
    """A decoder without embedding: `blocks` times attention and two wide layers."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    def linear(rows: int, cols: int) -> nn.Linear:
        made = nn.Linear(rows, cols, bias=False, device="meta", dtype=torch.bfloat16).to_empty(device="cpu")
        made.weight.data.normal_(0, rows**-0.5)
        return made

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value, self.out = (linear(WIDTH, WIDTH) for _ in range(4))
            self.up, self.down = linear(WIDTH, INNER), linear(INNER, WIDTH)

        def forward(self, x: Any) -> Any:
            q, k, v = (part(x).unflatten(-1, (16, -1)).transpose(1, 2) for part in (self.query, self.key, self.value))
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
            x = x + self.out(mixed)
            return x + self.down(F.gelu(self.up(x)))

    torch.manual_seed(0)
    return nn.Sequential(*(Block() for _ in range(blocks)))


def place(blocks: int) -> dict[str, float]:
    """Place one network and look at what it took."""
    import torch

    import mapping
    from crossbar import ArraySpec
    from hwmodels import Device

    torch.set_num_threads(1)
    made = network(blocks)
    spec = ArraySpec(rows=128, cols=128, device=Device.load("yuan2019"))
    # The kernels are compiled or read from their cache before the clock starts.
    mapping.place(torch.nn.Linear(8, 8), spec, torch.rand(1, 8), calibrate=False).arrays  # noqa: B018
    options: dict[str, Any] = {"calibrate": False, "free_unused": False}
    wall, cpu = time.perf_counter(), time.process_time()
    placement = mapping.place(made, spec, torch.randn(1, 4, WIDTH, dtype=torch.bfloat16), **options)
    arrays = placement.arrays
    return {
        "weights": sum(layer.shape.weights for layer in placement.layers.values()),
        "arrays": arrays,
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }


def main() -> None:
    """Print a line per size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, nargs="+", default=[2, 6, 20])
    options = parser.parse_args()
    print("weights,arrays,cpu_s,wall_s,peak_gb,cpu_s_per_million_weights,ratio_to_smallest")
    first = None
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for blocks in options.blocks:
            row = pool.apply(place, (blocks,))
            each = row["cpu_s"] / row["weights"] * 1e6
            first = first or each
            numbers = [f"{row['weights']:.0f}", f"{row['arrays']:.0f}"]
            numbers += [f"{row[key]:.2f}" for key in ("cpu_s", "wall_s", "peak_gb")]
            print(",".join([*numbers, f"{each:.4f}", f"{each / first:.2f}"]), flush=True)


if __name__ == "__main__":
    main()
