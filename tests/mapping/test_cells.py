"""What a read-out sees of a piece: the array of the spec, with all its word lines, solved node by node."""

import numpy as np
import pytest

from crossbar import ApproximationWarning, ArraySpec, Wiring, solve
from crossbar.array_circuit import behind_wires

WIRES = {"r_word_ohm": 20.0, "r_bit_ohm": 30.0, "r_source_ohm": 500.0, "r_sink_ohm": 700.0}
USED, COLS = 9, 5


@pytest.fixture
def spec():
    return ArraySpec(rows=16, cols=8, device="yuan2019", idle="hrs", **WIRES)


@pytest.fixture
def g(spec):
    return np.random.default_rng(1).choice(spec.device.level_conductances(), (USED, COLS))


@pytest.mark.parametrize("unused", ["off", "grounded", "floating"])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("idle", ["open", "hrs"])
def test_it_is_the_whole_array(spec, g, unused, both, idle):
    spec = spec.with_(unused_rows=unused, both_ends=both, r_access_ohm=4e3, idle=idle)
    whole = np.full((16, COLS), 0.0 if idle == "open" else spec.device.g_min_s)
    whole[:USED] = g
    # Cells behind columns not in use carry no current; those columns are there as wire alone.
    whole = np.concatenate([whole, np.zeros((16, 3))], axis=1)
    wiring = Wiring(
        r_access_ohm=4e3, r_far_source_ohm=500.0 if both else None, driven=np.arange(16) < USED, undriven=unused
    )
    v = np.random.default_rng(2).uniform(0, 1, (3, 16))
    expected = solve(whole, v, 20.0, 30.0, 500.0, 700.0, wiring=wiring).currents[:, :COLS]
    np.testing.assert_allclose(v[:, :USED] @ behind_wires(g, spec), expected, rtol=1e-9)


@pytest.mark.parametrize(
    "change",
    [
        {"r_access_ohm": 1e3},
        {"both_ends": True},
        {"unused_rows": "grounded"},
        {"unused_rows": "floating"},
        {"wire_model": "fast"},
        *({name: 2 * value} for name, value in WIRES.items()),
    ],
    ids=str,
)
def test_every_field_changes_what_is_read(spec, g, change):
    assert not np.allclose(behind_wires(g, spec), behind_wires(g, spec.with_(**change)), rtol=1e-9, atol=0)


def test_an_access_transistor_is_enough_to_be_read_behind(g):
    bare = ArraySpec(rows=16, cols=8, device="yuan2019")
    assert behind_wires(g, bare) is g
    np.testing.assert_allclose(behind_wires(g, bare.with_(r_access_ohm=5e3)), 1 / (1 / g + 5e3), rtol=1e-13)


def test_the_fast_model_is_near_and_says_where_it_is_not(spec, g):
    exact, fast = behind_wires(g, spec), behind_wires(g, spec.with_(wire_model="fast"))
    np.testing.assert_allclose(fast.sum(axis=0), exact.sum(axis=0), rtol=1e-4)
    with pytest.warns(ApproximationWarning, match="wire_model"):
        behind_wires(g, spec.with_(wire_model="fast", r_word_ohm=1e6, r_bit_ohm=1e6))
