"""Fields of experts are priors whose filters are learned from images."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..arguments.checks import as_numbers
from ..arguments.contracts import Axes, Between, Count, Holds, checked, within
from ..core import MetaoptError, shared, slot, tree
from .prior import from_planes, to_planes

Scale = Annotated[Any, Holds(limits=Between(above=0))]
Filters = Annotated[Tensor, Axes("real", "(n, height, width)")]


@checked
class FieldOfExperts(nn.Module):
    """This prior says that the responses of learned filters follow a Student-t distribution.

    ``energy(x) = sum_i weight_i sum_p log(1 + |(f_i * x)_p|^2 / (2 scale^2))``, where p runs over the places at which
    filter f_i lies wholly inside the image; x is (B, ..., H, W), and every channel counts separately. The energy is
    smooth and not convex, so there is no prox: train and use it by unrolling
    :class:`~metaopt.algorithms.MapEstimation`.

    Args:
        filters: f_i, (n, height, width), such as :func:`dct_filters`.
        weight: The weights, a positive number or (n,); they stay positive while they are learned.
        scale: The size, in the units of x, of a filter response above which the energy grows only logarithmically; well
            below it the energy is quadratic.

    Slots:
        filters: f_i, learned by default.
        weight: The weights, learned by default.
        scale: The scale, fixed by default.

    Raises:
        MetaoptError: The filters have other axes, or the images are smaller than the filters.

    Source:
        Roth and Black, Fields of experts, 2009, doi:10.1007/s11263-008-0197-6.
    """

    def __init__(self, filters: Filters, weight: Any = 1.0, scale: Scale = 0.1):
        super().__init__()
        if not filters.numel():
            raise MetaoptError(f"FieldOfExperts needs filters (n, height, width), but got {tree.describe(filters)}.")
        weights = as_numbers("The weight of FieldOfExperts", weight, filters.dtype, filters.device)
        if tuple(weights.shape) not in ((), (1,), (len(filters),)):
            raise MetaoptError(f"The weights are one number or ({len(filters)},), but got {tree.describe(weights)}.")
        weights = weights.expand(len(filters))
        self.filters, self.weight = slot(shared(filters)), slot(shared(weights, positive=True))
        self.scale = slot(scale, within("scale", above=0))

    @property
    def reach(self) -> tuple[int, int]:
        height, width = self.filters(0).shape[-2:]
        return height - 1, width - 1

    def energy(self, x: Tensor, k: int = 0) -> Tensor:
        planes = to_planes(x)
        weight, variance = _like(self.weight(k), planes), _like(self.scale(k), planes).square()
        experts = torch.log1p(self._responses(planes, k).square().sum(0) / (2 * variance))
        return (weight * experts).flatten(1).sum(1)

    def gradient(self, x: Tensor, k: int = 0) -> Tensor:
        planes = to_planes(x)
        weight, variance = _like(self.weight(k), planes), _like(self.scale(k), planes).square()
        responses = self._responses(planes, k)
        influence = responses * (weight / (variance + responses.square().sum(0) / 2))
        gradient = F.conv_transpose2d(influence.flatten(0, -4), self._kernels(planes, k))
        return from_planes(gradient.reshape(planes.shape))

    def _responses(self, planes: Tensor, k: int) -> Tensor:
        """f_i * x, (planes, B, ..., n, h, w)."""
        kernels = self._kernels(planes, k)
        if any(n < size for n, size in zip(planes.shape[-2:], kernels.shape[-2:], strict=True)):
            raise MetaoptError(
                f"FieldOfExperts with filters {tuple(kernels.shape[-2:])} needs images at least as large, but got "
                f"{tuple(planes.shape[-2:])}."
            )
        return F.conv2d(planes.reshape(-1, 1, *planes.shape[-2:]), kernels).unflatten(0, planes.shape[:-2])

    def _kernels(self, planes: Tensor, k: int) -> Tensor:
        return self.filters(k).unsqueeze(1).to(planes.dtype)


def _like(value: Tensor, planes: Tensor) -> Tensor:
    """One number, or one a filter, to multiply responses."""
    return value.to(planes.dtype).reshape(-1, 1, 1)


@checked
def dct_filters(size: Count) -> Tensor:
    """Return the orthonormal two-dimensional DCT-II basis without its constant, the slowest frequencies first.

    Args:
        size: The side of a filter, in pixels.

    Returns:
        The filters, (size^2 - 1, size, size).
    """
    place, frequency = torch.arange(size) + 0.5, torch.arange(size).unsqueeze(1)
    basis = torch.cos(math.pi / size * frequency * place) * (2 / size) ** 0.5
    basis[0] /= 2**0.5
    products = torch.einsum("ai,bj->abij", basis, basis).flatten(0, 1)
    slowest_first = (frequency + frequency.T).flatten().argsort(stable=True)
    return products[slowest_first[1:]]
