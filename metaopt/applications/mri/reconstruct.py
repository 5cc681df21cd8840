"""Reconstruct a whole acquisition plane by plane, in bounded memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...arguments.checks import check_whole
from ...core import MetaoptError, MetaoptWarning
from ...data import KSpace
from ...operators import Fourier
from .classical import root_sum_of_squares
from .consistency import residual_maps
from .memory import check_volume
from .methods import Method, Settings
from .partial import Store
from .planes import Planes, planes_of
from .preparation import Noise, Preparation, prepare
from .trained import say_outside

TOGETHER = 2**21  # points of k-space of all coils that a network is given together


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Hold the pictures of an acquisition.

    Args:
        pictures: Magnitudes in the units of the file, (slice, row, column).
        affine: (4, 4) from (column, row, slice) to millimetres, or None.
        spacing: Millimetres of a voxel along slice, row and column, or None.
        residual: For each plane the root mean square of ``y - A x`` in units of the noise; NaN where that is unknown.
        noise: The noise of k-space, or None.
        axis: The axis of ``pictures`` along which the planes follow one another.
        steps: The pictures of every step from ``problem.start()`` on, (steps + 1, slice, row, column), or None.
        mask: Of the plane in the middle, (H, W), centred; of a whole volume, of its middle plane.
    """

    pictures: Tensor
    affine: Tensor | None
    spacing: tuple[float, float, float] | None
    residual: Tensor
    noise: Noise | None
    axis: int
    steps: Tensor | None
    mask: Tensor


@torch.inference_mode()
def reconstruct(
    kspace: KSpace,
    settings: Settings = Settings(),  # noqa: B008
    noise: float | None = None,
    mask: Tensor | None = None,
    maps: Tensor | None = None,
    sets: int = 1,
    slices: tuple[int | None, int | None] = (None, None),
    volume: int | None = None,
    every_step: bool = False,
) -> Reconstruction:
    """Reconstruct the pictures of an acquisition.

    Slices are reconstructed one by one. Of k-space with three dimensions the readout, which is sampled in full, is
    transformed first, and the planes across it are reconstructed one by one. A volume without such a readout is
    reconstructed as a whole, by all methods but the network, if there is enough memory. Maps of several coils come from
    the fully sampled middle of each plane or whole. k-space that is c times as large gives pictures that are c times as
    large.

    Args:
        kspace: What :func:`open_kspace` found.
        settings: The method and its settings.
        noise: The standard deviation of a real component of the noise. None: of the file, or of the border of k-space.
        mask: Which samples are used, (column,), or as large as a plane or volume; 1 or 0, centred. None: all.
        maps: Maps of the coils, (C, H, W), (S, C, H, W) or (D, S, C, H, W). None: by :func:`espirit`.
        sets: Number of sets of maps, 2 where the field of view is smaller than the object.
        slices: The first plane, and the one to stop before.
        volume: Which volume, where there are several.
        every_step: Whether the pictures of every step are kept.

    Raises:
        MetaoptError: K-space has no calibration region for several coils, its noise cannot be told, an argument does
            not fit it, or a volume that cannot be divided is too large, or for planes only.
    """
    planes = planes_of(kspace, mask, volume)
    chosen = chosen_planes(slices, planes)
    check_volume(kspace, planes, settings, sets, every_step)
    method = Method(settings)
    preparation = prepare(kspace, planes, noise, maps, sets, settings.method != "zero")
    store = Store(len(chosen))
    for _ in fill(store, preparation, method, chosen, every_step):
        pass
    return finished(store, kspace, preparation, method, chosen, every_step)


def chosen_planes(slices: tuple[int | None, int | None], planes: Planes) -> range:
    """Return the numbers of the chosen planes.

    Args:
        slices: The first, and the one to stop before, or None.
        planes: Those that there are.

    Raises:
        MetaoptError: They are out of range, none, or parts of a volume that cannot be divided.
    """
    count = planes.count
    if planes.whole and slices != (None, None):
        raise MetaoptError(
            "No slices can be chosen of this volume, which is reconstructed as a whole, since no axis has all lines "
            "sampled in full; leave --slices out."
        )
    for value in (value for value in slices if value is not None):
        check_whole("The number of a slice", value)
    first, stop = slices[0] or 0, count if slices[1] is None else slices[1]
    if not 0 <= first < stop <= count:
        raise MetaoptError(f"There are {count} slices, 0 to {count - 1}; A:B with 0 <= A < B <= {count} chooses some.")
    return range(first, stop)


def fill(
    store: Store, preparation: Preparation, method: Method, chosen: range, every_step: bool = False
) -> Iterator[int]:
    """Reconstruct the planes that are missing in a store, and yield after some how many they are.

    Args:
        store: The store, with a plane for each of ``chosen``.
        preparation: Makes the problems.
        method: Solves them.
        chosen: The numbers of the planes.
        every_step: Whether the pictures of every step are kept.
    """
    planes, noise = preparation.planes, preparation.noise
    arrays = _arrays(store, planes, len(chosen), method.steps if every_step else None)
    size = 1
    if method.net is not None:
        size = max(1, min(8, TOGETHER // max(1, planes.read(chosen[0])[0].numel())))
    for positions in _batches(store.missing, size):
        indices = [chosen[position] for position in positions]
        if method.settings.method == "zero":
            found, levels = _zero_filled(preparation, indices), torch.zeros(len(indices))
        else:
            found, levels = _solved(preparation, method, indices, every_step)
        values = planes.crop(found * preparation.unit)
        for position, picture, level in zip(positions, values.unbind(1), levels.tolist(), strict=True):
            if not bool(torch.isfinite(picture).all()):
                raise MetaoptError(
                    f"The method {method.settings.method} gave values that are NaN or infinite in slice "
                    f"{chosen[position]}; look at its k-space, and at its noise{noise and f' ({noise.level:.3g})'}."
                )
            place = planes.place(position)
            arrays["pictures"][place] = picture[-1].numpy()
            arrays["residual"][position] = level
            if every_step:
                arrays["taken"][position] = len(picture)
                arrays["steps"][(slice(len(picture)), *place)] = picture.numpy()
            store.done[position] = 1
        yield len(positions)


def finished(
    store: Store, kspace: KSpace, preparation: Preparation, method: Method, chosen: range, every_step: bool = False
) -> Reconstruction:
    """Return what a full store holds; where planes took unlike numbers of steps, the last picture of each stays.

    Args:
        store: The store.
        kspace: The k-space.
        preparation: What made the problems.
        method: What solved them.
        chosen: The numbers of the planes.
        every_step: Whether the pictures of every step were kept.
    """
    planes = preparation.planes
    arrays = _arrays(store, planes, len(chosen), method.steps if every_step else None)
    steps = None
    if every_step:
        longest = int(arrays["taken"].max())
        for position, taken in enumerate(arrays["taken"].tolist()):
            place = planes.place(position)
            arrays["steps"][(slice(taken, longest), *place)] = arrays["steps"][(taken - 1, *place)]
        steps = torch.from_numpy(arrays["steps"][:longest])
    mask = planes.read(chosen[len(chosen) // 2])[1]
    mask = mask[len(mask) // 2] if planes.whole else mask
    for text in method.warned:
        warnings.warn(text, MetaoptWarning, stacklevel=2)
    say_outside(method, preparation, mask)
    if not arrays["pictures"].any():
        warnings.warn(
            "The pictures are 0 everywhere, since the maps of the coils are: the middle of k-space that they are "
            "computed of is too small or has no signal; give maps (--maps), or take the method zero (--method zero).",
            MetaoptWarning,
            stacklevel=2,
        )
    residual = torch.from_numpy(np.array(arrays["residual"]))
    affine = _moved(kspace.affine, planes.axis, chosen.start)
    pictures = torch.from_numpy(arrays["pictures"])
    return Reconstruction(pictures, affine, planes.voxel, residual, preparation.noise, planes.axis, steps, mask)


def _solved(preparation: Preparation, method: Method, indices: list[int], every_step: bool) -> tuple[Tensor, Tensor]:
    """Return magnitudes (steps, B, H, W), or the last alone, and the level of the residual of each."""
    problem = preparation.problem(indices)
    if not bool(problem.start().any()):  # maps are 0 where nothing is seen
        count = method.steps + 1 if every_step and method.net is not None else 1
        return torch.zeros(count, len(indices), *preparation.planes.shape), torch.ones(len(indices))
    pictures = method.pictures(problem, every_step)
    magnitudes = torch.stack([root_sum_of_squares(x)[:, 0] for x in pictures])
    return magnitudes, residual_maps(problem, pictures[-1]).level


def _zero_filled(preparation: Preparation, indices: list[int]) -> Tensor:
    """Return the root of the sum of squares of the coils' pictures, which needs no maps, (1, B, H, W)."""
    y = torch.stack([preparation.read(index)[0] for index in indices])
    return root_sum_of_squares(Fourier(dims=y.ndim - 2, centred=True).adjoint(y))[:, 0][None]


def _arrays(store: Store, planes: Planes, count: int, steps: int | None) -> dict[str, np.ndarray]:
    shape = planes.volume(count)
    arrays = {"pictures": store.array("pictures", shape), "residual": store.array("residual", (count,))}
    if steps is not None:
        arrays["steps"] = store.array("steps", (steps + 1, *shape))
        arrays["taken"] = store.array("taken", (count,), np.int64)
    return arrays


def _batches(positions: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(positions), size):
        yield positions[start : start + size]


def _moved(affine: Tensor | None, axis: int, first: int) -> Tensor | None:
    """Return the matrix of a volume from its plane ``first`` on, along ``axis`` of (slice, row, column)."""
    if affine is None:
        return None
    moved = affine.clone()
    moved[:3, 3] += first * affine[:3, 2 - axis]
    return moved
