"""Problems whose A^H A is a convolution over all of x, such as those of Fourier transforms and interferometers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..arguments.checks import check_tensor, said
from ..arguments.contracts import Positive, checked
from ..core import MetaoptError, tree
from ..foundation.extras import require
from ..operators import Fourier, Identity, Operator
from ..operators.reach import Window
from ..problems import InverseProblem
from .problem import GivenGradient, asks, looked_at, point_of
from .store import make_array, to_tensor
from .sweep import Read, Tiles
from .workers import Runner


@checked
@dataclass(frozen=True, eq=False)
class Convolved:
    """A problem whose gradient is ``(k * x - A^H y) / noise^2``, with a kernel k of A^H A as large as x.

    The convolution is circular on a grid of the transfer function's size, where x is padded by zeros. A masked Fourier
    transform, with the square of its mask, and a circular blur have the grid of x. Where A^H A is a convolution without
    wrapping around, as the point spread function of an interferometer is, the grid has at least twice the pixels less
    one along each axis.

    Args:
        dirty: A^H y, (B, C, H, W), a tensor, or an array that is read by slices, such as one of zarr.
        transfer: The two-dimensional discrete Fourier transform of k, (H', W'), likewise. For real x it is that of a
            real kernel.
        noise: The standard deviation of a real component of the measurement.

    Raises:
        MetaoptError: The shapes do not fit, or the noise is not positive.
    """

    dirty: Any
    transfer: Any
    noise: Positive

    def __post_init__(self) -> None:
        for name, value in (("A^H y", self.dirty), ("The transfer function", self.transfer)):
            _check_array(f"{name} of Convolved", value)
        shapes = tuple(self.dirty.shape), tuple(self.transfer.shape)
        if [len(s) for s in shapes] != [4, 2] or any(n > m for n, m in zip(shapes[0][2:], shapes[1], strict=True)):
            raise MetaoptError(
                f"A^H y is (B, C, H, W), and the transfer function (H', W') at least as large, but they are "
                f"{shapes[0]} and {shapes[1]}."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.dirty.shape[2:])

    @property
    def operator(self) -> Operator:
        """Return an operator that, as A, connects all pixels."""
        return Fourier()

    def start(self) -> Tensor:
        return torch.as_tensor(self.dirty[:])

    def gradient(self, x: Tensor) -> Tensor:
        """Return the gradient at x, all of which is in memory."""
        (tall, wide), (height, width) = self.transfer.shape, x.shape[-2:]
        transfer = torch.as_tensor(self.transfer[:])
        if x.is_complex():
            spectrum = transfer * torch.fft.fft2(x, (tall, wide))
            moved = torch.fft.ifft2(spectrum)
        else:
            spectrum = transfer[:, : wide // 2 + 1] * torch.fft.rfft2(x, (tall, wide))
            moved = torch.fft.irfft2(spectrum, (tall, wide))
        return (moved[..., :height, :width].to(x.dtype) - self.start()) / self.noise**2

    def context(self) -> tuple[Tensor, ...]:
        return (self.start_of(1).real.new_tensor([self.noise]).log(),)

    def variance(self) -> Tensor:
        return self.start_of(1).real.new_tensor([self.noise]).square()

    def start_of(self, rows: int) -> Tensor:
        """Return the first rows of A^H y."""
        return torch.as_tensor(self.dirty[:, :, :rows])

    def read(self, window: Window) -> GivenGradient:
        """Return what is known of a window without computing a gradient, which is zero there."""
        first = torch.as_tensor(self.dirty[(slice(None), slice(None), *window)])
        return GivenGradient(first, torch.zeros_like(first), first, self.context(), self.variance())


def _check_array(name: str, value: Any) -> None:
    """Raise unless a value is a tensor, or an array that is read by slices, of numbers of at least 32 bits."""
    if isinstance(value, Tensor):
        check_tensor(name, value, "real or complex")
    elif not (hasattr(value, "shape") and hasattr(value, "dtype") and hasattr(value, "__getitem__")):
        raise MetaoptError(f"{name} is a tensor, or an array with a shape and a dtype, but got {said(value)}.")
    if value.dtype.itemsize < 4 or 0 in value.shape:
        raise MetaoptError(
            f"{name} has numbers of at least 32 bits, since torch takes no Fourier transform of others, and at least "
            f"one, but got {tuple(value.shape)} of {value.dtype}."
        )


def check_units(trained: Any, problem: Convolved) -> None:
    """Raise if x is not in the units that a network was trained in.

    Args:
        trained: The range of the network, or None.
        problem: The problem, whose A^H y resembles x.

    Raises:
        MetaoptError: It is not; the message says by which factor A^H y and the noise are to be multiplied.
    """
    if trained is None:
        return
    parts = [InverseProblem(Identity(), part.start(), problem.noise) for part in looked_at(problem)]
    factors = [float(trained.fixed(part).scale.min()) for part in parts]
    if (factor := min(factors)) != 1 and max(factors) != 1:
        raise MetaoptError(
            f"The weights {trained.name} were trained for {trained.units}: multiply A^H y and the noise by "
            f"{factor:.3g}, and divide the result by it."
        )


@dataclass(frozen=True, eq=False)
class StoredGradient:
    """Compute the gradient of a convolved problem on disk: Fourier transforms of rows, of columns, and of rows back.

    Args:
        problem: The problem.
        algorithm: The algorithm, which says where it asks for the gradient.
        folder: The folder of the run.
        tiles: How x is cut.
        run: How pieces of work are run.
    """

    problem: Convolved
    algorithm: Any
    folder: str
    tiles: Tiles
    run: Runner

    @property
    def size(self) -> int:
        """Return the bytes of the arrays."""
        x = self.problem.start_of(1)
        planes, (height, _), wide = math.prod(x.shape[:2]), self.problem.shape, self.problem.transfer.shape[1]
        return planes * height * x.element_size() * (2 * wide + 2 * self.problem.shape[1])

    def prepare(self, k: int, level: Any) -> Read:
        """Compute the gradient at which step ``k`` asks for it, and return how windows of it are read."""
        few = tuple(slice(0, min(n, p)) for n, p in zip(self.tiles.shape, self.tiles.period, strict=True))
        if level is None and not asks(self.algorithm, self.problem.read(few)):
            return self.problem.read
        x, (height, width) = self.problem.start_of(1), self.problem.shape
        group = require("zarr", "scale").open_group(f"{self.folder}/gradient", mode="w")
        tall, wide = self.problem.transfer.shape
        half = wide if x.is_complex() else wide // 2 + 1
        rows, columns = self._bands(half, tall)
        lead, sides = x.shape[:2], (rows, self.tiles.sides[1])
        point, slope = (make_array(group, n, (*lead, height, width), x, (*lead, *sides)) for n in ("point", "slope"))
        spectrum = torch.empty(0, dtype=x.dtype if x.is_complex() else x.dtype.to_complex())
        middle = make_array(group, "middle", (*lead, height, half), spectrum, (*lead, rows, columns))
        self.run(
            partial(_store_point, self.algorithm, self.problem.read, level, k, point), self.tiles.of(slice(0, height))
        )
        bands = [slice(i, min(height, i + rows)) for i in range(0, height, rows)]
        self.run(partial(_forth, point, middle, wide), bands)
        across = partial(_across, middle, self.problem.transfer, height)
        self.run(across, [slice(i, min(half, i + columns)) for i in range(0, half, columns)])
        self.run(partial(_back, self.problem, middle, slope), bands)
        return partial(_read_given, self.problem, point, slope)

    def _bands(self, half: int, tall: int) -> tuple[int, int]:
        """Return how many rows, a divisor of those of a tile, and how many columns are about as large as a tile."""
        area = 2 * math.prod(self.tiles.sides)
        side = self.tiles.sides[0]
        fitting = (n for n in range(side, 0, -1) if side % n == 0 and n * half <= area)
        return next(fitting, 1), max(1, min(half, area // tall))


def _store_point(
    algorithm: Any, read: Callable[[Window], Any], level: Any, k: int, point: Any, pair: tuple[Window, Window]
) -> None:
    _, kept = pair
    problem = read(kept)
    with torch.no_grad():
        at = problem.start() if level is None else point_of(algorithm, problem, level.read(kept), k)
    point[(..., *kept)] = at.cpu().numpy()


def _forth(point: Any, middle: Any, wide: int, rows: slice) -> None:
    x = torch.as_tensor(point[..., rows, :])
    middle[..., rows, :] = (torch.fft.fft(x, wide) if x.is_complex() else torch.fft.rfft(x, wide)).numpy()


def _across(middle: Any, transfer: Any, height: int, columns: slice) -> None:
    values = torch.fft.fft(torch.as_tensor(middle[..., columns]), transfer.shape[0], dim=-2)
    values = torch.fft.ifft(torch.as_tensor(transfer[:, columns]).to(values.dtype) * values, dim=-2)
    middle[..., columns] = values[..., :height, :].numpy()


def _back(problem: Convolved, middle: Any, slope: Any, rows: slice) -> None:
    values, wide = torch.as_tensor(middle[..., rows, :]), problem.transfer.shape[1]
    dirty = torch.as_tensor(problem.dirty[:, :, rows])
    moved = torch.fft.ifft(values, wide) if dirty.is_complex() else torch.fft.irfft(values, wide)
    slope[..., rows, :] = ((moved[..., : dirty.shape[-1]] - dirty) / problem.noise**2).numpy()


def _read_given(problem: Convolved, point: Any, slope: Any, window: Window) -> GivenGradient:
    return tree.replace(problem.read(window), {"slope": _cut(slope, window), "point": _cut(point, window)})


def _cut(array: Any, window: Window) -> Tensor:
    values = array[(..., *window)]
    return to_tensor(values, torch.as_tensor(values))
