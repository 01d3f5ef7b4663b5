"""`ohmweave netlist`: one array of a placement as a SPICE netlist, its picture, and the comparison with ngspice."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro

from hwmodels.errors import UserError, unknown

if TYPE_CHECKING:
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
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The netlist; default: LAYER-array-N.cir in the current folder."""
    seed: int | None = None
    """Device seed of the chip; default: the target conductances, without device error."""
    volts: Annotated[str | None, tyro.conf.arg(metavar="V|FILE")] = None
    """One voltage for every driven word line [V], or a CSV file with a line of voltages per input; default: the
    device's read voltage."""
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
    piece = _piece(placement, flags.layer, flags.array)
    _export(placement, piece, flags)
    return 0


def _listing(placement: Placement) -> str:
    """The arrays of a placement as a table."""
    from experiments.catalogue import as_table

    arrays = [list(pieces) for _, pieces in groupby(placement.pieces(), key=lambda piece: piece.array)]
    rows = [
        (
            str(pieces[0].array),
            pieces[0].layer.name,
            ", ".join(dict.fromkeys("+" if p.sign > 0 else "−" for p in pieces)),
            ", ".join(dict.fromkeys(str(p.slice) for p in pieces)),
            *(str(size) for size in pieces[0].contents.target.shape),
        )
        for pieces in arrays
    ]
    return as_table(("array", "layer", "sign", "slice", "rows", "cols"), rows)


def _piece(placement: Placement, layer: str | None, array: int | None) -> Piece:
    """A piece of the array that the flags mean; raises UserError where there is none."""
    if layer is not None and layer not in placement.layers:
        raise unknown("layer", layer, list(placement.layers))
    wanted = {piece.array: piece for piece in placement.pieces() if layer is None or piece.layer.name == layer}
    pieces = list(wanted.values())
    if not pieces:
        raise UserError(f"Layer {layer!r} has no array: none of its weights is left.")
    number = 0 if array is None else array
    if not 0 <= number < len(pieces):
        where = "the placement" if layer is None else f"layer {layer!r}"
        raise UserError(f"--array {number}: {where} has the arrays 0 to {len(pieces) - 1}.")
    return pieces[number]


def _export(placement: Placement, piece: Piece, flags: _Netlist) -> None:
    """Write the netlist, and what else was asked for."""
    from crossbar import solve, write_netlist
    from hwmodels import program

    spec = placement.array
    g = piece.contents.target
    if flags.seed is not None:
        g = program(g, spec.device, seed=flags.seed, array=piece.array)
    v = _voltages(flags.volts, g.shape[0], spec.device.read_voltage_v)
    # Word lines below the last one in use carry no cell; their bit-line segments lie before the read-out.
    below = (spec.rows - g.shape[0]) * spec.r_bit_ohm
    wires = (spec.r_word_ohm, spec.r_bit_ohm, spec.r_source_ohm, spec.r_sink_ohm + below)
    out = flags.out or Path(f"{piece.layer.name or 'layer'}-array-{piece.array}.cir")
    write_netlist(out, g, v, *wires)
    if not flags.quiet:
        rows, cols = g.shape
        print(
            f"Array {piece.array}: layer {piece.layer.name!r}, {rows} × {cols} cells of "
            f"{spec.rows} × {spec.cols}, {np.count_nonzero(g)} not open; {len(v)} input{'s' if len(v) > 1 else ''}."
        )
        largest = np.abs(solve(g, v, *wires).currents).max() * 1e6
        print(f"Largest bit-line current: {largest:.4g} µA.")
    if flags.check:
        print(_comparison(out, g, v, wires))
    if flags.figure is not None:
        from experiments import device_figures
        from experiments.array_figures import maps

        device_figures.save(maps(g, v, wires, f"{piece.layer.name}, array {piece.array}"), flags.figure)
        print(f"Picture: {flags.figure}")
    print(f"Netlist: {out}")


def _comparison(path: Path, g: np.ndarray, v: np.ndarray, wires: tuple[float, float, float, float]) -> str:
    """What ngspice says of the same circuit."""
    from crossbar import run_netlist, solve

    ours, theirs = solve(g, v, *wires).currents, run_netlist(path, g.shape[1])
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
