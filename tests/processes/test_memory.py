"""A cap on memory: real allocations, in a process of their own."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest

from awa.processes.memory import can_cap
from tests.fixtures.processes import ROOT

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not can_cap(), reason="this system does not limit the memory of a process"),
]

BEGIN = """
import ctypes, mmap, resource, threading
from awa.processes import memory
from awa.processes.memory import MemoryLimit, clear_memory_limit

MIB = 1 << 20
DATA = resource.RLIMIT_DATA

def refused(take):
    try:
        take()
    except MemoryError as error:
        return str(error)
    raise AssertionError("was allowed")

def private(mb):
    return mmap.mmap(-1, mb * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
"""


def run(code: str) -> None:
    """Run code in a fresh interpreter; what it asserts must hold."""
    ended = subprocess.run(
        [sys.executable, "-c", BEGIN + dedent(code)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_more_is_refused_and_allowed_again_afterwards() -> None:
    run("""
        before = resource.getrlimit(DATA)
        ballast = bytearray(200 * MIB)  # what it has already does not count
        with MemoryLimit(100):
            bytearray(80 * MIB)
            refused(lambda: bytearray(120 * MIB))
            kept = bytearray(60 * MIB)
            refused(lambda: bytearray(60 * MIB))
        assert resource.getrlimit(DATA) == before
        bytearray(500 * MIB)
    """)


def test_the_error_says_why() -> None:
    run("""
        def take():
            with MemoryLimit(50):
                bytearray(80 * MIB)
        assert refused(take) == "the job needs more than the 50 MiB that memory_limit_mb of its task allows"
        def own():
            with MemoryLimit(50):
                raise MemoryError("cannot allocate the matrix")
        assert refused(own) == "cannot allocate the matrix"
    """)


def test_many_small_objects() -> None:
    run("""
        def take():
            with MemoryLimit(50):
                kept = []
                while True:
                    kept.append(object())
        assert "50 MiB" in refused(take)
    """)


def test_memory_from_mmap_and_malloc() -> None:
    run("""
        libc = ctypes.CDLL(None)
        libc.malloc.restype = ctypes.c_void_p
        with MemoryLimit(100):
            private(60).close()
            try:
                private(120)
            except OSError as error:
                assert error.errno == 12
            else:
                raise AssertionError
            assert libc.malloc(ctypes.c_size_t(120 * MIB)) is None
            assert libc.malloc(ctypes.c_size_t(1 * MIB)) is not None
    """)


def test_stacks_of_threads_that_are_there_do_not_count_and_new_ones_do() -> None:
    run("""
        threading.stack_size(16 * MIB)
        done = threading.Event()
        for _ in range(20):
            threading.Thread(target=done.wait, daemon=True).start()
        with MemoryLimit(100):
            bytearray(80 * MIB)
            refused(lambda: bytearray(120 * MIB))
            try:
                for _ in range(10):
                    threading.Thread(target=done.wait, daemon=True).start()
            except RuntimeError as error:
                assert "start new thread" in str(error)
            else:
                raise AssertionError
        done.set()
    """)


def test_a_lower_limit_of_the_process_stays() -> None:
    run("""
        lower = memory._pages(5) * memory._PAGE_BYTES + 40 * MIB
        resource.setrlimit(DATA, (lower, resource.getrlimit(DATA)[1]))
        with MemoryLimit(1000):
            refused(lambda: bytearray(80 * MIB))
        assert resource.getrlimit(DATA)[0] == lower
    """)


def test_a_cap_that_was_not_taken_off_can_be_lifted() -> None:
    run("""
        before = resource.getrlimit(DATA)
        MemoryLimit(50).__enter__()
        MemoryLimit(20).__enter__()
        refused(lambda: bytearray(80 * MIB))
        clear_memory_limit()
        assert resource.getrlimit(DATA) == before
        clear_memory_limit()
        bytearray(80 * MIB)
    """)


def test_where_nothing_can_be_limited_nothing_happens() -> None:
    run("""
        from pathlib import Path
        memory._STATM = Path("/nonexistent")
        memory._limit.cache_clear()
        assert not memory.can_cap()
        with MemoryLimit(1):
            bytearray(50 * MIB)
    """)
