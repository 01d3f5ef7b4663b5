import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from admm import checkpoint
from hwmodels.errors import UserError

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    ),
    max_leaves=10,
)


def same(a, b):
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@settings(deadline=None, max_examples=60)
@given(trees)
def test_any_tree_survives_the_split_and_json(tree):
    import json

    tensors, skeleton = checkpoint.flatten(tree)
    assert tensors == {}
    assert same(checkpoint.unflatten({}, json.loads(json.dumps(skeleton, allow_nan=False))), tree)


def test_adam_state_goes_to_disk_and_back_bit_for_bit(tmp_path):
    model = torch.nn.Linear(3, 2)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(3):
        model(torch.ones(1, 3)).square().sum().backward()
        optimiser.step()
    state = {"model": dict(model.state_dict()), "optimiser": optimiser.state_dict(), "epoch": 3}
    tensors, tree = checkpoint.flatten(state)
    checkpoint.save(tmp_path / "new" / "folder", tensors, {"tree": tree})
    found = checkpoint.load(tmp_path / "new" / "folder")
    assert found is not None
    back = checkpoint.unflatten(found[0], found[1]["tree"])
    assert back["epoch"] == 3
    assert back["optimiser"]["param_groups"] == state["optimiser"]["param_groups"]
    for number, slots in state["optimiser"]["state"].items():
        for name, value in slots.items():
            assert torch.equal(back["optimiser"]["state"][number][name], value)
    torch.optim.Adam(model.parameters(), lr=1.0).load_state_dict(back["optimiser"])


def test_shared_and_strided_tensors_are_stored_as_copies(tmp_path):
    base = torch.arange(6.0).reshape(2, 3)
    checkpoint.save(tmp_path, {"a": base, "b": base.T, "c": base[0]}, {})
    tensors, _ = checkpoint.load(tmp_path) or pytest.fail("nothing saved")
    assert torch.equal(tensors["b"], base.T)
    assert torch.equal(tensors["c"], base[0])


def test_a_new_state_replaces_the_old_one_and_leaves_two_files(tmp_path):
    for value in range(3):
        checkpoint.save(tmp_path, {"x": torch.tensor(value)}, {"n": value})
    tensors, meta = checkpoint.load(tmp_path) or pytest.fail("nothing saved")
    assert (tensors["x"].item(), meta["n"]) == (2, 2)
    assert len(list(tmp_path.iterdir())) == 2


def test_dying_before_the_commit_leaves_the_old_state(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, {"x": torch.tensor(1)}, {"n": 1})
    write = checkpoint.atomic.write

    def die_at_the_commit(path: Path, content: bytes | str) -> None:
        if path.suffix == ".json":
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(checkpoint.atomic, "write", die_at_the_commit)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path, {"x": torch.tensor(2)}, {"n": 2})
    tensors, meta = checkpoint.load(tmp_path) or pytest.fail("nothing saved")
    assert (tensors["x"].item(), meta["n"]) == (1, 1)


def test_no_checkpoint_is_none(tmp_path):
    assert checkpoint.load(tmp_path) is None
    assert checkpoint.load(tmp_path / "absent") is None


def test_damage_is_named(tmp_path):
    checkpoint.save(tmp_path, {"x": torch.zeros(100)}, {})
    file = next(tmp_path.glob("*.safetensors"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(UserError, match=r"checksum is wrong\. Delete .* to start afresh"):
        checkpoint.load(tmp_path)
    file.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        checkpoint.load(tmp_path)
    (tmp_path / "checkpoint.json").write_text('{"schema": "other/1"}')
    with pytest.raises(UserError, match=r"format 'other/1', not 'ohmweave\.checkpoint/1'"):
        checkpoint.load(tmp_path)
    (tmp_path / "checkpoint.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        checkpoint.load(tmp_path)


def test_what_cannot_be_stored_is_refused():
    with pytest.raises(TypeError, match="set at 'a/0'"):
        checkpoint.flatten({"a": [{1}]})


def test_an_unwritable_folder_is_the_users_mistake(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write the checkpoint"):
        checkpoint.save(tmp_path / "file" / "folder", {}, {})


def test_tensors_come_back_in_their_order_in_memory(tmp_path):
    weight = torch.rand(4, 3, 5, 5).to(memory_format=torch.channels_last)
    tensors, tree = checkpoint.flatten({"last": weight, "plain": weight.contiguous(), "one": torch.rand(4, 1, 3, 3)})
    checkpoint.save(tmp_path, tensors, {"tree": tree})
    found = checkpoint.load(tmp_path)
    assert found is not None
    back = checkpoint.unflatten(found[0], found[1]["tree"])
    assert torch.equal(back["last"], weight)
    assert back["last"].stride() == weight.stride()
    assert back["plain"].is_contiguous()
    assert back["one"].is_contiguous()
