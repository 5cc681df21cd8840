"""Read the estimates of a reconstruction at every step, as ``metaopt mri reconstruct --steps-out`` writes them."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import MetaoptError
from ..files import named_errors, numpy_header

PREFIX = "estimates_"
MOST_VOXELS = 2**24  # of a volume: what the canvas of a phone's browser can hold
MOST_IN_ALL = 2**30  # over all methods and steps
MOST_METHODS = 12
MOST_STEPS = 1000
_OTHERS = ("target", "mask", "spacing", "axes")


@dataclass(frozen=True)
class Result:
    """Hold what a result file says of itself; its estimates are read one by one by :meth:`estimates`.

    Args:
        path: The file.
        counts: For each method its number of estimates, that of step 0 included.
        shape: (D, H, W).
        target: (D, H, W) float32, or None.
        mask: (H, W) zeros and ones, or None.
        spacing: Distance of neighbouring voxels along (D, H, W) in mm, or None.
        axes: Where the axes grow to, such as SPL, or None.
    """

    path: Path
    counts: dict[str, int]
    shape: tuple[int, int, int]
    target: np.ndarray | None
    mask: np.ndarray | None
    spacing: tuple[float, float, float] | None
    axes: str | None

    def estimates(self, method: str, first: int = 0) -> Iterator[np.ndarray]:
        """Read the estimates of a method one after the other, so that no more than one is in memory.

        Args:
            method: Its name.
            first: The step of the first estimate that is given.

        Returns:
            An iterator of (D, H, W) float32.

        Raises:
            MetaoptError: The file is damaged, or an estimate is not finite or has values below 0.
        """
        name = f"{PREFIX}{method}"
        with (
            named_errors(self.path, "result"),
            zipfile.ZipFile(self.path) as archive,
            archive.open(f"{name}.npy") as file,
        ):
            shape, fortran, dtype = numpy_header(file)
            whole = _read(file, shape, dtype, fortran) if fortran else None
            for step in range(shape[0]):
                values = _read(file, shape[1:], dtype, False) if whole is None else whole[step]
                if step >= first:
                    yield _magnitudes(f"{name}, step {step},", values).reshape(self.shape)


def read_result(path: Path) -> Result:
    """Read everything of a result file but its estimates, and check that the parts fit each other.

    The file is an ``.npz`` of arrays ``estimates_NAME`` (steps + 1, D, H, W), or (steps + 1, H, W) for a single slice,
    one for each method, that hold magnitudes and begin with step 0. It may have ``target`` (D, H, W), ``mask`` (H, W)
    of centred k-space, ``spacing`` (3,) in mm along (D, H, W), and ``axes``, a text of three letters that says where
    D, H and W grow to, such as SPL for superior, posterior and left.

    Args:
        path: The file.

    Returns:
        The result.

    Raises:
        MetaoptError: The file cannot be read, has no estimates, or its arrays do not fit each other.
    """
    with named_errors(path, "result"):
        if path.is_dir():
            raise MetaoptError("is a folder; name the .npz file in it.")
        if path.stat().st_size == 0:
            raise MetaoptError("is empty (0 bytes); save the result again.")
        if not zipfile.is_zipfile(path):
            raise MetaoptError("is not an .npz file, or is cut short; numpy.savez and --steps-out write one.")
        with zipfile.ZipFile(path) as archive:
            found = {}
            for name in (name for name in archive.namelist() if name.endswith(".npy")):
                with archive.open(name) as file:
                    found[name.removesuffix(".npy")] = numpy_header(file)
            counts, shape = _counts(found)
            arrays = {name: _array(archive, name, *found[name]) for name in _OTHERS if name in found}
        target = None if "target" not in arrays else _target(arrays["target"], shape)
        mask = None if "mask" not in arrays else _mask(arrays["mask"], shape)
        return Result(path, counts, shape, target, mask, _spacing(arrays.get("spacing")), _axes(arrays.get("axes")))


def _read(file: Any, shape: tuple[int, ...], dtype: np.dtype, fortran: bool) -> np.ndarray:
    count = math.prod(shape) * dtype.itemsize
    content = file.read(count)
    if len(content) < count:
        raise MetaoptError(f"is cut short: an array {shape} of {dtype} misses {count - len(content):,} bytes.")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def _array(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], fortran: bool, dtype: np.dtype) -> np.ndarray:
    if dtype.hasobject or math.prod(shape) * dtype.itemsize > 8 * MOST_VOXELS:
        raise MetaoptError(f"has {name} {shape} of {dtype}, which is none of a result; look at what was saved.")
    with archive.open(f"{name}.npy") as file:
        numpy_header(file)
        return _read(file, shape, dtype, fortran)


def _counts(found: dict[str, tuple[tuple[int, ...], bool, np.dtype]]) -> tuple[dict[str, int], tuple[int, int, int]]:
    """Return the number of estimates of each method, and the shape (D, H, W) of all."""
    names = [name for name in found if name.startswith(PREFIX)]
    if not names or PREFIX in names:
        there = ", ".join(f"{name} {found[name][0]}" for name in found) or "none"
        raise MetaoptError(f"needs at least one array {PREFIX}NAME, with a name for its method; it has {there:.300}.")
    for name in names:
        shape, _, dtype = found[name]
        if dtype.kind not in "fiu":
            raise MetaoptError(f"has {name} of {dtype}, but estimates are real magnitudes; save their absolute values.")
        if len(shape) not in (3, 4) or 0 in shape:
            raise MetaoptError(
                f"has {name} {shape}, but estimates are (steps + 1, D, H, W), or (steps + 1, H, W) for a single slice."
            )
    spaces = {name: found[name][0][1:] if len(found[name][0]) == 4 else (1, *found[name][0][1:]) for name in names}
    depth, height, width = spaces[names[0]]
    other = next((name for name in names if spaces[name] != (depth, height, width)), None)
    if other is not None:
        raise MetaoptError(
            f"has {names[0]} {found[names[0]][0]} and {other} {found[other][0]}; all methods need volumes of one shape."
        )
    counts = {name.removeprefix(PREFIX): found[name][0][0] for name in names}
    voxels = depth * height * width
    if (
        voxels > MOST_VOXELS
        or sum(counts.values()) * voxels > MOST_IN_ALL
        or len(counts) > MOST_METHODS
        or max(counts.values()) > MOST_STEPS + 1
    ):
        raise MetaoptError(
            f"has {len(counts)} methods with up to {max(counts.values())} estimates of {depth} x {height} x {width}; a "
            f"page takes {MOST_METHODS} methods, {MOST_STEPS} steps, {MOST_VOXELS:,} voxels a volume and "
            f"{MOST_IN_ALL:,} in all: save fewer slices, steps or methods."
        )
    return counts, (depth, height, width)


def _magnitudes(name: str, values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        single = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(single).all():
        bad = int((~np.isfinite(single)).sum())
        raise MetaoptError(f"has {bad:,} values in {name} that are NaN or beyond float32; mend or leave out that step.")
    if single.size and single.min() < 0:
        raise MetaoptError(f"has values below 0 in {name} such as {single.min():.3g}; save magnitudes.")
    return single


def _target(target: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    if target.dtype.kind not in "fiu":
        raise MetaoptError(f"has a target of {target.dtype}, but it is real magnitudes; save its absolute values.")
    if target.shape != shape and (shape[0] != 1 or target.shape != shape[1:]):
        raise MetaoptError(f"has a target {target.shape} for estimates {shape}; both need the same (D, H, W).")
    target = _magnitudes("target", target).reshape(shape)
    if not target.any():
        raise MetaoptError("has a target that is 0 everywhere, so that no error has a scale; save the right one.")
    return target


def _mask(mask: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    if mask.shape != shape[1:] or mask.dtype.kind not in "fiub" or not np.isin(mask, (0, 1)).all() or not mask.any():
        raise MetaoptError(
            f"has a mask {mask.shape} of {mask.dtype}; a mask of centred k-space is (H, W) = {shape[1:]} with 1 where "
            "it was sampled and 0 elsewhere."
        )
    return mask.astype(np.uint8)


def _spacing(spacing: np.ndarray | None) -> tuple[float, float, float] | None:
    if spacing is None:
        return None
    fits = spacing.shape == (3,) and spacing.dtype.kind in "fiu"
    if not fits or not (np.isfinite(spacing).all() and (spacing > 0).all()) or spacing.max() > 1000 * spacing.min():
        raise MetaoptError(f"has a spacing {spacing!s:.80}; it is three sizes of a voxel in mm, along D, H and W.")
    depth, height, width = map(float, spacing)
    return depth, height, width


def _axes(axes: np.ndarray | None) -> str | None:
    if axes is None:
        return None
    if axes.dtype.kind != "U" or axes.size != 1:
        raise MetaoptError(f"has axes of {axes.dtype} {axes.shape}; they are a text of three letters, such as SPL.")
    return str(axes.reshape(-1)[0]).upper()
