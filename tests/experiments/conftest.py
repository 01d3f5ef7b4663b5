from pathlib import Path

import pytest
import torch


@pytest.fixture
def one_thread():
    """Training repeats bit for bit at one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run of small.toml: its configuration, folder and record. Read only."""
    from experiments import config, pipeline
    from experiments.progress import SILENT

    folder = tmp_path_factory.mktemp("run")
    path = folder / "small.toml"
    path.write_text((Path(__file__).parent / "small.toml").read_text())
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        command = "ohmweave run small"
        record = pipeline.run(config.load(path), folder / "out", name="small", command=command, progress=SILENT)
    finally:
        torch.set_num_threads(before)
    return path, folder / "out", record
