"""Several processes, one compression: gradients are averaged, everything else is computed alike on every rank.

Start them with `torchrun` and `torch.distributed.init_process_group` before `compress`; each rank gives its own share
of the data (`torch.utils.data.DistributedSampler`) and the same plain model, not wrapped in DistributedDataParallel.
Outside a process group every function here does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from hwmodels.errors import UserError


def size() -> int:
    """Processes of the group, 1 without one."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, 0 without a group."""
    return dist.get_rank() if size() > 1 else 0


def mean(number: float, device: torch.device) -> float:
    """The mean of a number over all ranks; the number itself, bit for bit, without a group."""
    if size() == 1:
        return number
    shared = torch.tensor(number, dtype=torch.float64, device=device)
    dist.all_reduce(shared)
    return float(shared) / size()


def average(values: Tensor) -> None:
    """Values become, in place, the mean of all ranks'."""
    if size() > 1:
        dist.all_reduce(values)
        values.div_(size())


def average_gradients(optimiser: torch.optim.Optimizer) -> None:
    """Every gradient becomes the mean of all ranks'."""
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                average(parameter.grad)


@torch.no_grad()
def share(model: nn.Module) -> None:
    """Parameters and buffers of rank 0 go to all: running statistics of normalisation differ from rank to rank."""
    if size() == 1:
        return
    for tensor in [*model.parameters(), *model.buffers()]:
        dist.broadcast(tensor, 0)


def barrier() -> None:
    """Wait for all ranks."""
    if size() > 1:
        dist.barrier()


def require_equal_shares(batches: Iterable[tuple[Tensor, Tensor]], device: torch.device) -> None:
    """UserError on every rank when the ranks have different numbers of batches: the longest would wait for ever."""
    if size() == 1 or not hasattr(batches, "__len__"):
        return
    mine = torch.tensor([len(batches)], device=device)  # type: ignore[arg-type]
    all_of_them = [torch.zeros_like(mine) for _ in range(size())]
    dist.all_gather(all_of_them, mine)
    counts = [int(count) for count in all_of_them]
    if len(set(counts)) > 1:
        raise UserError(
            f"The processes have {', '.join(map(str, counts))} batches. Give every rank as many: "
            "DistributedSampler pads or drops the last ones."
        )
