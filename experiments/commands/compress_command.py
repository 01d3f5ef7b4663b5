"""`ohmweave compress`: prune and quantise a network until its chip meets one target, and say what that took."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments import config as configuration
from experiments.config import Config
from experiments.targeting import targets
from hwmodels.errors import UserError


@dataclass(frozen=True, kw_only=True)
class _Compress:
    """Train, compress to one target, place and price; what each layer keeps is found by the optimiser.

    Interrupted, the same command goes on where it was. `ohmweave run` on the written config.toml, in the same folder,
    goes on with simulation and report.
    """

    config: Annotated[Config, tyro.conf.arg(name="")]
    target_area: Annotated[str | None, tyro.conf.arg(name="target-area", metavar="AREA")] = None
    """Largest area of the chip: 0.05mm2."""
    target_power: Annotated[str | None, tyro.conf.arg(name="target-power", metavar="POWER")] = None
    """Largest power at the frame rate of the run: 10mW."""
    target_energy: Annotated[str | None, tyro.conf.arg(name="target-energy", metavar="ENERGY")] = None
    """Largest energy per inference: 2uJ."""
    target_arrays: Annotated[str | None, tyro.conf.arg(name="target-arrays", metavar="N")] = None
    """Most arrays."""
    target_reduction: Annotated[str | None, tyro.conf.arg(name="target-reduction", metavar="N")] = None
    """Least reduction of the weights: 10 keeps a tenth."""
    accuracy_floor: Annotated[float | None, tyro.conf.arg(name="accuracy-floor", metavar="FRACTION")] = None
    """Least accuracy on held-out training samples; without a target, the smallest budget that keeps it is searched."""
    minimise: Annotated[str | None, tyro.conf.arg(metavar="area|power|energy|arrays|reduction")] = None
    """What --accuracy-floor without a target makes small; default: area."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Output folder; default: runs/<config>-<hash of the resolved configuration>."""
    data_dir: Annotated[Path | None, tyro.conf.arg(name="data-dir", metavar="DIR")] = None
    """Folder that holds the data set (the same as --data.dir)."""
    quiet: Annotated[bool, tyro.conf.arg(aliases=["-q"]), tyro.conf.FlagCreatePairsOff] = False
    """Print the result only."""
    verbose: Annotated[bool, tyro.conf.arg(aliases=["-v"]), tyro.conf.FlagCreatePairsOff] = False
    """Say more: the resolved configuration, and the full traceback on a failure."""


def run(args: list[str]) -> int:
    """Run the command line `ohmweave compress …` and return its exit code."""
    name = args[0] if args and not args[0].startswith("-") else None
    if name is None and not {"-h", "--help"} & set(args):
        raise UserError(
            "The configuration comes first: ohmweave compress CONFIG --target-area 0.05mm2 [--key value …]. "
            f"Packaged ones: {', '.join(configuration.example_names())}."
        )
    path = configuration.find(name) if name else None
    flags = tyro.cli(
        _Compress,
        prog=f"ohmweave compress {name or 'CONFIG'}",
        args=args[1:] if name else args,
        default=_Compress(config=configuration.load(path) if path else Config()),
        use_underscores=True,
    )
    config, removed = _aimed(flags)
    if flags.data_dir is not None:
        config = replace(config, data=replace(config.data, dir=str(flags.data_dir)))
    return _compressed(
        config, removed, path.stem if path else "run", flags, shlex.join(["ohmweave", "compress", *args])
    )


def _compressed(config: Config, removed: list[str], name: str, flags: _Compress, command_line: str) -> int:
    from experiments.progress import Progress
    from experiments.run_folder import default_folder

    out = flags.out if flags.out is not None else default_folder(config, name)
    with Progress(quiet=flags.quiet) as progress:
        if flags.verbose:
            progress.note(config.toml())
        progress.note(f"Compression {name}-{config.digest()} in {out}")
        if removed:
            progress.note(f"Set aside, since the target decides it: {', '.join(removed)}")
        from experiments import pipeline

        record = pipeline.compress(config, out, name=name, command=command_line, progress=progress)
    print(answer(record))
    print(f"Compressed network, plan and histories: {out}")
    _refuse_missed(record)
    return 0


def _aimed(flags: _Compress) -> tuple[Config, list[str]]:
    """The configuration with the target of the flags, and the ratios set by hand that it sets aside."""
    section = flags.config.compress
    given = {kind: text for kind in targets.KINDS if (text := getattr(flags, f"target_{kind}")) is not None}
    if len(given) > 1:
        raise UserError(f"One target at a time: {' and '.join(f'--target-{kind}' for kind in given)} are given.")
    changes: dict[str, Any] = {}
    for kind, text in given.items():
        targets.parse(kind, text, f"--target-{kind}")
        changes = {"target": kind, "limit": text}
    if flags.accuracy_floor is not None:
        changes["accuracy_floor"] = flags.accuracy_floor
        if not given and section.target is None:
            changes["target"] = flags.minimise or "area"
    if flags.minimise is not None and (given or flags.accuracy_floor is None):
        raise UserError("--minimise says what --accuracy-floor makes small where no --target-… is given.")
    if not changes and section.target is None:
        raise UserError(
            "What to aim at? Give one of --target-area, --target-power, --target-energy, --target-arrays, "
            "--target-reduction, or an --accuracy-floor, or the keys compress.target and compress.limit."
        )
    removed = [f"compress.prune.{name}.{kind}" for name, each in section.prune.items() for kind in _counts(each)]
    removed += [f"compress.budget.{name}" for name in section.budget]
    prune = {name: replace(each, **dict.fromkeys(_counts(each))) for name, each in section.prune.items()}  # type: ignore[type-var]
    kept = {name: each for name, each in prune.items() if each != configuration.Prune()}
    return replace(flags.config, compress=replace(section, **changes, prune=kept, budget={})), removed  # type: ignore[type-var]


def _counts(choice: configuration.Prune) -> list[str]:
    """The keys of a pruning pattern that set by hand how much stays."""
    return [kind for kind in configuration.COUNTED_KEYS if getattr(choice, kind) is not None]


def answer(record: dict[str, Any]) -> str:
    """What a compression reached, as lines for a terminal."""
    from experiments.catalogue import as_table

    accuracy, weights, target = record["accuracy"], record["weights"], record["target"]
    placed, baseline = record["cost"]["placed"], record["cost"]["baseline"]
    held_out = "" if record["held_out"] is None else f", {100 * record['held_out']:.2f} % of the held-out samples"
    unit = {"area": " mm2", "power": " mW", "energy": " nJ", "arrays": " arrays", "reduction": " weights"}[
        target["kind"]
    ]
    lines = [
        f"Accuracy {100 * accuracy['dense']:.2f} % dense, {100 * accuracy['quantised']:.2f} % compressed{held_out}; "
        f"{weights['kept']} of {weights['total']} weights stay.",
        f"Budget of {target['kind']}: {target['limit']:.5g}{unit}; chosen options {target['options']:.5g}, placed "
        f"{target['placed']:.5g} (unpruned {target['unpruned']:.5g}, smallest possible {target['smallest']:.5g}).",
        f"The last projection keeps {100 * (1 - target['gap']):.4g} % of its Lagrangian bound for these options.",
        "",
        as_table(
            ("layer", "rows", "columns", f"cost [{unit.strip()}]"),
            [(r["layer"], str(r["rows"]), str(r["cols"]), f"{r['cost']:.4g}") for r in target["layers"]],
        ),
        "",
        as_table(
            ("total", "unpruned baseline", "compressed"),
            [(key, f"{baseline[key]:.5g}", f"{placed[key]:.5g}") for key in placed],
        ),
    ]
    if record["tries"]:
        lines += ["", f"Searched with {len(record['tries'])} compressions of together "
                  f"{sum(row['epochs'] for row in record['tries'])} epochs."]  # fmt: skip
    return "\n".join(lines)


def _refuse_missed(record: dict[str, Any]) -> None:
    """A target or a floor that was missed is no success."""
    floor, target = record["config"]["compress"].get("accuracy_floor"), record["target"]
    if floor is not None and record["held_out"] < floor:
        raise UserError(
            f"The accuracy floor of {floor:g} is missed: {record['held_out']:.4f} of the held-out samples at this "
            "target. Raise the target, lower the floor, or leave the target out to find the smallest that keeps it."
        )
    if not target["met"]:
        raise UserError(
            f"The target is missed: the placement takes {target['placed']:g}, the budget is {target['limit']:g}. "
            "Inputs may have gained a sign in training; ask for less."
        )
