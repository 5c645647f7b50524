"""Memory that a pass has freed."""

import ctypes
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from server.memory import keep_freed_memory

def one_pass():
    columns = [np.ones(1 << 19) for _ in range(16)]

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "kept":
    keep_freed_memory()
for _ in range(3):
    one_pass()
before = faults()
for _ in range(10):
    one_pass()
print(faults() - before)
"""


def faults(how: str) -> int:
    """Count the pages that ten passes take anew."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_a_pass_takes_no_page_anew_that_an_earlier_one_has_freed():
    assert faults("kept") < faults("returned") / 10
