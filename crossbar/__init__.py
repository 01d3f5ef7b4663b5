"""The electrical behaviour of arrays: encodings, converters, matrix–vector products. Knows arrays, no network."""

from typing import TYPE_CHECKING, Any

from crossbar.circuit import Wiring as Wiring
from crossbar.converter_errors import AdcErrors as AdcErrors
from crossbar.converter_errors import DacErrors as DacErrors
from crossbar.encodings import OPEN as OPEN
from crossbar.encodings import CellCodes as CellCodes
from crossbar.encodings import Encoding as Encoding
from crossbar.encodings import FlippedEncoding as FlippedEncoding
from crossbar.encodings import MixedSignsError as MixedSignsError
from crossbar.encodings import OffsetEncoding as OffsetEncoding
from crossbar.encodings import PairEncoding as PairEncoding
from crossbar.encodings import PolarisedEncoding as PolarisedEncoding
from crossbar.encodings import Slicing as Slicing
from crossbar.histogram import CodeHistogram as CodeHistogram
from crossbar.levels import LevelGrid as LevelGrid
from crossbar.netlist import run_netlist as run_netlist
from crossbar.netlist import write_netlist as write_netlist
from crossbar.nodal import Result as Result
from crossbar.nodal import Solution as Solution
from crossbar.nodal import solve as solve
from crossbar.nonlinear_product import basis_conductances as basis_conductances
from crossbar.nonlinear_product import basis_voltages as basis_voltages
from crossbar.nonlinear_product import bit_line_currents as bit_line_currents
from crossbar.scale import fit_scale as fit_scale
from crossbar.spec import ArraySpec as ArraySpec
from crossbar.tiling import LayerShape as LayerShape
from crossbar.tiling import arrays_needed as arrays_needed
from crossbar.tiling import from_matrix as from_matrix
from crossbar.tiling import to_matrix as to_matrix
from crossbar.wires import effective_conductance as effective_conductance
from crossbar.wires import effective_conductance_reference as effective_conductance_reference
from crossbar.wires_fast import Approximation as Approximation
from crossbar.wires_fast import ApproximationWarning as ApproximationWarning
from crossbar.wires_fast import approximate_conductance as approximate_conductance

if TYPE_CHECKING:
    from crossbar.array import Array as Array


def __getattr__(name: str) -> Any:
    """`Array` brings torch along, so it loads when it is first asked for."""
    if name != "Array":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from crossbar.array import Array

    return Array
