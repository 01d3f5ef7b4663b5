import json

import pytest

from experiments.config import Config, Crossbar
from experiments.run_folder import RunFolder, default_folder, read_json
from hwmodels.errors import UserError


def test_the_same_configuration_comes_back(tmp_path):
    with RunFolder(tmp_path / "r", Config(), "a") as folder:
        folder.write("x.json", {"one": 1})
    with RunFolder(tmp_path / "r", Config(), "a") as folder:
        assert folder.read("x.json") == {"one": 1}
        assert folder.read("y.json") is None


def test_another_run_is_refused_and_left_alone(tmp_path):
    with RunFolder(tmp_path, Config(), "a"):
        pass
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"holds another run .*choose another --out"):
        RunFolder(tmp_path, Config(crossbar=Crossbar(rows=64)), "a")
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="holds other files"):
        RunFolder(tmp_path, Config(), "a")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_refused(tmp_path):
    (tmp_path / "f").write_text("x")
    with pytest.raises(UserError, match="is a file"):
        RunFolder(tmp_path / "f", Config(), "a")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "f").write_text("x")
    with pytest.raises(UserError, match="Cannot write to"):
        RunFolder(tmp_path / "f" / "r", Config(), "a")


def test_a_folder_in_use_is_refused(tmp_path):
    with RunFolder(tmp_path, Config(), "a"), pytest.raises(UserError, match="Another process is running"):
        RunFolder(tmp_path, Config(), "a")
    with RunFolder(tmp_path, Config(), "a"):
        pass


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(UserError, match=r"x\.json' is damaged"):
        read_json(tmp_path / "x.json")


def test_what_a_kill_leaves_behind_does_not_lock_the_folder(tmp_path):
    (tmp_path / ".run.json.123.part").write_text("{")
    (tmp_path / ".config.toml.123.part").write_text("")
    (tmp_path / "state").mkdir()
    with RunFolder(tmp_path, Config(), "a"):
        pass


@pytest.mark.parametrize("content", ["[]", '{"schema": "other"}'])
def test_an_identity_of_something_else_is_refused(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(UserError, match="not of this program"):
        RunFolder(tmp_path, Config(), "a")


def test_other_weights_are_another_run(tmp_path):
    with RunFolder(tmp_path, Config(), "a", {"weights file": "one"}):
        pass
    with pytest.raises(UserError, match="another content of the weights file"):
        RunFolder(tmp_path, Config(), "a", {"weights file": "two"})


def test_nan_never_reaches_a_result(tmp_path):
    with RunFolder(tmp_path, Config(), "a") as folder, pytest.raises(ValueError, match="JSON compliant"):
        folder.write("x.json", {"x": float("nan")})


def test_the_default_folder_carries_name_and_hash():
    assert default_folder(Config(), "digits").as_posix() == f"runs/digits-{Config().digest()}"
    assert json.dumps(Config().resolved())
