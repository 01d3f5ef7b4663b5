"""The main job: train, compress, place, simulate, price, report; each stage finished once and kept.

Every stage writes what it made into the run's folder and reads it from there when it is already done, so an
interrupted run goes on where it was and a finished one is only read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors.torch
from torch import nn

import admm
import mapping
from admm import Compressed
from experiments import budget_record, floor_search, record, report, training
from experiments.config import Config
from experiments.progress import Progress
from experiments.record import Outcome
from experiments.run_folder import RESULT, RunFolder
from experiments.setup import Setup, inputs, prepare
from hwmodels import Estimate
from hwmodels.errors import UserError
from mapping import CrossbarNetwork, Placement

SECONDS, SEEDS = "state/seconds.json", "state/seeds.json"
DENSE, COMPRESSED = "state/dense/done.json", "state/compressed/done.json"


def run(config: Config, out: Path, *, name: str, command: str, progress: Progress) -> dict[str, Any]:
    """Do the whole job in a folder and return the record that `result.json` holds.

    The same configuration goes on where an earlier run stopped, or reads the finished result. Raises UserError for
    a user's mistake (before anything is written, where it can be known before).
    """
    finished = _finished(config, out, name, progress)
    if finished is not None:
        progress.note(f"This run is finished; reading {out / RESULT}.")
        return finished
    setup = prepare(config, name, progress)
    with RunFolder(out, config, name, inputs(config)) as folder:
        dense = _dense(setup, folder, progress)
        compressed = _compress(setup, folder, dense.network, progress)
        placement = _place(setup, folder, compressed, progress)
        quantised = _quantised(setup, folder, compressed, placement, progress)
        seeds = _simulate(setup, folder, placement, progress)
        baseline, cost = _price(setup, folder, dense.network, placement, progress)
        outcome = Outcome(
            accuracy={"dense": dense.accuracy, "pruned": compressed.stages["pruned"], "quantised": quantised},
            training=dense.history,
            compressed=compressed,
            placement=placement,
            seeds=seeds,
            baseline=baseline,
            cost=cost,
            seconds=folder.read(SECONDS) or {},
        )
        with progress.task("Writing the report", 1) as task:
            made, tables = record.build(setup, outcome, command)
            report.write(made, tables, out, formats=config.report.figures)
            folder.write(RESULT, made)
            task.advance()
    return made


def compress(config: Config, out: Path, *, name: str, command: str, progress: Progress) -> dict[str, Any]:
    """The first stages of `run`: train, compress, place and price, and write what compression found.

    `run` with the same configuration in the same folder goes on from here. Returns the record that `compress.json`
    holds. Raises UserError as `run`.
    """
    setup = prepare(config, name, progress)
    with RunFolder(out, config, name, inputs(config)) as folder:
        dense = _dense(setup, folder, progress)
        compressed = _compress(setup, folder, dense.network, progress)
        placement = _place(setup, folder, compressed, progress)
        _, cost = _price(setup, folder, dense.network, placement, progress)
        made = budget_record.build(setup, compressed, cost, command, dense.accuracy, folder.read(floor_search.TRIED))
        budget_record.write(made, compressed, setup.plan, out)
    return made


@dataclass(frozen=True)
class _Dense:
    """The dense network with its test accuracy and training history."""

    network: nn.Module
    accuracy: float
    history: pd.DataFrame


def _finished(config: Config, out: Path, name: str, progress: Progress) -> dict[str, Any] | None:
    """The record of a finished run of this very configuration; any other content is refused."""
    if not (out / RESULT).exists():
        return None
    with RunFolder(out, config, name, inputs(config)):
        try:
            return report.load(out)
        except UserError as error:
            progress.note(f"{error} Its stages are kept; writing it anew.")
            return None


@contextmanager
def _timed(folder: RunFolder, stage: str) -> Iterator[None]:
    """Add the seconds of a stage to what earlier, interrupted runs have spent on it."""
    start = time.perf_counter()
    try:
        yield
    finally:
        spent = folder.read(SECONDS) or {}
        spent[stage] = spent.get(stage, 0.0) + time.perf_counter() - start
        folder.write(SECONDS, spent)


def _test_accuracy(setup: Setup) -> Callable[[nn.Module], float]:
    batches = setup.batches("test")
    return lambda model: training.accuracy(model, batches)


def _dense(setup: Setup, folder: RunFolder, progress: Progress) -> _Dense:
    """Train the dense network (or take its weights as they are)."""
    network, section, state = setup.network, setup.config.train, folder.state / "dense"
    done = folder.read(DENSE)
    if done is None:
        with _timed(folder, "train"), progress.task("Training", section.epochs) as task:
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
                checkpoint_dir=state / "checkpoint",
                on_epoch=lambda row: task.advance(row["epoch"] - task.done, _epoch_text(row)),
                evaluate=_test_accuracy(setup),
            )
            accuracy = _test_accuracy(setup)(network)
        state.mkdir(parents=True, exist_ok=True)
        safetensors.torch.save_file(network.state_dict(), state / "weights.safetensors")
        done = {"accuracy": accuracy, "history": history.to_dict("records")}
        folder.write(DENSE, done)
    network.load_state_dict(safetensors.torch.load_file(state / "weights.safetensors"))
    return _Dense(network=network, accuracy=done["accuracy"], history=pd.DataFrame(done["history"]))


def _epoch_text(row: dict[str, Any]) -> str:
    parts = [f"loss {row['loss']:.4f}"]
    if row.get("accuracy") is not None:
        parts.append(f"accuracy {100 * row['accuracy']:.2f} %")
    return ", ".join(parts)


def _compress(setup: Setup, folder: RunFolder, network: nn.Module, progress: Progress) -> Compressed:
    """Compress with ADMM, or read the finished compression."""
    state = folder.state / "compressed"
    if folder.read(COMPRESSED) is None:
        with _timed(folder, "compress"):
            if setup.target is not None and setup.target.limit is None:
                compressed = floor_search.smallest(setup, folder, network, _test_accuracy(setup), progress)
            else:
                compressed = _compress_once(setup, state, network, progress)
            compressed.save(state)
        folder.write(COMPRESSED, {"stages": compressed.stages})
    return Compressed.load(state, network)


def _compress_once(setup: Setup, state: Path, network: nn.Module, progress: Progress) -> Compressed:
    with progress.task("Compressing", setup.compression_epochs) as task:
        return admm.compress(
            network,
            setup.plan,
            progress.track(setup.compression_batches(), "epoch"),
            _test_accuracy(setup),
            seed=setup.config.seed,
            checkpoint_dir=state / "checkpoint",
            on_epoch=lambda row: task.advance(row["epoch"] - task.done, f"{row['stage']}, {_epoch_text(row)}"),
        )


def _place(setup: Setup, folder: RunFolder, compressed: Compressed, progress: Progress) -> Placement:
    """Place the compressed network; placing again is exact and fast, so only the file for others is kept."""
    with _timed(folder, "place"), progress.task("Placing on crossbars", 1) as task:
        placement = mapping.place(compressed, setup.array, setup.calibration)
        placement.save(folder.path / "placement")
        task.advance(detail=f"{placement.arrays} arrays")
    return placement


def _quantised(
    setup: Setup, folder: RunFolder, compressed: Compressed, placement: Placement, progress: Progress
) -> float:
    """Accuracy of the network on its levels; weights that compression left free snap to them when they are placed."""
    if all(layer.snap_error == 0 for layer in placement.layers.values()):
        return compressed.stages["quantised"]
    with _timed(folder, "place"), progress.task("Testing the placed weights", 1) as task:
        accuracy = _test_accuracy(setup)(placement.reference())
        task.advance()
    return accuracy


def _simulate(setup: Setup, folder: RunFolder, placement: Placement, progress: Progress) -> list[dict[str, Any]]:
    """Run the test set on as many chips as asked; every finished chip is kept."""
    wanted, seed = setup.config.simulate.seeds, setup.config.seed
    done: list[dict[str, Any]] = folder.read(SEEDS) or []
    if len(done) >= wanted:
        return done
    batches = setup.batches("test")
    with _timed(folder, "simulate"), progress.task("Simulating chips", wanted, done=len(done)) as task:
        network = None
        for number in range(len(done), wanted):
            if network is None:
                network = CrossbarNetwork(placement, seed=device_seed(seed, number), conditions=setup.conditions)
            else:
                network.program(device_seed(seed, number))
            accuracy = training.accuracy(network, progress.track(batches, f"chip {number}"))
            clipping = {layer: asdict(counts) for layer, counts in network.clipping().items()}
            network.reset_clipping()
            seeds = {"chip": number, "seed": device_seed(seed, number)}
            done.append({**seeds, "accuracy": accuracy, "clipping": clipping})
            folder.write(SEEDS, done)
            task.advance(detail=f"accuracy {100 * accuracy:.2f} %")
    return done


def device_seed(seed: int, number: int) -> int:
    """Seed of a run's chip number `number`: no two runs or chips share one (64-bit, the run's seed on top)."""
    return (seed << 32) + number


def _price(
    setup: Setup, folder: RunFolder, network: nn.Module, placement: Placement, progress: Progress
) -> tuple[Placement, dict[str, Estimate]]:
    """Cost of the placed network and of the unpruned baseline on the same arrays, at the same frame rate."""
    with _timed(folder, "estimate"), progress.task("Pricing", 2) as task:
        baseline = mapping.place(network, setup.baseline, setup.calibration)
        task.advance(detail=f"baseline of {baseline.arrays} arrays")
        tiles = {"baseline": baseline.tiles, "placed": placement.tiles}
        cost = setup.pricing.both(tiles)
        task.advance()
    return baseline, cost
