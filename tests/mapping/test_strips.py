"""Every encoding ends in strips that give the same network, and that see what really stands on the cells."""

import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import mapping
from admm.constraints import Polarised
from crossbar.converters import Converter
from hwmodels import Device
from hwmodels.errors import UserError
from mapping.cells import nominal
from mapping.strips import build_strips

BOTH = ("open", "hrs")
ENCODINGS = {
    f"{name}, {idle}": {**fields, "idle": idle}
    for (name, fields), idle in itertools.product(
        {
            "pair": {},
            "pair on columns": {"pair_layout": "columns", "slices": 2},
            "subtracted pair on columns": {"pair_layout": "columns", "pair_subtraction": "analog"},
            "all on columns": {"pair_layout": "columns", "slice_layout": "columns", "slice_bits": (2, 1)},
            "uneven slices": {"slice_bits": (3, 3, 2), "pair_subtraction": "analog"},
            "polarised": {"encoding": "polarised", "fragment": 3, "slices": 2},
            "polarised in C order": {"encoding": "polarised", "fragment": 2, "fragment_order": "C"},
            "polarised in H order": {"encoding": "polarised", "fragment": 3, "fragment_order": "H", "slices": 2},
            "polarised on columns": {"encoding": "polarised", "fragment": 4, "slices": 2, "slice_layout": "columns"},
        }.items(),
        BOTH,
    )
} | {
    f"{kind}, {name}": {"encoding": kind, **fields}
    for kind, (name, fields) in itertools.product(
        ("offset", "flipped"),
        {
            "one cell": {},
            "2 + 2 + 2": {"slice_bits": (2, 2, 2)},
            "on columns": {"slices": 2, "slice_layout": "columns"},
        }.items(),
    )
}
ENCODINGS |= {
    "dummy column": {"encoding": "offset", "offset_correction": "analog"},
    "dummy columns of slices": {"encoding": "offset", "offset_correction": "analog", "slices": 2},
    "dummy columns beside": {
        "encoding": "offset",
        "offset_correction": "analog",
        "slices": 2,
        "slice_layout": "columns",
    },
}


@pytest.fixture
def network():
    """Groups, pruned weights, and a layer of several tiles: small, because it runs on every encoding."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(2, 6, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(24, 7))
    with torch.no_grad():
        for layer in (net[0], net[3]):
            layer.weight *= torch.rand(layer.weight.shape) < 0.6
    return net.eval()


@pytest.fixture
def images():
    return torch.randn(6, 2, 4, 4, generator=torch.Generator().manual_seed(3))


@pytest.fixture(params=ENCODINGS)
def fields(request):
    return ENCODINGS[request.param]


def _spec(ideal, fields):
    return ideal.with_(**({"idle": "hrs"} | fields))


def _network(network, polarised, fields):
    order = fields.get("fragment_order", "W")
    return polarised(network, fields["fragment"], order) if "fragment" in fields else network


def test_ideal_arrays_equal_the_quantised_network(network, polarised, images, ideal, fields):
    spec = _spec(ideal, fields)
    placement = mapping.place(_network(network, polarised, fields), spec, images)
    with torch.no_grad():
        expected = placement.reference()(images)
        found = mapping.CrossbarNetwork(placement)(images)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5
    for layer in placement.layers.values():
        assert torch.equal(layer.weights(), layer.weights_from_cells(spec))


def test_a_network_polarised_in_one_order_does_not_fit_another(network, polarised, images, ideal):
    fitting = polarised(network, 3, "H")
    spec = ideal.with_(encoding="polarised", fragment=3)
    mapping.place(fitting, spec.with_(fragment_order="H"), images)
    with pytest.raises(UserError, match="hold weights of both signs"):
        mapping.place(fitting, spec, images)


def test_fragments_are_what_compression_polarises(network, images, ideal):
    """Sets of compression and fragments of arrays are the same ones, whatever the order and the sign rule."""
    for order, rule in itertools.product("WHC", ("energy", "sum")):
        projected = copy.deepcopy(network)
        for name in ("0", "3"):
            module = projected.get_submodule(name)
            module.weight.data = Polarised(4, order, rule=rule).project(module.weight, getattr(module, "groups", 1))
        spec = ideal.with_(encoding="polarised", fragment=4, fragment_order=order)
        placement = mapping.place(projected, spec, images)
        for name, layer in placement.layers.items():
            assert torch.equal(layer.weights() != 0, projected.get_submodule(name).weight != 0)
            assert torch.equal(layer.weights(), layer.weights_from_cells(spec))
            assert sum(tile.rows.size * tile.cols.size for tile in layer.tiles) >= int(layer.live.sum())


def test_a_converter_with_the_needed_bits_is_as_good_as_none(network, polarised, images, quiet_device, spec, fields):
    """Levels 1 … 4 of one step, a converter step of one level: whole sums are read as they are."""
    device = quiet_device.with_(g_min_s=1e-6, g_max_s=4e-6, levels=4)
    if max(fields.get("slice_bits", (1,))) > 2:
        fields = fields | {"slice_bits": (2, 1, 2)}
    spec = _spec(spec, fields).with_(device=device, adc_bits=None)
    exact = mapping.place(_network(network, polarised, fields), spec, images)
    bits = int(exact.tiles["adc_bits_needed"].max())
    read = mapping.place(_network(network, polarised, fields), spec.with_(adc_bits=bits), images)
    top = 2 ** (bits - 1) - 1 if spec.signed_converter else 2**bits - 1
    chip, ideal_chip = mapping.CrossbarNetwork(read), mapping.CrossbarNetwork(exact)
    first, ideal_first = chip.model[0], ideal_chip.model[0]
    unit = Converter(1.0, -top - 1 if spec.signed_converter else 0, top)
    first._state.readers = [replace(reader, converter=unit) for reader in first._state.readers]
    with torch.no_grad():
        assert torch.allclose(first(images), ideal_first(images), rtol=1e-6, atol=1e-6)
    assert first.clipping.adc_clipped == 0


def test_the_same_cells_are_seen_from_any_number_of_tiles(images, ideal):
    """One matrix on one array or on nine: the strips' planes hold the same conductances."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(32, 6))
    seen = []
    for cols in (4, 16):
        spec = ideal.with_(rows=32, cols=cols, pair_layout="columns", pair_subtraction="analog")
        placement = mapping.place(net, spec, images)
        (at,) = build_strips(
            placement.layers["1"], list(placement.pieces()), spec, lambda piece, spec=spec: nominal(piece, spec)
        )
        seen.append(at.strip.g)
    assert torch.equal(*seen)


def test_programming_errors_reach_dummy_columns(images, ideal):
    """All weights 0: every column holds the reference; what is left of it is the cells' own error and the dummy's."""
    net = nn.Linear(16, 5, bias=False)
    with torch.no_grad():
        net.weight.fill_(1.0)
    device = Device.load("yuan2019").with_(stuck_at_lrs=0.0, stuck_at_hrs=0.0)
    spec = ideal.with_(encoding="offset", offset_correction="analog", idle="hrs", device=device, cols=6)
    placement = mapping.place(net, spec, torch.rand(4, 16))
    layer = placement.layers[""]
    layer.index[:] = 8  # the level 0 of sixteen
    weights, dummy = list(placement.pieces())
    assert np.all(weights.target == dummy.target[:, :1])
    (at,) = mapping.CrossbarNetwork(placement, seed=3)._layers[""]._state.strips
    left = at.strip.g.numpy() * at.strip.unit_s / dummy.target[0, 0]
    assert 0.05 < left.std() < 0.3
    # The dummy's own error is common to all columns of a row: two columns differ by less than each is off.
    assert np.abs(left.mean(axis=1)).mean() > 0.03


def test_the_baseline_of_real_idle_cells_is_taken_off(images, ideal):
    """Pruned rows add nothing, though every cell conducts: offsets, flips and fragments take g_min off exactly."""
    net = nn.Linear(16, 4)
    with torch.no_grad():
        net.weight[:, 1:] = 0
        net.weight[:, 0] = torch.tensor([1.0, 0.5, 0.25, 0.125])
    x = torch.rand(8, 16)
    for fields in ({"encoding": "offset"}, {"encoding": "flipped"}, {"encoding": "polarised", "fragment": 16}, {}):
        placement = mapping.place(net, ideal.with_(**fields, idle="hrs"), x)
        with torch.no_grad():
            found = mapping.CrossbarNetwork(placement)(x)
            assert torch.allclose(found, placement.reference()(x), atol=1e-5)


def test_a_fragment_of_both_signs_is_refused_by_name(network, images, ideal):
    with pytest.raises(UserError, match=r"Layer '0', group 0, column 0: rows 0 to \d hold weights of both signs"):
        mapping.place(network, ideal.with_(encoding="polarised", fragment=8), images)


def test_flipped_columns_need_their_flips(network, images, ideal):
    spec = ideal.with_(encoding="flipped", idle="hrs")
    layer = mapping.place(network, spec, images).layers["3"]
    assert any((signs < 0).any() for signs in layer.signs)
    straight = mapping.placement.LayerPlacement(
        **{name: getattr(layer, name) for name in layer.__dataclass_fields__ if name != "signs"},
        signs=tuple(np.ones_like(signs) for signs in layer.signs),
    )
    assert not torch.equal(straight.weights_from_cells(spec), layer.weights())
