"""Freed memory is kept where the C library can be told to, and asking a teacher on a CPU tells it."""

import platform
import subprocess
import sys

import pytest

ASKED = """
import torch
from limbeck.targets.inference_settings import Asked, keep_freed_memory, manner_of
model = torch.nn.Linear(4, 3)
assert keep_freed_memory.cache_info().currsize == 0
Asked(model, manner_of(model, torch.rand(2, 4), precision="float32", compile=False))(torch.rand(2, 4))
assert keep_freed_memory.cache_info().currsize == 1
print(keep_freed_memory())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep memory as they do")
def test_asking_on_a_cpu_has_freed_memory_kept():
    told = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True).stdout
    assert told.strip() == str(platform.libc_ver()[0] == "glibc")
