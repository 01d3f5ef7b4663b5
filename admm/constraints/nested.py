"""Several pruning sets on one layer: in what order, when that is exact, and what to do when it is not.

A set that binds small parts one by one (`cells`) is nested in another when each of its cells lies inside one
of the other's groups: the columns of arrays in filters, fragments in filters, kernels' patterns in channels.
Projecting on the inner set first and then ranking the groups by what is left is the exact projection on both:
whichever groups stay, the best inside each is the same, and the best groups are those of largest best. The same
holds where both count single weights in nested cells (2:4 inside balanced columns inside a budget for the layer),
because such budgets form a laminar matroid, whose best set shrinks by dropping its smallest.

Sets that overlap (filters and channels, say) have no such order; the best pair of index sets is a best-submatrix
problem, NP-hard. Two heuristics: one set after the other (`nested_mask`), and, from there, each again on what the
others keep, until nothing is gained any more (`alternating_mask`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from admm.constraints.balance import PerCell
from admm.constraints.groups import Groups, Unstructured
from admm.constraints.polarity import Polarised
from admm.constraints.support import Ranked, Support, energy

ROUNDS = 50
"""`alternating_mask` stops after so many rounds at the latest; every round but the last gains something."""


def nested_mask(w: Tensor, constraints: Sequence[Support], groups: int = 1, *, signs: Tensor | None = None) -> Tensor:
    """bool of the weight's shape: what is left when the constraints are projected on one after the other.

    Inner sets come before those they are nested in, the others keep their order. The result satisfies every
    constraint, since a later projection only zeroes more. It is the exact projection on the intersection for one
    constraint and for nested ones (`is_nested`), and a heuristic for sets that overlap, where the order matters.
    signs: those of `Polarised`, None: the best ones. No constraint: everything is kept.
    """
    kept = torch.ones_like(w, dtype=torch.bool)
    for constraint in ordered(constraints, w.shape, groups):
        left = w.detach().masked_fill(~kept, 0)
        if isinstance(constraint, Polarised):
            kept &= constraint.mask(left, groups, signs)
        else:
            kept &= constraint.mask(left, groups)
    return kept


def alternating_mask(
    gain: Tensor, constraints: Sequence[Ranked], groups: int = 1, start: Tensor | None = None
) -> tuple[Tensor, list[Tensor]]:
    """A support allowed by all constraints whose gain no change of a single constraint's choice can raise.

    gain: float64 of the weight's shape, on the CPU. Starts from the constraints one after the other; then each
    chooses again, given what the others keep, as long as the total gain grows: block coordinate ascent, a
    heuristic. start: entries that may be kept at all. Returns the mask and each constraint's own.
    """
    free = torch.ones(gain.shape, dtype=torch.bool) if start is None else start
    masks, kept = [], free.clone()
    for constraint in constraints:
        masks.append(constraint.best(gain * kept, groups))
        kept &= masks[-1]
    total = float((gain * kept).sum())
    for _ in range(ROUNDS if len(constraints) > 1 else 0):
        for i, constraint in enumerate(constraints):
            others = torch.stack([free, *masks[:i], *masks[i + 1 :]]).all(0)
            masks[i] = constraint.best(gain * others, groups)
        kept = torch.stack([free, *masks]).all(0)
        new = float((gain * kept).sum())
        if new <= total * (1 + 1e-12):
            break
        total = new
    return kept, masks


def ordered(constraints: Sequence[Support], shape: Sequence[int], groups: int = 1) -> list[Support]:
    """The constraints, inner ones before those they are nested in, otherwise as they come."""
    if len(constraints) < 2:
        return list(constraints)
    return [constraints[i] for i in _order(tuple(constraints), tuple(shape), groups)]


def is_nested(constraints: Sequence[Support], shape: Sequence[int], groups: int = 1) -> bool:
    """Whether projecting in the order of `ordered` is the exact projection on all the constraints together."""
    chain = ordered(constraints, shape, groups)
    return all(_refines(a, b, tuple(shape), groups) for i, a in enumerate(chain) for b in chain[i + 1 :])


def kept_energy(w: Tensor, mask: Tensor) -> float:
    """Σ w² of the kept entries, by which two supports compare."""
    return float((energy(w) * mask.cpu()).sum())


@lru_cache(maxsize=256)
def _order(constraints: tuple[Support, ...], shape: tuple[int, ...], groups: int) -> tuple[int, ...]:
    left, found = list(range(len(constraints))), []
    while left:
        first = next(
            i for i in left
            if not any(
                j != i
                and _refines(constraints[j], constraints[i], shape, groups)
                and not _refines(constraints[i], constraints[j], shape, groups)
                for j in left
            )
        )  # fmt: skip
        found.append(first)
        left.remove(first)
    return tuple(found)


@lru_cache(maxsize=256)
def _refines(inner: Support, outer: Support, shape: tuple[int, ...], groups: int) -> bool:
    """Whether each of the inner set's cells lies inside one part of the outer set, so that inner first is exact."""
    if isinstance(outer, PerCell | Unstructured):  # it counts single weights, which would cut into any cell
        if not isinstance(inner, PerCell | Unstructured):
            return False
        labels = outer.cells(shape, groups).reshape(-1)
    elif isinstance(outer, Groups):
        labels = outer.labels(shape, groups).reshape(-1)
    else:
        return False
    cells = inner.cells(shape, groups).reshape(-1)
    pairs = cells * (int(labels.max()) + 1) + labels
    return pairs.unique().numel() == cells.unique().numel()
