"""Random words against the published ones: chips with a seed must be the same chips everywhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from experiments.diagnosis.checks import Case, Found, Skip, equal
from hwmodels.devices.random import philox4x32

SOURCE = "Random123's known answers (kat_vectors), philox4x32-10"
Words = tuple[int, ...]
Draw = Callable[[Words, tuple[int, int]], Words]

KNOWN: tuple[tuple[Words, tuple[int, int], Words], ...] = (
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF, 0xFFFFFFFF), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)
"""Counter, key, words."""


def cases() -> list[Case]:
    """The published words from NumPy and from the compiled code, and the same faults from the GPU."""
    return [
        Case("Philox in NumPy", lambda: _words(_numpy)),
        Case("Philox compiled", lambda: _words(_compiled)),
        Case("the same devices on the GPU", _gpu),
    ]


def _words(draw: Draw) -> Found:
    found = [draw(counter, key) for counter, key, _ in KNOWN]
    return equal(_hex(found), _hex([words for _, _, words in KNOWN]), SOURCE)


def _hex(blocks: list[tuple[int, ...]]) -> str:
    return " ".join(f"{words[0]:08x}…{words[-1]:08x}" for words in blocks) + f" ({sum(map(sum, blocks)):x})"


def _numpy(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    return tuple(philox4x32(np.array(counter), key).tolist())


def _compiled(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    from hwmodels.devices import random_kernels

    return tuple(int(word) for word in random_kernels.philox4x32(*(np.uint64(word) for word in (*counter, *key))))


def _gpu() -> Found:
    import torch

    if not torch.cuda.is_available():
        raise Skip("no GPU that torch can use; everything runs on the processor")
    from crossbar import effective_conductance
    from crossbar.wires_torch import effective_conductance as on_gpu

    g = 10 ** np.random.default_rng(0).uniform(-6, -3, (16, 16))
    twin = on_gpu(torch.as_tensor(g, device="cuda"), 2.0, 3.0).cpu().numpy()
    deviation = float((np.abs(twin / effective_conductance(g, 2.0, 3.0) - 1)).max())
    return f"{deviation:.2g}", "at most 1e-9 relative deviation", deviation <= 1e-9, torch.cuda.get_device_name()
