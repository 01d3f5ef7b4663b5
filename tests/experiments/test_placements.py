"""What [mapping] asks for reaches the placement and its sentences; what cannot be is said."""

from pathlib import Path

import pytest

import mapping
from experiments import config as configuration
from experiments import placements
from experiments.progress import SILENT, Progress
from experiments.setup import prepare
from experiments.sweeping.axes import overlaid
from hwmodels.errors import UserError

SMALL = configuration.read(Path(__file__).parent / "small.toml")


def _setup(changes, progress=SILENT):
    return prepare(configuration.validated(overlaid(SMALL, changes), "test"), "test", progress)


def test_the_choices_reach_the_placement():
    asked = {"mapping.repack": True, "mapping.share": "layer", "mapping.spare_rows": 3, "mapping.spare_cols": 1}
    setup = _setup(asked | {"train.epochs": 0})
    placing = placements.placing_of(setup.config)
    assert placing == mapping.Placing(repack=True, share="layer", spare_rows=3, spare_cols=1)
    told = placements.sentences(setup.config, mapping.place(setup.network, setup.array, setup.calibration), None)
    assert "rows and columns repacked, arrays shared within the layer, 3 rows and 1 columns" in told[0]


def test_what_cannot_be_is_said_before_any_work():
    with pytest.raises(UserError, match=r"^\[mapping\] spare_rows = 40 must be from 0 to 31"):
        _setup({"mapping.spare_rows": 40})
    with pytest.raises(UserError, match=r"^compress\.target prices what plain tiling takes; leave out mapping\.repack"):
        _setup({"mapping.repack": True, "compress.target": "arrays", "compress.limit": 14, "compress.prune": {}})
    with pytest.raises(UserError, match=r"mapping\.share"):
        _setup({"mapping.share": "layers"})


def test_avoiding_faults_that_there_are_none_of_is_noted(capsys):
    _setup({"mapping.avoid_faults": True, "device.stuck_at_lrs": 0.0}, Progress())
    assert "yuan2019 has no faulty cells: mapping.avoid_faults changes nothing." in capsys.readouterr().err
