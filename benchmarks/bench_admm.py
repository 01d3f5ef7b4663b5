"""Processor time of an ADMM epoch over that of a plain training epoch, LeNet-5 on data shaped like MNIST.

    python benchmarks/bench_admm.py [--samples 6000] [--repeats 3]

A plain epoch is forward, backward and a step of Adam on every batch of 128; an ADMM epoch adds the gradients of the
penalties of all four layers to every step, and one update of copies and duals (pruning and 16 levels, scales fitted) at
its end. Both run in turns in one process, on one thread, on the same random images; the ratio is that of the medians.
What `compress` adds to that is the caller's evaluation, and a checkpoint if one is asked for.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from admm import LayerPlan, Plan, retrain, solver
from admm.constraints import Levels, Unstructured
from admm.epoch import train_epoch
from admm.layers import resolve
from experiments import models

LEVELS = Levels(tuple(i / 8 for i in (*range(-8, 0), *range(1, 9))), "fit")
KEEP = {"conv1": 0.2, "conv2": 0.08, "fc1": 0.009, "fc2": 0.07}
"""Zhang et al. 2018 (arXiv 1804.03294), LeNet-5 at 71.2 times."""


class Trainer:
    """A network and its optimiser; with copies, their penalties pull and they are updated at the end of an epoch."""

    def __init__(self, *, admm: bool) -> None:
        torch.manual_seed(0)
        self.model = models.build("lenet5", in_channels=1, classes=10, image_size=28)
        plan = Plan(
            layers=tuple(LayerPlan(name=n, prune=(Unstructured(keep),), levels=LEVELS) for n, keep in KEEP.items())
        )
        self.layers = resolve(plan, self.model) if admm else {}
        self.copies = {n: solver.begin(layer, None, prune=True, quantise=True) for n, layer in self.layers.items()}
        self.optimiser = torch.optim.Adam(self.model.parameters(), 1e-3)

    def pull(self) -> None:
        """What an ADMM step adds to the gradients."""
        for copies in self.copies.values():
            solver.pull(copies, 1e-2)
        retrain.mask_gradients(self.layers, {})

    def epoch(self, batches: list[tuple[Tensor, Tensor]]) -> float:
        """Processor seconds of one epoch."""
        start = time.process_time()
        train_epoch(
            self.model, batches, cross_entropy, self.optimiser,
            device=torch.device("cpu"), before_step=self.pull, after_step=lambda: None,
        )  # fmt: skip
        live = solver.choose(self.copies)
        for name, copies in self.copies.items():
            solver.update(copies, 1e-2, live.get(name))
        return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=6000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(options.samples, 1, 28, 28, generator=generator)
    labels = torch.randint(0, 10, (options.samples,), generator=generator)
    batches = list(zip(images.split(128), labels.split(128), strict=True))
    plain, admm = Trainer(admm=False), Trainer(admm=True)
    for trainer in (plain, admm):
        trainer.epoch(batches[:2])
    times = [(plain.epoch(batches), admm.epoch(batches)) for _ in range(options.repeats)]
    base, with_admm = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"{options.samples} samples: plain epoch {base:.2f} s, ADMM epoch {with_admm:.2f} s of processor time")
    print(f"ratio {with_admm / base:.3f}")


if __name__ == "__main__":
    main()
