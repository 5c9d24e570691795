"""Memory that is freed is kept by the process, and given back when that is asked for."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")

MIB = 1 << 20
FREED = 64 * MIB

# Takes and frees blocks of a megabyte in a thread, as clips are read; prints resident memory.
PROGRAM = """
import gc, json, sys, threading
from engine.memory.allocator import give_back, keep_freed_memory

def resident():
    with open("/proc/self/status") as status:
        return int(status.read().partition("VmRSS:")[2].split()[0]) << 10

def work():
    blocks = [bytearray(b"x") * (1 << 20) for _ in range(int(sys.argv[2]) >> 20)]
    told.append(resident())
    del blocks
    gc.collect()
    told.append(resident())

if sys.argv[1] == "keep":
    keep_freed_memory()
told = []
thread = threading.Thread(target=work)
thread.start()
thread.join()
give_back()
print(json.dumps([*told, resident()]))
"""


def resident(way: str) -> tuple[int, int, int]:
    """Return the resident bytes with all blocks, with all freed, and with memory given back."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, way, str(FREED)], capture_output=True, check=True
    )
    full, freed, after = json.loads(done.stdout)
    return full, freed, after


def test_freed_memory_is_kept_for_the_next_clip() -> None:
    full, freed, _ = resident("keep")
    assert full - freed < FREED // 4
    full, freed, _ = resident("as it is")
    assert full - freed > FREED // 2


def test_what_is_kept_can_be_given_back() -> None:
    full, _, after = resident("keep")
    assert full - after > FREED // 2
