"""Training of a dense network, resumable epoch by epoch, and its accuracy.

One epoch is the unit: what happens in it follows from the model, the optimiser and the epoch's number, so a run
that was interrupted and one that was not end in the same bits (at one thread count, on one machine).
"""

from __future__ import annotations

import copy
import itertools
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from admm import checkpoint
from hwmodels.errors import UserError, unknown

_SCHEDULES = ("constant", "cosine")


class _Batches(Protocol):
    """Batches of (inputs, labels) that can be counted and passed over again."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]: ...


def train(
    model: nn.Module,
    batches: _Batches,
    *,
    epochs: int,
    lr: float,
    optimizer: Literal["adam", "sgd"] = "adam",
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    schedule: Literal["cosine", "constant"] = "cosine",
    label_smoothing: float = 0.0,
    seed: int = 0,
    nesterov: bool = False,
    warmup_epochs: int = 0,
    average: float | None = None,
    precision: Literal["full", "bfloat16"] = "full",
    checkpoint_dir: str | os.PathLike[str] | None = None,
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
    evaluate: Callable[[nn.Module], float] | None = None,
) -> pd.DataFrame:
    """Train a classifier in place with cross-entropy and leave it in evaluation mode.

    batches: re-iterable with a length, of (inputs, labels) on the model's device; `set_epoch(epoch)` is called
    before each pass where there is one, the first epoch being 1. optimizer: Adam (Kingma, Ba 2015) or stochastic
    gradient descent; momentum is that of SGD and beta_1 of Adam. schedule: the rate stays, or falls from `lr` to 0
    as half a cosine over all steps (Loshchilov, Hutter 2017, without restarts). seed: of what is random inside the
    model (dropout); the caller's generator is left as it was.
    nesterov: Nesterov's form of SGD's momentum. warmup_epochs: before the schedule, which then has the steps that are
    left, the rate rises to `lr` by equal amounts, the first step having the first of them (Goyal et al. 2017,
    arXiv:1706.02677, section 2.2). average: m of a running mean of weights and normalisation statistics, m · mean +
    (1 − m) · value after every step (Polyak, Juditsky 1992), which is what is evaluated and what the model becomes at
    the end. precision: "bfloat16" runs forward passes in autocast on the model's device; weights stay float32.
    checkpoint_dir: folder for the state after every epoch; a state found there is taken up, and refused when it
    belongs to other settings. on_epoch: called with the history row of each finished epoch, once it is saved.
    evaluate: accuracy of the model, measured after every epoch.

    Returns a row per epoch, those of an interrupted run included: epoch, lr (at its start), loss (mean over the
    samples), train_accuracy, accuracy (only with `evaluate`), seconds.
    Raises UserError for an unknown optimizer or schedule, Nesterov's momentum without SGD and momentum, a warm-up that
    leaves no epoch, and when the loss or a weight stops being finite, naming
    the epoch and what to try; the model is then back in the state after the last good epoch, and so is the
    checkpoint.
    """
    settings: dict[str, Any] = {
        "epochs": epochs,
        "lr": lr,
        "optimizer": optimizer,
        "momentum": momentum,
        "weight_decay": weight_decay,
        "schedule": schedule,
        "label_smoothing": label_smoothing,
        "seed": seed,
        "steps": len(batches),
    }
    # Only what differs from the default, so that the checkpoints of earlier versions are taken up.
    chosen = {"nesterov": nesterov, "warmup_epochs": warmup_epochs, "average": average}
    settings |= {key: value for key, value in chosen.items() if value}
    settings |= {} if precision == "full" else {"precision": precision}
    _check(settings)
    descent = _optimizer(model, settings)
    mean = (
        None if average is None else AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(average), use_buffers=True)
    )
    rows = _resume(checkpoint_dir, settings, model, descent, mean)
    for epoch in range(len(rows) + 1, epochs + 1):
        start, good = time.perf_counter(), copy.deepcopy(model.state_dict())
        try:
            row = _epoch(model, descent, batches, epoch, settings, mean)
        except UserError:
            model.load_state_dict(good)
            model.eval()
            raise
        model.eval()
        if evaluate is not None:
            row["accuracy"] = evaluate(model if mean is None else mean.module.eval())
        rows.append({**row, "seconds": time.perf_counter() - start})
        if checkpoint_dir is not None:
            state = {"model": model.state_dict(), "optimizer": descent.state_dict(), "rows": rows}
            state |= {} if mean is None else {"mean": mean.state_dict()}
            tensors, tree = checkpoint.flatten(state)
            checkpoint.save(checkpoint_dir, tensors, {"settings": settings, "tree": tree})
        if on_epoch is not None:
            on_epoch(rows[-1])
    if mean is not None:
        model.load_state_dict(mean.module.state_dict())
    model.eval()
    return pd.DataFrame(rows, columns=None if rows else ["epoch", "lr", "loss", "train_accuracy", "seconds"])


def accuracy(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Share of the samples whose largest score is that of their label, in evaluation mode, on the model's device.

    The training flags of the model and its parts are as before afterwards. NaN scores count as wrong.
    """
    right, total, where = 0, 0, device_of(model)
    with _evaluating(model), torch.inference_mode():
        for x, y in batches:
            right += _correct(model(x.to(where)), y.to(where))
            total += len(y)
    if not total:
        raise UserError("There is no sample to measure the accuracy on.")
    return right / total


def device_of(model: nn.Module) -> torch.device:
    """Where a model's parameters (or else its buffers) are; the CPU for one without any."""
    first = next(itertools.chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if first is None else first.device


def _check(settings: dict[str, Any]) -> None:
    """UserError for settings that no training can follow."""
    if settings["schedule"] not in _SCHEDULES:
        raise unknown("schedule", settings["schedule"], _SCHEDULES)
    if settings.get("nesterov") and (settings["optimizer"] != "sgd" or not settings["momentum"]):
        raise UserError('nesterov = true is a form of momentum: it takes optimizer = "sgd" and a momentum above 0.')
    warmup, epochs = settings.get("warmup_epochs", 0), settings["epochs"]
    if epochs and warmup >= epochs:
        raise UserError(f"warmup_epochs = {warmup} leaves none of the {epochs} epochs; take fewer.")


def _optimizer(model: nn.Module, settings: dict[str, Any]) -> torch.optim.Optimizer:
    rate, momentum, decay = settings["lr"], settings["momentum"], settings["weight_decay"]
    if settings["optimizer"] == "adam":
        return torch.optim.Adam(model.parameters(), lr=rate, betas=(momentum, 0.999), weight_decay=decay)
    if settings["optimizer"] == "sgd":
        nesterov = settings.get("nesterov", False)
        return torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum, weight_decay=decay, nesterov=nesterov)
    raise unknown("optimizer", settings["optimizer"], ("adam", "sgd"))


def _resume(
    folder: str | os.PathLike[str] | None,
    settings: dict[str, Any],
    model: nn.Module,
    descent: torch.optim.Optimizer,
    mean: AveragedModel | None,
) -> list[dict[str, Any]]:
    """Rows of the finished epochs; the model, the optimiser and the mean are set to the state after them."""
    found = None if folder is None else checkpoint.load(folder)
    if found is None:
        return []
    tensors, meta = found
    was = meta["settings"]
    if was != settings:
        changed = ", ".join(
            f"{key} {was.get(key)!r} there, {settings.get(key)!r} here"
            for key in {**settings, **was}
            if was.get(key) != settings.get(key)
        )
        raise UserError(f"The checkpoint in {folder} belongs to another training ({changed}); remove it or go back.")
    state = checkpoint.unflatten(tensors, meta["tree"])
    model.load_state_dict(state["model"])
    descent.load_state_dict(state["optimizer"])
    if mean is not None:
        mean.load_state_dict(state["mean"])
    return state["rows"]


def _epoch(
    model: nn.Module,
    descent: torch.optim.Optimizer,
    batches: _Batches,
    epoch: int,
    settings: dict[str, Any],
    mean: AveragedModel | None = None,
) -> dict[str, Any]:
    """One pass; epochs count from 1. UserError when the loss or, at the end, a weight is not finite."""
    if hasattr(batches, "set_epoch"):
        batches.set_epoch(epoch)  # type: ignore[attr-defined]
    model.train()
    loss_sum, right, total = 0.0, 0, 0
    first_step = (epoch - 1) * settings["steps"]
    mixed = torch.autocast(device_of(model).type, torch.bfloat16, enabled=settings.get("precision") == "bfloat16")
    with _own_randomness(settings["seed"], epoch):
        for step, (x, y) in enumerate(batches, first_step):
            for group in descent.param_groups:
                group["lr"] = _rate(settings, step)
            with mixed:
                scores = model(x)
                loss = cross_entropy(scores, y, label_smoothing=settings["label_smoothing"])
            value = loss.item()
            if not math.isfinite(value):
                raise _diverged(epoch, f"the loss became {value}", settings)
            descent.zero_grad()
            loss.backward()
            descent.step()
            if mean is not None:
                mean.update_parameters(model)
            loss_sum += value * len(y)
            right += _correct(scores.detach(), y)
            total += len(y)
    for name, tensor in model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise _diverged(epoch, f"{name} is no longer finite", settings)
    return {
        "epoch": epoch,
        "lr": _rate(settings, first_step),
        "loss": loss_sum / total,
        "train_accuracy": right / total,
    }


def _rate(settings: dict[str, Any], step: int) -> float:
    """Learning rate of a step, counted from 0 over all epochs."""
    rising = settings["steps"] * settings.get("warmup_epochs", 0)
    if step < rising:
        return settings["lr"] * (step + 1) / rising
    if settings["schedule"] == "constant":
        return settings["lr"]
    falling = settings["steps"] * settings["epochs"] - rising
    return settings["lr"] * 0.5 * (1 + math.cos(math.pi * (step - rising) / falling))


def _diverged(epoch: int, what: str, settings: dict[str, Any]) -> UserError:
    kept = f"the state after epoch {epoch - 1} is kept" if epoch > 1 else "the model is back at its first weights"
    return UserError(
        f"Training diverged in epoch {epoch}: {what}; {kept}. "
        f"Try a smaller learning rate (it is {settings['lr']:g}), say {settings['lr'] / 10:g}."
    )


def _correct(scores: Tensor, labels: Tensor) -> int:
    # argmax takes NaN for the largest value, which would let a broken network guess right.
    hit = (scores.argmax(dim=1) == labels) & ~scores.isnan().any(dim=1)
    return int(hit.sum())


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and afterwards every part's own mode again (a part may be frozen)."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def _own_randomness(seed: int, epoch: int) -> Iterator[None]:
    """A random state that belongs to this seed and epoch; the caller's returns afterwards."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0] >> np.uint64(1)))
        yield
