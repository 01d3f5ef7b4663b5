"""Where accuracy is lost: errors come off one by one, the last step is the chip, and the steps add up."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import mapping
from crossbar import AdcErrors, ArraySpec, DacErrors
from experiments import waterfall
from hwmodels import Device
from hwmodels.devices.effects import LineFaults, ReadNoise
from mapping import Conditions, CrossbarNetwork


@pytest.fixture(scope="module")
def chip():
    """A chip with every error there is, read a day after it was written."""
    device = Device.load("pcm-like").with_(stuck_at_hrs=0.02, line_faults=LineFaults(bit_line=0.02))
    assert isinstance(device.read_noise, ReadNoise)
    spec = ArraySpec(
        rows=16,
        cols=16,
        device=device,
        adc_bits=5,
        adc_errors=AdcErrors(offset_lsb=0.3),
        dac_errors=DacErrors(gain=0.02),
        r_word_ohm=2.0,
        r_bit_ohm=2.0,
    )
    return spec, Conditions(t_s=86400.0)


def test_every_error_is_found_and_comes_off_alone(chip):
    own = waterfall.errors_of(chip)
    assert own == tuple(waterfall.ERRORS)
    for size in range(len(own) + 1):
        for some in combinations(own, size):
            assert waterfall.errors_of(waterfall.with_only(chip, some)) == some
    assert waterfall.with_only(chip, own) == chip


def test_a_plain_chip_has_no_errors_to_switch():
    spec = ArraySpec(rows=16, cols=16, device="ideal", adc_bits=None)
    assert waterfall.errors_of((spec, Conditions(t_s=1e6, temperature_k=400.0))) == ()
    assert waterfall.cases(()) == [()]
    # An error of width zero is none.
    still = ArraySpec(rows=16, cols=16, device=Device.load("yuan2019").scaled_error(0.0), adc_bits=8)
    assert waterfall.errors_of((still, Conditions())) == ("adc",)


def test_one_chip_is_enough_where_nothing_is_drawn(chip):
    spec, conditions = chip
    assert waterfall.chips_needed(chip, (), 7) == waterfall.chips_needed(chip, ("wires",), 7) == 1
    assert waterfall.chips_needed(chip, ("program",), 7) == waterfall.chips_needed(chip, ("wires", "read"), 7) == 7
    assert waterfall.chips_needed(chip, ("adc",), 7) == 7
    assert waterfall.chips_needed((spec.with_(adc_errors=None), conditions), ("adc",), 7) == 1


@pytest.fixture(scope="module")
def placed(chip):
    """The placement of a small network on such chips, and the images that it was calibrated with."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(24, 20), nn.ReLU(), nn.Linear(20, 4))
    x = torch.rand(64, 24)
    return mapping.place(net, chip[0], x), x


def _outputs(placed, conditions, errors, seed=5):
    placement, x = placed
    setup = _Setup(conditions=conditions, calibration=x)
    made, reduced = waterfall.reduced(setup, placement, errors)
    return CrossbarNetwork(reduced, seed=seed, conditions=made.conditions)(x).detach()


@dataclass(frozen=True)
class _Setup:
    conditions: Conditions
    calibration: torch.Tensor


def test_no_errors_give_the_quantised_network_and_all_of_them_the_chip(chip, placed):
    placement, x = placed
    exact, none = placement.reference()(x).detach(), _outputs(placed, chip[1], ())
    # Only the codes of the inputs, 8 bits each, stand between them.
    assert float((none - exact).abs().max()) < 0.02 * float(exact.abs().max())
    whole = CrossbarNetwork(placement, seed=5, conditions=chip[1])(x).detach()
    assert torch.equal(_outputs(placed, chip[1], waterfall.errors_of(chip)), whole)


def test_each_error_alone_moves_the_outputs_and_drawn_ones_by_chip(chip, placed):
    none = _outputs(placed, chip[1], ())
    for name, error in waterfall.ERRORS.items():
        one, other = (_outputs(placed, chip[1], (name,), seed) for seed in (5, 6))
        assert not torch.equal(one, none), name
        assert torch.equal(one, other) != error.random(chip), name


def test_converters_without_wires_are_calibrated_without_them(chip, placed):
    placement, x = placed
    _, reduced = waterfall.reduced(_Setup(conditions=chip[1], calibration=x), placement, ("adc",))
    own = mapping.place(placement.network, reduced.array, x)
    for name, layer in reduced.layers.items():
        assert layer.calibration.adc_full_scale_s == own.layers[name].calibration.adc_full_scale_s
        # Wires take current away, so a range that was measured behind them is narrower.
        assert layer.calibration.adc_full_scale_s > placement.layers[name].calibration.adc_full_scale_s


accuracies = st.lists(st.integers(0, 360), min_size=4, max_size=4).map(lambda found: [n / 360 for n in found])


@given(accuracies, accuracies, accuracies, st.integers(0, 360), st.integers(0, 360))
def test_the_steps_add_up_from_the_trained_network_to_the_chip(a, b, c, dense, ideal):
    own = ("program", "stuck", "adc")
    found = {"ideal": [ideal / 360], "program": a, "program+stuck": b, "program+stuck+adc": c, "stuck": b, "adc": [0.5]}
    made = waterfall.record([("dense", dense / 360), ("quantised", 0.75)], own, found, 360)
    keys = [row["key"] for row in made["steps"]]
    assert keys == ["dense", "quantised", "map", "program", "stuck", "adc"]
    assert made["steps"][0]["accuracy"] == dense / 360
    assert made["steps"][-1]["accuracy"] == float(np.mean(c))
    assert made["steps"][0]["change"] is None
    total = sum(row["change"] for row in made["steps"][1:])
    assert total == pytest.approx(made["steps"][-1]["accuracy"] - dense / 360, abs=1e-12)
    together = made["steps"][-1]["accuracy"] - ideal / 360
    alone = sum(row["change"] for row in made["alone"])
    assert waterfall.interaction(made) == pytest.approx(together - alone, abs=1e-12)
    for row in made["alone"]:
        assert row["change"] == pytest.approx(row["accuracy"] - ideal / 360, abs=1e-12)
    assert made["chips"] == 4


def test_differences_are_of_each_chip_against_itself():
    """Two chips far apart that both lose a point: the loss is certain, whatever the spread."""
    found = {"ideal": [0.9], "program": [0.5, 0.9], "program+stuck": [0.49, 0.89], "stuck": [0.9, 0.9]}
    row = waterfall.record([("dense", 0.95)], ("program", "stuck"), found, 100)["steps"][-1]
    assert row["change_low"] == pytest.approx(row["change_high"]) == pytest.approx(-0.01)
