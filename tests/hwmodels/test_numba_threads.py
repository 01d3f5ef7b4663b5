"""How many threads numba's kernels get, and that nobody else's change."""

import numba
import numpy as np
import pytest
import torch

from hwmodels import Device, numba_threads
from hwmodels.devices.mismatch import program


@pytest.fixture(autouse=True)
def _threads_as_before():
    numba_threads.start()
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


def test_a_limit_is_kept_within_what_there_is():
    for asked, given in ((0, 1), (1, 1), (10**6, numba_threads.POOL)):
        numba_threads.limit(asked)
        assert numba.get_num_threads() == given


def test_few_cells_get_one_thread_and_the_caller_keeps_his():
    numba_threads.limit(numba_threads.POOL)
    torchs = torch.get_num_threads()
    with numba_threads.enough_for(numba_threads.WORTH_SHARING - 1):
        assert numba.get_num_threads() == 1
    with numba_threads.enough_for(numba_threads.WORTH_SHARING):
        assert numba.get_num_threads() == numba_threads.POOL
    with pytest.raises(ZeroDivisionError), numba_threads.enough_for(1):
        raise ZeroDivisionError
    assert numba.get_num_threads() == numba_threads.POOL
    assert torch.get_num_threads() == torchs


def test_draws_do_not_depend_on_it():
    """A block of cells that is worth several threads equals the same cells programmed row by row."""
    device = Device.load("yuan2019")
    rows, cols = 2 * numba_threads.WORTH_SHARING // 256, 256
    target = np.full((rows, cols), 5e-7)
    whole = program(target, device, seed=3)
    for row in range(0, rows, rows // 4):
        part = program(target[row : row + 1], device, seed=3, row=row)
        assert np.array_equal(part, whole[row : row + 1])
