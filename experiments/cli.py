"""The command `ohmweave`: what each subcommand takes, what it prints, and how it fails.

Results go to standard output, progress and messages to standard error. Exit codes: 0 done, 1 a failure of ours,
2 the user's mistake (one message, nothing half-written), 130 interrupted (the same command goes on).
Heavy packages load inside the commands, so that help and lists answer at once.
"""

from __future__ import annotations

import shlex
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments import config as configuration
from experiments.allocator import keep_freed_memory
from experiments.config import Config
from hwmodels.errors import UserError, suggestion

USAGE = """\
usage: ohmweave COMMAND …

Memristor crossbar co-design: compress a network with ADMM, place it on crossbars, run it there, price it.

  run CONFIG [--out DIR] [--data-dir DIR] [--seed N] [--section.key VALUE …]
                        train, compress, place, simulate, price and report; interrupted, it goes on where it was
  compress CONFIG --target-area 0.05mm2 | --target-power 10mW | --target-energy 2uJ | --target-arrays 40
                  | --target-reduction 10 | --accuracy-floor 0.98
                        the first half of run: compress until the chip meets one target, without ratios set by hand
  sweep CONFIG --out DIR [--workers N | --scheduler ADDRESS] [--store DIR] [--retry-failed]
                        the same for every point of the file's [sweep], its work shared; interrupted, it goes on
  store DIR [--trim]    what a sweep's store holds; remove what is unfinished, old or too much
  report DIR [DIR …]    the page of a finished run, of a sweep, or of several runs beside each other [--out DIR]
  explain DIR [KEY]     how a number of a run came about, down to counts × printed values × sources (--json)
  compare A B …         runs, SWEEP:POINT, configurations and published tables on the same axes, differences first
                        [--out FILE.html] [--csv FILE.csv]
  serve DIR [--port N]  the folder's runs and sweeps in the browser, as they go on; read-only, on this machine alone
  doctor [--json]       check this installation with cases whose answers are known, within a minute
  estimate PLACEMENT    price a placement or a tile table: [--hardware.library NAME] [--out DIR] and more (--help)
  netlist PLACEMENT --layer NAME --array N
                        one array as a SPICE netlist [--figure FILE] [--check]; without flags: the list
  diff A B              what differs between two placements, layer by layer [--out FILE]
  export PLACEMENT --out DIR
                        target conductances of every array as CSV [--figures: pictures of the chip, too]
  devices [NAME]        the device presets, or one with the source of every number [--figure FILE]
  devices fit DATA --out DEVICE.toml
                        a device file from measured states or readings, with a picture of the fit
  libraries [NAME]      the component libraries, or one with the source of every number

CONFIG is a TOML file or a packaged example: {examples}.
`ohmweave run CONFIG --help` lists every key; each is also a flag laid over the file (--crossbar.rows 64).
Common flags: -q, --quiet (results only), -v, --verbose (say more; full traceback on a failure), --version.
"""


@dataclass(frozen=True, kw_only=True)
class _Run:
    """Train, compress, place, simulate, price and report.

    Interrupted, the same command goes on where it was; finished, it prints the result again.
    """

    config: Annotated[Config, tyro.conf.arg(name="")]
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Output folder; default: runs/<config>-<hash of the resolved configuration>."""
    data_dir: Annotated[Path | None, tyro.conf.arg(name="data-dir", metavar="DIR")] = None
    """Folder that holds the data set (the same as --data.dir)."""
    quiet: Annotated[bool, tyro.conf.arg(aliases=["-q"]), tyro.conf.FlagCreatePairsOff] = False
    """Print the result only."""
    verbose: Annotated[bool, tyro.conf.arg(aliases=["-v"]), tyro.conf.FlagCreatePairsOff] = False
    """Say more: the resolved configuration, and the full traceback on a failure."""


def main() -> None:
    """Entry point of the command `ohmweave`."""
    keep_freed_memory()
    sys.exit(command(sys.argv[1:]))


def command(args: list[str]) -> int:
    """Run one command line and return its exit code."""
    verbose = "-v" in args or "--verbose" in args
    try:
        return _dispatch(args)
    except UserError as error:
        print(f"ohmweave: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ohmweave: interrupted; the same command goes on from here.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except SystemExit as stop:  # tyro's own: 0 after help, 2 after a mistake
        return int(stop.code or 0)
    except Exception as error:  # noqa: BLE001  the last line of defence: say what failed, keep what is finished
        if verbose:
            traceback.print_exc()
        print(
            f"ohmweave: failed: {type(error).__name__}: {error}"
            + ("" if verbose else " (run again with --verbose for the traceback)"),
            file=sys.stderr,
        )
        return 1


def _dispatch(args: list[str]) -> int:
    commands: dict[str, Callable[[list[str]], int]] = {
        "run": _run,
        "compress": _compress,
        "sweep": _sweep,
        "store": _store,
        "serve": _serve,
        "doctor": _doctor,
        "report": _report,
        "explain": _explain,
        "compare": _compare_results,
        "estimate": _estimate,
        "netlist": _netlist,
        "diff": _diff,
        "export": _export,
        "devices": _devices,
        "libraries": _libraries,
    }
    if not args or args[0] in ("-h", "--help", "help"):
        print(USAGE.format(examples=", ".join(configuration.example_names())), end="")
        return 0 if args else 2
    if args[0] == "--version":
        from importlib.metadata import version

        print(f"ohmweave {version('ohmweave')}")
        return 0
    if args[0] not in commands:
        raise UserError(f"Unknown command {args[0]!r}. {suggestion(args[0], commands)} `ohmweave --help` lists them.")
    return commands[args[0]](args[1:])


def _run(args: list[str]) -> int:
    name = args[0] if args and not args[0].startswith("-") else None
    if name is None and not {"-h", "--help"} & set(args):
        raise UserError(
            "The configuration comes first: ohmweave run CONFIG [--key value …]. "
            f"Packaged ones: {', '.join(configuration.example_names())}."
        )
    path = configuration.find(name) if name else None
    loaded = configuration.load(path) if path else Config()
    flags = tyro.cli(
        _Run,
        prog=f"ohmweave run {name or 'CONFIG'}",
        args=args[1:] if name else args,
        default=_Run(config=configuration.with_flagged_patterns(loaded, args)),
        use_underscores=True,
    )
    config = flags.config
    if flags.data_dir is not None:
        config = replace(config, data=replace(config.data, dir=str(flags.data_dir)))
    return _run_config(config, path.stem if path else "run", flags, shlex.join(["ohmweave", "run", *args]))


def _compress(args: list[str]) -> int:
    from experiments.commands import compress_command

    return compress_command.run(args)


def _run_config(config: Config, name: str, flags: _Run, command_line: str) -> int:
    from experiments.progress import Progress
    from experiments.run_folder import default_folder

    out = flags.out if flags.out is not None else default_folder(config, name)
    with Progress(quiet=flags.quiet) as progress:
        if flags.verbose:
            progress.note(config.toml())
        progress.note(f"Run {name}-{config.digest()} in {out}")
        from experiments import pipeline

        result = pipeline.run(config, out, name=name, command=command_line, progress=progress)
    _print_answer(result, out)
    return 0


def _print_answer(result: dict[str, Any], out: Path) -> None:
    from experiments.reporting.page import answer

    print(answer(result))
    print(f"Report: {out / 'report.html'}")


def _report(args: list[str]) -> int:
    from experiments.commands import report_command

    return report_command.run(args)


def _sweep(args: list[str]) -> int:
    from experiments.commands import sweep_command

    return sweep_command.sweep(args)


def _store(args: list[str]) -> int:
    from experiments.commands import sweep_command

    return sweep_command.store(args)


def _explain(args: list[str]) -> int:
    from experiments.commands import explain_command

    return explain_command.run(args)


def _compare_results(args: list[str]) -> int:
    from experiments.commands import compare_command

    return compare_command.run(args)


def _serve(args: list[str]) -> int:
    from experiments.commands import serve_command

    return serve_command.run(args)


def _doctor(args: list[str]) -> int:
    from experiments.commands import doctor_command

    return doctor_command.run(args)


def _estimate(args: list[str]) -> int:
    from experiments.commands import estimate_command

    return estimate_command.run(args)


def _diff(args: list[str]) -> int:
    from experiments.commands import placement_command

    return placement_command.diff(args)


def _export(args: list[str]) -> int:
    from experiments.commands import placement_command

    return placement_command.export(args)


def _netlist(args: list[str]) -> int:
    from experiments.commands import netlist_command

    return netlist_command.run(args)


def _devices(args: list[str]) -> int:
    from experiments.commands import device_command

    return device_command.run(args)


def _libraries(args: list[str]) -> int:
    from experiments import catalogue

    name = _one_name(args, "libraries [NAME]", "a component library, or the path of a library file")
    print(catalogue.libraries() if name is None else catalogue.library(name))
    return 0


def _one_name(args: list[str], usage: str, meaning: str) -> str | None:
    """The one optional name that a small command takes; anything else is a mistake."""
    if {"-h", "--help"} & set(args):
        print(f"usage: ohmweave {usage}\n\n  {usage.split()[1].strip('[]')}: {meaning}")
        raise SystemExit(0)
    names = [arg for arg in args if arg not in ("-q", "--quiet", "-v", "--verbose")]
    if len(names) > 1 or any(name.startswith("-") for name in names):
        raise UserError(f"ohmweave {usage} takes no {names[-1]!r}.")
    return names[0] if names else None


if __name__ == "__main__":
    main()
