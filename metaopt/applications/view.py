"""Write a page that shows a result at every step, slice by slice, beside its target."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..core.errors import MetaoptError, MetaoptWarning
from ..files import check_output
from ..foundation.extras import require
from ..metrics import WINDOW, psnr, ssim
from ..viewer import mosaics
from ..viewer.volume_page import Frames, Volumes, write_volumes
from .results import Result, read_result

PAGE = 25_000_000  # bytes above which steps are left out
MOST = 150_000_000  # bytes above which browsers fail
_BASE64 = 4 / 3
PSNR, SSIM = "PSNR (dB)", "SSIM"


def view_result(result: str | os.PathLike[str], page: str | os.PathLike[str], axes: str | None = None) -> Path:
    """Write one page about a result, as :func:`metaopt.applications.results.read_result` reads it.

    Every volume is inside the page with 8 bits a voxel, on one scale for all methods and steps. Where that takes more
    than ``PAGE`` bytes, only the steps 0, 1, 2, 4, 8, ... and the last are shown, and then only 0 and the last.

    Args:
        result: The ``.npz`` file.
        page: The ``.html`` file to write.
        axes: Where the axes D, H and W grow to, such as SPL for superior, posterior and left. None: as the file says.

    Returns:
        ``page``.

    Raises:
        MetaoptError: The result cannot be shown, the page cannot be written, or an extra is not installed.
    """
    path = Path(page)
    if path.suffix.lower() not in (".html", ".htm"):
        raise MetaoptError(f"{path} is no name of a page; let it end in .html.")
    check_output(path, Path(result))  # not after minutes
    found = read_result(Path(result))
    axes = found.axes if axes is None else axes.upper()
    mosaics.turning(axes or mosaics.SHOWN)
    require("PIL.Image", "viewer")
    if found.target is not None:
        require("skimage.metrics", "pictures")
    volumes, notes = _volumes(found, axes)
    write_volumes(path, volumes, notes)
    return path


def _volumes(found: Result, axes: str | None) -> tuple[Volumes, list[str]]:
    peak, brightness = _scale(found)
    turned = axes or mosaics.SHOWN
    methods = [_frames(found, method, peak, turned) for method in found.counts]
    target = None if found.target is None else mosaics.encode(mosaics.turned(found.target, turned), peak)
    kept, methods = _thinned(methods, len(target or b""))
    volumes = Volumes(
        found.path.name.encode("utf-8", "backslashreplace").decode(),
        found.shape,
        axes,
        found.spacing or (1.0, 1.0, 1.0),
        methods,
        target,
        found.mask,
        brightness,
    )
    return volumes, _notes(found, peak, axes, kept)


def _scale(found: Result) -> tuple[float, float]:
    """Return the peak, the largest value of the target or else of the last estimates, and the first brightness."""
    if found.target is not None:
        volumes = [found.target]
    else:
        volumes = [next(found.estimates(method, count - 1)) for method, count in found.counts.items()]
    peak = max(float(volume.max()) for volume in volumes)
    if peak == 0:
        raise MetaoptError(f"{found.path} has last estimates that are 0 everywhere, so that there is nothing to show.")
    bright = max(float(np.quantile(volume, 0.995)) for volume in volumes)
    return peak, next((factor for factor in (3.0, 2.0, 1.5) if factor * bright <= peak), 1.0)


def _frames(found: Result, method: str, peak: float, axes: str) -> Frames:
    pictures, scores = {}, {PSNR: [], SSIM: []} if found.target is not None else {}
    if min(found.shape[1:]) < WINDOW:
        scores.pop(SSIM, None)
    target = None if found.target is None else _relative(found.target, peak)
    for step, estimate in enumerate(found.estimates(method)):
        pictures[step] = mosaics.encode(mosaics.turned(estimate, axes), peak)
        if target is not None:
            shown = _relative(estimate, peak)
            scores[PSNR].append(float(psnr(shown[None], target[None])))
            if SSIM in scores:
                scores[SSIM].append(float(ssim(shown, target).mean()))
    return Frames(method, found.counts[method] - 1, pictures, scores)


def _relative(volume: np.ndarray, peak: float) -> torch.Tensor:
    """Return a volume over the peak; in float64, in which neither tiny nor huge units under- or overflow."""
    return torch.from_numpy(volume.astype(np.float64) / peak)


def _thinned(methods: Sequence[Frames], beside: int) -> tuple[str, list[Frames]]:
    """Return which steps are kept, in words where it is not all, and the methods with these steps alone."""
    last = max(method.steps for method in methods)
    ends = {0, *(method.steps for method in methods)}
    powers = {2**i for i in range(last.bit_length())}
    choices = [("", range(last + 1)), ("0, 1, 2, 4, 8, ... and the last", powers | ends), ("0 and the last", ends)]
    size, words, kept = math.inf, "", list(methods)
    for words, steps in choices:
        kept = [
            replace(method, mosaics={step: method.mosaics[step] for step in sorted(steps) if step in method.mosaics})
            for method in methods
        ]
        size = _BASE64 * (beside + sum(len(picture) for method in kept for picture in method.mosaics.values()))
        if size <= PAGE:
            return words, kept
    if size > MOST:
        raise MetaoptError(
            f"The page would have {size / 1e6:.0f} MB with the first and last steps alone, and browsers open up to "
            f"{MOST / 1e6:.0f} MB; save fewer slices or methods."
        )
    warnings.warn(
        f"The page has {size / 1e6:.0f} MB with the first and last steps alone and opens slowly; save fewer slices or "
        "methods for a smaller one.",
        MetaoptWarning,
        stacklevel=2,
    )
    return words, kept


def _notes(found: Result, peak: float, axes: str | None, kept: str) -> list[str]:
    depth, height, width = found.shape
    sizes = [f"{size:g}" for size in found.spacing or ()]
    spacing = f"of {' x '.join(sizes)} mm" if sizes else "whose size is not given, so that they are drawn as cubes"
    scale = "the largest value of the target" if found.target is not None else "the largest value of the last estimates"
    notes = [
        f"{depth} x {height} x {width} voxels (D x H x W) {spacing}; step 0 is before the first step.",
        f"All methods and steps have one scale: 0 is black and the peak, {peak:.4g}, is white at brightness ×1. The "
        f"peak is {scale}. Pictures and errors are shown with 8 bits, so that 0.4 % of the peak is the least that is "
        "seen.",
    ]
    if found.target is None:
        notes.append("The result has no target, so that there is no error and neither PSNR nor SSIM.")
    else:
        notes.append(
            "The error is the absolute difference of estimate and target, times the factor chosen above. PSNR is of "
            "the whole volume with that peak, and SSIM (11 x 11 windows) is the mean over the slices along D, both of "
            "the values in the file."
        )
        if min(found.shape[1:]) < WINDOW:
            notes.append(f"Slices of less than {WINDOW} pixels a side have no SSIM.")
    if kept:
        notes.append(f"To keep the page small, only the steps {kept} are shown; the curves have all.")
    if depth > 1 and axes is None:
        notes.append(
            "The result does not say how the head lies, so the planes are named as if D went up, H to the back and W "
            "to one side; `metaopt view --axes` tells it."
        )
    elif axes is not None:
        notes.append(f"D, H and W grow to {', '.join(axes)}; the person's left is on the right, as radiologists look.")
    return notes
