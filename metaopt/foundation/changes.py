"""Measure by how much the tensors of a state change from step to step, and how much change is still to come."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Tensors = Sequence[Tensor]
ROUNDING = 1e-14  # of float64: such a change has no rate; in float32, whose steps are larger, only 0 is as small


def to_come(changes: Tensor, earlier: Tensor, repeated: Tensor, sizes: Tensor) -> Tensor:
    """Return the last changes, or the sum of all that follow at the same rate where that is larger, (tensors, B)."""
    rate = torch.where(earlier > 0, repeated / earlier**2, 1.0)  # below 0 where steps alternate, as rounding errors do
    more = torch.where(rate < 1, rate / (1 - rate), torch.inf).clamp_min(1)
    return torch.where(changes <= ROUNDING * sizes, changes, changes * more)


def measured(after: Tensors, before: Tensors, previous: Tensors, count: int) -> Tensor:
    """Return root mean squares, in each sample, of what tensors changed by and changed to, (3, tensors, B).

    The third is the mean product of the change and the change before. A tensor without the batch's axis counts as one
    whole, for every sample.
    """
    found = []
    for held in zip(after, before, previous, strict=True):
        rows = count if held[0].ndim and len(held[0]) == count else 1
        flat = (torch.view_as_real(t.resolve_conj()) if t.is_complex() else t for t in held)
        a, b, c = (t.double().reshape(rows, t.numel() // max(1, rows)) for t in flat)
        stays = torch.isinf(a) & (a == b)  # as a logarithm of 0 does
        change, size, last = (t.masked_fill(stays, 0) for t in (a - b, a, b - c))
        width = max(1, a.shape[1])
        norms = [torch.linalg.vector_norm(t, dim=1) / width**0.5 for t in (change, size)]
        found.append(torch.stack([*norms, (change * last).sum(1) / width]).expand(3, count))
    return torch.stack(found or [torch.zeros(3, count)], 1)
