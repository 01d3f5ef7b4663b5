"""Projections of VGG-16 on a hardware budget: layers chosen along their chain against layers chosen one by one.

    python benchmarks/bench_budget.py [--shares 0.02 0.05 0.2]

Random weights, 128 × 64 arrays of four cells a weight. Costs are arrays, and an area in which every word line and
bit line counts too, so that all costs differ. A share is that of what the unpruned network costs. All times are
processor time; `exact` says whether the choice is known to be the best, `gap` how far it is from its Lagrangian bound.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch

import mapping
from admm.constraints import Budget
from crossbar import LayerShape
from experiments.networks import vgg16

ROWS, COLS = 128, 64


def arrays(shape: LayerShape, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Four arrays a tile."""
    return 4 * np.ceil(rows / ROWS) * np.ceil(cols / COLS)


def area(shape: LayerShape, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Arrays, and a hundredth of one for every word line and a fiftieth for every bit line of a tile."""
    return arrays(shape, rows, cols) + 0.01 * rows * np.ceil(cols / COLS) + 0.02 * cols * np.ceil(rows / ROWS)


def main() -> None:
    """One line for each cost and share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.02, 0.05, 0.2])
    shares = parser.parse_args().shares
    torch.manual_seed(0)
    network = vgg16(3, 10, 32)
    feeds = mapping.feeds(network, torch.rand(1, 3, 32, 32))
    names = dict.fromkeys([*feeds.values(), *feeds])
    weights = {name: network.get_submodule(name).weight.detach() for name in names}
    shapes = {name: LayerShape(rows=w[0].numel(), cols=len(w)) for name, w in weights.items()}
    for cost in (arrays, area):
        for share in shares:
            line, times = f"{cost.__name__}, {100 * share:g} %:", []
            for kind, linked in (("chain", feeds), ("one by one", {})):
                budget = Budget.of(shapes, cost, 1.0, array=(ROWS, COLS), whole_cols=["classifier.fc1"], feeds=linked)
                budget = replace(budget, limit=share * budget.largest)
                options = sum(len(each) for each in budget.options.values())
                start = time.process_time()
                choice = budget.solve(weights).choice
                times.append(time.process_time() - start)
                gap = 1 - choice.value / choice.bound
                line += f" {kind} ({options} options) {times[-1]:.2f} s (exact {choice.exact}, gap {100 * gap:.3f} %),"
            print(f"{line} ratio {times[0] / times[1]:.2f}", flush=True)


if __name__ == "__main__":
    main()
