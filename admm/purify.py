"""Purification: what a compressed network no longer uses, or hardly uses, goes too, without retraining.

*Unused paths* (Ma et al. 2020, arXiv 1908.10017, section on P-RM) go exactly. A filter that nobody reads is removed.
A filter whose weights are all zero puts out a constant; it frees the next layer's channel when that constant is 0
after bias, normalisation and activation, or when it folds into the next layer's bias (no zeros padded, and no other
summand at a join). With zeros padded, a constant is not one at the edges, and the channel stays.

Beyond that, purification changes what the network computes, and is measured: biases, scales and shifts of dead filters
are set to zero, and *weak* channels and filters are removed, as long as accuracy stays within a budget. A channel of a
convolution with δ kernel positions is weak by two criteria that have to agree (the paper's algorithm 1), its emptiness
η, the share of live columns, and its importance σ, the mean squared norm of its columns; a filter by its squared norm.
The paper gives no thresholds. Here one number t sets all of them (η < t and σ < t · mean σ of the layer; ‖filter‖² <
t · mean of the layer), and bisection finds the largest t that the accuracy budget allows.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import pandas as pd
import torch
from torch import Tensor, nn

from admm.compressed import Compressed
from crossbar.paths import Paths, weight_by_input
from crossbar.unused import Removal
from hwmodels.errors import UserError

Evaluate = Callable[[nn.Module], float]


@dataclass(frozen=True, eq=False)
class Purified:
    """A purified network and how it came there.

    compressed: as it was given, with fewer live weights; its `stages` and histories are the old ones. removed: a row
    per layer and cause ("unused": exact; "constant": after zeroing bias, scale and shift; "weak"): filters, channels,
    weights. accuracy: before and after, as `evaluate` says. threshold: t, 0 when nothing weak could go.
    """

    compressed: Compressed
    removed: pd.DataFrame
    accuracy: tuple[float, float]
    threshold: float


class Weak(NamedTuple):
    """A channel or filter that could go, and the threshold t above which it does."""

    score: float
    layer: str
    kind: str
    number: int


def purify(compressed: Compressed, example: Tensor, evaluate: Evaluate, budget: float = 0.0) -> Purified:
    """Remove unused paths, and what is weak as far as accuracy allows; the model given is left as it is.

    example: a batch of inputs. evaluate(model) → accuracy, called in evaluation mode about 2 log₂(candidates) times;
    it decides, so it should not be the test set. budget: how much of it may be lost, ≥ 0, absolute.
    Raises UserError for a negative budget and for a network whose paths cannot be followed (see `paths.Paths`).
    """
    if not budget >= 0:
        raise UserError(f"The accuracy that purification may cost must be 0 or more, not {budget!r}.")
    model = copy.deepcopy(compressed.model)
    paths = Paths(model, example)
    run = _Purification(paths, {name: mask.clone() for name, mask in compressed.masks.items()}, evaluate)
    before = run.accuracy()
    floor = before - budget
    run.unused("unused")
    run.largest(run.leftover_constants(), floor, "constant")
    threshold = run.largest(run.weak(), floor, "weak")
    removed = pd.DataFrame(run.removed, columns=["layer", "cause", "filters", "channels", "weights"])
    return Purified(
        replace(compressed, model=model, masks=run.removal.masks), removed, (before, run.accuracy()), threshold
    )


def remove_unused(model: nn.Module, masks: Mapping[str, Tensor], example: Tensor) -> dict[str, Tensor]:
    """Remove unused paths from a model in place; returns the new masks. Outputs stay equal up to rounding.

    masks: module name → bool, live weights of the layers that may be changed. Raises UserError as `purify` does.
    """
    run = _Purification(Paths(model, example), {name: mask.clone() for name, mask in masks.items()}, lambda m: 0.0)
    run.unused("unused")
    return run.removal.masks


class _Purification:
    """A purification under way: graph, masks, and what has been removed."""

    def __init__(self, paths: Paths, masks: dict[str, Tensor], evaluate: Evaluate) -> None:
        self.paths, self.evaluate = paths, evaluate
        self.removal = Removal(paths, masks)
        self.layers = self.removal.layers
        self.removed: list[tuple[str, str, int, int, int]] = []

    def accuracy(self) -> float:
        """What the caller measures now."""
        self.paths.model.eval()
        with torch.no_grad():
            return float(self.evaluate(self.paths.model))

    @torch.no_grad()
    def unused(self, cause: str) -> None:
        """Exact removals until there are none left."""
        before = self._shape()
        self.removal.free_all()
        self._tell(before, cause)

    def leftover_constants(self) -> list[Weak]:
        """Dead filters whose constant still occupies a channel somewhere, the smallest constant first."""
        found = []
        constants = self.paths.constants()
        needed = self.paths.needed()
        for name in self.layers:
            weight = cast(Tensor, self.paths.module(name).weight)
            dead = ~(weight != 0).flatten(1).any(1).cpu() & needed[name]
            value = self.paths.behind_norm(name, constants).abs()
            numbers = (dead & (value > 0)).nonzero().flatten().tolist()
            found += [Weak(float(value[i]), name, "filter", i) for i in numbers]
        return sorted(found)

    def weak(self) -> list[Weak]:
        """Live channels and filters by the threshold above which they go, the weakest first; never a last filter.

        Filters of layers that nothing convolves or multiplies any more, the network's outputs, are none of them.
        """
        found = []
        last = list(self.paths.layers)[-1] if self.paths.layers else ""
        for name in self.layers:
            w = weight_by_input(self.paths.module(name)).double().cpu()
            energy, live = w.square(), w != 0
            columns = live.any(1)  # (groups, channels, positions)
            if w.shape[3] > 1:
                emptiness = columns.double().mean(2).reshape(-1)
                importance = energy.sum(1).mean(2).reshape(-1)
                found += _scored(name, "channel", importance, emptiness)
            if name != last:
                found += _scored(name, "filter", energy.sum((2, 3)).reshape(-1))
        return sorted(found)

    def largest(self, candidates: Sequence[Weak], floor: float, cause: str) -> float:
        """Remove as many candidates, weakest first, as keep accuracy at the floor; the score of the last, else 0.

        Bisection over their number: accuracy need not fall monotonously, so this is a search; what it leaves has been
        measured.
        """
        start, before = self._snapshot(), self._shape()
        best, kept = 0, start
        low, high = 0, len(candidates)
        while low < high:
            count = (low + high + 1) // 2
            self._restore(start)
            self._remove(candidates[:count])
            if self.accuracy() >= floor:
                low, best, kept = count, count, self._snapshot()
            else:
                high = count - 1
        self._restore(kept)
        if best:
            self._tell(before, cause)
        return candidates[best - 1].score if best else 0.0

    @torch.no_grad()
    def _remove(self, chosen: Sequence[Weak]) -> None:
        for each in chosen:
            module = self.paths.module(each.layer)
            if each.kind == "channel":
                w = weight_by_input(module)
                gone = torch.zeros(w.shape[0] * w.shape[2], dtype=torch.bool)
                gone[each.number] = True
                self.removal.drop_channels(each.layer, gone)
                continue
            gone = torch.zeros(cast(Tensor, module.weight).shape[0], dtype=torch.bool)
            gone[each.number] = True
            self.removal.drop_filters(each.layer, gone)
            norm = self.paths.norm_after(each.layer)
            if norm is not None:
                cast(Tensor, norm.weight)[each.number] = 0
                cast(Tensor, norm.bias)[each.number] = 0
        self.removal.free_all()

    def _shape(self) -> dict[str, tuple[int, int, int]]:
        """Live filters, channels and weights of every layer."""
        found = {}
        for name in self.layers:
            live = weight_by_input(self.paths.module(name)) != 0
            filters, channels = live.any(3).any(2).sum(), live.any(3).any(1).sum()
            found[name] = (int(filters), int(channels), int(live.sum()))
        return found

    def _tell(self, before: Mapping[str, tuple[int, int, int]], cause: str) -> None:
        for name, after in self._shape().items():
            filters, channels, weights = (a - b for a, b in zip(before[name], after, strict=True))
            if filters or channels or weights:
                self.removed.append((name, cause, filters, channels, weights))

    def _snapshot(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        state = {name: value.clone() for name, value in self.paths.model.state_dict().items()}
        return state, {name: mask.clone() for name, mask in self.removal.masks.items()}

    def _restore(self, kept: tuple[dict[str, Tensor], dict[str, Tensor]]) -> None:
        self.paths.model.load_state_dict(kept[0])
        self.removal.masks = {name: mask.clone() for name, mask in kept[1].items()}


def _scored(name: str, kind: str, strength: Tensor, emptiness: Tensor | None = None) -> list[Weak]:
    """Candidates of one layer: strength over the mean of the live ones, and emptiness where both have to agree."""
    live = strength > 0
    if int(live.sum()) < 2:
        return []
    score = strength / strength[live].mean()
    if emptiness is not None:
        score = torch.maximum(score, emptiness)
    # The strongest stays, whatever the threshold: a layer without any is no network.
    weak = live & (torch.arange(len(score)) != int(score.argmax()))
    return [Weak(float(score[i]), name, kind, i) for i in weak.nonzero().flatten().tolist()]
