"""Local workers: their threads, and what is left when one is killed."""

import os
import signal
import time

import pytest

from experiments.sweeping.executors import InProcess, LocalProcesses, WorkerLostError

# Only functions of importable modules reach a spawned worker; those of a test file do not.


def test_a_killed_worker_loses_its_job_and_nothing_else():
    with LocalProcesses(2) as executor:
        pids = [executor.submit(eval, "__import__('os').getpid()") for _ in range(2)]
        first, second = (future.result(timeout=60) for future in pids)
        assert first != second
        slow = executor.submit(time.sleep, 30)
        other = executor.submit(time.sleep, 0.5)
        victim = _sleeping(executor, slow, {first, second})
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(WorkerLostError, match="died"):
            slow.result(timeout=60)
        assert other.result(timeout=60) is None
        assert executor.submit(eval, "6 * 7").result(timeout=60) == 42


def _sleeping(executor, future, busy):
    """The process of the job that was given out first: workers are taken from the end of the list."""
    (pool,) = [pool for pool, job in executor.running() if job is future]
    (pid,) = pool._processes
    assert pid in busy
    return pid


def test_workers_have_one_inner_thread():
    asked = (
        "(__import__('torch').get_num_threads(), __import__('numba').get_num_threads(), os.environ['OMP_NUM_THREADS'])"
    )
    before = dict(os.environ)
    with LocalProcesses(1) as executor:
        found = executor.submit(eval, asked.replace("os.", "__import__('os').")).result(timeout=60)
    assert found == (1, 1, "1")
    assert dict(os.environ) == before


def test_an_error_of_a_job_comes_back():
    for executor in (LocalProcesses(1), InProcess()):
        with executor, pytest.raises(ValueError, match="invalid literal"):
            executor.submit(int, "x").result(timeout=60)


def test_leaving_in_trouble_does_not_wait_for_jobs():
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), LocalProcesses(1) as executor:  # noqa: PT012
        executor.submit(time.sleep, 100)
        raise KeyboardInterrupt
    assert time.monotonic() - start < 60
