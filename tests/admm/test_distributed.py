"""Two processes on one machine (gloo), each with half of every batch: the same compression on both."""

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

SCRIPT = """
import sys
import torch
import torch.distributed as dist
from torch import nn

import admm
from admm.constraints import Column, Filter, Levels
from hwmodels.errors import UserError

torch.set_num_threads(1)
dist.init_process_group("gloo")
rank, folder = dist.get_rank(), sys.argv[1]
torch.manual_seed(rank)  # another start on every rank: that of rank 0 is shared
model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 3))
data = torch.Generator().manual_seed(0)
x, y = torch.randn(64, 6, generator=data), torch.randint(0, 3, (64,), generator=data)
shares = [(x[i + 8 * rank : i + 8 * rank + 8], y[i + 8 * rank : i + 8 * rank + 8]) for i in range(0, 64, 16)]
levels = Levels((-1.0, -0.5, 0.5, 1.0), "fit")
plan = admm.Plan(
    layers=(
        admm.LayerPlan(name="0", prune=(Filter(5), Column(0.5)), levels=levels),
        admm.LayerPlan(name="4", levels=levels),
    ),
    schedule=admm.Schedule(admm_epochs=3, update_every=1, retrain_epochs=2, finish_epochs=2, solver=sys.argv[2]),
)
accuracy = lambda m: float((m(x).argmax(1) == y).float().mean())
result = admm.compress(model, plan, shares, accuracy, checkpoint_dir=f"{folder}/checkpoint")
again = admm.compress(model, plan, shares, accuracy, checkpoint_dir=f"{folder}/checkpoint")
torch.save({"state": result.model.state_dict(), "masks": result.masks, "again": again.model.state_dict(),
            "residuals": result.residuals.to_csv(), "loss": result.history["loss"].tolist()}, f"{folder}/{rank}.pt")
try:
    admm.compress(model, plan, shares[: 4 - rank], accuracy)
except UserError as error:
    assert "4, 3 batches" in str(error), error
else:
    raise AssertionError("different numbers of batches were accepted")
dist.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["admm", "slr"])
def test_two_processes_project_alike(solver, tmp_path):
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(SCRIPT))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    root = Path(__file__).parents[2]
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        f"--master-port={port}",
        "--master-addr=127.0.0.1",
    ]
    done = subprocess.run(
        [*command, str(script), str(tmp_path), solver],
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    for kind in ("state", "masks", "again"):
        assert all(torch.equal(value, second[kind][name]) for name, value in first[kind].items())
    assert all(torch.equal(value, first["again"][name]) for name, value in first["state"].items())
    assert first["residuals"] == second["residuals"]
    assert first["loss"] == second["loss"]
