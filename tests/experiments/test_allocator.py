"""The allocator's setting is real: the kernel's own count of page faults falls."""

import subprocess
import sys

import pytest

from experiments import allocator

STEPS = """
import resource
from experiments.allocator import keep_freed_memory
assert keep_freed_memory()
import torch
def step():
    return sum(block.sum().item() for block in [torch.ones(4 << 20) for _ in range(8)])
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    assert step() == 8.0 * (4 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


BLOCK = 4096
"""Pages of 4 KiB in a block of 16 MiB; ten steps that map all eight of theirs afresh take 327 680."""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_freed_blocks_are_used_again_instead_of_mapped_afresh():
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 2 * BLOCK


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert not allocator.keep_freed_memory()
    monkeypatch.setattr(allocator.sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    assert not allocator.keep_freed_memory()
