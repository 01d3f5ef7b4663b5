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
from experiments.sweeping.keys import STAGES, KeyMaker, Keys, Stage
from experiments.sweeping.rows import Row, Rows
from experiments.sweeping.statistics import Rules
from experiments.sweeping.store import Store
from hwmodels import Estimate
from hwmodels import prepare as prepare_tiles
from hwmodels.costs.cost import Prepared
from hwmodels.errors import UserError
from mapping import Placement

T = TypeVar("T")

Task = Literal["dense", "compressed", "placement", "point"]
TASKS: tuple[Task, ...] = ("dense", "compressed", "placement", "point")
"""What can be asked of a worker, in the order of work; "placement" places the baseline as well."""

_NEEDED: dict[Task, tuple[Stage, ...]] = {
    "dense": ("dense",),
    "compressed": ("dense", "compressed"),
    "placement": ("dense", "compressed", "placement", "baseline"),
    "point": STAGES,
}
"""Stages that a task does or builds on."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""Errors of the disk after which going on is of no use."""


class OwnMistakeError(UserError):
    """A mistake of one point's configuration, whatever stage it came to light in; others that share the stage go on."""


@dataclass(frozen=True)
class Job:
    """One task of one configuration; keys: those that the sweep has planned with."""

    task: Task
    config: Config
    keys: Keys
    rules: Rules
    store: str

    def for_task(self, task: Task) -> Job:
        """The same for one task; what several points share is done without what only one of them is priced by.

        So a mistake there, a rate that a chip does not reach or copies of a layer that there is not, is its own.
        """
        config = self.config
        if task != TASKS[-1] and config.compress.target is None:
            config = replace(config, hardware=replace(config.hardware, frame_rate_hz=None, replicas={}))
        return replace(self, task=task, config=config)


@dataclass(frozen=True)
class Done:
    """What came of a job; kind: "ok", "own" (this point's configuration is at fault), "user" (the stage failed, for all
    that share it), "disk" or "bug"."""

    kind: Literal["ok", "own", "user", "disk", "bug"]
    message: str = ""
    trace: str = ""
    row: Row | None = None
    costs: dict[str, Any] | None = None
    seconds: float = 0.0
    host: str = ""
    worker: int = 0


def do(job: Job) -> Done:
    """Do a job; never raises, as not every exception finds its way back from a worker."""
    start = time.perf_counter()
    outcome = _caught(lambda: Done("ok", row=Work(job).do()))
    return replace(outcome, seconds=time.perf_counter() - start, host=socket.gethostname(), worker=os.getpid())


def _caught(make: Callable[[], Done]) -> Done:
    try:
        return make()
    except OwnMistakeError as error:
        return Done("own", str(error))
    except UserError as error:
        return Done("disk" if _full(error) else "user", str(error))
    except OSError as error:
        kind = "disk" if _full(error) else "bug"
        return Done(kind, f"{type(error).__name__}: {error}", traceback.format_exc())
    except Exception as error:  # noqa: BLE001  a point that fails is recorded and the sweep goes on
        return Done("bug", f"{type(error).__name__}: {error}", traceback.format_exc())


def _full(error: BaseException | None) -> bool:
    """Whether an error is one of the disk, itself or behind a sentence that was made of it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


@dataclass(frozen=True)
class Prices:
    """Configurations whose networks stand on the same arrays and that are to be priced; job: that places them."""

    job: Job
    configs: tuple[Config, ...]


def price(order: Prices) -> list[Done] | Done:
    """Price points, each like the cost stage would; placements are read, and tiles counted, once for all of them.

    One `Done` where that is not possible for any of them. Nothing goes into the store: there may be a hundred thousand
    of them, and each is done again in a millisecond. Never raises.
    """
    done: list[Done] = []
    outcome = _caught(lambda: _price_all(order, done))
    return done if outcome.kind == "ok" else replace(outcome, host=socket.gethostname(), worker=os.getpid())


def _price_all(order: Prices, done: list[Done]) -> Done:
    first, host = Work(order.job).opened(), socket.gethostname()
    for config in order.configs:
        start = time.perf_counter()
        outcome = _caught(lambda config=config: Done("ok", costs=first.costs(config)))
        done.append(replace(outcome, seconds=time.perf_counter() - start, host=host, worker=os.getpid()))
    return Done("ok")


_DATASETS: OrderedDict[str, Any] = OrderedDict()
_DATA_DIGESTS: dict[str, Any] = {}
_PLACED: OrderedDict[str, Placement] = OrderedDict()
_COUNTED: OrderedDict[str, dict[str, Prepared]] = OrderedDict()
COUNTED_MOST = 256
"""Counted tile tables that a worker keeps; they are small."""


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
        self.maker = KeyMaker(_DATA_DIGESTS)
        found = self.maker.keys(job.config)
        if any(getattr(found, stage) != getattr(job.keys, stage) for stage in _NEEDED[job.task]):
            raise OwnMistakeError(
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
        limits = f"{section.train_limit} {section.test_limit} {section.held_out}"
        named = f"{section.name} {section.dir} {limits} {self.config.seed}"
        dataset = _remembered(_DATASETS, named, lambda: load_data(self.config, SILENT), 2)
        try:
            return prepare(self.config, "sweep", SILENT, dataset)
        except UserError as error:
            raise OwnMistakeError(str(error)) from None

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
        array = self.setup.array if stage == "placement" else self.setup.baseline
        return replace(self._stored(stage), array=array, network=self.setup.network)

    def _stored(self, stage: Literal["placement", "baseline"]) -> Placement:
        """A placement as it was stored, kept by the worker."""
        key = getattr(self.keys, stage)
        return _remembered(_PLACED, key, lambda: self._loaded(stage, lambda folder, _: Placement.load(folder)), 4)

    def _price(self, _: Path) -> dict[str, Any]:
        baseline, placement = self._placement("baseline"), self._placement("placement")
        self.setup.pricing.check_layers(baseline.layers)
        cost = stages.price(self.setup, baseline, placement)
        return _cost_record(cost, baseline.arrays)

    def opened(self) -> Work:
        """The same with both placements read."""
        for stage in ("baseline", "placement"):
            self._stored(stage)
        return self

    def costs(self, config: Config) -> dict[str, Any]:
        """The cost record of another configuration on the same placements."""
        placed, unpruned = self.maker.arrays(config)
        # The converters are those of the estimate, so tiles are counted anew only where reading takes another energy.
        counted = (placed.t_read_s, placed.device.read_voltage_v, placed.adc_bits is None)
        baseline = self._stored("baseline")
        chips = _remembered(
            _COUNTED,
            repr((self.keys.placement, self.keys.baseline, counted)),
            lambda: {
                "baseline": prepare_tiles(replace(baseline, array=unpruned).tiles),
                "placed": prepare_tiles(replace(self._stored("placement"), array=placed).tiles),
            },
            COUNTED_MOST,
        )
        pricing = self.maker.pricing(config, placed)
        pricing.check_layers(baseline.layers)
        priced = {
            name: pricing.estimate(chips[name], converters=array)
            for name, array in (("baseline", unpruned), ("placed", placed))
        }
        pricing.check_rate(priced["baseline"])
        return _cost_record(pricing.at_one_rate(priced), self._record("baseline")["arrays"])

    def _point(self) -> Row:
        for stage in ("dense", "compressed", "placement", "cost"):
            self._record(stage)
        rows = Rows(self.store.read)
        before = rows.before_chips(self.keys)
        if before is None or self.job.rules.broken(before, simulated=False) is None:
            self._simulate()
        row = rows.row(self.keys, self.job.rules)
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


def _cost_record(cost: dict[str, Estimate], arrays_baseline: int) -> dict[str, Any]:
    totals = {name: {key: float(value) for key, value in item.totals.items()} for name, item in cost.items()}
    return {**totals, "arrays_baseline": arrays_baseline}
