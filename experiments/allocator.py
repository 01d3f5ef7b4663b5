"""The C library's allocator, told to keep the memory that one training step frees for the next."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # names of malloc.h
_LARGEST_KEPT = 32 << 20  # bytes; glibc takes no larger one (mallopt(3): DEFAULT_MMAP_THRESHOLD_MAX)
_TRIMMED_ABOVE = 1 << 30  # bytes free at the top of the heap


def keep_freed_memory() -> bool:
    """Serve blocks of up to 32 MiB from the heap, and give its top back only above 1 GiB; True where glibc does so.

    By default every activation of a convolution is mapped afresh from the kernel, which clears it page by page at each
    step. A training step of small networks on images of 32 × 32 pixels takes 1.1 to 1.25 times as long that way
    (`benchmarks/bench_allocator.py`). The price is up to 1 GiB that the process keeps. Values are untouched. Elsewhere
    (macOS, Windows, musl) nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    kept = mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT) and mallopt(_M_TRIM_THRESHOLD, _TRIMMED_ABOVE)
    return bool(kept)
