"""The electrical behaviour of arrays: encodings, converters, matrix–vector products. Knows arrays, no network."""

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
from crossbar.scale import fit_scale as fit_scale
from crossbar.spec import ArraySpec as ArraySpec
from crossbar.tiling import LayerShape as LayerShape
from crossbar.tiling import arrays_needed as arrays_needed
from crossbar.tiling import from_matrix as from_matrix
from crossbar.tiling import to_matrix as to_matrix
from crossbar.wires import effective_conductance as effective_conductance
from crossbar.wires import effective_conductance_reference as effective_conductance_reference
