"""The electrical behaviour of arrays: encodings, converters, matrix–vector products. Knows arrays, no network."""

from crossbar.encoding import OPEN as OPEN
from crossbar.encoding import PairEncoding as PairEncoding
from crossbar.levels import LevelGrid as LevelGrid
from crossbar.scale import fit_scale as fit_scale
from crossbar.spec import ArraySpec as ArraySpec
from crossbar.tiling import LayerShape as LayerShape
from crossbar.tiling import arrays_needed as arrays_needed
from crossbar.tiling import from_matrix as from_matrix
from crossbar.tiling import to_matrix as to_matrix
