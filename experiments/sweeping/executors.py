"""Where jobs run: in this process, in processes of this machine, or on a cluster; all have the same shape.

An executor takes jobs with `submit`, says how many it can run at once with `workers`, and is a context. A job whose
worker died ends with `WorkerLostError`; everything else that goes wrong in a job is part of its result.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from types import TracebackType
from typing import Any, Protocol, TypeVar, final

from experiments.allocator import keep_freed_memory
from hwmodels.errors import UserError

T = TypeVar("T")

THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS",
)  # fmt: skip


class WorkerLostError(Exception):
    """The process that ran a job is gone: killed, out of memory, or its machine went away."""


class Executor(Protocol):
    """What a sweep needs of an engine."""

    @property
    def workers(self) -> int:
        """Jobs that run at once, now; a cluster may grow and shrink."""
        ...

    def submit(self, function: Callable[[Any], T], argument: Any) -> Future[T]:
        """Start a job; the future ends with its result, or with WorkerLostError."""
        ...

    def __enter__(self) -> Executor: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


@final
class InProcess:
    """Runs every job at once, in the caller's process and with the caller's threads: for notebooks and tests."""

    workers = 1

    def submit(self, function: Callable[[Any], T], argument: Any) -> Future[T]:
        """Run the job before returning."""
        future: Future[T] = Future()
        try:
            future.set_result(function(argument))
        except Exception as error:  # noqa: BLE001  as from any other executor, it belongs to the future
            future.set_exception(error)
        return future

    def __enter__(self) -> InProcess:
        """Nothing to start."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to stop."""


@final
class LocalProcesses:
    """Processes of this machine, each with one inner thread (torch, numba, BLAS), so that workers do not fight.

    Every worker is a pool of its own: when one dies it is known which job it had, the others go on, and a new one
    takes its place.
    """

    def __init__(self, workers: int) -> None:
        """Have so many workers; a process starts with its first job."""
        self.workers = workers
        self._free: list[ProcessPoolExecutor | None] = [None] * workers
        self._busy: dict[ProcessPoolExecutor, Future[Any]] = {}
        self._lock = threading.Lock()

    def submit(self, function: Callable[[Any], T], argument: Any) -> Future[T]:
        """Give a job to a free worker; there must be one."""
        with self._lock:
            pool = self._free.pop() or ProcessPoolExecutor(
                1, mp_context=get_context("spawn"), initializer=_start_worker
            )
            outcome: Future[T] = Future()
            self._busy[pool] = outcome
        try:
            with _one_thread_inherited():
                inner = pool.submit(function, argument)
        except BrokenProcessPool:  # it died between two jobs
            self._replace(pool)
            outcome.set_exception(WorkerLostError("a worker process died between two jobs"))
            return outcome
        inner.add_done_callback(lambda done: self._finish(pool, done, outcome))
        return outcome

    def _finish(self, pool: ProcessPoolExecutor, done: Future[Any], outcome: Future[Any]) -> None:
        error = done.exception() if not done.cancelled() else WorkerLostError("the job was cancelled")
        if isinstance(error, BrokenProcessPool):
            self._replace(pool)
            outcome.set_exception(WorkerLostError("its worker process died (killed, or out of memory)"))
            return
        with self._lock:
            self._busy.pop(pool, None)
            self._free.append(pool)
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(done.result())

    def _replace(self, pool: ProcessPoolExecutor) -> None:
        pool.shutdown(wait=False)
        with self._lock:
            self._busy.pop(pool, None)
            self._free.append(None)

    def running(self) -> list[tuple[ProcessPoolExecutor, Future[Any]]]:
        """Workers at work, each with the future of its job."""
        with self._lock:
            return list(self._busy.items())

    def __enter__(self) -> LocalProcesses:
        """Nothing to start yet."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop the workers: after their jobs, or at once when something went wrong (what is unfinished is redone)."""
        with self._lock:
            pools = [pool for pool in (*self._free, *self._busy) if pool is not None]
        for pool in pools:
            if kind is not None:
                for process in list((pool._processes or {}).values()):
                    process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _one_thread_inherited() -> Iterator[None]:
    """Let processes that start now have one inner thread: BLAS and OpenMP read it when they load, before any code."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start_worker() -> None:
    """What a worker process does first: one thread, deaf to Ctrl-C (the sweep stops it), and never an orphan."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)  # the sweep was killed: nobody will ever read what this worker makes

    threading.Thread(target=follow, daemon=True).start()
    keep_freed_memory()
    one_thread()


def one_thread() -> None:
    """Limit torch and numba in this process to one thread."""
    import torch

    from hwmodels import numba_threads

    torch.set_num_threads(1)
    numba_threads.limit(1)


@final
class Cluster:
    """The workers of a dask.distributed scheduler; they see the same store under the same path.

    Needs the package distributed (`pip install "ohmweave[cluster]"`).
    """

    def __init__(self, address: str, *, wait_s: float = 60.0) -> None:
        """Connect to a scheduler ("tcp://host:8786") and wait for a first worker.

        Raises UserError where the package is missing, nobody answers, no worker comes, or workers have more than one
        thread (torch's generator and training are not made for two jobs in one process).
        """
        try:
            import distributed  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise UserError(
                'A cluster needs the package distributed: pip install "ohmweave[cluster]", or leave --scheduler out.'
            ) from None
        try:
            self._client = distributed.Client(address, timeout=min(wait_s, 30.0), set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise UserError(f"No dask scheduler answers at {address!r}: {error}") from None
        try:
            self._client.wait_for_workers(1, timeout=wait_s)
        except (TimeoutError, distributed.TimeoutError):
            self._client.close()
            raise UserError(f"The scheduler at {address!r} has no worker; start one with `dask worker`.") from None
        threads = max(self._client.nthreads().values())
        if threads > 1:
            self._client.close()
            raise UserError(
                f"A worker of {address!r} runs {threads} threads; start workers with --nthreads 1 (and --nworkers "
                "for as many as there are cores)."
            )
        self._executor = self._client.get_executor(pure=False, retries=0)

    @property
    def workers(self) -> int:
        """Workers that are there now, at least 1: with none, jobs wait for one."""
        return max(len(self._client.scheduler_info(n_workers=-1)["workers"]), 1)

    def submit(self, function: Callable[[Any], T], argument: Any) -> Future[T]:
        """Send a job to the cluster."""
        from distributed.client import FutureCancelledError  # pyright: ignore[reportMissingImports]
        from distributed.scheduler import KilledWorker  # pyright: ignore[reportMissingImports]

        outcome: Future[T] = Future()

        def finish(done: Future[T]) -> None:
            error = None if done.cancelled() else done.exception()
            if done.cancelled() or isinstance(error, KilledWorker | FutureCancelledError):
                outcome.set_exception(WorkerLostError(f"its worker was lost: {error or 'cancelled'}"))
            elif error is not None:
                outcome.set_exception(error)
            else:
                outcome.set_result(done.result())

        self._executor.submit(_on_cluster, (function, argument)).add_done_callback(finish)
        return outcome

    def __enter__(self) -> Cluster:
        """Connected already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the cluster; jobs that nobody waits for any more are dropped."""
        self._executor.shutdown(wait=False)
        self._client.close()


def _on_cluster(call: tuple[Callable[[Any], T], Any]) -> T:
    one_thread()
    return call[0](call[1])
