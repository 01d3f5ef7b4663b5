"""The stages of the main job, each by itself: what `ohmweave run` does in its folder and a sweep in its store.

A stage gets what it needs and gives what it makes; where that is kept, when it is skipped and how long it took is the
caller's affair. Stages that take long leave a checkpoint in the folder they are given and go on from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors.torch
import torch
from torch import nn

import mapping
from admm import Compressed, purify
from admm.history import Masks, per_layer
from experiments import methods, placements, tested_chips, training
from experiments.data import Batches
from experiments.progress import Progress
from experiments.setup import Setup
from experiments.targeting import floor_search
from experiments.waterfall import Errors, reduced
from hwmodels import Estimate
from mapping import CrossbarNetwork, Placement
from mapping.tiling import cut

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Dense:
    """The dense network with its test accuracy and training history (a row per epoch)."""

    network: nn.Module
    accuracy: float
    history: pd.DataFrame


def test_accuracy(setup: Setup) -> Callable[[nn.Module], float]:
    """The share of test samples that a model gets right, as a function of the model; the samples go to its device."""
    at: dict[torch.device, Batches] = {}

    def measured(model: nn.Module) -> float:
        device = training.device_of(model)
        if device not in at:
            at[device] = setup.batches("test", device)
        return training.accuracy(model, at[device])

    return measured


def train_dense(setup: Setup, folder: Path, progress: Progress) -> dict[str, Any]:
    """Train the setup's network in place (or take its weights as they are) and write its weights into the folder.

    Returns what `read_dense` needs beside the weights: accuracy and history, JSON-able.
    """
    network, section = setup.network, setup.config.train
    with progress.task("Training", section.epochs) as task, _on_device(network, setup.device):
        history = training.train(
            network,
            progress.track(setup.batches("train"), "epoch"),
            epochs=section.epochs,
            lr=section.lr,
            optimizer=section.optimizer,
            momentum=section.momentum,
            weight_decay=section.weight_decay,
            schedule=section.schedule,
            label_smoothing=section.label_smoothing,
            seed=setup.config.seed,
            nesterov=bool(section.nesterov),
            warmup_epochs=section.warmup_epochs or 0,
            average=section.average,
            precision=section.precision or "full",
            checkpoint_dir=folder / "checkpoint",
            on_epoch=lambda row: task.advance(row["epoch"] - task.done, _epoch_text(row)),
            evaluate=test_accuracy(setup),
        )
        accuracy = test_accuracy(setup)(network)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    safetensors.torch.save_file(weights, folder / WEIGHTS)
    return {"accuracy": accuracy, "history": history.to_dict("records")}


def read_dense(setup: Setup, folder: Path, done: dict[str, Any]) -> Dense:
    """The trained network from its folder, put into the setup's; done: what `train_dense` gave."""
    setup.network.load_state_dict(safetensors.torch.load_file(folder / WEIGHTS))
    return Dense(network=setup.network, accuracy=done["accuracy"], history=pd.DataFrame(done["history"]))


def _epoch_text(row: dict[str, Any]) -> str:
    parts = [f"loss {row['loss']:.4f}"]
    if row.get("accuracy") is not None:
        parts.append(f"accuracy {100 * row['accuracy']:.2f} %")
    return ", ".join(parts)


def compress(setup: Setup, network: nn.Module, folder: Path, progress: Progress) -> Compressed:
    """Compress the trained network with ADMM, purify it where asked to, and write the result into the folder.

    With a target and an accuracy floor but no limit, the least limit that keeps the floor is searched; what purifying
    takes then is not held against the floor again.
    """
    with _on_device(network, setup.device):
        if setup.target is not None and setup.target.limit is None:
            compressed = floor_search.smallest(setup, folder, network, test_accuracy(setup), _tiles(setup), progress)
        else:
            compressed = _compress_once(setup, network, folder, progress)
        if setup.config.compress.purify is not None:
            compressed = _purified(setup, compressed, setup.config.compress.purify, progress)
        compressed.save(folder)
    return compressed


@contextmanager
def _on_device(network: nn.Module, device: str) -> Iterator[None]:
    """The network there for the length of the block, and on the CPU afterwards, where it is placed."""
    network.to(device)
    try:
        yield
    finally:
        network.to("cpu")


def _compress_once(setup: Setup, network: nn.Module, folder: Path, progress: Progress) -> Compressed:
    once = setup.config.compress.method != "parents"  # else nobody knows how many epochs there will be
    with progress.task("Compressing", setup.compression_epochs if once else None) as task:

        def on_epoch(row: dict[str, Any]) -> None:
            task.advance(row["epoch"] - task.done if once else 1, f"{row['stage']}, {_epoch_text(row)}")

        return methods.compressed(setup, network, folder, progress, test_accuracy(setup), on_epoch, _tiles(setup))


def _tiles(setup: Setup) -> Callable[[Masks], dict[str, float]]:
    """For the history: into how many tiles of the array's size the live weights of the compressed layers fall."""
    rows, cols = setup.array.rows, setup.array.weight_cols
    return per_layer(setup.network, {"tiles": lambda live: len(cut(live, rows, cols))})


def _purified(setup: Setup, compressed: Compressed, budget: float, progress: Progress) -> Compressed:
    """Remove unused paths, and what is weak as far as the accuracy on the training data allows."""
    size, seed = setup.config.simulate.batch_size, setup.config.seed
    batches = setup.dataset.batches("train", size, seed=seed, device=setup.device)
    with progress.task("Purifying", 1) as task:
        found = purify(
            compressed, setup.calibration.to(setup.device), lambda model: training.accuracy(model, batches), budget
        )
        gone = sum(found.removed["weights"].tolist())
        accuracy = test_accuracy(setup)(found.compressed.model)
        task.advance(detail=f"{gone} weights removed, accuracy {100 * accuracy:.2f} %")
    return replace(found.compressed, stages={**compressed.stages, "quantised": accuracy})


def place(setup: Setup, compressed: Compressed) -> Placement:
    """Place the compressed network on the configuration's arrays and calibrate it."""
    options = placements.placing_of(setup.config).options()
    return mapping.place(compressed, setup.array, setup.calibration, snap=setup.config.compress.snap, **options)


def place_baseline(setup: Setup, network: nn.Module) -> Placement:
    """Place the unpruned network on the baseline's arrays and calibrate it."""
    return mapping.place(network, setup.baseline, setup.calibration)


def snaps(placement: Placement) -> bool:
    """Whether placing moved weights: those that compression left free, or on other levels, snap to the arrays'."""
    return any(layer.snapped for layer in placement.layers.values())


def simulate_chips(
    setup: Setup, placement: Placement, first: int, progress: Progress, *, told: Placement | None = None
) -> Iterator[dict[str, Any]]:
    """Run the test set on chip number `first`, `first` + 1, … without end: chip, seed, accuracy, clipping by layer.

    With mapping.avoid_faults every chip is placed around its own faults (`experiments.tested_chips`), and what that did
    stands under faults. told: the placement whose devices say where the faults are, where `placement` lacks some of
    its errors.
    """
    batches, network = setup.batches("test"), None
    number = first
    while True:
        seed, moved = device_seed(setup.config.seed, number), {}
        if setup.config.mapping.avoid_faults:
            tested = tested_chips.tested_chip(
                setup, placement, told or placement, seed, lambda model: training.accuracy(model, batches)
            )
            network, moved = tested[0], {"faults": tested[1]}
        elif network is None:
            network = CrossbarNetwork(placement, seed=seed, conditions=setup.conditions)
        else:
            network.program(seed)
        accuracy = training.accuracy(network, progress.track(batches, f"chip {number}"))
        clipping = {layer: asdict(counts) for layer, counts in network.clipping().items()}
        network.reset_clipping()
        yield {"chip": number, "seed": seed, "accuracy": accuracy, "clipping": clipping, **moved}
        number += 1


def simulate_reduced(
    setup: Setup, placement: Placement, errors: Errors, first: int, progress: Progress
) -> Iterator[dict[str, Any]]:
    """The same chips with only some of their errors (`experiments.waterfall`), the others switched off."""
    return simulate_chips(*reduced(setup, placement, errors), first, progress, told=placement)


def device_seed(seed: int, number: int) -> int:
    """Seed of a run's chip number `number`: no two runs or chips share one (64-bit, the run's seed on top)."""
    return (seed << 32) + number


def price(setup: Setup, baseline: Placement, placement: Placement) -> dict[str, Estimate]:
    """Cost of the "baseline" and of the "placed" network, at the same frame rate."""
    return setup.pricing.both({"baseline": baseline.tiles, "placed": placement.tiles})
