"""Rows and columns of several matrices, the ones of most energy, where a column of one can make rows of the next."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hwmodels.errors import UserError

_ROUNDS = 20


class Supports:
    """The energies of layers, their rows and columns in fixed orders; see `Budget` for those and for `feeds`.

    energies: name → (groups, rows, cols), what is gained by keeping each crossing, float64, not negative.
    Raises UserError for a layer that cannot read the one that `feeds` names.
    """

    def __init__(self, energies: Mapping[str, np.ndarray], feeds: Mapping[str, str]) -> None:
        self.energy, self.feeds = energies, feeds
        self.readers = {source: name for name, source in feeds.items()}
        for name, source in feeds.items():
            self._check(name, source)
        self.chains = self._chains()
        """The layers, each behind the one that it reads, in chains that have nothing to do with one another."""
        self.columns = {name: np.argsort(-self._worth(name, e.sum(1)), 1, "stable") for name, e in self.energy.items()}
        self.rows = {name: np.argsort(-e.sum(2), 1, "stable") for name, e in self.energy.items()}

    def kept(self, name: str, sizes: np.ndarray, before: np.ndarray | None) -> np.ndarray:
        """The measure that options keep along the orders: (options,), or (len(before), options).

        sizes: (options, 2) rows and columns. before: the numbers of columns that the layer before may keep; options
        with fewer rows would leave some of them unread, and are worth minus infinity unless there is no fewer.
        """
        e = self.energy[name]
        if (sizes > e.shape[1:]).any():
            raise UserError(
                f"The budget's options for layer {name!r} reach to {sizes.max(0)[0]} × {sizes.max(0)[1]} rows and "
                f"columns, and its matrix has {e.shape[1]} × {e.shape[2]}. Make them from this model's shapes."
            )
        ordered = np.take_along_axis(e, self.rows[name][:, :, None], 1)
        ordered = np.take_along_axis(ordered, self.columns[name][:, None, :], 2)
        counts, where = np.unique(sizes[:, 1], return_inverse=True)
        within = ordered.cumsum(2)[:, :, counts - 1].sum(0)
        if before is None:
            return within.cumsum(0)[sizes[:, 0] - 1, where]
        place = self._place(name)  # of the filter that makes each row, along the order of the layer before
        found = []
        for count in before:
            made = within[place < count].cumsum(0)
            value = made[np.minimum(sizes[:, 0], len(made)) - 1, where]
            found.append(np.where((sizes[:, 0] >= count) | (count == before.min()), value, -np.inf))
        return np.array(found)

    def kept_at(self, sizes: Mapping[str, tuple[int, int]]) -> dict[str, np.ndarray]:
        """Name → bool (groups, rows, cols): the crossings of at most so many rows and columns of every group.

        Those that are first along the orders, then chosen again in turns, chain by chain, as long as the chain gains.
        """
        found: dict[str, np.ndarray] = {}
        for chain in self.chains:
            cols = {name: _first(self.columns[name], sizes[name][1]) for name in chain}
            rows = {name: self._taken(name, self.rows[name], cols, sizes[name][0]) for name in chain}
            best, before = (rows, cols), self._total(rows, cols)
            for _ in range(_ROUNDS):
                rows, cols = self._turn(rows, cols, sizes)
                now = self._total(rows, cols)
                if now <= before * (1 + 1e-12):
                    break
                best, before = (rows, cols), now
            found |= {name: _crossings(best[0][name], best[1][name]) for name in chain}
        return found

    def _turn(
        self, rows: dict[str, np.ndarray], cols: dict[str, np.ndarray], sizes: Mapping[str, tuple[int, int]]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Every layer's rows by their energy in its columns, then its columns by theirs and by all that they make."""
        rows, cols = dict(rows), dict(cols)
        for name in rows:
            e = self.energy[name]
            ranked = np.argsort(-(e * cols[name][:, None, :]).sum(2), 1, "stable")
            rows[name] = self._taken(name, ranked, cols, sizes[name][0])
            worth = self._worth(name, (e * rows[name][:, :, None]).sum(1), cols)
            cols[name] = _first(np.argsort(-worth, 1, "stable"), sizes[name][1])
        return rows, cols

    def _total(self, rows: dict[str, np.ndarray], cols: dict[str, np.ndarray]) -> float:
        return sum(float(self.energy[name][_crossings(rows[name], cols[name])].sum()) for name in rows)

    def _worth(self, name: str, own: np.ndarray, cols: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """(groups, columns): what columns keep in their layer and, in the given columns (or all), in the one that reads
        them.
        """
        reader = self.readers.get(name)
        if reader is None:
            return own
        e = self.energy[reader]
        fed = (e if cols is None else e * cols[reader][:, None, :]).sum(2)
        return own + fed.reshape(1, own.shape[1], -1).sum(2)

    def _taken(self, name: str, ranked: np.ndarray, cols: Mapping[str, np.ndarray], count: int) -> np.ndarray:
        """bool (groups, rows): the first `count` rows of a ranking that the layer before makes with these columns."""
        source = self.feeds.get(name)
        if source is None:
            return _first(ranked, count)
        made = np.repeat(cols[source][0], ranked.shape[1] // cols[source].shape[1])
        return _first(ranked[:, made[ranked[0]]], count, ranked.shape[1])

    def _place(self, name: str) -> np.ndarray:
        """(rows,): for each row, in this layer's order, the place of its filter in the order of the layer before."""
        places = self.columns[self.feeds[name]].argsort(1)
        return np.repeat(places[0], self.energy[name].shape[1] // places.shape[1])[self.rows[name][0]]

    def _chains(self) -> list[list[str]]:
        found: list[list[str]] = []
        for first in (name for name in self.energy if name not in self.feeds):
            chain = [first]
            while chain[-1] in self.readers:
                chain.append(self.readers[chain[-1]])
            found.append(chain)
        if sum(map(len, found)) < len(self.energy):
            raise UserError("The budget's feeds go in a circle. Layers read those that come before them.")
        return found

    def _check(self, name: str, source: str) -> None:
        for each in (name, source):
            if each not in self.energy:
                raise UserError(f"The budget's feeds name {each!r}, which is none of its layers.")
        if self.readers[source] != name:
            raise UserError(f"The budget's feeds let two layers read {source!r}; what two read is free of both.")
        rows, cols = self.energy[name].shape[1], self.energy[source].shape[2]
        if len(self.energy[name]) > 1 or len(self.energy[source]) > 1 or rows % cols:
            raise UserError(
                f"Layer {name!r} with {rows} rows cannot read the {cols} columns of {source!r} alone: its rows must be "
                "a multiple of them, and neither layer have groups. Take it out of the budget's feeds."
            )


def _crossings(rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    return rows[:, :, None] & cols[:, None, :]


def _first(order: np.ndarray, count: int, total: int | None = None) -> np.ndarray:
    """bool (groups, n): the first `count` of each group's order, which need not have all of the `total` numbers."""
    kept = np.zeros((len(order), total or order.shape[1]), dtype=bool)
    np.put_along_axis(kept, order[:, :count], True, axis=1)
    return kept
