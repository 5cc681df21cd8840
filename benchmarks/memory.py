"""Peak resident memory of this process. Needs Linux."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

GIB = 2**30


def peak_of(function: Callable[[], Any]) -> tuple[Any, float]:
    """What ``function()`` returns, and by how many GiB the process grew at most while it ran.

    What malloc kept of earlier work is handed back first, and the kernel's high-water mark is set anew.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    level = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    result = function()
    return result, (_resident("VmHWM") - level) / GIB


def _resident(which: str) -> int:
    """Bytes: ``VmRSS`` now, ``VmHWM`` at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(which + ":")) * 1024
