"""How weights stand on cells: one file per encoding, all with the same few methods.

Every encoding has
    slicing          how a whole number becomes digits on cells (`Slicing`)
    values           (n,) the weight levels, ascending, in units of the largest magnitude
    full_scale_s     the conductance [S] that a value of 1 stands for
    planes           ((sign, slice), …): one cell of every plane makes a weight
    analog           whether currents are subtracted before one signed converter
    reference_codes  (planes,) codes of the dummy columns, or None
    encode(index, live) → CellCodes;  decode(CellCodes) → (index, live), which undoes it exactly
    conductances(codes) → [S];  grid_unit_s: the conductance of which every cell is a whole multiple, or None
    plane_weights    what the code of each converted plane counts
    column_sign(signs), input_weight_s(signs, cols): what is put right digitally after the converters
    required_adc_bits(rows, live_rows, part, dac_bits)
"""

from crossbar.encodings.choice import Encoding as Encoding
from crossbar.encodings.choice import EncodingKind as EncodingKind
from crossbar.encodings.flipped import FlippedEncoding as FlippedEncoding
from crossbar.encodings.offset import OffsetEncoding as OffsetEncoding
from crossbar.encodings.pair import PairEncoding as PairEncoding
from crossbar.encodings.polarised import MixedSignsError as MixedSignsError
from crossbar.encodings.polarised import PolarisedEncoding as PolarisedEncoding
from crossbar.encodings.slicing import OPEN as OPEN
from crossbar.encodings.slicing import CellCodes as CellCodes
from crossbar.encodings.slicing import Slicing as Slicing
