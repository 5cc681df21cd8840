"""Draw random projections for compressed sensing, and cut pictures into the blocks that they act on.

All three projections are scaled so that an entry of A has mean square 1/rows and ``E[A^T A] = I`` over the draws, apart
from the constant coefficients that ``fourier_projection`` always keeps. The draw depends on ``seed`` alone and is the
same in each precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..arguments.checks import check_count, check_whole
from ..core import random
from ..core.errors import MetaoptError
from .dense import Dense
from .fourier import Fourier
from .identity import RealToComplex
from .mask import Select
from .operator import Operator, Scaled, check_trailing
from .shapes import check_counts, check_floating

Shape = tuple[int, ...]


def gaussian_projection(rows: int, shape: Shape, seed: int, *, dtype: torch.dtype = torch.float32) -> Dense:
    """Draw a projection ``(..., *shape) -> (..., rows)`` of independent normal entries of variance 1/rows.

    Args:
        rows: The number of measurements.
        shape: The trailing axes of x.
        seed: The seed of the draw.
        dtype: The dtype of the matrix.
    """
    rows, shape = check_count("The rows of gaussian_projection", rows), check_counts("The shape", shape)
    check_floating("gaussian_projection", dtype)
    generator = random.generator(check_whole("The seed of gaussian_projection", seed))
    matrix = torch.randn(rows, torch.Size(shape).numel(), generator=generator, dtype=torch.float64)
    return Dense((matrix / rows**0.5).to(dtype), tuple(shape))


def bernoulli_projection(rows: int, shape: Shape, seed: int, *, dtype: torch.dtype = torch.float32) -> Dense:
    """Draw a projection ``(..., *shape) -> (..., rows)`` of independent fair signs times 1/sqrt(rows).

    Args:
        rows: The number of measurements.
        shape: The trailing axes of x.
        seed: The seed of the draw.
        dtype: The dtype of the matrix.
    """
    rows, shape = check_count("The rows of bernoulli_projection", rows), check_counts("The shape", shape)
    check_floating("bernoulli_projection", dtype)
    generator = random.generator(check_whole("The seed of bernoulli_projection", seed))
    bits = torch.randint(0, 2, (rows, torch.Size(shape).numel()), generator=generator)
    return Dense(((2 * bits - 1) / rows**0.5).to(dtype), tuple(shape))


def fourier_projection(rows: int, shape: Shape, seed: int) -> Operator:
    """Draw a projection from real (..., C, H, W) to complex (..., rows): distinct coefficients of the 2-D DFT.

    The unitary transform is taken of every channel. The constant coefficients come first, since without them the mean
    brightness of x is unknown; the others are drawn at random. All are scaled by ``sqrt(n / rows)`` with ``n = C H W``.
    The adjoint is that of the real inner product ``Re<y, z>`` and returns a real image.

    Args:
        rows: The number of coefficients, at most n.
        shape: (C, H, W).
        seed: The seed of the draw.

    Raises:
        MetaoptError: There are fewer coefficients than ``rows``, or x is complex.
    """
    rows, shape = check_count("The rows of fourier_projection", rows), check_counts("The shape (C, H, W)", shape, 1, 3)
    size = torch.Size(shape).numel()
    check_whole("The seed of fourier_projection", seed)
    if rows > size:
        raise MetaoptError(
            f"fourier_projection draws rows without replacement, but shape {tuple(shape)} has {size} coefficients and "
            f"{rows} rows were asked for; ask for at most {size}, or use gaussian_projection."
        )
    order, plane = torch.randperm(size, generator=random.generator(seed)), size // shape[0]
    indices = torch.cat([torch.arange(0, size, plane), order[order % plane != 0]])[:rows]
    return Scaled(Select(indices, tuple(shape)) @ Fourier() @ RealToComplex(), (size / rows) ** 0.5)


@dataclass(frozen=True, eq=False)
class Blocks(Operator):
    """Cut a picture into square blocks, from (..., C, H, W) to (..., blocks, C, size, size), row by row.

    The operator is orthogonal. ``gaussian_projection(rows, (C, size, size), seed) @ Blocks((C, H, W), size)`` measures
    a large picture block by block.

    Args:
        shape: (C, H, W).
        size: The side of a block, in pixels.

    Raises:
        MetaoptError: H or W is no multiple of ``size``, or x ends in other axes.
    """

    shape: tuple[int, int, int]
    size: int

    def __post_init__(self) -> None:
        check_counts("The shape (C, H, W) of Blocks", self.shape)
        check_count("The size of Blocks", self.size)
        if len(self.shape) != 3 or self.shape[1] % self.size or self.shape[2] % self.size:
            raise MetaoptError(
                f"Blocks of size {self.size} need a shape (C, H, W) whose H and W are multiples of it, but got "
                f"{tuple(self.shape)}; crop or pad the picture, or choose another size."
            )

    def apply(self, x: Tensor) -> Tensor:
        check_trailing("Blocks", x, self.shape)
        cut = x.unflatten(-1, (-1, self.size)).unflatten(-3, (-1, self.size))
        return cut.movedim((-4, -2), (-5, -4)).flatten(-5, -4)

    def adjoint(self, y: Tensor) -> Tensor:
        channels, height, width = self.shape
        blocks = (height // self.size, width // self.size)
        check_trailing("the adjoint of Blocks", y, (blocks[0] * blocks[1], channels, self.size, self.size))
        return y.unflatten(-4, blocks).movedim((-5, -4), (-4, -2)).flatten(-2).flatten(-3, -2)

    def normal(self, x: Tensor) -> Tensor:
        return x
