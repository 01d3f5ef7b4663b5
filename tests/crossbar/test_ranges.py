import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbar.ranges import RESOLUTION, RangeTally


def _samples(seed, n=500, columns=6, zeros=0.3):
    generator = torch.Generator().manual_seed(seed)
    samples = torch.randn(n, columns, generator=generator) * torch.tensor([1e-3, 0.1, 1, 3, 70, 1e4])[:columns]
    return samples * (torch.rand(n, columns, generator=generator) >= zeros)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), percentile=st.floats(31, 100))
def test_a_percentile_is_that_of_the_sorted_samples(seed, percentile):
    """Within the resolution above the sample of that rank, and never below it, however the samples come in."""
    samples, group = _samples(seed), np.array([0, 1, 1, 2, -1, 0])
    tally = RangeTally(3, percentile)
    for part in samples.split(170):
        tally.add(part, group)
    for number, found in enumerate(tally.result()):
        own = np.sort(samples[:, torch.from_numpy(group == number)].abs().numpy().ravel())
        exact = own[int(np.ceil(percentile / 100 * own.size)) - 1]
        assert exact <= found <= exact * (1 + RESOLUTION) * (1 + 1e-6)


def test_the_largest_is_exact():
    samples = _samples(3)
    for percentile in (None, 100, 100.0):
        tally = RangeTally(1, percentile)
        tally.add(samples)
        assert tally.result()[0] == float(samples.abs().max())


def test_many_groups_are_told_apart():
    samples = torch.rand(40, 200) + torch.arange(200)
    tally = RangeTally(200, 50.0)
    tally.add(samples, np.arange(200))
    exact = np.sort(samples.numpy(), axis=0)[19]
    assert np.all(tally.result() >= exact)
    assert np.all(tally.result() <= exact * (1 + RESOLUTION))


@pytest.mark.parametrize("percentile", [None, 50.0])
def test_nothing_gives_no_range(percentile):
    tally = RangeTally(2, percentile)
    tally.add(torch.zeros(0, 2), np.array([0, 1]))
    tally.add(torch.zeros(5, 2), np.array([0, 0]))
    assert tally.result().tolist() == [0.0, 0.0]
