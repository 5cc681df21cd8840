"""Find the fully sampled centre of k-space."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...arguments.checks import check_finite, check_tensor, said
from ...arguments.contracts import checked
from ...core import MetaoptError


@checked
def calibration_region(mask: Tensor, centred: bool = False) -> tuple[int, ...]:
    """Return the size of the largest box around frequency 0 in which every point is sampled.

    The largest box has the longest shortest side, and among those of equal shortest side the most points. A side of s
    points is at indices ``n // 2 - s // 2`` up to, but without, ``n // 2 - s // 2 + s`` of a centred axis of n points.

    Args:
        mask: (H, W) or (D, H, W), bool or real, where 0 is not sampled.
        centred: Whether frequency 0 is at ``n // 2`` of each axis, and not at index 0.

    Returns:
        The sides of the box, one for each axis of the mask.

    Raises:
        MetaoptError: The mask is no mask of a slice or volume, or the point at frequency 0 or one beside it is missing.
    """
    if mask.ndim not in (2, 3) or not mask.numel() or mask.is_complex():
        raise MetaoptError(f"The mask of a calibration region must be (H, W) or (D, H, W), but got {said(mask)}.")
    check_finite("The mask of a calibration region", check_tensor("The mask of a calibration region", mask, "any"))
    sampled = mask != 0
    if not centred:
        sampled = torch.fft.fftshift(sampled)
    full = _full_boxes(sampled)
    sides = torch.cartesian_prod(*(torch.arange(1, n + 1) for n in mask.shape)).reshape(*mask.shape, mask.ndim)
    fitting = sides[full]
    limit = min(2, *mask.shape)
    if not len(fitting) or int(fitting.amin(1).max()) < limit:
        sentence = f"The mask {tuple(mask.shape)} has no fully sampled centre"
        raise MetaoptError(f"{sentence}{_remedy(sampled)}")
    shortest, points = fitting.amin(1), fitting.prod(1)
    best = (shortest * (int(mask.numel()) + 1) + points).argmax()
    return tuple(fitting[best].tolist())


def _remedy(sampled: Tensor) -> str:
    """Say what may be wrong: the other convention has a centre, or none has."""
    middle = tuple(n // 2 for n in sampled.shape)
    corner = (0,) * sampled.ndim
    if not bool(sampled[middle]) and bool(sampled[corner]):
        return ", but one where frequency 0 would be in the other convention; give the other value of centred."
    return "; measure one, or give coil maps from a calibration scan."


def _full_boxes(sampled: Tensor) -> Tensor:
    """Return for every box of sides (i + 1, j + 1, ...) around the centre whether all its points are sampled."""
    missing = (~sampled).long()
    for axis in range(sampled.ndim):
        n = sampled.shape[axis]
        sums = missing.movedim(axis, -1).cumsum(-1)
        sums = F.pad(sums, (1, 0))
        sides = torch.arange(1, n + 1, device=sampled.device)
        starts = n // 2 - sides // 2
        missing = (sums[..., starts + sides] - sums[..., starts]).movedim(-1, axis)
    return missing == 0


def central_box(kspace: Tensor, sides: Sequence[int], centred: bool) -> Tensor:
    """Return the box of ``sides`` around frequency 0 of the last axes, with frequency 0 in its middle.

    Args:
        kspace: (..., H, W) or (..., D, H, W).
        sides: The side of the box along each of the last axes.
        centred: Whether frequency 0 of ``kspace`` is at ``n // 2`` of each axis, and not at index 0.
    """
    for axis, side in zip(range(-len(sides), 0), sides, strict=True):
        n = kspace.shape[axis]
        index = torch.arange(side, device=kspace.device) - side // 2
        index = index + n // 2 if centred else index % n
        kspace = kspace.index_select(axis, index)
    return kspace


def check_origin(who: str, kspace: Tensor, sides: Sequence[int], centred: bool) -> None:
    """Refuse k-space whose energy lies where frequency 0 would be in the other convention.

    Args:
        who: The function that was called, for the error.
        kspace: (..., H, W) or (..., D, H, W).
        sides: The box around frequency 0 that should hold the energy; of each axis at most half is looked at.
        centred: Whether frequency 0 is said to be at ``n // 2`` of each axis, and not at index 0.
    """
    sides = [max(1, min(side, n // 2)) for side, n in zip(sides, kspace.shape[-len(sides) :], strict=True)]
    here, there = (float(central_box(kspace, sides, c).abs().double().square().sum()) for c in (centred, not centred))
    if there > 4 * here:
        said_to_be = "in the middle" if centred else "at index 0"
        raise MetaoptError(
            f"{who} takes frequency 0 to be {said_to_be} of each axis of k-space, as centred={centred} says, but the "
            f"energy is around where it is with centred={not centred}; give that, or shift k-space."
        )
