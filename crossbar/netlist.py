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

from crossbar.circuit import Wires, bit_nodes, checked_conductances, checked_voltages, segments, word_nodes
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
    conduction: Conduction | None = None,
) -> Path:
    """Write the circuit that `solve` and `effective_conductance` compute; `ngspice -b PATH` prints its currents.

    g: (rows, cols) [S]; v: driver voltages (rows,) or (batch, rows) [V]; wire resistances [Ω] and conduction as in
    `solve`: a linear cell is a resistor, a non-linear one a behavioural current source, B, of its I–V. One operating
    point is solved for each input, and the current of every read-out is printed as `i(vsinkJ)` [A].
    Nodes: dI drivers, sJ sinks at 0 V, wI_J and bI_J the two ends of cell (I, J). Open cells (0 S) are left out. Nodes
    that an ideal wire joins are one: it bears the name of the driver or the sink where it reaches one, else that of the
    first cell of the word line or the last cell of the bit line. Numbers are written in full.
    Returns the path. Raises UserError for bad input and where the file cannot be written.
    """
    g = checked_conductances(g, dimensions=2)
    v = checked_voltages(v, g.shape[0])
    wires = Wires(r_word, r_bit, r_source, r_sink)
    path = Path(path)
    try:
        path.write_text("\n".join(_lines(g, v, wires, conduction)) + "\n")
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
    """Name of every node number of `circuit`."""
    cells = [f"{i}_{j}" for i in range(rows) for j in range(cols)]
    ports = [f"d{i}" for i in range(rows)] + [f"s{j}" for j in range(cols)]
    return np.array([*ports, *(f"w{cell}" for cell in cells), *(f"b{cell}" for cell in cells)])


def _cell(name: str, word: str, bit: str, g: float, law: Conduction | None) -> str:
    """One cell of conductance g [S] between its two nodes."""
    v = f"v({word},{bit})"
    match law:
        case None:
            return f"Rcell{name} {word} {bit} {1 / g!r}"
        case SinhConduction(a_per_v=a):
            return f"Bcell{name} {word} {bit} i={g / a!r}*sinh({a!r}*{v})"
        case PolynomialConduction():  # by Horner's rule: ngspice raises |V| to a power, whatever its sign
            k2, k3 = (float(k) for k in law.relative(np, np.float64(g)))
            return f"Bcell{name} {word} {bit} i={v}*({g!r}+{v}*({g * k2!r}+{v}*({g * k3!r})))"


def _lines(g: np.ndarray, v: np.ndarray, wires: Wires, law: Conduction | None) -> Iterator[str]:
    rows, cols = g.shape
    names = _names(rows, cols)
    word, bit = names[word_nodes(rows, cols, wires)], names[bit_nodes(rows, cols, wires)]
    yield f"* {rows} x {cols} crossbar, {wires}"
    for i in range(rows):
        yield f"Vdriver{i} d{i} 0 {float(v[0, i])!r}"
    for j in range(cols):
        yield f"Vsink{j} s{j} 0 0"
    for k, (a, b, ohms) in enumerate(zip(*segments(rows, cols, wires), strict=True)):
        yield f"Rwire{k} {names[a]} {names[b]} {float(ohms)!r}"
    for i, j in np.argwhere(g > 0):
        yield _cell(f"{i}_{j}", str(word[i, j]), str(bit[i, j]), float(g[i, j]), law)
    yield ".options reltol=1e-9 abstol=1e-18 vntol=1e-12 numdgt=15"
    yield ".control"
    yield "set numdgt=15"  # the option of this name does not reach `print`
    for k, inputs in enumerate(v):
        if k:
            yield from (f"alter Vdriver{i} dc = {float(value)!r}" for i, value in enumerate(inputs))
        yield "op"
        yield from (f"print i(Vsink{j})" for j in range(cols))
    yield "quit 0"
    yield ".endc"
    yield ".end"
