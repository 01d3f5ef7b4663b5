"""The quantisation set with learned level values: at most so many different weights a layer (weight sharing)."""

from __future__ import annotations

from typing import Annotated, Literal, final

import numpy as np
from pydantic import ConfigDict, Field, Strict
from pydantic.dataclasses import dataclass
from torch import Tensor

from admm.constraints.levels import Quantiser, live_entries
from crossbar.levels import LevelGrid

EXACT_LIMIT = 1 << 15
"""Up to so many different weights the clustering is the optimum; beyond, they are binned first and Lloyd follows."""

ROUNDS = 100
"""Lloyd iterations at most; each only lowers the error."""


@final
@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Cluster(Quantiser):
    """The live weights of a layer have at most `count` different values, free ones (Han et al. 2016, arXiv 1510.00149).

    Projecting clusters the weights in one dimension and moves each to its cluster's mean, so centroids follow the
    weights at every update of the copies (Zhang et al. 2018, arXiv 1811.01907). Up to EXACT_LIMIT different weights
    the clusters are the global optimum, by dynamic programming (Wang and Song 2011, Ckmeans.1d.dp). With more, the
    dynamic program runs on EXACT_LIMIT bins and Lloyd's iteration on the real weights follows: a heuristic that ends
    in a local optimum. A centroid is rounded to float32.
    """

    count: Annotated[int, Strict(), Field(ge=2, le=256)]
    kind: Literal["cluster"] = "cluster"

    @property
    def both_signs(self) -> bool:
        """Centroids go where the weights are; nothing promises one of each sign."""
        return False

    def grid(self, w: Tensor, live: Tensor | None = None, groups: int = 1) -> LevelGrid:
        """See `Quantiser.grid`: the centroids as level values, their largest magnitude as the scale."""
        del groups  # one codebook for the layer, whatever its groups
        weights = live_entries(w, live)
        distinct, counts = np.unique(weights, return_counts=True)
        if not _settled(distinct, self.count):
            distinct = _centroids(weights, distinct, counts, self.count)
        return _as_grid(distinct)

    def holds(self, w: Tensor, live: Tensor | None = None) -> bool:
        """See `Quantiser.holds`: at most `count` different float32 values among the live weights, dead ones 0."""
        if live is not None and bool((w.detach()[~live] != 0).any()):
            return False
        return _settled(np.unique(live_entries(w, live)), self.count)


def optimal_clusters(values: np.ndarray, counts: np.ndarray, clusters: int) -> np.ndarray:
    """Means of the clusters with the least sum of squared distances, ascending float64 (min(clusters, n),).

    values: ascending (n,); counts: how often each occurs. Exact up to rounding: the sums run in float64 about the mean.
    """
    from admm.constraints.cluster_kernels import partition  # compiled on first use

    x, count = np.asarray(values, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    middle = float(np.average(x, weights=count))
    starts = partition(x - middle, count, min(clusters, x.size))
    return np.add.reduceat(count * (x - middle), starts) / np.add.reduceat(count, starts) + middle


def _settled(distinct: np.ndarray, count: int) -> bool:
    return distinct.size <= count and bool((distinct.astype(np.float32) == distinct).all())


def _centroids(weights: np.ndarray, distinct: np.ndarray, counts: np.ndarray, clusters: int) -> np.ndarray:
    if distinct.size <= EXACT_LIMIT:
        return _single(optimal_clusters(distinct, counts, clusters))
    edges = np.linspace(0, distinct.size, EXACT_LIMIT + 1).astype(np.intp)[:-1]
    binned = np.add.reduceat(counts, edges)
    means = optimal_clusters(np.add.reduceat(counts * distinct, edges) / binned, binned, clusters)
    ordered = np.sort(weights)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    for _ in range(ROUNDS):
        cuts = np.searchsorted(ordered, (means[1:] + means[:-1]) / 2, side="right")
        bounds = np.concatenate([[0], cuts, [ordered.size]])
        sizes = np.diff(bounds)
        new = np.where(sizes > 0, np.diff(sums[bounds]) / np.maximum(sizes, 1), means)
        if np.array_equal(new, means):
            break
        means = new
    return _single(means)


def _single(means: np.ndarray) -> np.ndarray:
    """The centroids as float32, each once."""
    return np.unique(means.astype(np.float32)).astype(np.float64)


def _as_grid(levels: np.ndarray) -> LevelGrid:
    """Levels as values of largest magnitude 1 and a scale; scale · value rounds back to each level in float32."""
    levels = levels if levels.size else np.array([1.0])
    if levels.size == 1:  # a grid has two levels at least: the second is never the nearest of a weight at the first
        levels = np.sort(np.array([levels[0], -levels[0] if levels[0] else 1.0]))
    scale = float(np.abs(levels).max())
    grid = LevelGrid(levels / scale, np.array(scale))
    assert np.array_equal(grid.table().astype(np.float64), levels)
    return grid
