"""How far a programmed cell misses its target: the kinds of programming error, as data."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import ConfigDict, Field, Strict, model_validator
from pydantic.dataclasses import dataclass

from hwmodels.devices import curves
from hwmodels.errors import UserError
from hwmodels.quantities import NonNegative, Positive

_SPEC = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class NoError:
    """Every cell lands on its target exactly."""

    kind: Literal["none"] = "none"


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class ConstantError:
    """g = g_target + N(0, σ²), the same σ `sigma_s` [S] at every target."""

    sigma_s: NonNegative
    kind: Literal["constant"] = "constant"


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class ProportionalError:
    """g = g_target · (1 + N(0, σ²)), `sigma` without a unit."""

    sigma: NonNegative
    kind: Literal["proportional"] = "proportional"


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class InverseError:
    """σ [S] = sigma · g_max² / g_target, so σ = sigma · g_max at g_max; `sigma` without a unit.

    In x = g / g_max this is x + N(0, sigma²) / x, the inverse-proportional error of CrossSim (generic_device.py).
    """

    sigma: NonNegative
    kind: Literal["inverse"] = "inverse"


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class LognormalError:
    """g = g_target · exp θ, θ ~ N(0, σ²): the median is the target, the mean is exp(σ²/2) times the target."""

    sigma: NonNegative
    kind: Literal["lognormal"] = "lognormal"


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class PolynomialError:
    """g = g_target + N(0, σ²) with σ [S] = max(0, Σ cᵢ (g_target/g_max)ⁱ), `coeffs_s` = (c₀, c₁, …) [S]."""

    coeffs_s: Annotated[tuple[Annotated[float, Strict(), Field(allow_inf_nan=False)], ...], Field(min_length=1)]
    kind: Literal["polynomial"] = "polynomial"


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class SaturatingError:
    """g = g_target + N(0, σ²) with σ [S] = top_s · (1 − exp(−g_target / scale_s)); `top_s`, `scale_s` [S]."""

    top_s: NonNegative
    scale_s: Positive
    kind: Literal["saturating"] = "saturating"


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class TableError:
    """g = g_target + N(0, σ²), σ by straight lines between measured points (g_s, sigma_s) [S], level outside them."""

    g_s: Annotated[tuple[Positive, ...], Field(min_length=1)]
    sigma_s: Annotated[tuple[NonNegative, ...], Field(min_length=1)]
    kind: Literal["table"] = "table"

    @model_validator(mode="after")
    def _consistent(self) -> TableError:
        """A σ for every conductance, and the conductances in order."""
        if len(self.g_s) != len(self.sigma_s):
            raise UserError(f"g_s lists {len(self.g_s)} conductances, sigma_s {len(self.sigma_s)}: they go in pairs")
        if any(low >= high for low, high in zip(self.g_s, self.g_s[1:], strict=False)):
            raise UserError(f"g_s = {list(self.g_s)} does not ascend: sort the points and drop repeated ones")
        return self


ProgrammingError = Annotated[
    NoError
    | ConstantError
    | ProportionalError
    | InverseError
    | LognormalError
    | PolynomialError
    | SaturatingError
    | TableError,
    Field(discriminator="kind"),
]
"""How far a programmed cell misses its target; the kinds are told apart by `kind`."""


def scaled(error: Any, factor: float) -> Any:
    """A programming error `factor` times as wide."""
    match error:
        case ConstantError():
            return replace(error, sigma_s=error.sigma_s * factor)
        case ProportionalError() | InverseError() | LognormalError():
            return replace(error, sigma=error.sigma * factor)
        case PolynomialError():
            return replace(error, coeffs_s=tuple(c * factor for c in error.coeffs_s))
        case SaturatingError():
            return replace(error, top_s=error.top_s * factor)
        case TableError():
            return replace(error, sigma_s=tuple(s * factor for s in error.sigma_s))
    return error


class ErrorForm(NamedTuple):
    """A programming error as the kernels take it; at most one of the two is set.

    lognormal: σ of ln g; curve: packed σ / g_max over g / g_max.
    """

    lognormal: float = 0.0
    curve: np.ndarray | None = None

    def is_none(self) -> bool:
        """Whether every cell lands exactly."""
        return not self.lognormal and self.curve is None

    def packed_curve(self) -> np.ndarray:
        """The curve, or an empty array for none."""
        return np.empty(0) if self.curve is None else self.curve


def form_of(error: Any, g_max_s: float) -> ErrorForm:
    """How the kernels take a programming error; nothing set where there is none."""
    if isinstance(error, LognormalError):
        return ErrorForm(lognormal=error.sigma)
    curve = _curve_of(error, g_max_s)
    return ErrorForm(curve=None if curve is None else curves.packed(curve))


def _curve_of(error: Any, g_max_s: float) -> curves.Curve | None:
    """σ / g_max over g / g_max; None where σ is 0 everywhere."""
    match error:
        case ConstantError(sigma_s=sigma) if sigma > 0:
            return curves.constant(sigma / g_max_s)
        case ProportionalError(sigma=sigma) if sigma > 0:
            return curves.Polynomial(coeffs=(0.0, sigma))
        case PolynomialError(coeffs_s=coefficients) if any(coefficients):
            return curves.Polynomial(coeffs=tuple(c / g_max_s for c in coefficients))
        case InverseError(sigma=sigma) if sigma > 0:
            return curves.Power(factor=sigma, exponent=-1.0)
        case SaturatingError(top_s=top, scale_s=scale) if top > 0:
            return curves.Saturating(top=top / g_max_s, scale=scale / g_max_s)
        case TableError(g_s=g, sigma_s=sigma) if any(sigma):
            return curves.Table(x=tuple(point / g_max_s for point in g), y=tuple(s / g_max_s for s in sigma))
    return None
