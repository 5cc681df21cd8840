"""Noise levels, one for all samples or one for each, as factors of a batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..core import MetaoptError
from . import verbs


def per_sample(values: Tensor, x: Tensor) -> Tensor:
    """(B,) or (1,) as (B, 1, ...), to multiply x, (B, ...). A single number or a map stays as it is."""
    return values.reshape(-1, *[1] * (x.ndim - 1)) if values.ndim == 1 else values


def variance(log_noise: Tensor, x: Tensor) -> Tensor:
    """noise^2 of log levels as a problem's context gives them, to multiply x."""
    return torch.exp(2 * per_sample(log_noise, x))


def noise_variance(problem: Any, x: Tensor) -> Tensor:
    """noise^2 of a problem, to multiply x: the unit of step sizes that one number is to fit for every level."""
    context = verbs.context(problem)
    if not context:
        raise MetaoptError("A step size relative to the noise needs a problem that knows its level; give it noise=...")
    return variance(context[0], x)
