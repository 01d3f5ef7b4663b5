"""The main job: train, compress, place, simulate, price, report; each stage finished once and kept.

Every stage writes what it made into the run's folder and reads it from there when it is already done, so an
interrupted run goes on where it was and a finished one is only read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors.torch
from torch import nn

import admm
import hwmodels
import mapping
from experiments import record, report, training
from experiments.config import Config
from experiments.progress import Progress
from experiments.record import Outcome
from experiments.run_folder import RESULT, RunFolder, write_json
from experiments.setup import Setup, prepare
from mapping import CrossbarNetwork


def run(config: Config, out: Path, *, name: str, command: str, progress: Progress) -> dict[str, Any]:
    """Do the whole job in a folder and return the record that `result.json` holds.

    The same configuration goes on where an earlier run stopped, or reads the finished result. Raises UserError for
    a user's mistake (before anything is written, where it can be known before).
    """
    finished = _finished(config, out, name)
    if finished is not None:
        progress.note(f"This run is finished; reading {out / RESULT}.")
        return finished
    setup = prepare(config, name, progress)
    with RunFolder(out, config, name) as folder:
        outcome = Outcome()
        network = _dense(setup, folder, outcome, progress)
        _compress(setup, folder, outcome, network, progress)
        _place(setup, folder, outcome, progress)
        _simulate(setup, folder, outcome, progress)
        _price(setup, folder, outcome, network, progress)
        made, tables = record.build(setup, outcome, command)
        with _timed(folder, "report", outcome):
            report.write(made, tables, out, formats=config.report.figures)
        folder.write(RESULT, made)
    return made


def _finished(config: Config, out: Path, name: str) -> dict[str, Any] | None:
    """The record of a finished run of this very configuration; any other content is refused."""
    if not (out / RESULT).exists():
        return None
    with RunFolder(out, config, name):
        return report.load(out)


@contextmanager
def _timed(folder: RunFolder, stage: str, outcome: Outcome) -> Iterator[None]:
    """Add the seconds of a stage to what earlier, interrupted runs have spent on it."""
    spent = folder.read("state/seconds.json") or {}
    start = time.perf_counter()
    try:
        yield
    finally:
        spent[stage] = spent.get(stage, 0.0) + time.perf_counter() - start
        write_json(folder.state / "seconds.json", spent)
        outcome.seconds = spent


def _test_accuracy(setup: Setup) -> Callable[[nn.Module], float]:
    batches = setup.batches("test")
    return lambda model: training.accuracy(model, batches)


def _dense(setup: Setup, folder: RunFolder, outcome: Outcome, progress: Progress) -> nn.Module:
    """Train the dense network (or take its weights as they are)."""
    network, section, state = setup.network, setup.config.train, folder.state / "dense"
    done = folder.read("state/dense/done.json")
    if done is None:
        with _timed(folder, "train", outcome), progress.task("Training", section.epochs) as task:
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
            state.mkdir(parents=True, exist_ok=True)
            safetensors.torch.save_file(network.state_dict(), state / "weights.safetensors")
            accuracy = _test_accuracy(setup)(network)
            write_json(state / "done.json", {"accuracy": accuracy, "history": history.to_dict("records")})
        done = folder.read("state/dense/done.json")
    network.load_state_dict(safetensors.torch.load_file(state / "weights.safetensors"))
    outcome.accuracy["dense"] = done["accuracy"]
    outcome.training = pd.DataFrame(done["history"])
    return network


def _epoch_text(row: dict[str, Any]) -> str:
    parts = [f"loss {row['loss']:.4f}"]
    if row.get("accuracy") is not None:
        parts.append(f"accuracy {100 * row['accuracy']:.2f} %")
    return ", ".join(parts)


def _compress(setup: Setup, folder: RunFolder, outcome: Outcome, network: nn.Module, progress: Progress) -> None:
    """Compress with ADMM, or read the finished compression."""
    state = folder.state / "compressed"
    if not (state / "done.json").exists():
        with _timed(folder, "compress", outcome), progress.task("Compressing", setup.compression_epochs) as task:
            compressed = admm.compress(
                network,
                setup.plan,
                progress.track(setup.compression_batches(), "epoch"),
                _test_accuracy(setup),
                seed=setup.config.seed,
                checkpoint_dir=state / "checkpoint",
                on_epoch=lambda row: task.advance(row["epoch"] - task.done, f"{row['stage']}, {_epoch_text(row)}"),
            )
            compressed.save(state)
            write_json(state / "done.json", {"stages": compressed.stages})
    outcome.compressed = admm.Compressed.load(state, network)
    outcome.accuracy |= outcome.compressed.stages


def _place(setup: Setup, folder: RunFolder, outcome: Outcome, progress: Progress) -> None:
    """Place the compressed network; placing again is exact and fast, so only the file for others is written."""
    with _timed(folder, "place", outcome), progress.task("Placing on crossbars", 1) as task:
        placement = mapping.place(outcome.compressed, setup.array, setup.calibration)
        placement.save(folder.path / "placement")
        outcome.placement = placement
        task.advance(detail=f"{placement.arrays} arrays")


def _simulate(setup: Setup, folder: RunFolder, outcome: Outcome, progress: Progress) -> None:
    """Run the test set on as many chips as asked; every finished chip is kept."""
    wanted = setup.config.simulate.seeds
    done: list[dict[str, Any]] = folder.read("state/seeds.json") or []
    if len(done) < wanted:
        batches = setup.batches("test")
        with _timed(folder, "simulate", outcome), progress.task("Simulating chips", wanted, done=len(done)) as task:
            network = CrossbarNetwork(outcome.placement, seed=device_seed(setup.config.seed, len(done)))
            for number in range(len(done), wanted):
                if number > len(done) or network.seed != device_seed(setup.config.seed, number):
                    network.program(device_seed(setup.config.seed, number))
                before = {key: vars(clipping).copy() for key, clipping in network.clipping().items()}
                accuracy = training.accuracy(network, progress.track(batches, f"chip {number}"))
                clipped = {
                    key: {item: value - before[key][item] for item, value in vars(clipping).items()}
                    for key, clipping in network.clipping().items()
                }
                done.append({"seed": number, "accuracy": accuracy, "clipping": clipped})
                write_json(folder.state / "seeds.json", done)
                task.advance(detail=f"accuracy {100 * accuracy:.2f} %")
    outcome.seeds = done


def device_seed(seed: int, number: int) -> int:
    """Seed of a run's chip number `number`: no two runs or chips share one (64-bit, the run's seed on top)."""
    return (seed << 32) + number


def _price(setup: Setup, folder: RunFolder, outcome: Outcome, network: nn.Module, progress: Progress) -> None:
    """Cost of the placed network and of the unpruned baseline on the same arrays, at the same frame rate."""
    with _timed(folder, "estimate", outcome), progress.task("Pricing", 2) as task:
        outcome.baseline = mapping.place(network, setup.baseline, setup.calibration)
        alone = hwmodels.estimate(outcome.baseline.tiles, setup.library)
        task.advance(detail=f"baseline of {outcome.baseline.arrays} arrays")
        placed = hwmodels.estimate(outcome.placement.tiles, setup.library)
        # The placed network never needs longer per input than the baseline, unless its inputs gained a sign.
        rate = min(alone.totals["full_rate_hz"], placed.totals["full_rate_hz"])
        outcome.cost = {
            "baseline": hwmodels.estimate(outcome.baseline.tiles, setup.library, frame_rate_hz=rate),
            "placed": hwmodels.estimate(outcome.placement.tiles, setup.library, frame_rate_hz=rate),
        }
        task.advance()
