"""Costs of options against the cost model on real placements: they add up, and no placement costs more."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import mapping
from crossbar import ArraySpec
from crossbar.tiling import from_matrix
from experiments.config import Hardware
from experiments.pricing import Pricing
from experiments.targeting.target_cost import ChipCost
from experiments.targeting.targets import TOTALS, Target
from hwmodels.errors import UserError

KINDS = ("area", "power", "energy", "arrays")

CHIPS = {
    "pairs": ({"rows": 16, "cols": 16}, {}),
    "idle cells, slices, shared converters": (
        {"rows": 16, "cols": 8, "idle": "hrs", "slices": 2, "cols_per_adc": 4, "dac_bits": 2, "adc_bits": 6}, {},
    ),
    "low resistance": ({"rows": 32, "cols": 16, "device": "pcm-hermes"}, {}),
    "slices on neighbouring columns, signed codes": (
        {"rows": 16, "cols": 16, "slices": 2, "slice_layout": "columns", "signed_inputs": "twos_complement"}, {},
    ),
    "replicas, layer by layer": ({"rows": 16, "cols": 16}, {"replicas": {"0": 3}, "execution": "layer-by-layer"}),
    "pairs on neighbouring columns, subtracted": (
        {"rows": 16, "cols": 16, "pair_layout": "columns", "pair_subtraction": "analog", "idle": "hrs"}, {},
    ),
    "offset, dummy columns": (
        {"rows": 16, "cols": 17, "encoding": "offset", "offset_correction": "analog", "slices": 2}, {},
    ),
    "flipped": ({"rows": 16, "cols": 16, "encoding": "flipped", "slices": 2, "slice_layout": "columns"}, {}),
    "polarised": ({"rows": 16, "cols": 16, "encoding": "polarised", "fragment": 4}, {}),
}  # fmt: skip


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 12, 3, groups=2), nn.Tanh(), nn.Flatten(),
        nn.Linear(12 * 16, 20), nn.ReLU(), nn.Linear(20, 5),
    )  # fmt: skip


def _chip(network, keys, hardware):
    array = ArraySpec(**({"device": "yuan2019"} | keys))
    pricing = Pricing.of(Hardware(**hardware), array)
    images = torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    plain = ArraySpec(rows=array.rows, cols=array.cols, device=array.device) if array.fragment else array
    return ChipCost.of(network, pricing, array, plain, images), images


def _pruned(network, options, one_sign=False):
    """A copy of the network with random rows and columns of every layer kept, as many as the options say."""
    draw = np.random.default_rng(0)
    made = copy.deepcopy(network)
    for name, option in options.items():
        module = made.get_submodule(name)
        groups, w = getattr(module, "groups", 1), module.weight
        live = np.zeros((groups, w[0].numel(), len(w) // groups), dtype=bool)
        for matrix in live:
            rows = draw.permutation(matrix.shape[0])[: option.rows]
            cols = draw.permutation(matrix.shape[1])[: option.cols]
            matrix[np.ix_(rows, cols)] = True
        w.data *= torch.from_numpy(np.ascontiguousarray(from_matrix(live, tuple(w.shape))))
        if one_sign:
            w.data.abs_()
    return made


@pytest.mark.parametrize(
    ("chip", "kind"), [(chip, kind) for chip in CHIPS for kind in KINDS if chip == "pairs" or kind in ("area", "power")]
)
def test_options_add_up_to_what_a_placement_costs_at_most(network, chip, kind):
    """For the unpruned network and for one with every layer cut: equal but for the cells' energy, never below."""
    cost, images = _chip(network, *CHIPS[chip])
    budget = cost.budget(Target(kind=kind, limit=1e9))
    for choose in (max, lambda options, key: sorted(options, key=key)[len(options) // 2]):
        options = {name: choose(each, key=lambda o: o.cost) for name, each in budget.options.items()}
        fragments = cost.array.fragment is not None
        pruned = _pruned(network, options, one_sign=fragments)
        placed = mapping.place(pruned, cost.array, images, free_unused=False)  # freeing can only save
        real = cost.pricing.estimate(placed.tiles)
        if kind == "power":  # fragments are read in turn, so a polarised chip may be slower than its baseline
            real = cost.pricing.estimate(placed.tiles, min(cost.rate_hz, real.totals["frame_rate_hz"]))
        asked = sum(option.cost for option in options.values())
        total = real.totals[TOTALS[kind]]
        assert total <= asked * (1 + 1e-9)
        if kind in ("area", "arrays"):
            assert total == pytest.approx(asked, rel=1e-9)
        elif not fragments:  # what the rows fall into is not known, so fragments are bounded
            cells = float(real.table.loc[real.table["component"] == "cell", "energy_nj"].sum())
            share = cells if kind == "energy" else cells * cost.rate_hz * 1e-6
            per_layer = [_dense_cells(cost, name, option, kind) for name, option in options.items()]
            assert total - share == pytest.approx(asked - sum(per_layer), rel=1e-9)


def _dense_cells(cost, name, option, kind):
    """What the option counts for its cells: weights at g_max, word lines driven fully in every cycle."""
    spec, shape = cost.array, cost.shapes[name]
    low, high = spec.device.g_min_s, spec.device.g_max_s
    g = {"pair": high + (low if spec.idle == "hrs" else 0.0), "offset": high, "flipped": (low + high) / 2}[
        spec.encoding
    ]
    reads = shape.positions * spec.cycles_per_vector(cost.signed[name])
    blocks = -(-option.cols // spec.weight_cols)
    total_s = spec.slices * option.rows * option.cols * g
    if spec.offset_correction == "analog":  # a column at the reference beside every block, on each slice
        total_s += option.rows * blocks * float(spec.device.level_conductances()[[0, 8]].sum())
    energy_j = spec.t_read_s * spec.device.read_voltage_v**2 * total_s * reads
    energy_nj = energy_j * shape.groups * 1e9
    return energy_nj if kind == "energy" else energy_nj * cost.rate_hz * 1e-6


@pytest.mark.parametrize(("limit", "measure"), [(20, "energy"), (28, "energy"), (28, "share"), (60, "share")])
def test_rows_that_nobody_feeds_are_not_paid_for(limit, measure):
    """Of a chain of layers no input channel is freed after projection, and more of the budget is used than without."""
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(1, 24, 3), nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 40, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(40 * 16, 48), nn.Sigmoid(), nn.Linear(48, 5),
    )  # fmt: skip
    cost, images = _chip(network, {"rows": 16, "cols": 16}, {})
    assert cost.feeds == {"3": "0", "6": "3", "8": "6"}
    assert cost.unfollowed is None
    linked = cost.budget(Target(kind="arrays", limit=float(limit)), measure)
    placed = {}
    for budget in (linked, replace(linked, feeds={})):
        pruned = copy.deepcopy(network)
        for name, mask in budget.solve({n: network.get_submodule(n).weight for n in budget.layers}).masks.items():
            pruned.get_submodule(name).weight.data *= mask
        placed[bool(budget.feeds)] = mapping.place(pruned, cost.array, images)
    assert all(" 0 input channels" in note for note in placed[True].notes)
    assert placed[False].arrays <= placed[True].arrays <= limit
    assert placed[True].arrays >= 0.9 * limit


class TwoWays(nn.Module):
    """A network that branches on its data, so that nobody can follow its paths without running it."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(36, 16), nn.Linear(16, 3)

    def forward(self, x):
        h = self.first(x.flatten(1))
        return self.second(h if h.sum() > 0 else -h)


def test_where_paths_cannot_be_followed_layers_go_one_by_one_and_the_reason_is_told():
    cost, _ = _chip(TwoWays(), *CHIPS["pairs"])
    assert cost.feeds == {}
    assert "control flow that depends on data" in cost.unfollowed
    assert cost.budget(Target(kind="arrays", limit=6.0)).feeds == {}


def test_a_reduction_counts_weights(network):
    cost, _ = _chip(network, *CHIPS["pairs"])
    budget = cost.budget(Target(kind="reduction", limit=4.0))
    weights = sum(shape.weights for shape in cost.shapes.values())
    assert budget.largest == weights
    assert budget.limit == weights / 4
    assert {option.cols for option in budget.options["7"]} == {5}, "the outputs stay"


@pytest.mark.parametrize(("kind", "limit"), [("area", 1e-5), ("arrays", 3), ("reduction", 1e4)])
def test_an_impossible_target_names_the_best_possible(network, kind, limit):
    cost, _ = _chip(network, *CHIPS["pairs"])
    with pytest.raises(UserError, match=r"is impossible; the (smallest|largest possible)") as refused:
        cost.budget(Target(kind=kind, limit=float(limit)))
    possible = cost.budget(Target(kind=kind, limit=1e9 if kind != "reduction" else 1.0))
    named = possible.largest / possible.smallest if kind == "reduction" else possible.smallest
    assert f"{named:.4g}" in str(refused.value)
