"""The fewest lossless converter bits of a placement, against sums over all inputs done by brute force."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import mapping
from crossbar import ArraySpec
from hwmodels import Device, required_adc_bits
from mapping import lossless_bits

DEVICE = Device(name="d", g_min_s=1e-6, g_max_s=4e-6, levels=4)


LEVELS = np.array([[1.0], [0.5], [0.25]])
"""A weight for each output that pins the scale: the largest stands at 4 uS, the others at 2 and 1."""


def placed(weight, **changes):
    layer = nn.Linear(*reversed(weight.shape), bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(weight, dtype=torch.float32))
    spec = ArraySpec(**({"device": DEVICE, "rows": 8, "cols": 8, "idle": "open", "dac_bits": 1} | changes))
    return mapping.place(nn.Sequential(layer), spec, torch.rand(4, weight.shape[1]))


def bits_of(placement):
    (row,) = lossless_bits(placement).to_dict("records")
    assert row["layer"] == "0"
    return row["adc_bits_tight"], row["adc_bits_safe"]


@pytest.mark.parametrize("idle", ["open", "hrs"])
@pytest.mark.parametrize("dac_bits", [1, 2])
def test_tight_bits_hold_the_largest_sum_over_all_inputs_and_no_fewer_do(idle, dac_bits):
    rng = np.random.default_rng(3)
    placement = placed(rng.normal(size=(5, 4)), idle=idle, dac_bits=dac_bits)
    # level steps are 1 uS and g_min is one of them, so sums in uS are whole numbers
    largest = max(
        float((np.array(codes) @ piece.target).max()) * 1e6
        for piece in placement.pieces()
        for codes in itertools.product(range(2**dac_bits), repeat=4)
    )
    tight, safe = bits_of(placement)
    assert 2 ** (tight - 1) <= round(largest) < 2**tight
    assert tight <= safe


def test_safe_bits_are_the_closed_form_with_the_baseline_added():
    placement = placed(LEVELS * np.ones((3, 7)))  # seven live cells a column; in the first, all of them at g_max
    assert bits_of(placement) == (5, 5)  # 7 · 4 = 28
    assert required_adc_bits(7, 4, baseline_steps=1.0) == 5
    # one large weight beside six small ones: the cells could hold more than they do
    small = np.where(np.arange(7) == 0, 1.0, 0.25) * np.ones((3, 1))
    assert bits_of(placed(small)) == (4, 5)  # 4 + 6 · 1 = 10 steps, or 28


def test_pruned_columns_need_fewer_bits():
    dense, pruned = (bits_of(placed(LEVELS * (np.arange(8) < kept))) for kept in (8, 2))
    assert dense == (6, 6)  # 8 · 4 = 32
    assert pruned == (4, 4)  # 2 · 4 = 8


def test_where_there_is_no_answer_there_is_none():
    uneven = DEVICE.with_(level_g_s=(1e-6, 2e-6, 2.5e-6, 4e-6))
    for change in ({"device": uneven}, {"input_bits": None}):
        assert np.isnan(bits_of(placed(np.ones((3, 7)), **change))).all()
