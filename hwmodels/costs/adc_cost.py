"""What an analog-to-digital converter takes, by the library's table or by a published law over bits, rate and node.

Published converters of one resolution differ by a factor of 100 in energy; so the model is chosen, named, and never
mixed. Outside the range that a law was fitted in it is refused, or flagged where its authors' equation still holds.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from hwmodels.costs.library import Library, Resolution
from hwmodels.errors import UserError, unknown

MODELS = ("table", "andrulis", "isaac")


@dataclass(frozen=True)
class AdcCost:
    """One converter: area [m²], energy per conversion [J], power when busy [W], leakage [W], conversions per second."""

    area_m2: float
    energy_j: float
    power_w: float
    leakage_w: float
    rate_hz: float
    notes: tuple[str, ...] = ()


@lru_cache
def published(name: str) -> dict[str, Any]:
    """The coefficients of the published laws, from `tables/NAME.toml` of this package."""
    return tomllib.loads(resources.files("hwmodels").joinpath("tables", f"{name}.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=4096)
def andrulis(bits: int, rate_hz: float, node_nm: float) -> AdcCost:
    """The regression of Andrulis et al. (arXiv:2404.06553) over the converter survey, scaled to its best tenth.

    bits b: effective bits, 4 to 16; rate_hz f: conversions per second of one converter [1/s], at most 1e10;
    node_nm n: technology node, 7 to 180 [nm]. With SNDR = 6.0206 b + 1.7609 [dB] and the figure of merit
    FOM = min(213.78 − 2.872 ln f, 128.31 + 3.221 b) [dB]:
    E [pJ] = exp(26.050 + 1.880 ln n − 2.829 ln b − 1.470) / (2 · 10^((FOM − SNDR)/10)),
    A [µm²] = exp(1.346 + 0.993 ln n + 0.181 ln f + 0.299 ln E).
    Raises UserError outside these ranges: below 4 bits the law even falls as bits are added.
    """
    law = published("adc")["andrulis"]
    _inside("andrulis", "bits", bits, law["min_bits"], law["max_bits"])
    _inside("andrulis", "rate_hz", rate_hz, 1.0, law["max_rate_hz"])
    _inside("andrulis", "node_nm", node_nm, *law["nodes_nm"])
    (r0, r1), (b0, b1), (e0, e1, e2, e3) = law["fom_rate"], law["fom_bits"], law["energy"]
    merit = min(r0 - r1 * math.log(rate_hz), b0 + b1 * bits)
    sndr = 6.0206 * bits + 1.7609
    energy_pj = math.exp(e0 + e1 * math.log(node_nm) + e2 * math.log(bits) + e3) / (2 * 10 ** ((merit - sndr) / 10))
    a0, a1, a2, a3 = law["area"]
    area_um2 = math.exp(a0 + a1 * math.log(node_nm) + a2 * math.log(rate_hz) + a3 * math.log(energy_pj))
    energy = energy_pj * 1e-12
    return AdcCost(area_um2 * 1e-12, energy, energy * rate_hz, 0.0, rate_hz)


def isaac_rule(bits: int, eight: AdcCost) -> AdcCost:
    """ISAAC's scaling of an 8-bit converter to b bits, at the same rate.

    X(b) = X(8) · (λ b/8 + (1 − λ) 2^(b−8)): reference, memory and clock are linear in the bits, the capacitors double
    with each (Shafiee et al., ISCA 2016). λ is 0.9355 for power and energy, 0.545 for area: fitted to the 8, 9 and
    10-bit entries of hwcomponents-library, whose entries of 4 to 7 bits it then predicts within 1 %.
    From 1 to 3 and beyond 10 bits a note flags the extrapolation; beyond 12 bits UserError.
    """
    law = published("adc")["isaac"]
    _inside("isaac", "bits", bits, *law["bits"])
    power, area = (_linear_and_doubling(bits, law[f"linear_{what}"]) for what in ("power", "area"))
    low, high = law["listed_bits"]
    notes = () if low <= bits <= high else (f"ISAAC's rule is extrapolated to {bits} bits (listed: {low} to {high})",)
    return AdcCost(
        eight.area_m2 * area,
        eight.energy_j * power,
        eight.power_w * power,
        eight.leakage_w * power,
        eight.rate_hz,
        notes,
    )


def _linear_and_doubling(bits: int, linear: float) -> float:
    return linear * bits / 8 + (1 - linear) * 2.0 ** (bits - 8)


def _inside(model: str, name: str, value: float, low: float, high: float) -> None:
    """Refuse a value outside the range that a law holds in."""
    if not low <= value <= high:
        raise UserError(
            f"The converter model {model!r} holds for {name} from {low:g} to {high:g}, not {value:g}. Choose another "
            f"resolution, or another model ({', '.join(MODELS)})."
        )


def listed(entry: Resolution, rate_hz: float) -> AdcCost:
    """A converter as the table prints it: its share of the printed group; without an energy, power over rate."""
    rate = rate_hz if entry.rate is None else entry.rate.si
    power = entry.power.si * entry.share
    energy = power / rate if entry.energy is None else entry.energy.si
    return AdcCost(entry.area.si * entry.share, energy, power, _leakage(entry) * entry.share, rate)


def _leakage(entry: Resolution) -> float:
    return 0.0 if entry.leakage is None else entry.leakage.si


def checked_model(library: Library, model: str | None) -> str:
    """The converter model to use: the asked one, or the library's own; raises UserError for an unknown one."""
    chosen = library.adc_model if model is None else model
    if chosen not in MODELS:
        raise unknown("converter model", chosen, MODELS)
    return chosen
