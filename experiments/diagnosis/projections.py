"""Projections of ADMM against brute force over every choice."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from experiments.diagnosis.checks import Case, Found, equal


def cases() -> list[Case]:
    """The nearest tensor with so many weights or rows, and the nearest levels, by trying all of them."""
    return [
        Case("Unstructured(3) of 8 weights: all 56 choices", lambda: _support("Unstructured", 3)),
        Case("Filter(2) of 4 filters: all 6 choices", lambda: _support("Filter", 2)),
        Case("Column(1) of 2 positions: both choices", lambda: _support("Column", 1)),
        Case("Levels: the nearest of each weight", _levels),
    ]


def _weights() -> Any:
    import torch

    return torch.randn(4, 2, generator=torch.Generator().manual_seed(11), dtype=torch.float64)


def _groups(kind: str, weight: Any) -> list[Any]:
    """Index sets of a (4 filters, 2 positions) tensor that are kept or dropped together, as masks."""
    import torch

    if kind == "Unstructured":
        return [torch.arange(8).reshape(4, 2) == n for n in range(8)]
    masks = torch.zeros(6, 4, 2, dtype=torch.bool)
    for n in range(4):
        masks[n, n] = True
    for n in range(2):
        masks[4 + n, :, n] = True
    return list(masks[:4]) if kind == "Filter" else list(masks[4:])


def _support(kind: str, keep: int) -> Found:
    import torch

    import admm.constraints as sets

    weight = _weights()
    groups = _groups(kind, weight)
    best = min(
        (weight * torch.stack(chosen).any(dim=0) for chosen in combinations(groups, keep)),
        key=lambda candidate: float((candidate - weight).norm()),
    )
    return _same(getattr(sets, kind)(keep).project(weight), best)


def _levels() -> Found:
    import torch

    from admm.constraints import Levels

    weight, values = _weights(), (-1.3, -0.6, -0.1, 0.1, 0.6, 1.3)
    best = torch.tensor([min(values, key=lambda v, w=w: abs(v - w)) for w in weight.flatten().tolist()])
    return _same(Levels(values).project(weight), best.reshape(4, 2).to(weight.dtype))


def _same(found: Any, best: Any) -> Found:
    return equal(_said(found), _said(best), "brute force")


def _said(weight: Any) -> str:
    return " ".join(f"{value + 0.0:.4f}" for value in weight.flatten().tolist())
