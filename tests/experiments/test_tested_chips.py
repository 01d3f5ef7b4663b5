"""Every chip is placed around its own stuck cells, and what that gives back and takes is recorded."""

from itertools import islice
from pathlib import Path

import pytest

import mapping
from experiments import config as configuration
from experiments import placements, stages, tested_chips
from experiments.progress import SILENT
from experiments.setup import prepare
from experiments.sweeping.axes import overlaid

SMALL = configuration.read(Path(__file__).parent / "small.toml")
FAULTY = {"device.stuck_at_lrs": 0.03, "device.stuck_at_hrs": 0.05, "mapping.avoid_faults": True, "train.epochs": 0}


@pytest.fixture(scope="module")
def setup():
    return prepare(configuration.validated(overlaid(SMALL, FAULTY), "test"), "test", SILENT)


@pytest.fixture(scope="module")
def placement(setup):
    return mapping.place(setup.network, setup.array, setup.calibration)


@pytest.fixture(scope="module")
def chips(setup, placement):
    return list(islice(stages.simulate_chips(setup, placement, 0, SILENT), 2))


def test_every_chip_is_placed_around_its_own_faults(setup, placement, chips):
    told = [chip["faults"] for chip in chips]
    assert told[0] != told[1]
    for chip, own in zip(chips, told, strict=True):
        found = mapping.avoid_faults(placement, chip["seed"])
        assert own["error_after"] < 0.5 * own["error_before"]
        assert own["faulty_cells"] == found.table["faulty_cells"].sum()
        assert own["lines_moved"] == found.table["lines_moved"].sum() > 0
        moved, unmoved = (
            mapping.CrossbarNetwork(each, seed=chip["seed"], conditions=setup.conditions)
            for each in (found.placement, placement)
        )
        accuracy = stages.test_accuracy(setup)
        assert chip["accuracy"] == accuracy(moved)
        assert own["accuracy_unmoved"] == accuracy(unmoved)


def test_the_record_says_what_moving_gives_back_and_takes(setup, placement, chips):
    quantised = stages.test_accuracy(setup)(placement.reference())
    record = tested_chips.record(chips, placement, quantised)
    before, after = record["accuracy_unmoved_mean"], record["accuracy_moved_mean"]
    assert before == pytest.approx(sum(chip["faults"]["accuracy_unmoved"] for chip in chips) / 2)
    assert after == pytest.approx(sum(chip["accuracy"] for chip in chips) / 2)
    assert record["recovered"] is None or record["recovered"] == pytest.approx((after - before) / (quantised - before))
    assert record["index_bits"] > record["index_bits_unmoved"]
    told = " ".join(placements.sentences(setup.config, placement, record))
    assert f"as placed the mean is {100 * before:.2f} %" in told
    assert f"no tiling of its masks takes fewer than {placement.arrays_bound}." in told
    assert "not priced" in told
    table = tested_chips.table(chips)
    assert table["accuracy"].tolist() == [chip["accuracy"] for chip in chips]
    assert tested_chips.record([{"accuracy": 1.0}], placement, 1.0) is None


def test_a_chip_with_fewer_errors_is_moved_as_the_chip_itself(setup, placement, chips):
    """Of a chip without its stuck cells nothing but its other errors is left: its lines stand where they stood."""
    (ideal,) = islice(stages.simulate_reduced(setup, placement, (), 0, SILENT), 1)
    assert "accuracy_unmoved" not in ideal["faults"]
    assert {name: ideal["faults"][name] for name in tested_chips.MEANS} == {
        name: chips[0]["faults"][name] for name in tested_chips.MEANS
    }
