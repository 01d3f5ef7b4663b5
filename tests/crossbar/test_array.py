from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import crossbar
from crossbar import Array, ArraySpec, solve
from hwmodels.errors import UserError


def _weights(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def _inputs(*shape, seed=1):
    return np.random.default_rng(seed).random(shape)


@given(
    lead=st.sampled_from([(), (2,), (2, 3)]), rows=st.integers(1, 40), cols=st.integers(1, 20), n=st.integers(1, 9),
    slices=st.integers(1, 2), signed=st.booleans(), idle=st.sampled_from(["open", "hrs"]), seed=st.integers(0, 2**31),
    subtraction=st.sampled_from(["digital", "analog"]),
)  # fmt: skip
def test_ideal_arrays_multiply(lead, rows, cols, n, slices, signed, idle, seed, subtraction):
    spec = ArraySpec(
        rows=40, cols=20, device="ideal", slices=slices, idle=idle, pair_subtraction=subtraction, input_bits=None,
        adc_bits=None,
    )  # fmt: skip
    array = Array(spec).program(_weights(*lead, rows, cols, seed=seed))
    x = _inputs(*lead, n, rows, seed=seed) - 0.5 * signed
    assert np.allclose(array.mvm(x), x @ array.weights, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("r_ohm", [0.0, 1e-3])
@pytest.mark.parametrize(
    "fields",
    [
        {"encoding": "offset", "slices": 2},
        {"encoding": "offset", "offset_correction": "analog", "slices": 2, "slice_layout": "columns"},
        {"encoding": "flipped", "slices": 2},
        {"encoding": "polarised", "fragment": 3},
        {"pair_layout": "columns", "slice_layout": "columns", "slices": 2, "pair_subtraction": "analog"},
    ],
)
def test_every_encoding_multiplies(fields, r_ohm):
    """Two cells of 16 levels behind wires of next to nothing; the polarised fragments hold one sign each."""
    fields = {"idle": "hrs", "input_bits": None, "adc_bits": None, "r_word_ohm": r_ohm, "r_bit_ohm": r_ohm} | fields
    spec = ArraySpec(rows=12, cols=40, device="ideal", **fields)
    weights = _weights(2, 10, 6)
    if spec.fragment:
        weights = np.abs(weights) * np.repeat([1, -1, 1, -1], 3)[:10, None]
    array = Array(spec).program(weights)
    x = _inputs(2, 5, 10) - 0.3
    assert np.allclose(array.mvm(x), x @ array.weights, rtol=1e-3, atol=1e-3)
    assert len(array.strips) == (8 if spec.fragment else 2)


def test_converters_come_closer_with_every_bit():
    weights, x = _weights(3, 64, 20), _inputs(50, 64) - 0.5
    errors = []
    for bits in (4, 6, 8, 10):
        spec = ArraySpec(rows=64, cols=20, device="ideal", input_bits=bits, adc_bits=bits + 2)
        array = Array(spec, input_scale=0.5).program(weights, calibration=x)
        errors.append(np.abs(array.mvm(x) - x @ array.weights).max())
    assert all(later < earlier / 2 for earlier, later in pairwise(errors))


def test_one_vector_many_arrays_torch_and_numpy_agree():
    weights = _weights(2, 3, 16, 8)
    array = Array(ArraySpec(rows=16, cols=8, device="yuan2019", adc_range="full"), input_scale=1.0).program(
        weights, seed=3
    )
    x = _inputs(16)
    one = array.mvm(x)
    assert isinstance(one, np.ndarray)
    assert one.shape == (2, 3, 8)
    many = array.mvm(torch.from_numpy(np.stack([x, x])))
    assert isinstance(many, torch.Tensor)
    assert many.shape == (2, 3, 2, 8)
    assert np.array_equal(many[:, :, 1].numpy(), one)
    apart = array.mvm(_inputs(2, 3, 4, 16))
    assert np.array_equal(apart[1, 2], Array.mvm(array, _inputs(2, 3, 4, 16)[1, 2])[1, 2])


def test_back_ends_agree_bit_for_bit_on_whole_grids():
    weights, x = _weights(48, 24), _inputs(30, 48)
    spec = ArraySpec(rows=48, cols=24, device="ideal", pair_subtraction="analog")
    found = [Array(spec, backend=backend).program(weights, calibration=x).read(x) for backend in ("numba", "torch")]
    assert np.array_equal(found[0].values, found[1].values)
    assert (found[0].clipped, found[0].samples) == (found[1].clipped, found[1].samples)


def test_a_seed_is_a_chip_and_arrays_differ():
    spec = ArraySpec(rows=8, cols=4, device="yuan2019", adc_bits=None)
    weights = np.broadcast_to(_weights(8, 4), (2, 8, 4))
    array = Array(spec)
    first = [strip.g for strip in array.program(weights, seed=1).strips]
    assert not torch.equal(*first)
    assert all(torch.equal(a, b.g) for a, b in zip(first, array.program(weights, seed=1).strips, strict=True))
    assert not torch.equal(first[0], array.program(weights, seed=2).strips[0].g)
    nominal = array.program(weights, seed=2, errors=False).strips
    assert torch.equal(nominal[0].g, nominal[1].g)


def test_behind_wires_it_is_the_circuit_solved_node_by_node():
    spec = ArraySpec(
        rows=12, cols=6, device="ideal", idle="hrs", input_bits=None, adc_bits=None, r_word_ohm=20.0, r_bit_ohm=30.0
    )
    array, x = Array(spec).program(_weights(10, 6)), _inputs(5, 10)
    grid = crossbar.LevelGrid(spec.weight_levels(), np.float64(np.abs(_weights(10, 6)).max()))
    targets = spec.encoder.conductances(
        spec.encoder.encode(grid.index(_weights(10, 6)), np.ones((10, 6), dtype=bool)).codes
    )
    currents = 0
    for sign, target in zip((1, -1), targets, strict=True):
        currents = currents + sign * solve(target, x, 20.0, 30.0, r_sink=2 * 30.0).currents
    assert np.allclose(array.mvm(x), currents * float(grid.scale) / spec.encoder.full_scale_s, rtol=1e-4, atol=1e-5)


def test_what_is_clipped_is_counted():
    spec = ArraySpec(rows=32, cols=8, device="ideal", adc_bits=6)
    array = Array(spec).program(_weights(32, 8), calibration=0.2 * _inputs(9, 32))
    read = array.read(1.5 * _inputs(9, 32))
    assert 0 < read.clipped < read.samples == 9 * 16 * 8
    assert read.clipped_inputs == int((1.5 * _inputs(9, 32) > 1 + 0.5 / 255).sum())


def test_fixed_point_conductances_stay_close():
    spec = ArraySpec(rows=64, cols=16, device="yuan2019", pair_subtraction="analog", adc_bits=12)
    weights, x = _weights(64, 16), _inputs(40, 64)
    exact = Array(spec).program(weights, seed=4, calibration=x).mvm(x)
    errors = [
        np.abs(Array(spec, conductance_bits=bits).program(weights, seed=4, calibration=x).mvm(x) - exact).max()
        for bits in (12, 8, 4)
    ]
    assert errors[0] < errors[1] < errors[2]
    assert errors[1] < 0.02 * np.abs(exact).max()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda a: a.mvm(np.zeros(8)), "holds no weights yet"),
        (lambda a: a.program(np.zeros((9, 4))), "do not fit an array of 8 × 4"),
        (lambda a: a.program(np.zeros((8, 4))), "must be positive and finite, not 0.0"),
        (lambda a: a.program(np.full((8, 4), np.nan)), "weights holds values that are not finite"),
        (lambda a: a.program(np.ones(8)), "weights must be numbers with at least 2 axes"),
        (lambda a: a.program(np.ones((8, 4))), "needs inputs"),
        (lambda a: a.program(np.ones((8, 4)), calibration=np.zeros((3, 8))), "drive no column at all"),
        (lambda a: a.program(np.ones((8, 4)), calibration=np.ones(8)).mvm(np.ones(7)), "must be the 8 word lines"),
        (lambda a: a.program(np.ones((2, 8, 4)), calibration=np.ones(8)).mvm(np.ones((3, 5, 8))), "leading axes"),
        (lambda a: a.program(np.ones((8, 4)), calibration=np.ones(8)).mvm(torch.full((8,), torch.nan)), "not numbers"),
        (lambda a: Array(a.spec, input_scale=0.0), "input_scale must be positive"),
        (lambda a: Array(a.spec, conductance_bits=1), "conductance_bits must be from 2 to 16"),
    ],
)
def test_mistakes_are_named(call, words):
    with pytest.raises(UserError, match=words):
        call(Array(ArraySpec(rows=8, cols=4, device="ideal")))
