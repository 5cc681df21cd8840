"""Tensors as the pictures of a page: PNG files inside ``data:`` addresses."""

from __future__ import annotations

import io
import math
from base64 import b64encode

import torch
from torch import Tensor

from ..core.errors import MetaoptError, require

ERROR_LEVELS = 32
_SMALL = 200


def check(name: str, picture: Tensor) -> None:
    """Fail unless the picture is (H, W) or (3, H, W), real, finite and not empty."""
    shape = tuple(picture.shape)
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] != 3) or 0 in shape:
        raise MetaoptError(f"{name} is {shape}; a page shows (H, W) or (3, H, W).")
    if not picture.is_floating_point():
        raise MetaoptError(f"{name} is {picture.dtype}; a page shows real floats in [0, 1], as .abs() gives.")
    if not torch.isfinite(picture).all():
        raise MetaoptError(f"{name} has NaN or infinite values; a page shows floats in [0, 1].")


def data_uri(picture: Tensor) -> str:
    """The picture as an 8-bit PNG, values outside [0, 1] clipped."""
    Image = require("PIL.Image", "viewer")

    samples = picture.detach().cpu().float().clamp(0, 1).mul(255).round().byte()
    samples = samples.permute(1, 2, 0) if samples.ndim == 3 else samples
    file = io.BytesIO()
    Image.fromarray(samples.contiguous().numpy()).save(file, "PNG")
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"


def rendering(picture: Tensor) -> str:
    """The attribute that keeps the pixels of a small picture sharp where it is enlarged."""
    return ' class="small"' if max(picture.shape[-2:]) < _SMALL else ""


def error_scale(estimate: Tensor, target: Tensor) -> float:
    """A round number that all but the largest 0.5 % of the errors stay below: what an error panel shows as white."""
    errors = _distance(estimate, target).flatten()
    high = float(torch.kthvalue(errors, max(1, math.ceil(0.995 * errors.numel()))).values)
    high = min(max(high, 1e-6), 1.0)
    decade = 10 ** math.floor(math.log10(high))
    return next(digit * decade for digit in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if digit * decade >= high * (1 - 1e-6))


def error(estimate: Tensor, target: Tensor, white: float) -> Tensor:
    """(H, W), |estimate - target| over ``white``, in steps that the eye still merges (fewer make a smaller file)."""
    levels = ERROR_LEVELS - 1
    return _distance(estimate, target).div(white).clamp(0, 1).mul(levels).round().div(levels)


def _distance(estimate: Tensor, target: Tensor) -> Tensor:
    """(H, W); the mean over the colours."""
    distance = (estimate.detach().cpu().float().clamp(0, 1) - target.detach().cpu().float().clamp(0, 1)).abs()
    return distance.mean(0) if distance.ndim == 3 else distance
