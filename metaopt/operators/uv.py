"""Say where baselines measure the sky, how fine a picture they allow, and how much of them a flat sky neglects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..arguments.checks import check_finite, check_number, check_tensor
from ..core import autodiff, tree
from ..core.errors import MetaoptError
from .shapes import check_counts

LIGHT = 299_792_458.0  # metres a second


def largest_cell(uvw: Tensor, frequency: Tensor) -> float:
    """Return the largest cell size that the longest baseline allows, ``1 / (2 max(|u|, |v|))``, in radians.

    A picture with larger cells cannot show the fringes of that baseline. For CLEAN and for networks a half or a third
    of it is usual, so that the beam covers several pixels.

    Args:
        uvw: (V, 3) in metres.
        frequency: (F,) in hertz.

    Raises:
        MetaoptError: The arguments are not real and finite, or no baseline has a length.
    """
    check_baselines("largest_cell", uvw, frequency)
    longest = float(uvw.detach()[:, :2].abs().max()) * float(frequency.detach().max()) / LIGHT
    if not longest > 0:
        raise MetaoptError(
            "Every baseline has length 0, so there is no largest cell size; leave out autocorrelations, and give uvw "
            "in metres."
        )
    return (1 - 1e-9) / (2 * longest)


def w_phase(uvw: Tensor, frequency: Tensor, shape: Sequence[int], cell: float) -> float:
    """Return the phase that neglecting w costs at the corner of a picture, ``2 pi max|w| (1 - n)``, in radians.

    For small phases it is also the relative error of the visibilities of a source there. It grows with the square of
    the distance from the phase centre.

    Args:
        uvw: (V, 3) in metres.
        frequency: (F,) in hertz.
        shape: (H, W) of the picture.
        cell: The size of a pixel in radians.

    Raises:
        MetaoptError: The arguments are not real and finite, or the picture reaches beyond the horizon.
    """
    check_baselines("w_phase", uvw, frequency)
    squares = _corner(_check_field("w_phase", shape, cell), cell)
    longest = float(uvw.detach()[:, 2].abs().max()) * float(frequency.detach().max()) / LIGHT
    return 2 * math.pi * longest * squares / (1 + math.sqrt(1 - squares))


def _corner(shape: Sequence[int], cell: float) -> float:
    """Return l^2 + m^2 of the pixel that is farthest from the phase centre."""
    squares = sum((n // 2 * cell) ** 2 for n in shape)
    if squares >= 1:
        raise MetaoptError(
            f"A picture of {shape[0]} x {shape[1]} cells of {seconds(cell):.4g} arcseconds reaches beyond the "
            "horizon; take fewer or smaller cells."
        )
    return squares


def seconds(angle: float) -> float:
    """Return an angle, given in radians, in seconds of arc."""
    return math.degrees(angle) * 3600


def direction_cosines(shape: Sequence[int], cell: float) -> tuple[Tensor, Tensor]:
    """Return m of each row, (H, 1), and l of each column, (1, W), float64; l grows to the east, the first column."""
    rows, columns = (torch.arange(n, dtype=torch.float64) - n // 2 for n in shape)
    return rows[:, None] * cell, -columns[None] * cell


def inverse_n(shape: Sequence[int], cell: float) -> Tensor:
    """Return ``1 / n`` of each pixel, (H, W) float64, where ``n = sqrt(1 - l^2 - m^2)``."""
    m, l = direction_cosines(shape, cell)  # noqa: E741 - the field's own letter
    return (1 - l.square() - m.square()).rsqrt()


def check_baselines(who: str, uvw: Any, frequency: Any) -> None:
    """Raise unless ``uvw`` is (V, 3), ``frequency`` (F,), both real, finite and of 32 bits or more, and f > 0."""
    for name, value, shape in (("uvw", uvw, "(V, 3)"), ("frequency", frequency, "(F,)")):
        check_tensor(f"The {name} of {who}", value, "real", shape)
        if value.dtype.itemsize < 4 or not value.numel():
            raise MetaoptError(
                f"The {name} of {who} must have 32 bits or more and at least one row, but got {tree.describe(value)}; "
                "where all were flagged or left out, nothing is left to make a picture of."
            )
        check_finite(f"The {name} of {who}", value)
    if known() and not bool((frequency > 0).all()):
        raise MetaoptError(
            f"The frequency of {who} must be above 0, in hertz, but goes down to {float(frequency.detach().min()):.6g}."
        )


def check_geometry(who: str, uvw: Any, frequency: Any, shape: Any, cell: Any) -> tuple[int, ...]:
    """Return (H, W), or raise where the arguments of an operator on visibilities do not fit each other.

    Raises:
        MetaoptError: One has another form, or the cells are too coarse for the longest baseline.
    """
    check_baselines(who, uvw, frequency)
    counts = _check_field(who, shape, cell)
    _corner(counts, cell)
    if known() and bool((uvw[:, :2] != 0).any()) and cell > (best := largest_cell(uvw, frequency)):
        raise MetaoptError(
            f"Cells of {seconds(cell):.6g} arcseconds are too coarse for the longest baseline of {who}, whose fringes "
            f"at {float(frequency.detach().max()) / 1e6:.6g} MHz need {seconds(best):.6g} arcseconds ({best:.6g} "
            "radians) or less; take smaller cells, or leave out long baselines."
        )
    return counts


def _check_field(who: str, shape: Any, cell: Any) -> tuple[int, ...]:
    counts = tuple(check_counts(f"The shape of {who}", shape))
    if len(counts) != 2:
        raise MetaoptError(f"The shape of {who} is (H, W), but got {counts}; channels are not part of it.")
    check_number(f"The cell of {who}", cell, above=0)
    return counts


def check_weights(who: str, weights: Any, uvw: Tensor, frequency: Tensor) -> None:
    """Raise unless ``weights`` is real, finite, at least 0, (V, F), and not all 0."""
    wanted = (len(uvw), len(frequency))
    check_tensor(f"The weights of {who}", weights, "real")
    if tuple(weights.shape) != wanted or weights.dtype.itemsize < 4:
        raise MetaoptError(
            f"The weights of {who} are 1 / variance of each visibility, {wanted} of 32 bits or more for "
            f"{wanted[0]} rows and {wanted[1]} channels, but got {tree.describe(weights)}."
        )
    check_finite(f"The weights of {who}", weights)
    if not known():
        return
    if bool((weights < 0).any()):
        raise MetaoptError(f"{int((weights < 0).sum())} weights of {who} are below 0; set those of flagged data to 0.")
    if not bool((weights > 0).any()):
        raise MetaoptError(f"All weights of {who} are 0, so every visibility is flagged, and nothing was measured.")


def known() -> bool:
    """Tell whether values of tensors can be looked at."""
    return autodiff.values_known() and not autodiff.inside_transform()
