"""Weigh visibilities for a first picture, and make that picture and its point spread function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..arguments.checks import check_number, check_tensor, said
from ..core.errors import MetaoptError
from .uv import LIGHT, check_geometry, check_weights
from .visibilities import Visibilities, whitened
from .wide_visibilities import WideVisibilities

Measurement = Visibilities | WideVisibilities


def natural_weights(weights: Tensor) -> Tensor:
    """Return the weights as they are: 1 / variance, the least noise, and the only ones that belong in a likelihood.

    Args:
        weights: (V, F), 1 / variance of each visibility, 0 for what is flagged.

    Returns:
        The same.
    """
    return check_tensor("The weights of natural_weights", weights)


def uniform_weights(
    uvw: Tensor, frequency: Tensor, weights: Tensor, shape: Sequence[int], cell: float, density: Tensor | None = None
) -> Tensor:
    """Return weights that make every cell of the (u, v) plane count the same: a sharp beam, at the cost of noise.

    They shape a picture to begin with, never a likelihood. Cells are those of a grid of ``shape``, as in WSClean
    without padding.

    Args:
        uvw: (V, 3) in metres.
        frequency: (F,) in hertz.
        weights: (V, F), 1 / variance of each visibility, 0 for what is flagged.
        shape: (H, W) of the picture.
        cell: The size of a pixel in radians.
        density: What :func:`uv_density` found for all visibilities, where these are a part of them.

    Returns:
        (V, F), the weight over the sum of weights in its cell.

    Raises:
        MetaoptError: The arguments do not fit each other.
    """
    grid, place, inside = _located("uniform_weights", uvw, frequency, weights, shape, cell, density)
    there = grid[place]
    return torch.where(inside & (there > 0), weights / there.clamp(min=torch.finfo(there.dtype).tiny), 0).to(weights)


def briggs_weights(
    uvw: Tensor,
    frequency: Tensor,
    weights: Tensor,
    shape: Sequence[int],
    cell: float,
    robust: float = 0.0,
    density: Tensor | None = None,
) -> Tensor:
    """Return weights between natural (robust 2) and uniform (robust -2), as WSClean defines them.

    With the sum W_k of weights in cell k, ``w / (1 + W_k f^2)``, where
    ``f^2 = (5 10^-robust)^2 / (sum_k W_k^2 / sum_i w_i)``. They shape a picture to begin with, never a likelihood.

    Args:
        uvw: (V, 3) in metres.
        frequency: (F,) in hertz.
        weights: (V, F), 1 / variance of each visibility, 0 for what is flagged.
        shape: (H, W) of the picture.
        cell: The size of a pixel in radians.
        robust: R.
        density: What :func:`uv_density` found for all visibilities, where these are a part of them.

    Returns:
        (V, F).

    Raises:
        MetaoptError: The arguments do not fit each other.

    Source:
        Briggs, High fidelity deconvolution of moderately resolved sources, thesis, New Mexico Tech, 1995, section 3;
        Offringa et al., WSClean, 2014, doi:10.1093/mnras/stu1368.
    """
    check_number("The robust of briggs_weights", robust, low=-100, high=100)
    grid, place, inside = _located("briggs_weights", uvw, frequency, weights, shape, cell, density)
    factor = (5 * 10.0 ** -float(robust)) ** 2 * grid.sum() / grid.square().sum()
    return torch.where(inside, weights / (1 + grid[place] * factor), 0).to(weights)


def uv_density(uvw: Tensor, frequency: Tensor, weights: Tensor, shape: Sequence[int], cell: float) -> Tensor:
    """Return the sum of weights in each cell of the (u, v) plane; those of parts of the data add up.

    A visibility and its conjugate are one: v >= 0.

    Args:
        uvw: (V, 3) in metres.
        frequency: (F,) in hertz.
        weights: (V, F), 1 / variance of each visibility, 0 for what is flagged.
        shape: (H, W) of the picture.
        cell: The size of a pixel in radians.

    Returns:
        (H // 2 + 1, W + 1) float64, flattened.

    Raises:
        MetaoptError: The arguments do not fit each other.
    """
    shape = check_geometry("uv_density", uvw, frequency, shape, cell)
    check_weights("uv_density", weights, uvw, frequency)
    place, inside = _place(uvw, frequency, shape, cell)
    grid = torch.zeros((shape[0] // 2 + 1) * (shape[1] + 1), dtype=torch.float64, device=uvw.device)
    return grid.index_add_(0, place.flatten(), torch.where(inside, weights.double(), 0).flatten())


def _place(uvw: Tensor, frequency: Tensor, shape: Sequence[int], cell: float) -> tuple[Tensor, Tensor]:
    """Return the number of the cell of each visibility, (V, F), and whether it is one of the grid's."""
    height, width = shape
    u, v = (uvw[:, axis, None].double() * frequency.double() / LIGHT for axis in (0, 1))
    u, v = torch.where(v < 0, -u, u), v.abs()
    column, row = (u * width * cell + width // 2).floor().long(), (v * height * cell).floor().long()
    inside = (column >= 0) & (column <= width) & (row <= height // 2)
    return torch.where(inside, row * (width + 1) + column, 0), inside


def _located(
    who: str, uvw: Tensor, frequency: Tensor, weights: Tensor, shape: Any, cell: float, density: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the density of the weights, and the cell of each."""
    shape = check_geometry(who, uvw, frequency, shape, cell)
    check_weights(who, weights, uvw, frequency)
    grid = uv_density(uvw, frequency, weights, shape, cell) if density is None else density
    wanted = (shape[0] // 2 + 1) * (shape[1] + 1)
    check_tensor(f"The density of {who}", grid, "real", "(cells)")
    if tuple(grid.shape) != (wanted,) or grid.layout is not torch.strided:
        raise MetaoptError(
            f"The density of {who} has {wanted} cells for a picture of {shape[0]} x {shape[1]}; uv_density makes it."
        )
    return grid.double(), *_place(uvw, frequency, shape, cell)


def dirty_picture(operator: Measurement, visibilities: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the dirty picture, ``A^H W V / sum W``: the sky convolved with the point spread function.

    Args:
        operator: The measurement; its own weights are used where none are given.
        visibilities: V, (B, V, F) complex in Jy, not whitened.
        weights: W, (V, F) as :func:`briggs_weights` makes them. None: natural, those of the operator.

    Returns:
        (B, P, H, W) in Jy/beam, float32 or float64 as the visibilities are. For several planes each is divided by its
        own sum.

    Raises:
        MetaoptError: The arguments do not fit each other, or a plane has no weight.
    """
    _check_measurement("dirty_picture", operator)
    weighted = operator if weights is None else operator.weighted(weights)
    picture = weighted.adjoint(whitened(weighted, visibilities))
    return picture / _sums(weighted).to(picture)


def point_spread(operator: Measurement, weights: Tensor | None = None) -> Tensor:
    """Return the point spread function, or dirty beam: the dirty picture of a source of 1 Jy at the phase centre.

    Args:
        operator: The measurement; its own weights are used where none are given.
        weights: W, (V, F). None: natural, those of the operator.

    Returns:
        (P, H, W) float64, 1 at (H // 2, W // 2) but for the primary beam.

    Raises:
        MetaoptError: The arguments do not fit each other, or a plane has no weight.
    """
    _check_measurement("point_spread", operator)
    ones = torch.ones(1, len(operator.uvw), len(operator.frequency), dtype=torch.complex128, device=operator.uvw.device)
    return dirty_picture(operator, ones, weights)[0]


def _check_measurement(who: str, operator: object) -> None:
    if not isinstance(operator, Measurement):
        raise MetaoptError(
            f"The operator of {who} must be a Visibilities or WideVisibilities, but got {said(operator)}; "
            "visibility_operator makes one."
        )


def _sums(operator: Measurement) -> Tensor:
    """Return the sum of the weights of each plane, (P, 1, 1)."""
    weights = operator.weights
    if weights is None:
        weights = operator.uvw.new_ones(len(operator.uvw), len(operator.frequency))
    sums = weights.double().sum(0).reshape(operator.planes, -1).sum(1)
    if bool((sums <= 0).any()):
        silent = ", ".join(map(str, (sums <= 0).nonzero().flatten().tolist()[:5]))
        raise MetaoptError(
            f"All visibilities of plane {silent} are flagged, so it has no picture; leave its channels out."
        )
    return sums[:, None, None]
