"""The multiple-choice knapsack: one option for every item, total cost within a limit, total value as large as can be.

Items are layers, options are sizes that a layer may shrink to. The Lagrangian relaxation, min over λ ≥ 0 of
Σᵢ maxₒ (vᵢₒ − λ cᵢₒ) + λ · limit, is solved exactly: each item's options are replaced by their upper concave hull, and
the hulls' steps are taken by falling slope (Sinha and Zoltners 1979, Operations Research 27(3), 503–515). It bounds
every choice from these options from above, and prunes a dynamic program over (cost, value) pairs (Nemhauser and Ullmann
1969, Management Science 15(9), 494–505) that is exact for real costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwmodels.errors import UserError

MOST_STATES = 20_000
"""States of the dynamic program that are kept at most; beyond, they are thinned out and the choice may fall short."""
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Choice:
    """options: the number of every item's option; cost, value: their sums; bound: no choice from these options is
    worth more (the Lagrangian bound); exact: whether this one is known to be the best.
    """

    options: tuple[int, ...]
    cost: float
    value: float
    bound: float
    exact: bool


def choose(values: Sequence[np.ndarray], costs: Sequence[np.ndarray], limit: float) -> Choice:
    """The option of every item, of largest total value within the limit; of equal ones a cheapest.

    values, costs: one array per item, (options,), finite. Exact unless more than `MOST_STATES` states survive; `bound`
    then says how far it can be from the best. Raises UserError when even the cheapest options are beyond the limit.
    """
    items = [_Item(np.asarray(v, np.float64), np.asarray(c, np.float64)) for v, c in zip(values, costs, strict=True)]
    cheapest = sum(item.cost[0] for item in items)
    room = limit + _ROUNDING * abs(limit)
    if cheapest > room:
        raise UserError(f"The cheapest options cost {cheapest:g} together, more than the limit of {limit:g}.")
    rests = [_Relaxed(items[i:]) for i in range(len(items) + 1)]
    bound = float(rests[0].value(room))
    states = _States(np.zeros(1), np.zeros(1))
    # The greedy sums round otherwise than the states do: its room is a little tighter than theirs.
    first = _greedy(items, limit + _ROUNDING * abs(limit) / 2)
    enough = first.value - _ROUNDING * abs(bound)
    history, exact = [], True
    for item, rest in zip(items, rests[1:], strict=True):
        states, parents, taken = states.extended(item, rest, room, enough)
        if states.cost.size > MOST_STATES:
            kept = np.unique(np.linspace(0, states.cost.size - 1, MOST_STATES).round().astype(np.int64))
            states, parents, taken, exact = states.of(kept), parents[kept], taken[kept], False
        history.append((parents, taken))
    if not states.cost.size:  # thinning took every state that could have reached what is known already
        return Choice(first.options, first.cost, first.value, bound, exact=False)
    at, options = states.cost.size - 1, []
    cost, value = float(states.cost[at]), float(states.value[at])
    for item, (parents, taken) in zip(reversed(items), reversed(history), strict=True):
        options.append(int(item.number[taken[at]]))
        at = parents[at]
    return Choice(tuple(reversed(options)), cost, value, max(bound, value), exact)


class _Item:
    """The options that no other beats (cost and value both rise), and the steps of their concave hull."""

    def __init__(self, value: np.ndarray, cost: np.ndarray) -> None:
        order = np.lexsort((-value, cost))
        best = np.maximum.accumulate(value[order])
        rises = np.append(True, best[1:] > best[:-1])
        self.number = order[rises]
        self.value, self.cost = value[self.number], cost[self.number]
        hull: list[int] = []
        for i in range(self.value.size):
            while len(hull) > 1 and self._slope(hull[-2], hull[-1]) <= self._slope(hull[-1], i):
                hull.pop()
            hull.append(i)
        self.hull = hull
        self.steps = np.diff(self.cost[hull]), np.diff(self.value[hull])

    def pairs(self) -> list[tuple[float, float]]:
        """The hull's steps, (cost, value) each."""
        return list(zip(*(part.tolist() for part in self.steps), strict=True))

    def _slope(self, i: int, j: int) -> float:
        return float((self.value[j] - self.value[i]) / (self.cost[j] - self.cost[i]))


class _Relaxed:
    """What items are worth at most, as a concave function of the room that they get: the Lagrangian bound."""

    def __init__(self, items: Sequence[_Item]) -> None:
        self.base = float(sum(item.cost[0] for item in items))
        cost, value = (np.concatenate([np.zeros(0), *(item.steps[i] for item in items)]) for i in (0, 1))
        order = np.argsort(-value / cost, kind="stable")
        self._room = np.append(0.0, np.cumsum(cost[order]))
        self._value = np.append(0.0, np.cumsum(value[order])) + sum(float(item.value[0]) for item in items)

    def value(self, room: np.ndarray | float) -> np.ndarray:
        """The bound for so much room, which is at least `base`."""
        return np.interp(np.asarray(room) - self.base, self._room, self._value)


@dataclass(frozen=True)
class _First:
    """A sound choice to start from."""

    options: tuple[int, ...]
    cost: float
    value: float


def _greedy(items: Sequence[_Item], room: float) -> _First:
    """Hull steps by falling slope, an item's next ones left once one does not fit."""
    left = room - sum(float(item.cost[0]) for item in items)
    steps = [(-v / c, i, k, c) for i, item in enumerate(items) for k, (c, v) in enumerate(item.pairs())]
    taken, closed = [0] * len(items), set()
    for _, i, _, cost in sorted(steps):
        if i in closed or cost > left:
            closed.add(i)
            continue
        left, taken[i] = left - cost, taken[i] + 1
    at = [item.hull[k] for item, k in zip(items, taken, strict=True)]
    return _First(
        tuple(int(item.number[i]) for item, i in zip(items, at, strict=True)),
        float(sum(item.cost[i] for item, i in zip(items, at, strict=True))),
        float(sum(item.value[i] for item, i in zip(items, at, strict=True))),
    )


@dataclass(frozen=True)
class _States:
    """Partial choices that no other beats, by rising cost and value."""

    cost: np.ndarray
    value: np.ndarray

    def of(self, kept: np.ndarray) -> _States:
        return _States(self.cost[kept], self.value[kept])

    def extended(
        self, item: _Item, rest: _Relaxed, room: float, enough: float
    ) -> tuple[_States, np.ndarray, np.ndarray]:
        """The states with one more item, each with its parent and option; hopeless ones are left out."""
        cost = (self.cost[:, None] + item.cost).reshape(-1)
        value = (self.value[:, None] + item.value).reshape(-1)
        left = room - cost
        fits = np.flatnonzero(left >= rest.base)
        fits = fits[value[fits] + rest.value(left[fits]) >= enough]
        order = fits[np.lexsort((-value[fits], cost[fits]))]
        best = np.maximum.accumulate(value[order])
        kept = order[np.append(True, best[1:] > best[:-1])[: order.size]]
        parents, taken = np.divmod(kept, item.cost.size)
        return _States(cost[kept], value[kept]), parents, taken
