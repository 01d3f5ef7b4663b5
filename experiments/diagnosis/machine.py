"""What the machine and the installation are like: facts to read, and the few that can be wrong."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from experiments.diagnosis.checks import Case, Found, Skip

PACKAGES = ("ohmweave", "torch", "numpy", "numba", "scipy", "pandas", "pyarrow", "pydantic", "matplotlib")
EXTRAS = {
    "cluster": ("distributed",), "search": ("optuna",), "onnx": ("onnx",),
}  # fmt: skip
"""Extras, each with a package that it brings."""
LEAST_DISK_GB, LEAST_MEMORY_GB = 1.0, 2.0


def facts() -> dict[str, str]:
    """Versions, threads, GPU, memory and disk, as text."""
    import torch
    from numba import get_num_threads
    from numba.np.ufunc.parallel import threading_layer

    from hwmodels import numba_threads

    # Torch's threads before numba's: its OpenMP layer would change what torch says of a thread that started it.
    torch_threads = str(torch.get_num_threads())
    numba_threads.start()
    found = {
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        **{name: _version(name) for name in PACKAGES},
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "torch threads": torch_threads,
        "numba threads": f"{get_num_threads()} of {numba_threads.POOL}, layer {threading_layer()}",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none that torch can use",
        "memory": f"{_memory_gb():.1f} GB",
        "disk free here": f"{_disk_gb():.1f} GB",
        "ngspice": shutil.which("ngspice") or "not installed (only for checks of netlists)",
    }
    for extra, names in EXTRAS.items():
        here = all(importlib.util.find_spec(name) for name in names)
        found[f"extra {extra}"] = "installed" if here else f'missing: pip install "ohmweave[{extra}]"'
    return found


def cases() -> list[Case]:
    """Room in memory and on the disk, and a place where compiled code can be kept."""
    return [
        Case("memory", lambda: _room(_memory_gb(), LEAST_MEMORY_GB)),
        Case("disk in this folder", lambda: _room(_disk_gb(), LEAST_DISK_GB)),
        Case("this folder can be written", _writable),
        Case("compiled code is kept", _cache),
    ]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _disk_gb() -> float:
    return shutil.disk_usage(Path()).free / 1e9


def _room(found_gb: float, least_gb: float) -> Found:
    return f"{found_gb:.1f} GB", f"at least {least_gb:g} GB", found_gb >= least_gb, ""


def _writable() -> Found:
    try:
        with tempfile.NamedTemporaryFile(dir=Path()):
            return "yes", "yes", True, ""
    except OSError as error:
        return f"no: {error.strerror}", "yes", False, "runs and sweeps write below it, unless --out names another place"


def _cache() -> Found:
    """Without it every process compiles anew, which costs seconds at each start."""
    from hwmodels.devices import random_kernels

    kernel = random_kernels.philox4x32
    if not hasattr(kernel, "stats"):
        raise Skip("numba is switched off (NUMBA_DISABLE_JIT)")
    path = kernel.stats.cache_path  # type: ignore[attr-defined]  # a compiled kernel, as asked above
    return str(path), "a folder", path is not None, "set NUMBA_CACHE_DIR to a folder that can be written"
