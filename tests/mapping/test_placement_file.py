import copy
import hashlib
import json

import numpy as np
import pytest
import safetensors.torch
import torch

import mapping
from hwmodels.errors import UserError
from mapping.placement_file import content_hash


@pytest.fixture
def placement(network, images, spec):
    return mapping.place(network, spec.with_(slices=2), images)


def test_a_placement_comes_back_as_it_was(placement, network, images, tmp_path):
    placement.save(tmp_path / "chip")
    loaded = mapping.Placement.load(tmp_path / "chip")
    assert loaded.array == placement.array
    assert loaded.digital == placement.digital
    assert loaded.macs_total == placement.macs_total
    for name, layer in placement.layers.items():
        other = loaded.layers[name]
        assert np.array_equal(layer.index, other.index)
        assert layer.index.dtype == other.index.dtype
        assert np.array_equal(layer.live, other.live)
        assert torch.equal(layer.weights(), other.weights())
        assert layer.geometry == other.geometry
    assert placement.tiles.equals(loaded.tiles)
    with torch.no_grad():
        here = mapping.CrossbarNetwork(placement, seed=3)(images)
        there = mapping.CrossbarNetwork(loaded, seed=3, network=network)(images)
    assert torch.equal(here, there)


def test_biases_and_normalisation_come_back_into_a_fresh_network(placement, network, images, tmp_path):
    placement.save(tmp_path)
    loaded = mapping.Placement.load(tmp_path)
    fresh = copy.deepcopy(network)
    for parameter in [*fresh.parameters(), *fresh.buffers()]:
        if parameter.is_floating_point():
            torch.nn.init.uniform_(parameter)
    with torch.no_grad():
        assert torch.equal(loaded.reference(fresh)(images), placement.reference()(images))
    # Saved again without a network, nothing is lost.
    loaded.save(tmp_path / "again")
    again = mapping.Placement.load(tmp_path / "again")
    with torch.no_grad():
        assert torch.equal(again.reference(fresh)(images), placement.reference()(images))


def test_a_scale_per_column_comes_back(network, images, ideal, tmp_path):
    placement = mapping.place(network, ideal, images, scale="channel")
    placement.save(tmp_path)
    for name, layer in mapping.Placement.load(tmp_path).layers.items():
        assert layer.grid.scale.shape == (layer.shape.groups, layer.shape.cols)
        assert torch.equal(layer.weights(), placement.layers[name].weights())


def test_without_its_network_it_says_what_to_pass(placement, tmp_path):
    placement.save(tmp_path)
    with pytest.raises(UserError, match="pass it"):
        mapping.Placement.load(tmp_path).reference()


def test_another_network_is_refused(placement, tmp_path):
    placement.save(tmp_path)
    loaded = mapping.Placement.load(tmp_path)
    with pytest.raises(UserError, match=r"no '\d\.\w+' of shape"):
        loaded.reference(torch.nn.Linear(2, 2))
    with pytest.raises(UserError, match=r"has no '\d\.\w+' of shape"):
        loaded.reference(torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1)))


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match="There is no placement"):
        mapping.Placement.load(tmp_path / "nowhere")


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.99])
def test_a_truncated_tensor_file_is_refused(placement, tmp_path, cut):
    placement.save(tmp_path)
    file = tmp_path / "placement.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[: int(cut * len(content))])
    with pytest.raises(UserError, match="is damaged"):
        mapping.Placement.load(tmp_path)


def test_a_damaged_head_is_refused(placement, tmp_path):
    placement.save(tmp_path)
    (tmp_path / "placement.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        mapping.Placement.load(tmp_path)


def test_a_newer_schema_is_refused(placement, tmp_path):
    placement.save(tmp_path)
    head = json.loads((tmp_path / "placement.json").read_text())
    (tmp_path / "placement.json").write_text(json.dumps(head | {"schema": "ohmweave.placement/9"}))
    with pytest.raises(UserError, match=r"placement/9.*update ohmweave"):
        mapping.Placement.load(tmp_path)


def test_the_first_schema_is_still_read(placement, network, images, tmp_path):
    """It knows neither ranges per converter nor histograms, nor the array's keys that came with them."""
    placement.save(tmp_path)
    head = json.loads((tmp_path / "placement.json").read_text())
    for layer in head["layers"]:
        for key in ("histogram", "lossless_adc_bits"):
            del layer["calibration"][key]
    tensors = safetensors.torch.load_file(tmp_path / "placement.safetensors")
    new = ("/converters", "/converter_full_scale_s", "/code_counts", "/codes_used")
    content = safetensors.torch.save({key: value for key, value in tensors.items() if not key.endswith(new)})
    (tmp_path / "placement.safetensors").write_bytes(content)
    old = {"schema": "ohmweave.placement/1", "tensors_sha256": hashlib.sha256(content).hexdigest()}
    for key in ("adc_errors", "dac_errors", "adc_percentile", "adc_range_per", "signed_inputs", "input_range"):
        del head["array"][key]
    (tmp_path / "placement.json").write_text(json.dumps(head | old))
    loaded = mapping.Placement.load(tmp_path)
    with torch.no_grad():
        here = mapping.CrossbarNetwork(placement, seed=3)(images)
        there = mapping.CrossbarNetwork(loaded, seed=3, network=network)(images)
    assert torch.equal(here, there)


def test_an_unwritable_folder_is_named(placement, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="Cannot write the placement"):
        placement.save(tmp_path / "file")


@pytest.mark.parametrize(
    "fields",
    [
        {"encoding": "flipped", "idle": "hrs", "slices": 2},
        {"encoding": "polarised", "fragment": 4},
        {"encoding": "offset", "idle": "hrs", "offset_correction": "analog", "slice_bits": (3, 1)},
        {"pair_layout": "columns", "pair_subtraction": "analog"},
    ],
    ids=lambda fields: fields.get("encoding", "pair"),
)
def test_every_encoding_comes_back(network, polarised, images, spec, fields, tmp_path):
    network = polarised(network, fields.get("fragment", 1))
    placement = mapping.place(network, spec.with_(**fields), images)
    placement.save(tmp_path)
    loaded = mapping.Placement.load(tmp_path)
    assert loaded.array == placement.array
    assert loaded.tiles.equals(placement.tiles)
    for name, layer in loaded.layers.items():
        mine = placement.layers[name]
        assert len(layer.signs) == len(mine.signs)
        assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(layer.signs, mine.signs, strict=True))
        assert [(tile.block, tile.row0) for tile in layer.tiles] == [(tile.block, tile.row0) for tile in mine.tiles]
        assert torch.equal(layer.weights_from_cells(loaded.array), mine.weights())


def test_a_file_of_the_first_schema_is_read(placement, tmp_path):
    """Pairs on arrays of their own: no places, no signs, no fields of other encodings."""
    placement.save(tmp_path)
    head = json.loads((tmp_path / "placement.json").read_text())
    tensors = safetensors.torch.load_file(tmp_path / "placement.safetensors")
    tensors = {key: value for key, value in tensors.items() if not key.endswith("/tile_places")}
    content = safetensors.torch.save(tensors)
    (tmp_path / "placement.safetensors").write_bytes(content)
    head |= {"schema": "ohmweave.placement/1", "tensors_sha256": hashlib.sha256(content).hexdigest()}
    newer = ("encoding", "slice_bits", "slice_layout", "pair_layout", "offset_correction", "fragment")
    head["array"] = {key: value for key, value in head["array"].items() if key not in newer}
    (tmp_path / "placement.json").write_text(json.dumps(head))
    loaded = mapping.Placement.load(tmp_path)
    assert loaded.array == placement.array
    assert loaded.tiles.equals(placement.tiles)


def test_signs_that_do_not_fit_are_refused(network, images, spec, tmp_path):
    mapping.place(network, spec.with_(encoding="flipped", idle="hrs"), images).save(tmp_path)
    head = json.loads((tmp_path / "placement.json").read_text())
    tensors = safetensors.torch.load_file(tmp_path / "placement.safetensors")
    tensors["0/signs"] = tensors["0/signs"][:-1].clone()
    content = safetensors.torch.save(tensors)
    (tmp_path / "placement.safetensors").write_bytes(content)
    (tmp_path / "placement.json").write_text(json.dumps(head | {"tensors_sha256": hashlib.sha256(content).hexdigest()}))
    with pytest.raises(UserError, match=r"is damaged: there are \d+ signs for \d+ columns"):
        mapping.Placement.load(tmp_path)


def test_shared_arrays_and_arrays_of_a_layers_own_come_back(network, images, spec, tmp_path):
    wide = spec.with_(cols=24)
    placement = mapping.place(network, spec, images, share="network", repack=True, arrays={"8": wide})
    placement.save(tmp_path)
    loaded = mapping.Placement.load(tmp_path)
    assert loaded.layers["8"].array == wide
    assert loaded.layers["0"].array is None
    assert any(tile.site is not None and (tile.row0 or tile.col0) for tile in loaded.layers["3"].tiles)
    assert loaded.tiles.equals(placement.tiles)
    for name, layer in placement.layers.items():
        assert content_hash(loaded.layers[name]) == content_hash(layer)


def test_content_that_is_not_what_the_json_says_is_refused(network, images, spec, tmp_path):
    mapping.place(network, spec, images).save(tmp_path)
    head = json.loads((tmp_path / "placement.json").read_text())
    head["layers"][1]["content_sha256"] = "0" * 64
    (tmp_path / "placement.json").write_text(json.dumps(head))
    with pytest.raises(
        UserError, match=r"is damaged: the content of layer '3' is not what placement\.json says of it$"
    ):
        mapping.Placement.load(tmp_path)
