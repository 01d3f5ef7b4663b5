import pytest
import torch
from torch import nn

import mapping
from crossbar import ArraySpec
from experiments.cli import command
from experiments.reporting.placement_figures import utilisation_table


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A depthwise network on arrays of its own, and sharing them."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 10))
    spec = ArraySpec(rows=32, cols=16, device="yuan2019")
    folder = tmp_path_factory.mktemp("placements")
    for share in ("none", "network"):
        mapping.place(net, spec, torch.rand(2, 4, 6, 6), share=share).save(folder / share)
    return folder


def test_diff_says_what_moved(folders, capsys, tmp_path):
    a, b = str(folders / "none"), str(folders / "network")
    assert command(["diff", a, a, "--check"]) == 0
    assert capsys.readouterr().out.strip() == "The placements are the same."
    assert command(["diff", a, b, "--check", "--out", str(tmp_path / "diff.csv")]) == 1
    out = capsys.readouterr().out
    assert "cells_moved" in out
    assert "of 2 layers are the same." in out
    assert (tmp_path / "diff.csv").read_text().startswith("layer,status,levels_changed,")


def test_export_writes_arrays_and_pictures(folders, capsys, tmp_path):
    assert command(["export", str(folders / "network"), "--out", str(tmp_path), "--figures", "--array", "1"]) == 0
    assert "layers in" in capsys.readouterr().out
    placement = mapping.Placement.load(folders / "network")
    assert len(list(tmp_path.glob("array-*.csv"))) == placement.arrays
    for name in ("chip", "utilisation", "masks", "array-1"):
        assert (tmp_path / f"{name}.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["diff"], "Which placements"),
        (["export"], "Which placement"),
        (["diff", "nowhere", "nowhere"], "There is no placement in 'nowhere'"),
    ],
)
def test_mistakes_are_told(args, message, capsys):
    assert command(args) == 2
    assert message in capsys.readouterr().err


def test_an_array_that_is_not_there(folders, capsys, tmp_path):
    assert command(["export", str(folders / "none"), "--out", str(tmp_path), "--figures", "--array", "99"]) == 2
    assert "There is no array 99" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_utilisation_counts_what_stands_on_cells(folders):
    placement = mapping.Placement.load(folders / "none")
    table = utilisation_table(placement.tiles).set_index("layer")
    # Four groups of 9 × 1 on two arrays of 32 × 16 each: 9 of 512 cells are covered.
    assert table.loc["0", "covered"] == pytest.approx(9 / 512)
    # A pair holds each weight once, on one half or the other.
    assert table.loc["3", "live"] == pytest.approx(640 / (int(table.loc["3", "arrays"]) * 512))
