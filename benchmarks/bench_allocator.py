"""Processor time and page faults of training steps, with the allocator told to keep memory over without.

    python benchmarks/bench_allocator.py [--network convnet] [--steps 20] [--repeats 3]

Both run in turns, each in a process of its own, on one thread, 128 random images a step; the ratio is that of the
medians. Below 1 the kept memory is faster.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time

SHAPES = {"lenet5": (1, 28), "convnet": (3, 32), "resnet20": (3, 32)}


def measure(network: str, steps: int, *, kept: bool) -> tuple[float, int]:
    """Processor seconds and page faults of a training step, after three steps to warm up."""
    import torch
    from torch.nn.functional import cross_entropy

    from experiments import models
    from experiments.allocator import keep_freed_memory

    if kept and not keep_freed_memory():
        raise SystemExit("This C library's allocator has no such setting.")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    channels, size = SHAPES[network]
    model = models.build(network, in_channels=channels, classes=10, image_size=size)
    model = model.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    images = torch.randn(128, channels, size, size).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (128,))
    start = faults = 0.0
    for step in range(-3, steps):
        if step == 0:
            start, faults = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        optimiser.zero_grad()
        cross_entropy(model(images), labels).backward()
        optimiser.step()
    seconds = (time.process_time() - start) / steps
    return seconds, round((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults) / steps)


def main() -> None:
    """Print both and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=SHAPES, default="convnet")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", choices=("plain", "kept"), help="measure this one only, in this process")
    args = parser.parse_args()
    if args.one:
        print(*measure(args.network, args.steps, kept=args.one == "kept"))
        return
    found: dict[str, list[tuple[float, int]]] = {"plain": [], "kept": []}
    for _ in range(args.repeats):
        for name, rows in found.items():
            command = [sys.executable, __file__, "--network", args.network, "--steps", str(args.steps), "--one", name]
            seconds, faults = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            rows.append((float(seconds), int(faults)))
    times = {name: statistics.median(row[0] for row in rows) for name, rows in found.items()}
    for name, rows in found.items():
        print(f"{name:6} {1e3 * times[name]:8.1f} ms a step, {rows[-1][1]} page faults")
    print(f"kept over plain: {times['kept'] / times['plain']:.2f}")


if __name__ == "__main__":
    main()
