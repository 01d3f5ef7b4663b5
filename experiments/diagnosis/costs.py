"""Costs against printed totals: a broken library file or sum shows in them."""

from __future__ import annotations

from functools import partial

from experiments.diagnosis.checks import Case, close, equal
from experiments.diagnosis.published import isaac_gops, machine, tiles
from hwmodels.costs.adc_bits import required_adc_bits
from hwmodels.costs.adc_cost import andrulis

ISAAC = "Shafiee et al., ISCA 2016, table 1"


def cases() -> list[Case]:
    """ISAAC's core, tile, chip and throughput from its parts, the converter regression and the converters' bits."""
    power, area = machine("isaac-32nm")
    figures = [
        ("ISAAC core, power", "mW", 24.08, power),
        ("ISAAC core, area", "mm²", 0.01312, area),
        *((what, unit.replace("mm2", "mm²"), printed, found) for what, unit, printed, found in _tiles()),
        ("ISAAC chip, throughput", "GOPS", 41_288.0, isaac_gops()),
    ]
    return [
        *(Case(what, partial(close, found, printed, 0.003, unit, ISAAC)) for what, unit, printed, found in figures),
        Case(
            "converter of 8 bits at 1.28 GS/s, 32 nm, energy",
            lambda: close(andrulis(8, 1.28e9, 32).energy_j * 1e12, 1.929, 0.003, "pJ", "Andrulis et al., ISPASS 2024"),
        ),
        Case(
            "bits of a lossless converter, 128 rows of 2-bit cells",
            lambda: equal(required_adc_bits(128, 4), 9, "log2(128 · 3 + 1), rounded up"),
        ),
        Case(
            "the same with flipped columns",
            lambda: equal(required_adc_bits(128, 4, encoding="flipped"), 8, "ISAAC, section 5.1"),
        ),
    ]


def _tiles() -> list[tuple[str, str, float, float]]:
    return tiles("ISAAC", "isaac-32nm", (329.8, 0.372), (65_800.0, 85.4))
