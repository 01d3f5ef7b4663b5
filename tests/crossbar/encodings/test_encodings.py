"""What every encoding promises: cells and weights are one thing said twice, on any levels, slicing and mask."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossbar.converters import Converter, adc_codes
from crossbar.encodings import FlippedEncoding, OffsetEncoding, PairEncoding, PolarisedEncoding, Slicing

KINDS = ("pair", "pair analog", "offset", "offset analog", "flipped", "polarised")


def _made(kind, slicing, idle, fragment=4):
    return {
        "pair": lambda: PairEncoding(slicing, idle),
        "pair analog": lambda: PairEncoding(slicing, idle, "analog"),
        "offset": lambda: OffsetEncoding(slicing),
        "offset analog": lambda: OffsetEncoding(slicing, "analog"),
        "flipped": lambda: FlippedEncoding(slicing),
        "polarised": lambda: PolarisedEncoding(slicing, idle, fragment),
    }[kind]()


@st.composite
def encodings(draw, kinds=KINDS):
    kind = draw(st.sampled_from(kinds))
    levels = draw(st.integers(2, 9))
    even = kind == "flipped" or draw(st.booleans())
    steps = st.lists(st.floats(1e-8, 1e-6), min_size=levels, max_size=levels).map(np.array)
    g = np.linspace(draw(st.sampled_from([1e-9, 1e-7])), 1e-6, levels) if even else np.cumsum(draw(steps))
    radices = draw(st.lists(st.integers(2, levels), min_size=1, max_size=3))
    return _made(kind, Slicing(g, tuple(radices)), draw(st.sampled_from(["open", "hrs"])))


def _weights(encoding, seed, rows=6, cols=5):
    """Random level indices and mask that the encoding takes: fragments of one sign where it asks for them."""
    rng = np.random.default_rng(seed)
    index = rng.integers(0, encoding.values.size, (rows, cols))
    if isinstance(encoding, PolarisedEncoding):
        sign = np.repeat(rng.choice([-1, 1], (-(-rows // encoding.fragment), cols)), encoding.fragment, axis=0)[:rows]
        index = np.where(np.sign(encoding.values[index]) == -sign, encoding.values.size - 1 - index, index)
    return index, rng.random((rows, cols)) < 0.7


def _keeps_the_mask(encoding):
    return getattr(encoding, "idle", "hrs") == "open"


@given(encodings(), st.integers(0, 2**32 - 1))
def test_decode_undoes_encode(encoding, seed):
    index, live = _weights(encoding, seed)
    found, present = encoding.decode(encoding.encode(index, live))
    assert np.array_equal(found[live], index[live])
    if _keeps_the_mask(encoding):
        assert np.array_equal(present, live)
    else:
        assert present.all()
        assert np.all(encoding.values[found[~live]] == 0)


@given(encodings(), st.integers(0, 2**32 - 1))
def test_encode_undoes_decode(encoding, seed):
    """The same cells and signs come back: nothing stands on them that decoding overlooks."""
    cells = encoding.encode(*_weights(encoding, seed))
    again = encoding.encode(*encoding.decode(cells))
    assert np.array_equal(again.codes, cells.codes)
    assert (cells.signs is None) == (again.signs is None)
    if cells.signs is not None:
        assert np.array_equal(again.signs, cells.signs)


@given(encodings(), st.integers(0, 2**32 - 1))
def test_the_cells_and_the_digital_terms_give_the_weights(encoding, seed):
    """Σ planes weight · sign · g, less dummy columns, plus the term of Σ x, is the level's value, for every input."""
    rows = 4  # one fragment
    index, live = _weights(encoding, seed, rows=rows)
    cells = encoding.encode(index, live)
    g = encoding.conductances(cells.codes)
    if encoding.analog and encoding.reference_codes is not None:
        g = g - encoding.conductances(encoding.reference_codes)[:, None, None]
    elif encoding.analog:
        g = g[: encoding.slicing.slices] - g[encoding.slicing.slices :]
    sign = encoding.column_sign(cells.signs)
    g = g if sign is None else g * sign[:, None, :]
    extra = encoding.input_weight_s(cells.signs, live.shape[1])
    weight = np.tensordot(encoding.plane_weights, g, axes=(0, 0)) + (0 if extra is None else extra)
    expected = np.where(live, encoding.values[index], 0)
    assert np.allclose(weight / encoding.full_scale_s, expected, rtol=0, atol=1e-7)


@given(encodings())
def test_levels_ascend_and_the_largest_is_one(encoding):
    values = encoding.values
    assert np.all(np.diff(values) > 0)
    assert np.abs(values).max() == pytest.approx(1)
    if isinstance(encoding, PairEncoding | PolarisedEncoding):
        assert np.array_equal(values, -values[::-1])
        assert (0.0 in values) == (encoding.idle == "hrs")
    else:
        assert values[values.size // 2] == 0


@given(encodings(), st.integers(0, 2**32 - 1))
def test_whole_units_make_every_cell(encoding, seed):
    if encoding.grid_unit_s is None:
        return
    g = encoding.conductances(encoding.encode(*_weights(encoding, seed)).codes) / encoding.grid_unit_s
    assert np.allclose(g, np.round(g), atol=1e-6)


@st.composite
def _integer_grids(draw):
    """An encoding whose g_min is a whole number of level steps, with rows and bits of an input cycle."""
    kind = draw(st.sampled_from(KINDS))
    radix, rows, idle = draw(st.integers(2, 8)), draw(st.integers(1, 20)), draw(st.sampled_from(["open", "hrs"]))
    baseline = draw(st.integers(1 if idle == "open" else 0, 2))  # ±g of 0 S would be one level twice
    slicing = Slicing((baseline + np.arange(radix)) * 1e-6, (radix,))
    return _made(kind, slicing, idle, fragment=rows), rows, draw(st.integers(1, 3))


def _fullest(encoding, rows):
    """Columns whose sums are the largest that the encoding can store: all up, all down, and exactly half full."""
    top = encoding.slicing.radices[0] - 1
    if isinstance(encoding, PairEncoding | PolarisedEncoding):
        ends = np.array([0, encoding.values.size - 1])
        return np.tile(ends, (rows, 1))
    half = np.zeros(rows, dtype=int)
    half[: rows // 2] = top
    half[rows // 2 : rows // 2 + rows % 2] = top // 2
    return np.stack([np.zeros(rows, dtype=int), np.full(rows, top), half], axis=1)


@given(_integer_grids(), st.integers(0, 2**32 - 1))
def test_the_required_bits_lose_nothing_and_one_bit_less_does(case, seed):
    encoding, rows, dac_bits = case
    generator = np.random.default_rng(seed)
    random = _weights(encoding, seed, rows=rows)[0]
    index = np.concatenate([_fullest(encoding, rows), random], axis=1)
    cells = encoding.encode(index, np.ones(index.shape, dtype=bool))
    g = encoding.conductances(cells.codes) / 1e-6
    if encoding.analog and encoding.reference_codes is not None:
        g = g - encoding.conductances(encoding.reference_codes)[:, None, None] / 1e-6
    elif encoding.analog:
        g = g[:1] - g[1:]
    x = generator.integers(0, 2**dac_bits, (40, rows))
    x[0] = 2**dac_bits - 1
    sums = torch.from_numpy(np.einsum("nr,prc->npc", x, np.round(g)))
    bits = encoding.required_adc_bits(rows, rows, 0, dac_bits)
    codes, clipped = adc_codes(sums.clone(), _unit_converter(bits, encoding.analog))
    assert clipped == 0
    assert torch.equal(codes, sums)
    _, clipped = adc_codes(sums.clone(), _unit_converter(bits - 1, encoding.analog))
    assert clipped > 0


def _unit_converter(bits, signed):
    """One code a level step."""
    if signed:
        return Converter(1.0, -(2 ** (bits - 1)) if bits else 0, 2 ** (bits - 1) - 1 if bits else 0)
    return Converter(1.0, 0, 2**bits - 1)


@pytest.mark.parametrize(
    ("kind", "bits"),
    [("offset", 9), ("flipped", 8), ("pair analog", 10), ("offset analog", 9)],
)
def test_isaacs_column_of_128_two_bit_cells(kind, bits):
    """9 bits for 128 rows of 2-bit cells and 1-bit inputs, 8 with flipped columns (Shafiee et al., ISCA 2016, §V)."""
    slicing = Slicing(np.arange(4) * 1e-6, (4,))
    assert _made(kind, slicing, "hrs").required_adc_bits(128, 128, 0, 1) == bits


@pytest.mark.parametrize(("fragment", "bits"), [(16, 6), (8, 5), (4, 4)])
def test_a_fragment_needs_as_few_bits_as_its_rows(fragment, bits):
    """ISAAC's formula for fragments of 2-bit cells; FORMS itself takes one bit less."""
    encoding = PolarisedEncoding(Slicing(np.arange(4) * 1e-6, (4,)), "open", fragment)
    assert encoding.required_adc_bits(fragment, fragment, 0, 1) == bits
