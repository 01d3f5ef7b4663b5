"""Shared settings: hypothesis without deadlines (machines are noisy), few examples; and how strips are read."""

from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ohmweave", deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.load_profile("ohmweave")


@pytest.fixture(scope="session")
def read_strip():
    """Drive a strip with input codes (n, rows) and add up what its converters say.

    Gives sums, (n, cols) float64 in conductance unit × input code, and the clipped and all samples of the converters.
    """
    # Not every test needs torch.
    import torch

    from crossbar.engine import Reader
    from crossbar.vectors import Vectors

    def read(strip, codes, spec, converter, *, backend="auto", signed=False):
        reader = Reader(strip, spec, converter, backend, signed)
        total = torch.zeros(codes.shape[0], strip.cols, dtype=torch.float64, device=codes.device)
        clipped = reader.add_to(total, 0, Vectors.of_matrix(codes))
        return SimpleNamespace(sums=total * reader.unit, clipped=clipped, samples=reader.samples(codes.shape[0]))

    return read
