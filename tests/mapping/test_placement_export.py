import json

import numpy as np
import pandas as pd
import pytest
import torch

import mapping
from hwmodels.errors import UserError
from mapping.placement_export import SCHEMA, export


@pytest.mark.parametrize("options", [{}, {"share": "network", "repack": True}], ids=["plain", "packed"])
def test_weights_follow_from_the_files_alone(network, images, spec, tmp_path, options):
    """Someone with the CSV files and nothing else gets the quantised weights back."""
    placement = mapping.place(network, spec.with_(slices=2, rows=24), images, **options)
    export(placement, tmp_path)
    head = json.loads((tmp_path / "export.json").read_text())
    assert head["schema"] == SCHEMA
    lines, arrays = pd.read_csv(tmp_path / "lines.csv", dtype={"layer": str}), pd.read_csv(tmp_path / "arrays.csv")
    g = {row.array: np.loadtxt(tmp_path / row.file, delimiter=",") for row in arrays.itertuples()}
    assert all(each.shape == (24, 8) for each in g.values())
    levels = head["array"]["device"]["levels"]
    full_scale = placement.array.encoder.full_scale_s
    for told in head["layers"]:
        layer = next(item for item in placement.layers.values() if item.label == told["layer"])
        matrix = np.zeros(layer.index.shape)
        own = lines[lines["layer"] == told["layer"]]
        for (number, _, group), part in own.groupby(["array", "tile", "group"]):
            word, bit = (part[part["kind"] == kind] for kind in ("word", "bit"))
            value = (bit["sign"] * levels ** bit["slice"]).to_numpy()
            seen = g[number][np.ix_(word["line"], bit["line"])] * value
            np.add.at(matrix[group], np.ix_(word["matrix"], bit["matrix"]), seen)
        weights = matrix / full_scale * np.asarray(told["scale"])
        expected = np.where(layer.live, layer.grid.weights(layer.index), 0)
        assert np.allclose(weights, expected, rtol=1e-6, atol=1e-9)


def test_moved_lines_are_exported_where_they_stand(spec, tmp_path):
    torch.manual_seed(0)
    device = spec.device.with_(stuck_at_hrs=0.1)
    placement = mapping.place(torch.nn.Linear(9, 5), spec.with_(device=device), torch.rand(2, 9))
    moved = mapping.avoid_faults(placement, 1).placement
    moved.export(tmp_path)
    for number, piece in enumerate(moved.pieces()):
        g = np.loadtxt(tmp_path / f"array-{number}.csv", delimiter=",")
        assert np.array_equal(g[np.ix_(piece.tile.line_numbers, piece.columns)], piece.target)
    assert any(not tile.in_order for tile in moved.layers[""].tiles)


def test_an_unwritable_folder_is_named(network, images, spec, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"^Cannot write the export to"):
        export(mapping.place(network, spec, images), tmp_path / "file")
