"""The ways to a compressed network: ADMM by itself, joint pruning by gates before it, or a search over parents."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import admm
from admm import Compressed, Plan, checkpoint
from admm.gates import prune_jointly
from admm.parents import search
from admm.relax import relaxed_plan
from experiments.config import Compress
from experiments.progress import Progress
from experiments.setup import Setup, read_start
from hwmodels import atomic

GATED, CANDIDATES = "gated", "parents.csv"
OnEpoch = Callable[[dict[str, Any]], None]


def compressed(
    setup: Setup,
    network: nn.Module,
    folder: Path,
    progress: Progress,
    evaluate: Callable[[nn.Module], float],
    on_epoch: OnEpoch,
    cost: Callable[[Mapping[str, Tensor]], Mapping[str, float]],
) -> Compressed:
    """The network compressed by compress.method; interrupted, it goes on from what is in the folder."""
    batches = progress.track(setup.compression_batches(), "epoch")
    given: dict[str, Any] = {"seed": setup.config.seed, "on_epoch": on_epoch, "cost": cost, **in_the_loop(setup)}
    section = setup.config.compress
    if section.method == "parents":
        assert section.rates is not None
        found = search(
            network, plans_by_rate(setup.plan, network, section.rates[-1]), section.rates, batches, evaluate,
            parents=section.parents or 3, checkpoint_dir=folder / "checkpoint", **given,
        )  # fmt: skip
        atomic.write(folder / CANDIDATES, found.candidates.to_csv(index=False))
        return found.results[section.rates[-1]]
    start, masks, teacher = network, None, None
    if section.method == "gates":
        start, masks = _gated(setup, network, batches, folder, progress)
    elif (earlier := read_start(setup.config, network)) is not None:
        start, masks, teacher = earlier.model, earlier.masks, network
    return admm.compress(
        start,
        setup.plan,
        batches,
        evaluate,
        checkpoint_dir=folder / "checkpoint",
        masks=masks,
        teacher=teacher,
        **given,
    )


def in_the_loop(setup: Setup) -> dict[str, Any]:
    """What `admm.compress` takes of the hardware: `wrap` (compress.train_on) and `stuck` (compress.stuck_map)."""
    return {"wrap": setup.wrapper(), "stuck": setup.stuck}


def plans_by_rate(plan: Plan, network: nn.Module, last: float) -> Callable[[float], Plan]:
    """The plan at a rate: `last` / rate times as many groups as it asks for, itself at the last one."""
    return lambda rate: relaxed_plan(plan, last / rate, network)


def gate_numbers(section: Compress) -> tuple[Any, Any]:
    """`weights` and `gates` of `prune_jointly`: by layer, or one number each where only "*" is named."""
    if list(section.gates) == ["*"]:
        return section.gates["*"].weights, section.gates["*"].gates
    weights = {name: each.weights for name, each in section.gates.items()}
    return weights, {name: each.gates for name, each in section.gates.items()}


def _gated(
    setup: Setup, network: nn.Module, batches: Any, folder: Path, progress: Progress
) -> tuple[nn.Module, dict[str, Tensor]]:
    """The network pruned by gates, with its masks; read from the folder where that is done."""
    section = setup.config.compress
    found = checkpoint.load(folder, name=GATED)
    if found is None:
        weights, gates = gate_numbers(section)
        options: dict[str, Any] = {"rho": section.gates_rho, "alpha": section.gates_alpha, "lr": section.gates_lr}
        epochs = section.gates_epochs or 10
        with progress.task("Pruning by gates", epochs) as task:
            made = prune_jointly(
                network, batches, weights, gates, epochs=epochs, seed=setup.config.seed,
                on_epoch=lambda row: task.advance(detail=f"loss {row['loss']:.4f}"),
                **{key: value for key, value in options.items() if value is not None},
            )  # fmt: skip
        tensors, tree = checkpoint.flatten({"model": dict(made.model.state_dict()), "masks": made.masks})
        checkpoint.save(folder, tensors, {"tree": tree}, name=GATED)
        found = tensors, {"tree": tree}
    state = checkpoint.unflatten(found[0], found[1]["tree"])
    network = copy.deepcopy(network)
    network.load_state_dict(state["model"])
    return network, {name: mask.to(torch.bool) for name, mask in state["masks"].items()}
