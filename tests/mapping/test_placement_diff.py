import numpy as np
import pytest
import torch

import mapping
from mapping.placement_diff import diff


@pytest.fixture
def placement(network, images, spec):
    return mapping.place(network, spec, images)


def test_a_placement_and_its_copy_on_disk_are_the_same(placement, tmp_path):
    placement.save(tmp_path)
    found = diff(placement, mapping.Placement.load(tmp_path))
    assert found.same
    assert found.layers["status"].tolist() == ["same"] * 4
    assert not found.layers[["levels_changed", "mask_changed", "cells_moved"]].to_numpy().any()


def test_every_changed_weight_is_counted(network, images, spec, placement):
    layer = placement.layers["8"]
    index = layer.index.copy()
    at = np.argwhere(layer.live)
    for group, row, col in at[:3]:
        index[group, row, col] = (index[group, row, col] + 1) % len(layer.grid.values)
    changed = placement.layers | {"8": _replaced(layer, index=index)}
    found = diff(placement, _replaced(placement, layers=changed))
    assert found.layers.set_index("layer").loc["8", ["status", "levels_changed", "cells_moved"]].tolist() == [
        "differs",
        3,
        0,
    ]
    assert found.layers["status"].tolist().count("same") == 3


def test_moved_cells_and_other_arrays_are_told(network, images, spec, placement):
    wide = mapping.place(network, spec.with_(cols=16), images)
    found = diff(placement, wide)
    assert found.array == {"cols": (8, 16)}
    row = found.layers.set_index("layer").loc["8"]
    assert row["levels_changed"] == row["mask_changed"] == 0
    assert row["arrays_a"] > row["arrays_b"]
    # Columns 8 and 9 stood on arrays of their own and now stand beside the others.
    layer = placement.layers["8"]
    assert row["cells_moved"] >= int(layer.live[0][:, 8:].sum())


def test_layers_of_one_placement_only_and_masks(network, images, spec, placement):
    fewer = {name: layer for name, layer in placement.layers.items() if name != "5"}
    found = diff(placement, _replaced(placement, layers=fewer))
    assert found.layers.set_index("layer").loc["5", "status"] == "only in A"
    with torch.no_grad():
        network[8].weight[0, :5] = 0
    masked = diff(placement, mapping.place(network, spec, images)).layers.set_index("layer").loc["8"]
    assert masked["mask_changed"] == int(placement.layers["8"].live[0, :5, 0].sum())


def test_another_device_is_named_field_by_field(network, images, spec, placement):
    other = mapping.place(network, spec.with_(device=spec.device.with_(levels=8)), images)
    assert diff(placement, other).array["device.levels"] == (16, 8)


def _replaced(thing, **changes):
    from dataclasses import replace

    return replace(thing, **changes)
