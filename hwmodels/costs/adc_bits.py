"""How many bits a converter needs so that no column sum is lost: from live cells (safe) or from levels (tight).

With integer sums between S_min and S_max, bits = ceil(log2(S_max − S_min + 1)), which for whole numbers is the bit
length of S_max − S_min: exact, without a logarithm. The rule of ISAAC, log2(R) + v + w (− 1 where v or w is 1), agrees
for R = 2^k and asks up to one bit too many for other R.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from hwmodels.errors import UserError, unknown

Encoding = Literal["plain", "flipped", "forms"]
ENCODINGS = ("plain", "flipped", "forms")


def required_adc_bits(
    live_rows: int,
    levels: int,
    dac_bits: int = 1,
    *,
    subtracted_pair: bool = False,
    baseline_steps: float = 0.0,
    baseline_rows: int | None = None,
    encoding: Encoding = "plain",
) -> int:
    """The safe form: bits that no column of R live cells can exceed, whatever is stored and whatever comes in.

    live_rows R: cells of a column that carry a weight; levels L: distinct values 0 … L − 1 of a cell; dac_bits v: bits
    of a driver, so inputs are 0 … 2^v − 1. S_max = R (2^v − 1)(L − 1) and S_min = 0; for L = 2^w this is
    ceil(log2(R (2^v − 1)(2^w − 1) + 1)).
    subtracted_pair: both halves of a pair are subtracted before the converter, so S_min = −S_max.
    baseline_steps: what g_min adds to a cell, in level steps (g_min / step), where nothing cancels it before the
    converter; 0 where a subtracted pair or a reference column does. baseline_rows: driven cells of a column that hold
    at least g_min, live or not; None: the live ones.
    encoding: "flipped", a column that could pass half scale stores its complement (ISAAC), so the levels' part of
    S_max is halved and one bit saved, for one more column and one flag a column; "forms", one bit fewer than needed,
    as FORMS publishes (5, 4, 3 bits for fragments of 16, 8, 4 rows): the largest sums clip.
    Raises UserError for counts that make no sense.
    """
    _whole("live_rows", live_rows, 0)
    _whole("levels", levels, 2)
    _whole("dac_bits", dac_bits, 1)
    if not (math.isfinite(baseline_steps) and baseline_steps >= 0):
        raise UserError(f"baseline_steps is a finite number, at least 0, not {baseline_steps!r}.")
    if baseline_rows is not None:
        _whole("baseline_rows", baseline_rows, 0)
    top = 2**dac_bits - 1
    # Whole levels stay whole numbers, exact at any size; only an uncancelled baseline makes the sum a real number.
    each = int(baseline_steps) if float(baseline_steps).is_integer() else baseline_steps
    baseline = each * (live_rows if baseline_rows is None else baseline_rows)
    column = live_rows * (levels - 1)
    above = top * (column // 2 if encoding == "flipped" else column)
    return _bits(above, above if subtracted_pair else 0, encoding, math.ceil(top * baseline - 1e-9))


def required_adc_bits_of(levels: Any, dac_bits: int = 1, *, encoding: Encoding = "plain") -> np.ndarray:
    """The tight form: bits per column for the levels that are stored, over all inputs.

    levels: whole numbers (rows, cols), signed where a pair is subtracted before the converter. S_max of a column is
    (2^v − 1) Σ of its positive levels and S_min (2^v − 1) Σ of its negative ones, because each input is free to be 0.
    Returns int64 (cols,). Raises UserError for levels that are not whole numbers.
    """
    stored = np.asarray(levels)
    if stored.ndim != 2 or not np.issubdtype(stored.dtype, np.integer):
        raise UserError(
            f"levels is an array (rows, cols) of whole numbers, not {stored.dtype} of shape {stored.shape}."
        )
    _whole("dac_bits", dac_bits, 1)
    signed = stored.astype(np.int64)
    scale = 2**dac_bits - 1
    above, below = (np.maximum(sign * signed, 0).sum(axis=0) * scale for sign in (1, -1))
    if encoding == "flipped":
        above = above // 2
    return np.array(
        [_bits(int(up), int(down), encoding) for up, down in zip(above, below, strict=True)], dtype=np.int64
    )


def _bits(above: int, below: int, encoding: str, baseline: int = 0) -> int:
    """Bits for sums from −below to above, with a baseline beyond both ends (beyond 0 where there is no end below)."""
    if encoding not in ENCODINGS:
        raise unknown("encoding", encoding, ENCODINGS)
    if encoding == "flipped" and below:
        raise UserError("The flipped encoding is for unsigned columns; a subtracted pair needs none.")
    needed = (above + below + (2 * baseline if below else baseline)).bit_length()
    return max(needed - 1, 1 if needed else 0) if encoding == "forms" else needed


def _whole(name: str, value: Any, least: int) -> None:
    """Refuse what is not a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise UserError(f"{name} is a whole number, at least {least}, not {value!r}.")
