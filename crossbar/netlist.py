"""The circuit of one array as a SPICE netlist, so that another simulator can be asked the same question."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from crossbar.circuit import PLAIN, Circuit, Wires, Wiring, circuit
from crossbar.circuit_input import checked_conductances, checked_voltages
from crossbar.circuit_nodes import bit_nodes, segments, word_nodes
from hwmodels.devices.effects import Conduction, PolynomialConduction, SinhConduction
from hwmodels.errors import UserError

_CURRENT = re.compile(r"^i\(vsink(\d+)\) = (\S+)$", re.MULTILINE)


def write_netlist(
    path: str | os.PathLike[str],
    g: ArrayLike,
    v: ArrayLike,
    r_word: float,
    r_bit: float,
    r_source: float = 0.0,
    r_sink: float = 0.0,
    *,
    wiring: Wiring = PLAIN,
    conduction: Conduction | None = None,
) -> Path:
    """Write the circuit that `solve` and `effective_conductance` compute; `ngspice -b PATH` prints its currents.

    g: (rows, cols) [S]; v: driver voltages (rows,) or (batch, rows) [V]; wire resistances [Ω], wiring and conduction as
    in `solve`: a linear cell is a resistor, a non-linear one a behavioural current source (B) with its I–V. Voltages of
    word lines that are not driven are not used. One operating point is solved for each input, and the current of every
    read-out is printed as `i(vsinkJ)` [A].
    Nodes: dI drivers, sJ sinks at 0 V, wI_J and bI_J the two ends of cell (I, J), xI_J between a cell and its access
    transistor, which is a resistor of its own here. Cells that are open (0 S) or shut off are left out, and so is a
    floating word line that leads nowhere, which a comment names. Nodes that an ideal wire joins are one: it bears the
    name of the driver or the sink where it reaches one, else that of the first cell of the word line or the last cell
    of the bit line. Numbers are written in full.
    Returns the path. Raises UserError for bad input and where the file cannot be written.
    """
    g = checked_conductances(g, dimensions=2)
    v = checked_voltages(v, g.shape[0])
    wires = Wires(r_word, r_bit, r_source, r_sink)
    lines = circuit(g.shape[0], g.shape[1], wires, wiring)
    g = lines.live(g)
    title = f"* {g.shape[0]} x {g.shape[1]} crossbar, {wires}, {wiring}"
    path = Path(path)
    try:
        path.write_text("\n".join([title, *_lines(g, lines.inputs(v), lines, conduction)]) + "\n")
    except OSError as error:
        raise UserError(f"Cannot write the netlist {path}: {error.strerror}. Give another path.") from None
    return path


def run_netlist(path: str | os.PathLike[str], cols: int) -> np.ndarray:
    """Run a netlist of `write_netlist` through ngspice: currents into the read-outs (batch, cols) [A].

    Raises UserError where ngspice is not installed or does not give all currents.
    """
    program = shutil.which("ngspice")
    if program is None:
        raise UserError("ngspice is not installed. Install it (Debian and Ubuntu: apt-get install ngspice).")
    done = subprocess.run([program, "-b", str(path)], capture_output=True, text=True, check=False)
    found = _CURRENT.findall(done.stdout)
    if not found or len(found) % cols or [int(j) for j, _ in found[:cols]] != list(range(cols)):
        said = (done.stderr or done.stdout).strip().splitlines()[-5:]
        raise UserError(f"ngspice gave {len(found)} currents of {path}, not {cols} for each input: {' / '.join(said)}")
    return np.array([float(value) for _, value in found]).reshape(-1, cols)


def _names(rows: int, cols: int) -> np.ndarray:
    """Name of every node number of `circuit_nodes`."""
    cells = [f"{i}_{j}" for i in range(rows) for j in range(cols)]
    ports = [f"d{i}" for i in range(rows)] + [f"s{j}" for j in range(cols)]
    return np.array([*ports, *(f"w{cell}" for cell in cells), *(f"b{cell}" for cell in cells)])


def _lines(g: np.ndarray, v: np.ndarray, lines: Circuit, law: Conduction | None) -> Iterator[str]:
    cols = g.shape[1]
    isolated = lines.isolated(g)
    tied = np.flatnonzero(~lines.floating)
    yield from (f"* word line {i} floats and leads nowhere: left out" for i in np.flatnonzero(isolated))
    yield from (f"Vdriver{i} d{i} 0 {float(v[0, i])!r}" for i in tied)
    yield from (f"Vsink{j} s{j} 0 0" for j in range(cols))
    yield from _branches(g, lines, isolated, law)
    yield ".options reltol=1e-9 abstol=1e-18 vntol=1e-12 numdgt=15"
    yield ".control"
    yield "set numdgt=15"  # the option of this name does not reach `print`
    for k, inputs in enumerate(v):
        if k:
            yield from (f"alter Vdriver{i} dc = {float(inputs[i])!r}" for i in tied)
        yield "op"
        yield from (f"print i(Vsink{j})" for j in range(cols))
    yield "quit 0"
    yield ".endc"
    yield ".end"


def _branches(g: np.ndarray, lines: Circuit, isolated: np.ndarray, law: Conduction | None) -> Iterator[str]:
    """Wires, cells and their access transistors, without the word lines that lead nowhere."""
    names = _names(*g.shape)
    word, bit = word_nodes(lines), bit_nodes(lines)
    nowhere = np.isin(np.arange(names.size), word[isolated])
    for k, (a, b, ohms) in enumerate(zip(*segments(lines), strict=True)):
        if not nowhere[a]:
            yield f"Rwire{k} {names[a]} {names[b]} {float(ohms)!r}"
    for i, j in np.argwhere(g > 0):
        end = names[bit[i, j]]
        if lines.r_access:
            yield f"Raccess{i}_{j} x{i}_{j} {end} {lines.r_access!r}"
            end = f"x{i}_{j}"
        yield _cell(f"{i}_{j}", str(names[word[i, j]]), str(end), float(g[i, j]), law)


def _cell(name: str, word: str, bit: str, g: float, law: Conduction | None) -> str:
    """One cell of conductance g [S] at 0 V between its two nodes."""
    v = f"v({word},{bit})"
    match law:
        case None:
            return f"Rcell{name} {word} {bit} {1 / g!r}"
        case SinhConduction(a_per_v=a):
            return f"Bcell{name} {word} {bit} i={g / a!r}*sinh({a!r}*{v})"
        case PolynomialConduction():  # by Horner's rule: ngspice raises |V| to a power, whatever its sign
            k2, k3 = (float(k) for k in law.relative(np, np.float64(g)))
            return f"Bcell{name} {word} {bit} i={v}*({g!r}+{v}*({g * k2!r}+{v}*({g * k3!r})))"
