"""Fields of experts: a prior whose filters are learned from images."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core import MetaoptError, shared, slot, tree
from .prior import from_planes, to_planes


class FieldOfExperts(nn.Module):
    """``energy(x) = sum_i weight_i sum_p log(1 + |(f_i * x)_p|^2 / (2 scale^2))``: Student-t experts on responses.

    Roth and Black, doi:10.1007/s11263-008-0197-6. p runs over the places where the filter lies wholly inside the image;
    every channel counts on its own. The energy is smooth and not convex, so there is no prox: train and use it by
    unrolling :class:`~metaopt.algorithms.MapEstimation`.

    Args:
        filters: f_i, (n, height, width), such as :func:`dct_filters`; learned.
        weight: the weights, a positive number or (n,); learned, and stay positive.
        scale: in the units of x; filter responses well below it cost quadratically, those above hardly more and more.

    x is (B, ..., H, W). Slots: ``filters``, ``weight``, ``scale``.
    """

    def __init__(self, filters: Tensor, weight: Any = 1.0, scale: Any = 0.1):
        super().__init__()
        if filters.ndim != 3:
            raise MetaoptError(f"FieldOfExperts needs filters (n, height, width), but got {tree.describe(filters)}.")
        weights = torch.as_tensor(weight, dtype=filters.dtype).expand(len(filters))
        self.filters, self.weight, self.scale = slot(shared(filters)), slot(shared(weights, positive=True)), slot(scale)

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


def dct_filters(size: int) -> Tensor:
    """(size^2 - 1, size, size): the orthonormal two-dimensional DCT-II basis without its constant, slowest first."""
    place, frequency = torch.arange(size) + 0.5, torch.arange(size).unsqueeze(1)
    basis = torch.cos(math.pi / size * frequency * place) * (2 / size) ** 0.5
    basis[0] /= 2**0.5
    products = torch.einsum("ai,bj->abij", basis, basis).flatten(0, 1)
    slowest_first = (frequency + frequency.T).flatten().argsort(stable=True)
    return products[slowest_first[1:]]
