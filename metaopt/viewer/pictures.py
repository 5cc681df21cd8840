"""Encode tensors as pictures of a page: PNG files in ``data:`` addresses."""

from __future__ import annotations

import io
import math
from base64 import b64encode

import torch
from torch import Tensor

from ..core.errors import MetaoptError
from ..foundation.extras import require

ERROR_LEVELS = 32
_SMALL = 200


def check(name: str, picture: Tensor) -> None:
    """Check that a picture can be shown.

    Args:
        name: What the picture is, for error messages.
        picture: The picture.

    Raises:
        MetaoptError: The picture is not (H, W) or (3, H, W), or it is empty, complex, of an integer type, or not
            finite.
    """
    shape = tuple(picture.shape)
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] != 3) or 0 in shape:
        raise MetaoptError(f"{name} is {shape}; a page shows (H, W) or (3, H, W).")
    if not picture.is_floating_point():
        raise MetaoptError(f"{name} is {picture.dtype}; a page shows real floats in [0, 1], as .abs() gives.")
    if not torch.isfinite(picture).all():
        raise MetaoptError(f"{name} has NaN or infinite values; a page shows floats in [0, 1].")


def data_uri(picture: Tensor) -> str:
    """Return a picture as an 8-bit PNG in a ``data:`` address; values outside [0, 1] are clipped.

    Args:
        picture: (H, W) or (3, H, W).

    Returns:
        The address.

    Raises:
        MetaoptError: Pillow is not installed.
    """
    Image = require("PIL.Image", "viewer")

    samples = picture.detach().cpu().float().clamp(0, 1).mul(255).round().byte()
    samples = samples.permute(1, 2, 0) if samples.ndim == 3 else samples
    file = io.BytesIO()
    Image.fromarray(samples.contiguous().numpy()).save(file, "PNG")
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"


def rendering(picture: Tensor) -> str:
    """Return the HTML attribute that keeps the pixels of a small picture sharp where it is enlarged.

    Args:
        picture: The picture.

    Returns:
        The attribute, or an empty string for a large picture.
    """
    return ' class="small"' if max(picture.shape[-2:]) < _SMALL else ""


def error_scale(estimate: Tensor, target: Tensor) -> float:
    """Return the error that a panel shows as white: a round number above all but the largest 0.5 % of the errors.

    Args:
        estimate: (H, W) or (3, H, W).
        target: A tensor of the same shape.

    Returns:
        The number, at most 1.
    """
    errors = _distance(estimate, target).flatten()
    high = float(torch.kthvalue(errors, max(1, math.ceil(0.995 * errors.numel()))).values)
    high = min(max(high, 1e-6), 1.0)
    decade = 10 ** math.floor(math.log10(high))
    return next(digit * decade for digit in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if digit * decade >= high * (1 - 1e-6))


def error(estimate: Tensor, target: Tensor, white: float) -> Tensor:
    """Return the absolute error of an estimate relative to ``white``, in steps that the eye cannot distinguish.

    Fewer grey levels make a smaller file.

    Args:
        estimate: (H, W) or (3, H, W).
        target: A tensor of the same shape.
        white: The error that is shown as white.

    Returns:
        (H, W) in [0, 1].
    """
    levels = ERROR_LEVELS - 1
    return _distance(estimate, target).div(white).clamp(0, 1).mul(levels).round().div(levels)


def _distance(estimate: Tensor, target: Tensor) -> Tensor:
    """Return the absolute difference (H, W), averaged over the colours."""
    distance = (estimate.detach().cpu().float().clamp(0, 1) - target.detach().cpu().float().clamp(0, 1)).abs()
    return distance.mean(0) if distance.ndim == 3 else distance
