"""Programming a crossbar: what the cells hold after writing, with programming error and stuck cells.

Model: g = max(0, target + error) for every cell with a target above 0 S (or target · e^θ for the log-normal kind),
then faults: with probability stuck_at_lrs the cell stands at g_max, with stuck_at_hrs at g_min. Draws belong to the
cell (see `random`), so a part of an array programmed alone equals that part of the whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwmodels.device import ConstantError, Device, LognormalError, PolynomialError, ProportionalError
from hwmodels.errors import UserError
from hwmodels.random import Purpose, cell_words, counter_word, key_of_seed, standard_normal


def program(g_target: Any, device: Device, seed: int = 0, array: int = 0, row: int = 0, col: int = 0) -> np.ndarray:
    """Conductances after programming: float64 [S], of the shape of `g_target`.

    g_target: targets [S], (rows, cols), or (arrays, rows, cols), where array a of the batch is array `array + a`;
    0 S is an open crossing and stays exactly 0. array, row, col: identity of the first cell, so that a slab
    programmed alone equals the same slab of the whole. The result is the same for any number of threads.
    Raises UserError for targets that are negative or not finite, another shape, or a seed that is no whole number.
    """
    targets, origin = _checked(g_target, array, row, col)
    key = key_of_seed(seed)
    lognormal, coefficients = _error_form(device)
    lrs, any_fault = _thresholds(device)
    if not (lognormal or coefficients or any_fault):
        return np.array(targets.reshape(np.shape(g_target)))
    from hwmodels import numba_threads  # numba loads only where something is programmed
    from hwmodels.mismatch_kernels import program_cells

    numba_threads.start()
    out = np.empty_like(targets)
    last = np.array([int(purpose) << 24 for purpose in (Purpose.PROGRAMMING, Purpose.FAULT)], dtype=np.uint64)
    program_cells(
        targets,
        out,
        np.array(origin, dtype=np.uint64),
        np.array(key, dtype=np.uint64),
        last,
        lognormal,
        np.array(coefficients, dtype=np.float64),
        np.array([device.g_min_s, device.g_max_s]),
        np.array([lrs, any_fault], dtype=np.uint64),
    )
    return out.reshape(np.shape(g_target))


def program_reference(
    g_target: Any, device: Device, seed: int = 0, array: int = 0, row: int = 0, col: int = 0
) -> np.ndarray:
    """The same as `program`, written plainly in NumPy: slow, and the truth that the kernel is held to.

    The random words and the faults are the same bit for bit; the error to a few units in the last place, because the
    kernel brings its own log, cos and exp.
    """
    targets, (array, row, col) = _checked(g_target, array, row, col)
    arrays, rows, cols = targets.shape
    place = np.ogrid[array : array + arrays, row : row + rows, col : col + cols]
    z = standard_normal(cell_words(Purpose.PROGRAMMING, seed, place))
    lognormal, coefficients = _error_form(device)
    if lognormal:
        g = targets * np.exp(lognormal * z)
    elif coefficients:
        x = targets / device.g_max_s
        sigma = np.maximum(sum(c * x**i for i, c in enumerate(coefficients)), 0.0)
        g = np.maximum(targets + sigma * z, 0.0)
    else:
        g = targets.copy()
    lrs, any_fault = _thresholds(device)
    word = cell_words(Purpose.FAULT, seed, place)[..., 0]
    g = np.where(word < lrs, device.g_max_s, np.where(word < any_fault, device.g_min_s, g))
    return np.where(targets > 0, g, 0.0).reshape(np.shape(g_target))


def _checked(g_target: Any, array: int, row: int, col: int) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Targets as contiguous float64 (arrays, rows, cols) and the identity of the first cell."""
    targets = np.asarray(g_target)
    if targets.ndim not in (2, 3) or targets.dtype.kind not in "fiu":
        raise UserError(
            "Target conductances are real numbers of shape (rows, cols) or (arrays, rows, cols), "
            f"not {targets.dtype} of shape {targets.shape}."
        )
    targets = np.ascontiguousarray(targets, dtype=np.float64).reshape((-1, *targets.shape[-2:]))
    bad = ~(np.isfinite(targets) & (targets >= 0))
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise UserError(
            f"{int(bad.sum())} target conductances are negative or not finite; the first is "
            f"{targets[first]} S at array, row, column {first}."
        )
    names = ("array", "row", "col")
    origin = [counter_word(*item) for item in zip(names, (array, row, col), targets.shape, strict=True)]
    return targets, (origin[0], origin[1], origin[2])


def _error_form(device: Device) -> tuple[float, tuple[float, ...]]:
    """The error as the kernel takes it: σ of ln g, or the coefficients [S] of σ(g/g_max); (0, ()) for none."""
    match device.programming_error:
        case LognormalError(sigma=sigma):
            return sigma, ()
        case ConstantError(sigma_s=sigma) if sigma > 0:
            return 0.0, (sigma,)
        case ProportionalError(sigma=sigma) if sigma > 0:
            return 0.0, (0.0, sigma * device.g_max_s)
        case PolynomialError(coeffs_s=coefficients) if any(coefficients):
            return 0.0, coefficients
    return 0.0, ()


def _thresholds(device: Device) -> tuple[int, int]:
    """Of a 32-bit word: below the first stuck at LRS, below the second stuck at HRS; rates to within 2⁻³³."""
    return tuple(min(round(p * 2**32), 2**32) for p in (device.stuck_at_lrs, device.stuck_at_lrs + device.stuck_at_hrs))  # type: ignore[return-value]
