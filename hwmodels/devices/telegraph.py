"""Random telegraph noise in time: the state of a trap at any moment, without walking there from the beginning.

A trap that stays empty for `capture_s` and full for `emission_s` on average is a Markov process of two states with the
rate λ = 1/capture_s + 1/emission_s, whose states a time dt apart have the correlation exp(−λ dt) (S. Machlup, Journal
of Applied Physics 25, 341, 1954, doi 10.1063/1.1721637). The same process in other words: at the events of a Poisson
process of rate λ the trap forgets its state and takes a new one, full with probability emission / (capture + emission).
So the state at a time is the one of the last event before it.

Time since programming is cut into windows of 1/λ. A window has N events, N from a Poisson law of mean 1, each at a
uniform place in it, each with its state; count, places and states are random words of the cell under a seed of the
window. A read looks into its own window for the last event before it, and if there is none into the windows before.
At time 0 a state is drawn from the stationary law.

Exact: every state, every joint law of any number of reads, in any order of asking, to the resolution of the words
(2⁻³² of a window in time, 2⁻³³ in a probability; N stops where 2⁻³³ is left) and of t_s as a float64. A look back ends
after 40 windows, which no event at all has in one of e⁴⁰ = 2 · 10¹⁷ cases. Everything is whole numbers, so kernel,
NumPy and torch agree bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwmodels.devices.effects import TelegraphNoise
from hwmodels.devices.random import key_of_seed, seed_of_window
from hwmodels.errors import UserError

_LOOK_BACK = 40


def _counts() -> tuple[int, ...]:
    """Thresholds of a 32-bit word: as many of them as it reaches, so many events has a window of mean 1."""
    thresholds, below = [], 0.0
    for n in range(20):
        below += math.exp(-1.0) / math.factorial(n)
        thresholds.append(min(round(below * 2**32), 2**32))
    return tuple(t for t in thresholds if t < 2**32)


COUNTS = _counts()


@dataclass(frozen=True)
class Windows:
    """Where to look for the last event, the latest window first: its seed, and the place up to which it counts (2³² for
    all of it)."""

    seeds: tuple[int, ...]
    ends: tuple[int, ...]

    def keys(self) -> np.ndarray:
        """Key words of the windows, as the kernel takes them: uint64 (windows, 2)."""
        return np.array([key_of_seed(seed) for seed in self.seeds], dtype=np.uint64).reshape(-1, 2)


def windows(noise: TelegraphNoise, seed: int, t_s: float) -> Windows | None:
    """The windows of a read at t_s [s] since programming; None for a trap without dwell times.

    Raises UserError where the dwell times are too short beside t_s to tell one window from the next.
    """
    if noise.capture_s is None or noise.emission_s is None:
        return None
    position = t_s * (1.0 / noise.capture_s + 1.0 / noise.emission_s)
    if not position < 2.0**52:
        raise UserError(
            f"t_s = {t_s:g} is more than 2**52 dwell times after programming (capture_s = {noise.capture_s:g}, "
            f"emission_s = {noise.emission_s:g}), finer than a float64 can tell: give `duty` instead."
        )
    latest = math.floor(position)
    numbers = range(latest, max(latest - _LOOK_BACK, -1), -1)
    seeds = tuple(seed_of_window(seed, number) for number in numbers)
    return Windows(seeds, (math.floor((position - latest) * 2**32), *[2**32] * (len(seeds) - 1)))
