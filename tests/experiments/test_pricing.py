"""What the keys of [hardware] do to the prices of both chips of a run."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import mapping
from experiments.config import Config, Hardware
from experiments.pricing import Pricing
from experiments.setup import array_spec, baseline_spec
from hwmodels import Library, at_node, estimate
from hwmodels.errors import UserError


@pytest.fixture(scope="module")
def chips():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 10))
    with torch.no_grad():
        network[3].weight[5:] = 0
    x = torch.rand(4, 1, 8, 8)
    array = array_spec(Config())
    placed = mapping.place(network, array, x)
    nn.init.ones_(network[3].weight)
    return {"placed": placed.tiles, "baseline": mapping.place(network, baseline_spec(Config(), array), x).tiles}


def pricing(**section):
    array = array_spec(Config())
    array = array.with_(device=array.device.with_(write_verify={"max_pulses": 1, "accept": 1.0, **PULSE}))
    return Pricing.of(Hardware(**section), array)


PULSE = {"pulse_s": 1e-6, "pulse_energy_j": 1e-12}


def test_both_chips_are_priced_at_the_rate_that_both_reach(chips):
    cost = pricing().both(chips)
    full = [estimate(tiles, "isaac-32nm").totals["full_rate_hz"] for tiles in chips.values()]
    for result in cost.values():
        assert result.totals["frame_rate_hz"] == min(full)
    slow = pricing(frame_rate_hz=10.0).both(chips)
    for name, result in slow.items():
        assert result.totals["frame_rate_hz"] == 10.0
        assert result.totals["energy_nj"] == cost[name].totals["energy_nj"]


def test_every_key_reaches_the_estimate(chips):
    plain = pricing().both(chips)["placed"]
    by_law = pricing(adc_model="andrulis").both(chips)["placed"]
    assert by_law.totals["energy_nj"] > plain.totals["energy_nj"]
    assert by_law.question.model == "andrulis"
    smaller = pricing(node_nm=16.0).both(chips)["placed"]
    expected = estimate(chips["placed"], at_node(Library.load("isaac-32nm"), 16.0), frame_rate_hz=1.0)
    assert smaller.totals["area_mm2"] == expected.totals["area_mm2"] < plain.totals["area_mm2"]
    apart = pricing(execution="layer-by-layer").both(chips)["placed"].totals
    assert apart["frame_rate_hz"] == pytest.approx(1e6 / apart["latency_us"])
    copied = pricing(replicas={"0": 4}).both(chips)
    assert copied["placed"].totals["frame_rate_hz"] == pytest.approx(4 * plain.totals["frame_rate_hz"])
    assert copied["placed"].totals["arrays"] == plain.totals["arrays"] + 3 * plain.layers["arrays"][0]
    # the device of the arrays says what writing takes: one pulse of 1 pJ for every crossing in use
    cells = (chips["placed"]["rows"] * chips["placed"]["cols"]).sum()
    assert plain.totals["programming_energy_nj"] == pytest.approx(cells * 1e-3)


def test_copies_of_a_layer_that_pruning_emptied_are_no_mistake(chips):
    cut = {"placed": chips["placed"][chips["placed"]["layer"] == "0"], "baseline": chips["baseline"]}
    priced = pricing(replicas={"3": 2}).both(cut)
    assert priced["placed"].layers["replicas"].tolist() == [1]
    assert priced["baseline"].layers["replicas"].tolist() == [1, 2]


def test_mistakes_name_the_key(chips):
    with pytest.raises(UserError, match=r"hardware\.replicas: there is no layer '2'"):
        pricing(replicas={"2": 2}).check_layers(["0", "3"])
    with pytest.raises(UserError, match=r"hardware\.frame_rate_hz = 1e\+12 is beyond"):
        pricing(frame_rate_hz=1e12).check_rate(chips["baseline"])
    pricing(frame_rate_hz=1.0).check_rate(chips["baseline"])
    ideal = replace(array_spec(Config()), adc_bits=None)
    assert Pricing.of(Hardware(library="forms-32nm"), ideal).library.name == "forms-32nm"
