"""What happens to a cell besides its programming error, as data: faults, noise, drift, temperature, verified writing.

Each is a table of a device file and a stage of its own; a device without the table has no such effect.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from hwmodels.devices.curves import Curve, Number, Numbers, Table, horner
from hwmodels.errors import UserError
from hwmodels.quantities import Count, Fraction, NonNegative, Positive

_SPEC = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class ClusteredFaults:
    """Faulty rectangles of `rows` × `cols` neighbouring cells, all at `state`.

    rate: fraction of the cells that are faulty, exact for every cell, at the edge too: a rectangle ends at each cell
    with probability 1 − (1 − rate)^(1/n), n = rows · cols, and rectangles may overlap.
    """

    rate: Fraction
    rows: Count
    cols: Count
    state: Literal["lrs", "hrs", "open"]


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class LineFaults:
    """Whole lines that fail: fraction of the word lines and of the bit lines whose cells all stand at `state`."""

    word_line: Fraction = 0.0
    bit_line: Fraction = 0.0
    state: Literal["lrs", "hrs", "open"] = "open"


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class ReadNoise:
    """A new normal deviation of every cell at every read: σ = curve(g / g_max) · g, or · g_max (see `of`).

    t_read_s, t0_s: where given, σ grows with the time t since programming as √ln((max(t, t0) + t_read) / (2 t_read)),
    the 1/f noise of Nandakumar et al., ICECS 2019.
    """

    curve: Curve
    of: Literal["g", "g_max"]
    t_read_s: Positive | None = None
    t0_s: Positive | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ReadNoise:
        """The growth in time needs both its times, in order."""
        if (self.t_read_s is None) != (self.t0_s is None):
            raise UserError("t_read_s and t0_s belong together: give both or neither")
        if self.t_read_s is not None and self.t0_s is not None and self.t0_s <= self.t_read_s:
            raise UserError(f"t0_s = {self.t0_s!r} is not above t_read_s = {self.t_read_s!r}")
        return self


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class TelegraphNoise:
    """Cells with one trap: while the trap is full, g falls to (1 − amplitude) g.

    share: fraction of the cells that have a trap. Give either of

    - duty: probability that a trap is full at a read. Reads are taken to lie further apart than the trap stays in a
      state, so its states at two reads are independent.
    - capture_s, emission_s: mean time [s] for which it stays empty, and full. It is then a Markov process of two states
      in the time since programming, full with probability emission / (capture + emission) at any one time; see
      `telegraph`.
    """

    amplitude: Fraction
    duty: Fraction | None = None
    share: Fraction = 1.0
    capture_s: Positive | None = None
    emission_s: Positive | None = None

    @model_validator(mode="after")
    def _consistent(self) -> TelegraphNoise:
        """One way of saying how often the trap is full."""
        times = (self.capture_s is not None, self.emission_s is not None)
        if any(times) != all(times) or any(times) == (self.duty is not None):
            raise UserError("give either `duty` or both `capture_s` and `emission_s`, from which the duty follows")
        return self

    @property
    def occupancy(self) -> float:
        """Probability that the trap is full at any one time."""
        if self.capture_s is None or self.emission_s is None:
            assert self.duty is not None
            return self.duty
        return self.emission_s / (self.capture_s + self.emission_s)


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class PowerLaw:
    """g(t) = g · (t / t0)^−ν for t > t0, with ν = |nu(x) + nu_sigma(x) z|, one z ~ N(0, 1) a cell; x = g / g_max."""

    t0_s: Positive
    nu: Curve
    nu_sigma: Curve
    kind: Literal["power-law"] = "power-law"


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class SpreadGrowth:
    """The spread of a level widens from curves[0] at times_s[0] to the later ones; its mean may shift.

    g(t) = g + g_max · (shift(x) + √max(σ_t(x)² − σ_0(x)², 0) · z), one z ~ N(0, 1) a cell. curves: σ as a share of
    g_max at each of times_s; between two times their numbers are interpolated, in t or in ln t (`scale`). The first is
    the spread that programming leaves. shifts: of the mean, in the same way; none: no shift. Before times_s[0]
    nothing has happened yet; a time after the last is refused.
    """

    times_s: Annotated[tuple[NonNegative, ...], Field(min_length=2)]
    curves: Annotated[tuple[Curve, ...], Field(min_length=2)]
    shifts: tuple[Curve, ...] = ()
    scale: Literal["linear", "log"] = "log"
    kind: Literal["spread-growth"] = "spread-growth"

    @model_validator(mode="after")
    def _consistent(self) -> SpreadGrowth:
        """A curve of one shape at every time, times in order."""
        if any(a >= b for a, b in zip(self.times_s, self.times_s[1:], strict=False)):
            raise UserError(f"times_s = {list(self.times_s)} does not ascend")
        if self.scale == "log" and self.times_s[0] <= 0:
            raise UserError('times_s starts at 0, which has no logarithm: start later or set scale = "linear"')
        for name, curves in (("curves", self.curves), ("shifts", self.shifts)):
            if curves and len(curves) != len(self.times_s):
                raise UserError(f"{name} lists {len(curves)} curves for {len(self.times_s)} times: one for each")
            if len({_shape(curve) for curve in curves}) > 1:
                raise UserError(f"the {name} are of different shapes: their numbers could not be interpolated")
        return self


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class LogDecay:
    """g(t) = g + shift_s · ln(t/t0) + (sigma_s + sigma_slope_s · ln(t/t0)) · z for t > t0, one z ~ N(0, 1) a cell [S].

    sigma_s is the relaxation that has happened by t0; before t0 nothing has.
    """

    t0_s: Positive
    shift_s: Number
    sigma_s: NonNegative
    sigma_slope_s: NonNegative
    kind: Literal["log-decay"] = "log-decay"


Drift = Annotated[PowerLaw | SpreadGrowth | LogDecay, Field(discriminator="kind")]
"""How a programmed conductance moves in time; the kinds are told apart by `kind`."""


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class Temperature:
    """g(T) = g · max(0, 1 + per_kelvin · (T − reference_k)); temperatures in kelvin."""

    per_kelvin: Number
    reference_k: Positive = 300.0


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class WriteVerify:
    """Writing pulse by pulse until a read-back accepts the cell, at most `max_pulses` times.

    Either `accept`, the probability that a pulse ends in acceptance (the programming error of the device is then the
    spread after acceptance); or `window_s` [S]: every pulse draws the programming error anew and is accepted within
    ± window_s of the target. pulse_s, pulse_energy_j, verify_s, verify_energy_j: time [s] and energy [J] of one pulse
    and of the read-back after it.
    """

    max_pulses: Annotated[Count, Field(le=2**16)]
    pulse_s: Positive
    pulse_energy_j: NonNegative
    accept: Annotated[Positive, Field(le=1)] | None = None
    window_s: Positive | None = None
    verify_s: NonNegative = 0.0
    verify_energy_j: NonNegative = 0.0

    @model_validator(mode="after")
    def _consistent(self) -> WriteVerify:
        """One way of acceptance."""
        if (self.accept is None) == (self.window_s is None):
            raise UserError(
                "give either `accept` (a probability) or `window_s` (a half-width), not both and not neither"
            )
        return self


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class SinhConduction:
    """I(V) = G sinh(a V) / a: a cell whose conductance G at 0 V grows with |V| alike in both directions.

    a_per_v: a [1/V]; max_v: largest |V| that the law is known for [V].
    Form: Chen, IEEE Trans. Electron Devices 60(4), 2013 (tunnelling through a gap); no preset publishes an a.
    """

    a_per_v: Positive
    max_v: Positive
    kind: Literal["sinh"] = "sinh"

    @model_validator(mode="after")
    def _consistent(self) -> SinhConduction:
        """A current that a float can hold."""
        if self.a_per_v * self.max_v > 700:
            raise UserError(
                f"a_per_v · max_v = {self.a_per_v * self.max_v:g}: sinh of more than 700 is beyond every number; "
                "lower one of them"
            )
        return self


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class PolynomialConduction:
    """I(V) = G V + c₂(G) V² + c₃(G) V³, with c₂ and c₃ polynomials in L = log₁₀(G / 1 S), fitted to measured curves.

    c2_a_per_v2, c3_a_per_v3: their coefficients of L⁰, L¹, … [A/V², A/V³]; g_low_s, g_high_s: the conductances that
    the fit holds for [S]; max_v: the largest |V| that it holds for [V]. Beyond g_low_s … g_high_s (the tails of a
    programming error, an open crossing) c₂/G and c₃/G stay what they are at the end, so 0 S carries no current.
    Form: CrossSim 3.2, `RRAM_Milo.py`. A law with dI/dV < 0 anywhere in these ranges is refused.
    """

    c2_a_per_v2: Numbers
    c3_a_per_v3: Numbers
    g_low_s: Positive
    g_high_s: Positive
    max_v: Positive
    kind: Literal["polynomial"] = "polynomial"

    @model_validator(mode="after")
    def _consistent(self) -> PolynomialConduction:
        """Range in order; a current that rises with the voltage."""
        if self.g_low_s >= self.g_high_s:
            raise UserError(f"g_low_s = {self.g_low_s!r} is not below g_high_s = {self.g_high_s!r}: exchange them")
        slope, volt, siemens = self.lowest_slope()
        if slope < 0:
            raise UserError(
                f"the I–V falls: dI/dV = {slope:.3g} S at {volt:.3g} V for a cell of G = {siemens:.3g} S. Lower "
                f"max_v = {self.max_v!r}, narrow g_low_s … g_high_s, or correct c2_a_per_v2 and c3_a_per_v3"
            )
        return self

    def lowest_slope(self) -> tuple[float, float, float]:
        """The smallest dI/dV in the ranges as a share of G, times G: dI/dV [S], where: V [V] and G [S].

        dI/dV is a parabola in V, so its lowest point is known in closed form for every G; over G a grid of 1001
        points is narrowed three times, and c₂, c₃ have few coefficients, so nothing fits between its points.
        """
        low, high = np.log10(self.g_low_s), np.log10(self.g_high_s)
        first, last, best = low, high, (np.inf, 0.0, self.g_low_s)
        for _ in range(3):
            g = 10 ** np.linspace(first, last, 1001)
            k2, k3 = self.relative(np, g)
            with np.errstate(divide="ignore", invalid="ignore"):
                vertex = np.clip(np.nan_to_num(-k2 / (3 * k3)), -self.max_v, self.max_v)
            v = np.stack([np.full_like(g, -self.max_v), np.full_like(g, self.max_v), vertex])
            share = 1 + v * (2 * k2 + 3 * k3 * v)
            which, where = np.unravel_index(int(share.argmin()), share.shape)
            if share[which, where] < best[0]:
                best = (float(share[which, where]), float(v[which, where]), float(g[where]))
            step, middle = (last - first) / 1000, float(np.log10(g[where]))
            first, last = max(low, middle - step), min(high, middle + step)
        share, volt, siemens = best
        return share * siemens, volt, siemens

    def relative(self, xp: Any, g: Any) -> tuple[Any, Any]:
        """c₂/G [1/V] and c₃/G [1/V²] of conductances g [S]; xp: `numpy` or `torch`, whose arrays go in and come out."""
        held = xp.clip(g, self.g_low_s, self.g_high_s)
        decades = xp.log10(held)
        return tuple(horner(coefficients, decades) / held for coefficients in (self.c2_a_per_v2, self.c3_a_per_v3))


Conduction = Annotated[SinhConduction | PolynomialConduction, Field(discriminator="kind")]
"""How the current of a cell depends on the voltage across it; the kinds are told apart by `kind`."""


def _shape(curve: Curve) -> tuple[object, ...]:
    """What two curves must share before their numbers can be mixed."""
    coeffs = len(getattr(curve, "coeffs", ()))
    return curve.kind, coeffs, curve.x if isinstance(curve, Table) else None
