"""Say how much memory the reconstruction of a whole volume takes, and whether there is as much."""

from __future__ import annotations

import math
import os
from pathlib import Path

from ...core import MetaoptError
from ...data import KSpace
from .methods import Settings
from .planes import Planes

KERNEL = 6  # points a side of the patches of ESPIRiT, and
CALIBRATION = 24  # of the region that they are cut out of, as by default
UNKNOWN = 2**33  # bytes, where the operating system does not tell what is free
NOT_PLANES = "has no axis along which every line is sampled in full, so that it cannot be divided into planes"


def check_volume(kspace: KSpace, planes: Planes, settings: Settings, sets: int = 1, every_step: bool = False) -> None:
    """Check, where a volume cannot be divided into planes, that the method and the memory can reconstruct it as one.

    Args:
        kspace: The k-space.
        planes: Its planes, or the one part that the volume is.
        settings: The method.
        sets: Number of sets of maps.
        every_step: Whether the pictures of every step are kept.

    Raises:
        MetaoptError: The method is a network, which is for planes, or there is not enough memory.
    """
    if not planes.whole:
        return
    if settings.method == "rim":
        raise MetaoptError(
            f"The network {settings.network} reconstructs planes, but the volume of {kspace.path}, {_by(planes.shape)} "
            f"points, {NOT_PLANES}; take --method cs, tv, cg or zero, which reconstruct it as a whole."
        )
    steps = settings.most_steps if every_step else 0
    needed, free = whole_bytes(planes.shape, kspace.coils, sets, steps or 0), free_bytes()
    if needed > free:
        raise MetaoptError(
            f"The volume of {kspace.path}, {_by(planes.shape)} points of {kspace.coils} coils, {NOT_PLANES}; as a "
            f"whole it takes about {size(needed)} of memory, but {size(free)} are free: free some, use k-space of "
            f"fewer coils or points{', or leave --steps-out out' if steps else ''}."
        )


def whole_bytes(shape: tuple[int, ...], coils: int, sets: int = 1, steps: int = 0) -> int:
    """Return about how many bytes the reconstruction of a volume as one takes, by the largest of its phases.

    The numbers are a little above what was measured, with total variation, which keeps most, for one coil and eight.

    Args:
        shape: (D, H, W).
        coils: Number of coils.
        sets: Number of sets of maps.
        steps: Number of steps of which the pictures are kept.
    """
    points = math.prod(shape)
    entries = coils * math.prod(min(KERNEL, n) for n in shape)  # of a patch
    places = math.prod(max(1, min(CALIBRATION, n) - KERNEL + 1) for n in shape)
    maps = 16 * entries * (3 * places + 4 * entries) + 8 * coils * sets * points if coils > 1 else 0
    noise = 72 * coils * points  # in complex numbers of 128 bits: samples, border, its picture
    solving = (64 + 8 * sets) * coils * points + (600 + 16 * steps) * sets * points
    return 8 * coils * points + max(maps, noise, solving)


def free_bytes() -> int:
    """Return how many bytes of memory are free, as far as the operating system tells."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name == "MemAvailable":
                return 1024 * int(rest.split()[0])
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return UNKNOWN


def size(count: int) -> str:
    """Return a number of bytes in words.

    Args:
        count: The number.
    """
    return f"{count / 1e9:.1f} GB"


def _by(sides: tuple[int, ...]) -> str:
    return " x ".join(map(str, sides))
