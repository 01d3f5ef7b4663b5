"""Training of a dense network, resumable epoch by epoch, and its accuracy.

One epoch is the unit: what happens in it follows from the model, the optimiser and the epoch's number, so a run
that was interrupted and one that was not end in the same bits (at one thread count, on one machine).
"""

from __future__ import annotations

import copy
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
    checkpoint_dir: folder for the state after every epoch; a state found there is taken up, and refused when it
    belongs to other settings. on_epoch: called with the history row of each finished epoch, once it is saved.
    evaluate: accuracy of the model, measured after every epoch.

    Returns a row per epoch, those of an interrupted run included: epoch, lr (at its start), loss (mean over the
    samples), train_accuracy, accuracy (only with `evaluate`), seconds.
    Raises UserError for an unknown optimizer or schedule, and when the loss or a weight stops being finite, naming
    the epoch and what to try; the model is then back in the state after the last good epoch, and so is the
    checkpoint.
    """
    settings = {
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
    if schedule not in _SCHEDULES:
        raise unknown("schedule", schedule, _SCHEDULES)
    descent = _optimizer(model, settings)
    rows = _resume(checkpoint_dir, settings, model, descent)
    for epoch in range(len(rows) + 1, epochs + 1):
        start, good = time.perf_counter(), copy.deepcopy(model.state_dict())
        try:
            row = _epoch(model, descent, batches, epoch, settings)
        except UserError:
            model.load_state_dict(good)
            model.eval()
            raise
        model.eval()
        if evaluate is not None:
            row["accuracy"] = evaluate(model)
        rows.append({**row, "seconds": time.perf_counter() - start})
        if checkpoint_dir is not None:
            state = {"model": model.state_dict(), "optimizer": descent.state_dict(), "rows": rows}
            tensors, tree = checkpoint.flatten(state)
            checkpoint.save(checkpoint_dir, tensors, {"settings": settings, "tree": tree})
        if on_epoch is not None:
            on_epoch(rows[-1])
    model.eval()
    return pd.DataFrame(rows, columns=None if rows else ["epoch", "lr", "loss", "train_accuracy", "seconds"])


def accuracy(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Share of the samples whose largest score is that of their label, in evaluation mode.

    The training flags of the model and its parts are as before afterwards. NaN scores count as wrong.
    """
    right, total = 0, 0
    with _evaluating(model), torch.inference_mode():
        for x, y in batches:
            right += _correct(model(x), y)
            total += len(y)
    if not total:
        raise UserError("There is no sample to measure the accuracy on.")
    return right / total


def _optimizer(model: nn.Module, settings: dict[str, Any]) -> torch.optim.Optimizer:
    rate, momentum, decay = settings["lr"], settings["momentum"], settings["weight_decay"]
    if settings["optimizer"] == "adam":
        return torch.optim.Adam(model.parameters(), lr=rate, betas=(momentum, 0.999), weight_decay=decay)
    if settings["optimizer"] == "sgd":
        return torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum, weight_decay=decay)
    raise unknown("optimizer", settings["optimizer"], ("adam", "sgd"))


def _resume(
    folder: str | os.PathLike[str] | None, settings: dict[str, Any], model: nn.Module, descent: torch.optim.Optimizer
) -> list[dict[str, Any]]:
    """Rows of the finished epochs; the model and the optimiser are set to the state after them."""
    found = None if folder is None else checkpoint.load(folder)
    if found is None:
        return []
    tensors, meta = found
    was = meta["settings"]
    if was != settings:
        changed = ", ".join(f"{key} {was.get(key)!r} there, {value!r} here" for key, value in settings.items()
                            if was.get(key) != value)  # fmt: skip
        raise UserError(f"The checkpoint in {folder} belongs to another training ({changed}); remove it or go back.")
    state = checkpoint.unflatten(tensors, meta["tree"])
    model.load_state_dict(state["model"])
    descent.load_state_dict(state["optimizer"])
    return state["rows"]


def _epoch(
    model: nn.Module,
    descent: torch.optim.Optimizer,
    batches: _Batches,
    epoch: int,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """One pass; epochs count from 1. UserError when the loss or, at the end, a weight is not finite."""
    if hasattr(batches, "set_epoch"):
        batches.set_epoch(epoch)  # type: ignore[attr-defined]
    model.train()
    loss_sum, right, total = 0.0, 0, 0
    first_step = (epoch - 1) * settings["steps"]
    with _own_randomness(settings["seed"], epoch):
        for step, (x, y) in enumerate(batches, first_step):
            for group in descent.param_groups:
                group["lr"] = _rate(settings, step)
            scores = model(x)
            loss = cross_entropy(scores, y, label_smoothing=settings["label_smoothing"])
            value = loss.item()
            if not math.isfinite(value):
                raise _diverged(epoch, f"the loss became {value}", settings)
            descent.zero_grad()
            loss.backward()
            descent.step()
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
    if settings["schedule"] == "constant":
        return settings["lr"]
    return settings["lr"] * 0.5 * (1 + math.cos(math.pi * step / (settings["steps"] * settings["epochs"])))


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
