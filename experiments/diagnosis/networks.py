"""Networks on arrays: how many tiles they fill, and that ideal arrays compute the quantised network."""

from __future__ import annotations

from math import ceil
from typing import Any

from experiments.diagnosis.checks import Case, Found, at_most, equal

SIZES = ((16, 16), (32, 24), (64, 64))


def cases() -> list[Case]:
    """⌈rows/R⌉ · ⌈columns/C⌉ tiles a layer, arrays of both halves, and equality with torch."""
    return [
        *(Case(f"tiles on arrays of {rows} × {cols}", lambda r=rows, c=cols: _counts(r, c)) for rows, cols in SIZES),
        Case("ideal arrays equal the quantised torch network", _exact),
        Case("with 8-bit inputs and lossless converters too", _codes),
    ]


def _network() -> tuple[Any, Any]:
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(5)
    network = nn.Sequential(nn.Conv2d(2, 20, 3), nn.ReLU(), nn.Flatten(), nn.Linear(20 * 16, 70)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 4)
    return network, torch.rand(5, 2, 6, 6, generator=generator)


def _placed(rows: int, cols: int, **changes: Any) -> tuple[Any, Any]:
    import mapping
    from crossbar import ArraySpec
    from hwmodels import Device

    network, images = _network()
    device = Device.load("yuan2019").scaled_error(0)
    return mapping.place(network, ArraySpec(rows=rows, cols=cols, device=device, **changes), images), images


def _counts(rows: int, cols: int) -> Found:
    placement, _ = _placed(rows, cols)
    found = placement.tiles.groupby("layer", sort=False)["tile"].nunique().tolist()
    shapes = ((18, 20), (320, 70))
    expected = [ceil(r / rows) * ceil(c / cols) for r, c in shapes]
    return equal(found, expected, "⌈rows/R⌉ · ⌈columns/C⌉ of a convolution and a dense layer")


def _exact() -> Found:
    return _deviation(1e-5, input_bits=None, adc_bits=None)


def _codes() -> Found:
    """The converters are lossless where the products of 8-bit inputs and whole level steps fit their range."""
    return _deviation(0.05, input_bits=8, adc_bits=12, adc_range="full")


def _deviation(limit: float, **changes: Any) -> Found:
    import torch

    from mapping import CrossbarNetwork

    placement, images = _placed(32, 24, **changes)
    with torch.no_grad():
        found, expected = CrossbarNetwork(placement, seed=0)(images), placement.reference()(images)
    return at_most(float((found - expected).abs().max() / expected.abs().max()), limit, "of the largest output")
