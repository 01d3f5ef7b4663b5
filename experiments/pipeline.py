"""The main job: train, compress, place, simulate, price, report; each stage finished once and kept.

Every stage writes what it made into the run's folder and reads it from there when it is already done, so an
interrupted run goes on where it was and a finished one is only read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from torch import nn

from admm import Compressed
from experiments import record, stages, waterfall
from experiments.config import Config
from experiments.outcome import Outcome
from experiments.progress import Progress
from experiments.reporting import report
from experiments.run_folder import RESULT, RunFolder
from experiments.setup import Setup, inputs, prepare
from experiments.stages import Dense
from experiments.targeting import budget_record, floor_search
from hwmodels import Estimate
from hwmodels.errors import UserError
from mapping import Placement

SECONDS, SEEDS, WATERFALL = "state/seconds.json", "state/seeds.json", "state/waterfall.json"
DENSE, COMPRESSED = "state/dense/done.json", "state/compressed/done.json"
TRIED = f"state/compressed/{floor_search.TRIED}"


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
        accuracy = {"dense": dense.accuracy, "pruned": compressed.stages["pruned"], "quantised": quantised}
        lost = _waterfall(setup, folder, placement, dense.network, accuracy, seeds, progress)
        baseline, cost = _price(setup, folder, dense.network, placement, progress)
        outcome = Outcome(
            accuracy=accuracy,
            training=dense.history,
            compressed=compressed,
            placement=placement,
            seeds=seeds,
            waterfall=lost,
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
        made = budget_record.build(setup, compressed, cost, command, dense.accuracy, folder.read(TRIED))
        budget_record.write(made, compressed, setup.plan, out)
    return made


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


def _dense(setup: Setup, folder: RunFolder, progress: Progress) -> Dense:
    """Train the dense network (or take its weights as they are)."""
    state = folder.state / "dense"
    done = folder.read(DENSE)
    if done is None:
        with _timed(folder, "train"):
            done = stages.train_dense(setup, state, progress)
        folder.write(DENSE, done)
    return stages.read_dense(setup, state, done)


def _compress(setup: Setup, folder: RunFolder, network: nn.Module, progress: Progress) -> Compressed:
    """Compress with ADMM, or read the finished compression."""
    state = folder.state / "compressed"
    if folder.read(COMPRESSED) is None:
        with _timed(folder, "compress"):
            compressed = stages.compress(setup, network, state, progress)
        folder.write(COMPRESSED, {"stages": compressed.stages})
    return Compressed.load(state, network)


def _place(setup: Setup, folder: RunFolder, compressed: Compressed, progress: Progress) -> Placement:
    """Place the compressed network; placing again is exact and fast, so only the file for others is kept."""
    with _timed(folder, "place"), progress.task("Placing on crossbars", 1) as task:
        placement = stages.place(setup, compressed)
        placement.save(folder.path / "placement")
        task.advance(detail=f"{placement.arrays} arrays")
    return placement


def _quantised(
    setup: Setup, folder: RunFolder, compressed: Compressed, placement: Placement, progress: Progress
) -> float:
    """Accuracy of the network on its levels; weights that compression left free snap to them when they are placed."""
    if not stages.snaps(placement):
        return compressed.stages["quantised"]
    with _timed(folder, "place"), progress.task("Testing the placed weights", 1) as task:
        accuracy = stages.test_accuracy(setup)(placement.reference())
        task.advance()
    return accuracy


def _simulate(setup: Setup, folder: RunFolder, placement: Placement, progress: Progress) -> list[dict[str, Any]]:
    """Run the test set on as many chips as asked; every finished chip is kept."""
    wanted = setup.config.simulate.seeds
    done: list[dict[str, Any]] = folder.read(SEEDS) or []
    if len(done) >= wanted:
        return done
    with _timed(folder, "simulate"), progress.task("Simulating chips", wanted, done=len(done)) as task:
        for chip in islice(stages.simulate_chips(setup, placement, len(done), progress), wanted - len(done)):
            done.append(chip)
            folder.write(SEEDS, done)
            task.advance(detail=f"accuracy {100 * chip['accuracy']:.2f} %")
    return done


def _waterfall(
    setup: Setup,
    folder: RunFolder,
    placement: Placement,
    dense: nn.Module,
    accuracy: dict[str, float],
    seeds: list[dict[str, Any]],
    progress: Progress,
) -> dict[str, Any] | None:
    """Where accuracy is lost, as the record has it; None where it was not asked for. Every finished chip is kept."""
    section = setup.config.report
    if not section.waterfall:
        return None
    chips = min(section.waterfall_chips or len(seeds), len(seeds))
    few = setup.with_test_samples(section.waterfall_samples)
    before = list(accuracy.items())
    own = waterfall.errors_of((placement.array, setup.conditions))
    needed = {
        case: waterfall.chips_needed((placement.array, setup.conditions), case, chips) for case in waterfall.cases(own)
    }
    found: dict[str, list[float]] = folder.read(WATERFALL) or {}
    with _timed(folder, "waterfall"), progress.task("Where accuracy is lost", sum(needed.values())) as task:
        if few is not setup:
            # The pruned network before its levels is not kept, so it has no place here.
            test = stages.test_accuracy(few)
            before = [("dense", test(dense)), ("quantised", test(placement.reference()))]
        else:
            found[waterfall.name_of(own)] = [row["accuracy"] for row in seeds[:chips]]
        for case, wanted in needed.items():
            done = found.setdefault(waterfall.name_of(case), [])
            if len(done) < wanted:
                chips_of_case = stages.simulate_reduced(few, placement, case, len(done), progress)
                for chip in islice(chips_of_case, wanted - len(done)):
                    done.append(chip["accuracy"])
                    folder.write(WATERFALL, found)
            task.advance(wanted, detail=waterfall.name_of(case))
    return waterfall.record(before, own, found, len(few.dataset.test[1]))


def _price(
    setup: Setup, folder: RunFolder, network: nn.Module, placement: Placement, progress: Progress
) -> tuple[Placement, dict[str, Estimate]]:
    """Cost of the placed network and of the unpruned baseline on the same arrays, at the same frame rate."""
    with _timed(folder, "estimate"), progress.task("Pricing", 2) as task:
        baseline = stages.place_baseline(setup, network)
        task.advance(detail=f"baseline of {baseline.arrays} arrays")
        cost = stages.price(setup, baseline, placement)
        task.advance()
    return baseline, cost
