"""The stages on torch tensors, on the CPU or a GPU: the formulas of `plain` with torch's arrays.

Same seed and place, same random words: faults and telegraph states are those of the NumPy functions bit for bit,
normal deviations agree to float rounding. Conductances are float64 tensors (rows, cols) or (arrays, rows, cols) [S].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from hwmodels.devices import conduction, drift, faults, plain, reading
from hwmodels.devices.cells import Cells, checked_read, checked_time, identified
from hwmodels.devices.device import Device
from hwmodels.devices.effects import Conduction
from hwmodels.devices.random import MULTIPLIER_0, MULTIPLIER_1, ROUNDS, WEYL_0, WEYL_1, Purpose, key_of_seed
from hwmodels.errors import UserError

_LOW = 0xFFFFFFFF


def philox4x32(counter: torch.Tensor, key: tuple[int, int]) -> torch.Tensor:
    """Ten rounds of Philox4x32: counter (…, 4) of 32-bit words in int64, two key words -> (…, 4) words in int64.

    A product of two words wraps around in 64 bits with a sign; its halves, cut out by masks, are right all the same.
    """
    c0, c1, c2, c3 = counter.unbind(-1)
    k0, k1 = key
    for _ in range(ROUNDS):
        product0, product1 = MULTIPLIER_0 * c0, MULTIPLIER_1 * c2
        c0, c1, c2, c3 = (
            ((product1 >> 32) & _LOW) ^ c1 ^ k0,
            product1 & _LOW,
            ((product0 >> 32) & _LOW) ^ c3 ^ k1,
            product0 & _LOW,
        )
        k0, k1 = (k0 + WEYL_0) & _LOW, (k1 + WEYL_1) & _LOW
    return torch.stack([c0, c1, c2, c3], dim=-1)


def backend(where: torch.device | str) -> plain.Backend:
    """The torch backend of `plain` on a device."""

    def blocks(purpose: Purpose, seed: int, place: Sequence[np.ndarray], read: int = 0) -> torch.Tensor:
        array, row, block = (torch.as_tensor(np.asarray(p, dtype=np.int64), device=where) for p in place)
        last = torch.tensor(int(purpose) << 24 | read, dtype=torch.int64, device=where)
        counter = torch.stack(torch.broadcast_tensors(block, row, array, last), dim=-1)
        return philox4x32(counter, key_of_seed(seed))

    return plain.Backend(torch, blocks, lambda w: w.to(torch.float64), lambda codes: codes.to(torch.int8))


def program(
    g_target: torch.Tensor, device: Device, seed: int = 0, array: int = 0, row: int = 0, col: int = 0
) -> torch.Tensor:
    """`mismatch.program` on a tensor; the result is where the targets are."""
    targets, b = _checked(g_target), backend(g_target.device)
    cells = identified(tuple(targets.shape), seed, array, row, col)
    if device.write_verify is not None and device.write_verify.window_s is not None:
        return plain.written_within_window(b, device, cells, targets)[0].reshape(g_target.shape)
    return plain.program(b, device, cells, targets).reshape(g_target.shape)


def fault_map(
    shape: tuple[int, ...],
    device: Device,
    seed: int = 0,
    array: int = 0,
    row: int = 0,
    col: int = 0,
    where: torch.device | str = "cpu",
) -> torch.Tensor:
    """`faults.fault_map` as an int8 tensor on the torch device `where`."""
    cells = identified(tuple(shape), seed, array, row, col)
    return plain.fault_codes(backend(where), device, cells).reshape(shape)


def drift_to(
    g: torch.Tensor, device: Device, t_s: float, seed: int = 0, array: int = 0, row: int = 0, col: int = 0
) -> torch.Tensor:
    """`drift.drift_to` on a tensor."""
    values, what = _checked(g), drift.plan(device, t_s)
    cells = identified(tuple(values.shape), seed, array, row, col)
    moved = values if what is None else plain.drift(backend(g.device), device, cells, values, what)
    return moved.reshape(g.shape)


def conductances_at(
    g_programmed: torch.Tensor,
    device: Device,
    *,
    t_s: float = 0.0,
    temperature_k: float | None = None,
    read: int | None = None,
    seed: int = 0,
    array: int = 0,
    row: int = 0,
    col: int = 0,
) -> torch.Tensor:
    """`reading.conductances_at` on a tensor: drift, temperature, telegraph noise, read noise."""
    values, b = _checked(g_programmed), backend(g_programmed.device)
    cells = identified(tuple(values.shape), seed, array, row, col)
    g, what = values, drift.plan(device, t_s)
    if what is not None:
        g = plain.drift(b, device, cells, g, what)
        if faults.any_faults(device):
            g = torch.where(plain.fault_codes(b, device, cells) > 0, values, g)
    g = g * reading.temperature_factor(device, temperature_k)
    if read is not None:
        number = checked_read(read)
        if device.telegraph_noise is not None:
            g = plain.telegraph(b, device.telegraph_noise, cells, g, number, checked_time(t_s))
        if (form := reading.sigma_form(device, checked_time(t_s))) is not None:
            sigma = plain.read_sigma(b, form[0], form[1], device.g_max_s, form[2], g)
            g = plain.read_noise(b, cells, g, sigma, number)
    return g.reshape(g_programmed.shape)


def read_sigma(g: torch.Tensor, device: Device, t_s: float = 0.0) -> torch.Tensor:
    """`reading.read_sigma` on a tensor."""
    values, form = _checked(g), reading.sigma_form(device, checked_time(t_s))
    if form is None:
        return torch.zeros_like(g, dtype=torch.float64)
    curve, of_g, factor = form
    return plain.read_sigma(backend(g.device), curve, of_g, device.g_max_s, factor, values).reshape(g.shape)


def read_noise_of_sum(
    v: torch.Tensor,
    sigma_s: torch.Tensor,
    seed: int = 0,
    array: int = 0,
    row: int = 0,
    col: int = 0,
    read: int = 0,
) -> torch.Tensor:
    """`reading.read_noise_of_sum` on tensors: v (batch, rows) [V], sigma_s (rows, cols) [S] -> (batch, cols) [A]."""
    cells = identified(tuple(sigma_s.shape), seed, array, row, col)
    b = backend(sigma_s.device)
    last = checked_read(read) + np.arange(v.shape[0])[:, None]
    checked_read(int(last.max(initial=read)))
    columns = Cells(cells.seed, cells.origin, (1, 1, sigma_s.shape[1]))
    draws = [plain.normals(b, Purpose.COLUMN_READ, columns, int(n)).reshape(1, -1) for n in last[:, 0]]
    return torch.cat(draws) * torch.sqrt(v.double() ** 2 @ sigma_s.double() ** 2)


def cell_current(g: torch.Tensor, v: torch.Tensor, law: Conduction | None) -> torch.Tensor:
    """`conduction.cell_current` on tensors that broadcast, in their own precision; gradients flow. Not checked."""
    return conduction.cells(torch, law, g).current(v)


def differential_conductance(g: torch.Tensor, v: torch.Tensor, law: Conduction | None) -> torch.Tensor:
    """`conduction.differential_conductance` on tensors, as `cell_current`."""
    return conduction.cells(torch, law, g).slope(v)


def chord_conductance(g: torch.Tensor, v: torch.Tensor, law: Conduction | None) -> torch.Tensor:
    """`conduction.chord_conductance` on tensors, as `cell_current`."""
    return g * (1.0 + conduction.cells(torch, law, g).excess(v))


def _checked(g: Any) -> torch.Tensor:
    """Conductances as float64 (arrays, rows, cols) [S]; raises UserError."""
    if not isinstance(g, torch.Tensor) or g.ndim not in (2, 3):
        raise UserError("Conductances are a tensor of shape (rows, cols) or (arrays, rows, cols).")
    values = g.to(torch.float64).reshape(-1, *g.shape[-2:])
    if not bool((torch.isfinite(values) & (values >= 0)).all()):
        raise UserError("Some conductances are negative or not finite.")
    return values
