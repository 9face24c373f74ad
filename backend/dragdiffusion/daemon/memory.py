"""The process's own memory, now and at its highest."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import psutil

_STATUS = Path("/proc/self/status")
_MMAP_THRESHOLD = -3  # mallopt(3)
_LARGE_BLOCK = 1 << 20  # bytes
_CLEAR_REFERENCES = Path("/proc/self/clear_refs")


def process_id() -> int:
    return os.getpid()


def resident_bytes() -> int:
    """Resident set size."""
    return int(psutil.Process().memory_info().rss)


def trim() -> None:
    """Give what the allocator holds back to the system, where it can be told to (glibc)."""
    trim_heap = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim_heap is not None:
        trim_heap(0)


def return_freed_blocks() -> None:
    """Let large blocks go back to the system as soon as they are freed, where the allocator can be told to (glibc).

    It would learn to keep them: with Stable Diffusion 1.5 an edit then takes up to half a gibibyte more at its peak.
    """
    options = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if options is not None:
        options(_MMAP_THRESHOLD, _LARGE_BLOCK)


def reset_peak() -> None:
    """Let peak_bytes() count from now, where the system can (Linux)."""
    try:
        _CLEAR_REFERENCES.write_text("5")  # resets VmHWM, see proc(5)
    except OSError:
        return


def peak_bytes() -> int:
    """The highest resident set size since reset_peak(), or since the process began."""
    try:
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    information = psutil.Process().memory_info()
    return int(getattr(information, "peak_wset", information.rss))  # Windows has peak_wset
