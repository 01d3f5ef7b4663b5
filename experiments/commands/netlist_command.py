"""`ohmweave netlist`: one array of a placement as a SPICE netlist, its picture, and the comparison with ngspice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro

from hwmodels.errors import UserError, unknown

if TYPE_CHECKING:
    from hwmodels import Device
    from hwmodels.devices.effects import Conduction
    from mapping import Placement
    from mapping.pieces import Piece


@dataclass(frozen=True, kw_only=True)
class _Netlist:
    """Write one array of a placement as a SPICE netlist: its cells, its wires, its drivers.

    Without --layer and --array it lists the arrays.
    """

    placement: Annotated[Path, tyro.conf.Positional]
    """A run folder or a placement folder."""
    layer: str | None = None
    """Layer whose array is wanted."""
    array: int | None = None
    """Number of the array: of the placement, or with --layer counted within the layer from 0."""
    part: int = 0
    """Which part of an array that is read in several (fragments of one sign); the others' rows are not driven."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The netlist; default: LAYER-array-N.cir in the current folder."""
    seed: int | None = None
    """Device seed of the chip; default: the target conductances, without device error."""
    volts: Annotated[str | None, tyro.conf.arg(metavar="V|FILE")] = None
    """One voltage for every driven word line [V], or a CSV file with a line of voltages per input; default: the
    device's read voltage."""
    nonlinear: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Cells with the I–V of their device, verified at its read voltage; without it linear, as networks take them."""
    figure: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw voltages, cell currents and what the wires take (.svg, .png or .pdf)."""
    check: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Run the netlist through ngspice and compare its currents with ours."""
    quiet: Annotated[bool, tyro.conf.arg(aliases=["-q"]), tyro.conf.FlagCreatePairsOff] = False
    """Print the path only."""
    verbose: Annotated[bool, tyro.conf.arg(aliases=["-v"]), tyro.conf.FlagCreatePairsOff] = False
    """Print the full traceback on a failure."""


def run(args: list[str]) -> int:
    """Run the command line `ohmweave netlist …` and return its exit code."""
    if not args:
        raise UserError(
            "Which placement? ohmweave netlist PLACEMENT --layer NAME --array N, a run folder or a placement folder."
        )
    flags = tyro.cli(_Netlist, prog="ohmweave netlist", args=args, use_underscores=True)
    from mapping import Placement

    inner = flags.placement / "placement"
    placement = Placement.load(inner if inner.is_dir() else flags.placement)
    if flags.layer is None and flags.array is None:
        print(_listing(placement))
        return 0
    _export(placement, _pieces(placement, flags.layer, flags.array), flags)
    return 0


def _by_array(placement: Placement) -> dict[int, list[Piece]]:
    """The pieces on every array, of whichever layers."""
    found: dict[int, list[Piece]] = {}
    for piece in placement.pieces():
        found.setdefault(piece.array, []).append(piece)
    return found


def _listing(placement: Placement) -> str:
    """The arrays of a placement as a table."""
    from experiments.catalogue import as_table

    rows = []
    for number, parts in sorted(_by_array(placement).items()):
        high, wide = parts[0].contents.target.shape
        signs = " ".join(sorted({"+" if part.sign > 0 else "−" for part in parts}))
        slices = " ".join(sorted({str(part.slice) for part in parts}))
        layers = " ".join(dict.fromkeys(part.layer.label for part in parts))
        rows.append((str(number), layers, signs, slices, str(high), str(wide)))
    return as_table(("array", "layer", "sign", "slice", "rows", "cols"), rows)


def _pieces(placement: Placement, layer: str | None, array: int | None) -> list[Piece]:
    """The pieces on the array that the flags mean; raises UserError where there is none."""
    labels = [placed.label for placed in placement.layers.values()]
    if layer is not None and layer not in labels:
        raise unknown("layer", layer, labels)
    arrays = [parts for _, parts in sorted(_by_array(placement).items())]
    arrays = [parts for parts in arrays if layer is None or layer in {part.layer.label for part in parts}]
    if not arrays:
        raise UserError(f"Layer {layer!r} has no array: none of its weights is left.")
    number = 0 if array is None else array
    if not 0 <= number < len(arrays):
        where = "the placement" if layer is None else f"layer {layer!r}"
        raise UserError(f"--array {number}: {where} has the arrays 0 to {len(arrays) - 1}.")
    return arrays[number]


def _export(placement: Placement, pieces: list[Piece], flags: _Netlist) -> None:
    """Write the netlist, and what else was asked for."""
    from crossbar import solve, write_netlist
    from crossbar.array_circuit import circuit
    from hwmodels import conductance_from_chord, program

    spec, contents = placement.spec_of(pieces[0].layer), pieces[0].contents
    g = contents.target
    if flags.seed is not None:
        g = program(g, spec.device, seed=flags.seed, array=contents.number)
    lines = _lines(pieces, flags.part)
    array = circuit(g, spec, lines)
    driven = len(range(*lines.indices(g.shape[0])))
    asked = _voltages(flags.volts, driven, spec.device.read_voltage_v)
    v = np.zeros((len(asked), len(array.g)))
    v[:, lines.start : lines.stop] = asked
    out = flags.out or Path(f"{pieces[0].layer.label}-array-{contents.number}.cir")
    law = _law(spec.device) if flags.nonlinear else None
    if law is not None:
        array = replace(array, g=conductance_from_chord(array.g, spec.device.read_voltage_v, law))
    write_netlist(out, array.g, v, *array.wires, wiring=array.wiring, conduction=law)
    solution = solve(array.g, v, *array.wires, wiring=array.wiring, conduction=law)
    if not flags.quiet:
        rows, cols = g.shape
        print(
            f"Array {contents.number}: layer {pieces[0].layer.label!r}, {rows} × {cols} cells of "
            f"{spec.rows} × {spec.cols}, {np.count_nonzero(g)} not open, {driven} word lines driven; "
            f"{len(v)} input{'s' if len(v) > 1 else ''}."
        )
        print(f"Largest bit-line current: {np.abs(solution.currents).max() * 1e6:.4g} µA.")
    if flags.check:
        print(_comparison(out, solution.currents))
    if flags.figure is not None:
        from experiments.reporting import device_figures
        from experiments.reporting.array_figures import maps

        name = f"{pieces[0].layer.label}, array {contents.number}"
        device_figures.save(maps(array, solution, name), flags.figure)
        print(f"Picture: {flags.figure}")
    print(f"Netlist: {out}")


def _law(device: Device) -> Conduction:
    """The I–V of a device that has one."""
    if device.conduction is None:
        raise UserError(f"{device.name} has no [conduction]: its cells are linear, leave --nonlinear out.")
    return device.conduction


def _lines(pieces: list[Piece], part: int) -> slice:
    """The word lines of the part that is read at once: of all, or of one fragment of several on an array."""
    spans = sorted({(piece.tile.row0, piece.tile.row0 + piece.tile.rows.size) for piece in pieces})
    if not 0 <= part < len(spans):
        raise UserError(f"--part {part}: this array is read in {len(spans)} part(s), numbered from 0.")
    return slice(*spans[part])


def _comparison(path: Path, ours: np.ndarray) -> str:
    """What ngspice says of the same circuit."""
    from crossbar import run_netlist

    theirs = run_netlist(path, ours.shape[1])
    off = np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-300)
    return f"ngspice agrees to {off:.1e} of the largest current."


def _voltages(text: str | None, rows: int, read_voltage_v: float) -> np.ndarray:
    """Driver voltages (batch, rows) [V] from the flag; raises UserError where they do not fit the array."""
    if text is None:
        return np.full((1, rows), read_voltage_v)
    try:
        return np.full((1, rows), float(text))
    except ValueError:
        pass
    try:
        v = np.loadtxt(text, delimiter=",", ndmin=2)
    except (OSError, ValueError) as error:
        raise UserError(
            f"--volts {text}: neither a number nor a CSV file of voltages, a line per input: {error}"
        ) from None
    if v.shape[1] != rows:
        raise UserError(f"--volts {text}: {v.shape[1]} voltages a line, but the array has {rows} driven word lines.")
    return v
