"""What a worker does: one stage of one configuration, with all that it needs, from the store or into it."""

from __future__ import annotations

import errno
import os
import socket
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from safetensors import SafetensorError

from admm import Compressed
from experiments import stages
from experiments.config import Config
from experiments.progress import SILENT
from experiments.setup import Setup, load_data, prepare
from experiments.stages import Dense
from experiments.sweeping.keys import KeyMaker, Keys, Stage
from experiments.sweeping.rows import Row, assemble, feasible_so_far
from experiments.sweeping.statistics import Rules
from experiments.sweeping.store import Store
from hwmodels.errors import UserError
from mapping import Placement

T = TypeVar("T")

Task = Literal["dense", "compressed", "placement", "point"]
TASKS: tuple[Task, ...] = ("dense", "compressed", "placement", "point")
"""What can be asked of a worker, in the order of work; "placement" places the baseline as well."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""Errors of the disk after which going on is of no use."""


@dataclass(frozen=True)
class Job:
    """One task of one configuration; keys: those that the sweep has planned with."""

    task: Task
    config: Config
    keys: Keys
    rules: Rules
    store: str


@dataclass(frozen=True)
class Done:
    """What came of a job; kind: "ok", "user" (the configuration's own fault), "disk" or "bug"."""

    kind: Literal["ok", "user", "disk", "bug"]
    message: str = ""
    trace: str = ""
    row: Row | None = None
    seconds: float = 0.0
    host: str = ""
    worker: int = 0


def do(job: Job) -> Done:
    """Do a job; never raises, as not every exception finds its way back from a worker."""
    start = time.perf_counter()
    outcome = _attempt(job)
    return replace(outcome, seconds=time.perf_counter() - start, host=socket.gethostname(), worker=os.getpid())


def _attempt(job: Job) -> Done:
    try:
        return Done("ok", row=Work(job).do())
    except UserError as error:
        return Done("user", str(error))
    except OSError as error:
        kind = "disk" if error.errno in FULL else "bug"
        return Done(kind, f"{type(error).__name__}: {error}", traceback.format_exc())
    except Exception as error:  # noqa: BLE001  a point that fails is recorded and the sweep goes on
        return Done("bug", f"{type(error).__name__}: {error}", traceback.format_exc())


_DATASETS: OrderedDict[str, Any] = OrderedDict()
_DATA_DIGESTS: dict[str, Any] = {}
_PLACED: OrderedDict[str, Placement] = OrderedDict()


def _remembered(kept: OrderedDict[str, T], key: str, make: Callable[[], T], most: int) -> T:
    """A value that the worker keeps for its next jobs, `most` of them."""
    if key not in kept:
        kept[key] = make()
        while len(kept) > most:
            kept.popitem(last=False)
    kept.move_to_end(key)
    return kept[key]


class Work:
    """The stages of one configuration on one store."""

    def __init__(self, job: Job) -> None:
        """Take a job; raises UserError where a file has changed since the sweep planned with it."""
        self.job, self.config, self.keys = job, job.config, job.keys
        self.store = Store(Path(job.store))
        if KeyMaker(_DATA_DIGESTS).keys(job.config) != job.keys:
            raise UserError(
                "A file that the configuration names (weights, network, device, library) is not what it was when the "
                "sweep started, or this worker runs another version of the program."
            )

    def do(self) -> Row | None:
        """Do the job's task; the row of results where it is the point itself."""
        if self.job.task == "dense":
            self._record("dense")
        elif self.job.task == "compressed":
            self._record("compressed")
        elif self.job.task == "placement":
            self._record("placement")
            self._record("baseline")
        else:
            return self._point()
        return None

    @cached_property
    def setup(self) -> Setup:
        """Everything that the configuration names; the data set stays with the worker."""
        section = self.config.data
        named = f"{section.name} {section.dir} {section.train_limit} {section.test_limit} {self.config.seed}"
        dataset = _remembered(_DATASETS, named, lambda: load_data(self.config, SILENT), 2)
        return prepare(self.config, "sweep", SILENT, dataset)

    def _record(self, stage: Stage) -> dict[str, Any]:
        makers: dict[str, Callable[[Path], dict[str, Any]]] = {
            "dense": lambda folder: stages.train_dense(self.setup, folder, SILENT),
            "compressed": self._compress,
            "placement": self._place,
            "baseline": self._place_baseline,
            "cost": self._price,
        }
        record, made = self.store.ensure(stage, getattr(self.keys, stage), makers[stage])
        if not made:
            self.store.touch(stage, getattr(self.keys, stage))
        return record

    def _loaded(self, stage: Stage, load: Callable[[Path, dict[str, Any]], T]) -> T:
        """A stage's files, read; where they turn out to be damaged or gone the stage is done again, once."""
        key = getattr(self.keys, stage)
        try:
            return load(self.store.folder(stage, key), self._record(stage))
        except (UserError, FileNotFoundError, SafetensorError):
            with self.store.lock(stage, key):
                self.store.discard(stage, key)
            return load(self.store.folder(stage, key), self._record(stage))

    @cached_property
    def _dense(self) -> Dense:
        return self._loaded("dense", lambda folder, done: stages.read_dense(self.setup, folder, done))

    def _compress(self, folder: Path) -> dict[str, Any]:
        return {"stages": stages.compress(self.setup, self._dense.network, folder, SILENT).stages}

    def _place(self, folder: Path) -> dict[str, Any]:
        network = self._dense.network
        compressed = self._loaded("compressed", lambda where, _: Compressed.load(where, network))
        placement = stages.place(self.setup, compressed)
        placement.save(folder)
        quantised = stages.test_accuracy(self.setup)(placement.reference()) if stages.snaps(placement) else None
        table = placement.layer_table
        return {
            "quantised": quantised,
            "weights": sum(table["weights"].tolist()),
            "weights_kept": sum(table["kept"].tolist()),
            "arrays": placement.arrays,
            "macs_on_arrays": placement.macs_on_arrays,
        }

    def _place_baseline(self, folder: Path) -> dict[str, Any]:
        placement = stages.place_baseline(self.setup, self._dense.network)
        placement.save(folder)
        return {"arrays": placement.arrays}

    def _placement(self, stage: Literal["placement", "baseline"]) -> Placement:
        """A placement with this configuration's own arrays: converters and read time may differ from those it met."""
        stored = _remembered(
            _PLACED,
            getattr(self.keys, stage),
            lambda: self._loaded(stage, lambda folder, _: Placement.load(folder)),
            4,
        )
        array = self.setup.array if stage == "placement" else self.setup.baseline
        return replace(stored, array=array, network=self.setup.network)

    def _price(self, _: Path) -> dict[str, Any]:
        baseline, placement = self._placement("baseline"), self._placement("placement")
        self.setup.pricing.check_layers(baseline.layers)
        cost = stages.price(self.setup, baseline, placement)
        totals = {name: {k: float(v) for k, v in item.totals.items()} for name, item in cost.items()}
        return {**totals, "arrays_baseline": baseline.arrays}

    def _point(self) -> Row:
        for stage in ("dense", "compressed", "placement", "cost"):
            self._record(stage)
        if feasible_so_far(self.store, self.keys, self.job.rules):
            self._simulate()
        row = assemble(self.store, self.keys, self.job.rules)
        assert row is not None, "a stage vanished from the store while its point was computed"
        return row

    def _simulate(self) -> None:
        """Run chips until there are enough; every finished chip is kept."""
        key, rules = self.keys.chips, self.job.rules
        with self.store.lock("chips", key):
            done: list[dict[str, Any]] = (self.store.read("chips", key) or {}).get("chips", [])
            if rules.enough([chip["accuracy"] for chip in done]) is not None:
                return
            for chip in stages.simulate_chips(self.setup, self._placement("placement"), len(done), SILENT):
                counts = chip.pop("clipping").values()
                for kind in ("adc_clipped", "adc_samples", "input_clipped", "input_samples"):
                    chip[kind] = sum(count[kind] for count in counts)
                done.append(chip)
                self.store.write("chips", key, {"chips": done})
                if rules.enough([item["accuracy"] for item in done]) is not None:
                    return
