"""The multiple-choice knapsack: one option for every item, total cost within a limit, total value as large as can be.

Items are layers, options are sizes that a layer may shrink to. What an option is worth may depend on the *state* that
the item before it hands on (how many channels the layer before kept); its cost does not. For a price λ on cost, the
best options of all items then follow from one backward pass (Viterbi), and the Lagrangian relaxation,

    min over λ ≥ 0 of max over choices of Σᵢ (vᵢ − λ cᵢ) + λ · limit,

is convex and piecewise linear in λ, with a line for every choice: it is solved exactly by intersecting lines. It bounds
every choice from these options from above, and prunes a dynamic program over (state, cost, value) triples (Nemhauser
and Ullmann 1969, Management Science 15(9), 494–505) that is exact for real costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hwmodels.errors import UserError

MOST_TRIPLES = 20_000
"""Triples of the dynamic program that are kept at most; beyond, they are thinned out and the choice may fall short."""
_ROUNDING = 1e-12
_LINES = 200


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


def choose(
    values: Sequence[np.ndarray],
    costs: Sequence[np.ndarray],
    limit: float,
    states: Sequence[np.ndarray | None] | None = None,
) -> Choice:
    """The option of every item, of largest total value within the limit; of equal ones a cheapest.

    values: one array per item, (options,), or (states before, options) behind an item that hands on a state. costs:
    (options,) each. states: (options,) whole numbers from 0, what each option hands on to the next item; None for an
    item that hands on nothing, or for all of them. Costs are finite; a value of minus infinity forbids an option after
    a state. Exact unless more than `MOST_TRIPLES` triples survive;
    `bound` then says how far it can be from the best. Work grows with items × options × triples that survive, and
    those with the distance of the bound from the best choice. Raises UserError when even the cheapest options are
    beyond the limit, or when no choice of them is allowed.
    """
    handed = [None] * len(values) if states is None else states
    items = [_Item(v, c, s) for v, c, s in zip(values, costs, handed, strict=True)]
    rest = np.append(np.cumsum([item.cost.min() for item in reversed(items)])[::-1], 0.0)
    room = limit + _ROUNDING * abs(limit)
    if rest[0] > room:
        raise UserError(f"The cheapest options cost {rest[0]:g} together, more than the limit of {limit:g}.")
    # Sums in another order round otherwise: what is known to fit gets a little less room than the triples do.
    relaxed = _relaxed(items, limit + _ROUNDING * abs(limit) / 2)
    enough = relaxed.fits.value - _ROUNDING * abs(relaxed.bound)
    at, history, exact = _Triples(np.zeros(1), np.zeros(1), np.zeros(1, dtype=np.int64)), [], True
    for item, after, cheapest in zip(items, relaxed.worth[1:], rest[1:], strict=True):
        at, parents, taken = at.extended(item, _Hope(after, relaxed.price, room - cheapest, room, enough))
        if at.cost.size > MOST_TRIPLES:
            kept = np.unique(np.linspace(0, at.cost.size - 1, MOST_TRIPLES).round().astype(np.int64))
            at, parents, taken, exact = at.of(kept), parents[kept], taken[kept], False
        if not at.cost.size:  # thinning took what could have reached what is known already
            return relaxed.known()
        history.append((parents, taken))
    if at.value.max() < relaxed.fits.value:
        return relaxed.known()
    best = int(np.lexsort((at.cost, -at.value))[0])
    cost, value, options = float(at.cost[best]), float(at.value[best]), []
    for item, (parents, taken) in zip(reversed(items), reversed(history), strict=True):
        options.append(int(item.number[taken[best]]))
        best = parents[best]
    return Choice(tuple(reversed(options)), cost, value, max(relaxed.bound, value), exact)


class _Item:
    """The options of an item by rising cost; value: (states before, options), state: what each hands on."""

    def __init__(self, value: np.ndarray, cost: np.ndarray, state: np.ndarray | None) -> None:
        cost = np.asarray(cost, np.float64)
        self.number = np.argsort(cost, kind="stable")
        self.cost = cost[self.number]
        self.value = np.atleast_2d(np.asarray(value, np.float64))[:, self.number]
        self.state = np.zeros(cost.size, np.int64) if state is None else np.asarray(state, np.int64)[self.number]


class _Line(NamedTuple):
    """A choice: the numbers of its options, its cost and its value."""

    options: tuple[int, ...]
    cost: float
    value: float


@dataclass(frozen=True)
class _Relaxed:
    """The Lagrangian relaxation. price: the λ of its minimum; worth: for every item, by the state before it, the most
    that it and all later ones are worth after paying λ for their cost; fits: the best choice met that is within the
    room.
    """

    bound: float
    price: float
    worth: list[np.ndarray]
    fits: _Line

    def known(self) -> Choice:
        """The best choice met, which need not be the best there is."""
        return Choice(*self.fits, max(self.bound, self.fits.value), exact=False)


def _relaxed(items: Sequence[_Item], room: float) -> _Relaxed:
    """Intersect the line of a choice beyond the room with that of one within it, until none lies above."""
    high = fits = _best(items, 0.0, cheapest=True)[0]
    if high.value == -np.inf:
        raise UserError("No choice of the cheapest options is allowed. Let every state be followed by one of them.")
    low, worth = _best(items, 0.0)
    if low.cost <= room:
        return _Relaxed(low.value, 0.0, worth, low)
    room, price = max(room, high.cost), 0.0  # sums of costs round
    for _ in range(_LINES):
        price = max((low.value - high.value) / (low.cost - high.cost), 0.0) if low.cost > high.cost else 0.0
        found, worth = _best(items, price)
        fits = max(fits, found, key=lambda line: line.value if line.cost <= room else -np.inf)
        here = found.value - price * found.cost
        if here <= low.value - price * low.cost + _ROUNDING * abs(here):
            break
        low, high = (found, high) if found.cost > room else (low, found)
    return _Relaxed(float(worth[0][0]) + price * room, price, worth, fits)


def _best(items: Sequence[_Item], price: float, *, cheapest: bool = False) -> tuple[_Line, list[np.ndarray]]:
    """The choice of largest value less price · cost (of the cheapest options alone, if so asked); and what all items
    from each one on are worth then, by the state before it.
    """
    worth, taken = [np.zeros(1)], []
    for item in reversed(items):
        after = worth[-1][item.state] if worth[-1].size > 1 else worth[-1][0]
        score = item.value - price * item.cost + after
        if cheapest:
            score[:, item.cost > item.cost[0]] = -np.inf
        taken.append(score.argmax(axis=1))
        worth.append(score.max(axis=1))
    options, state, cost, value = [], 0, 0.0, 0.0
    for item, best in zip(items, reversed(taken), strict=True):
        state = state if best.size > 1 else 0
        option = int(best[state])
        options.append(int(item.number[option]))
        cost, value = cost + float(item.cost[option]), value + float(item.value[state, option])
        state = int(item.state[option])
    return _Line(tuple(options), cost, value), worth[::-1]


class _Hope(NamedTuple):
    """What a triple needs to be worth keeping: room for the cheapest rest, and a bound that reaches what is known.

    worth: of all later items by state, see `_Relaxed`; left: the most that a triple may cost.
    """

    worth: np.ndarray
    price: float
    left: float
    room: float
    enough: float

    def of(self, cost: np.ndarray, value: np.ndarray, state: np.ndarray) -> np.ndarray:
        """The numbers of the triples that have it."""
        later = self.worth[state] if self.worth.size > 1 else self.worth[0]
        return np.flatnonzero((cost <= self.left) & (value + later + self.price * (self.room - cost) >= self.enough))


@dataclass(frozen=True)
class _Triples:
    """Partial choices that no other with the same state beats, state by state, by rising cost and value."""

    cost: np.ndarray
    value: np.ndarray
    state: np.ndarray

    def of(self, kept: np.ndarray) -> _Triples:
        return _Triples(self.cost[kept], self.value[kept], self.state[kept])

    def extended(self, item: _Item, hope: _Hope) -> tuple[_Triples, np.ndarray, np.ndarray]:
        """The triples with one more item, each with its parent and option; hopeless and beaten ones are left out."""
        before = self.state if len(item.value) > 1 else np.zeros_like(self.state)
        parts = []
        for state in np.unique(before):
            parents = np.flatnonzero(before == state)
            cost = (self.cost[parents, None] + item.cost).reshape(-1)
            value = (self.value[parents, None] + item.value[state]).reshape(-1)
            kept = hope.of(cost, value, np.tile(item.state, parents.size))
            parent, taken = np.divmod(kept, item.cost.size)
            parts.append((cost[kept], value[kept], item.state[taken], parents[parent], taken))
        cost, value, state, parents, taken = (np.concatenate(each) for each in zip(*parts, strict=True))
        order = np.lexsort((-value, cost, state))
        kept = np.concatenate([_rising(order[state[order] == each], value) for each in np.unique(state)] or [order])
        return _Triples(cost[kept], value[kept], state[kept]), parents[kept], taken[kept]


def _rising(order: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Those of the given numbers whose value is above that of all before them."""
    best = np.maximum.accumulate(value[order])
    return order[np.append(True, best[1:] > best[:-1])]
