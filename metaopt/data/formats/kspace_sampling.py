"""Say of a mask of k-space how far it is undersampled, and of k-space where its centre is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CERTAIN = 0.3  # length of the mean of unit vectors, from which energy counts as gathered at their mean
COARSE = 64  # points of k-space along an axis


@dataclass(frozen=True)
class Centring:
    """Say along which axes k-space, and the picture, have to be moved by half of their length.

    Args:
        moved: For each axis of space, whether frequency 0 is stored at index 0.
        turned: For each axis of space, whether the middle of the picture comes to lie at its edge.
        note: What was found where it is not the norm, or the empty string.
    """

    moved: tuple[bool, ...]
    turned: tuple[bool, ...]
    note: str = ""

    def apply(self, kspace: np.ndarray) -> np.ndarray:
        """Return k-space with frequency 0, and the picture with its middle, at index n // 2 of every axis.

        Args:
            kspace: (coils, ...).

        Returns:
            The same shape.
        """
        dims = len(self.moved)
        kspace = np.fft.fftshift(kspace, [axis - dims for axis in range(dims) if self.moved[axis]])
        for axis in (axis for axis in range(dims) if self.turned[axis]):
            size = kspace.shape[axis - dims]
            phase = np.exp(2j * np.pi * (np.arange(size) - size // 2) * (size // 2) / size)
            kspace = kspace * phase.astype(kspace.dtype).reshape(-1, *[1] * (dims - 1 - axis))
        return kspace

    def apply_mask(self, mask: np.ndarray) -> np.ndarray:
        """Return a mask (...) with frequency 0 at index n // 2."""
        return np.fft.fftshift(mask, [axis for axis in range(mask.ndim) if self.moved[axis]])


def find_centring(kspace: np.ndarray, words: Sequence[str], counted: bool = False) -> Centring:
    """Find where the middle of k-space and of its picture is stored, from where their energy is.

    The energy of k-space gathers at frequency 0, and that of a picture at its middle. Per axis, the mean of
    exp(2 pi i (n - N // 2) / N), weighted by energy, is near 1 where it gathers at n = N // 2 and near -1 at n = 0.

    Args:
        kspace: (coils, ...).
        words: The name of each axis of space.
        counted: Whether a scanner's counters place each sample, so that the picture lies where it was measured.

    Returns:
        The centring.
    """
    dims = kspace.ndim - 1
    means = _means(kspace)
    moved = tuple(mean.real < -max(CERTAIN, abs(mean.imag)) for mean in means)
    middle = Centring(moved, (False,) * dims).apply(kspace)
    for axis in range(1, dims + 1):  # low frequencies are enough to see where a picture is
        size = kspace.shape[axis]
        start = max(0, size // 2 - COARSE // 2)
        middle = middle[(slice(None),) * axis + (slice(start, start + min(size, COARSE)),)]
    pictures = _means(centred_inverse(middle, range(-dims, 0)))
    # Whoever forgets to move k-space has a picture that starts at its edge, unless the picture itself shows otherwise.
    turned = tuple(
        picture.real < CERTAIN if was else picture.real < -CERTAIN and not counted
        for was, picture in zip(moved, pictures, strict=True)
    )
    notes = []
    if any(moved):
        axes = " and ".join(word for word, is_moved in zip(words, moved, strict=True) if is_moved)
        notes.append(
            f"the energy of k-space is at index 0 along {axes} instead of the middle (no fftshift was done); it is "
            "moved there"
        )
    if any(turns and not moves for turns, moves in zip(turned, moved, strict=True)):
        axes = " and ".join(w for w, turns, moves in zip(words, turned, moved, strict=True) if turns and not moves)
        notes.append(f"the middle of the picture is at its edge along {axes} (half a field of view off); it is moved")
    for word, mean, size in zip(words, means, kspace.shape[1:], strict=True):
        off = round(np.angle(mean) / (2 * np.pi) * size)
        at = (off + size // 2) % size
        if abs(mean) > CERTAIN and max(2, size / 16) < abs(off) and mean.real > -max(CERTAIN, abs(mean.imag)):
            notes.append(
                f"the energy of k-space is near index {at} of {size} along {word}, neither in the middle nor at index "
                "0; lines are missing (then put zeros in their place), or it is interference or no k-space"
            )
    if all(abs(mean) < CERTAIN for mean in means):
        notes.append("the energy of k-space gathers nowhere; is this k-space, and not a picture or noise?")
    return Centring(moved, turned, "; ".join(notes))


def _means(values: np.ndarray) -> list[complex]:
    energy = (np.abs(values).astype(np.float64) ** 2).sum(0)
    means = []
    for axis, size in enumerate(energy.shape):
        profile = energy.sum(tuple(other for other in range(energy.ndim) if other != axis))
        profile = profile if profile.any() else np.ones(size)
        circle = np.exp(2j * np.pi * (np.arange(size) - size // 2) / size)
        means.append(complex((profile / profile.sum()) @ circle))
    return means


def centred_inverse(values: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """Return the unitary inverse Fourier transform with index n // 2 as the origin on both sides.

    Args:
        values: Any array.
        axes: The axes to transform.

    Returns:
        The same shape.
    """
    axes = list(axes)
    return np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(values, axes), axes=axes, norm="ortho"), axes)


def trim_readout(kspace: np.ndarray, axis: int, points: int) -> np.ndarray:
    """Cut the picture of fully sampled readouts to its middle, and return the k-space of that.

    Both transforms are unitary, so the noise of a sample stays what it is.

    Args:
        kspace: Any array.
        axis: The axis of the readout.
        points: Points that stay.

    Returns:
        K-space with ``points`` along the axis.
    """
    lines = centred_inverse(kspace, [axis])
    lines = np.take(lines, range(start := kspace.shape[axis] // 2 - points // 2, start + points), axis)
    lines = np.fft.fftn(np.fft.ifftshift(lines, [axis]), axes=[axis], norm="ortho")
    return np.fft.fftshift(lines, [axis]).astype(kspace.dtype, copy=False)


def acceleration(mask: np.ndarray) -> float:
    """Return the number of points over the number of samples of a mask."""
    return mask.size / max(1, int(np.count_nonzero(mask)))


def calibration_region(mask: np.ndarray) -> tuple[slice, ...] | None:
    """Find a fully sampled block around frequency 0, grown from there to all sides in turn as long as it stays full.

    Args:
        mask: (...) of booleans, frequency 0 at n // 2.

    Returns:
        A slice an axis, or None where frequency 0 itself was not sampled.
    """
    low = [n // 2 for n in mask.shape]
    high = [n // 2 + 1 for n in mask.shape]
    if not mask[tuple(low)]:
        return None
    growing = [(axis, side) for side in (0, 1) for axis in range(mask.ndim)]
    while growing:
        for axis, side in list(growing):
            edge = low[axis] - 1 if side == 0 else high[axis]
            face = [slice(a, b) for a, b in zip(low, high, strict=True)]
            face[axis] = slice(edge, edge + 1)
            if 0 <= edge < mask.shape[axis] and mask[tuple(face)].all():
                low[axis], high[axis] = min(low[axis], edge), max(high[axis], edge + 1)
            else:
                growing.remove((axis, side))
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True))


def partial_fourier(mask: np.ndarray) -> tuple[float, ...]:
    """Return for each axis the share of k-space that the samples reach over, below 1 where one side is left out.

    Args:
        mask: (...) of booleans, frequency 0 at n // 2.

    Returns:
        A share an axis: the extent of the samples over twice their reach on the farther side.
    """
    shares = []
    for axis, size in enumerate(mask.shape):
        lines = np.flatnonzero(mask.any(tuple(other for other in range(mask.ndim) if other != axis)))
        if not len(lines):
            shares.append(1.0)
            continue
        before, after = size // 2 - lines[0], lines[-1] + 1 - size // 2
        gap = int(np.diff(lines).max()) if len(lines) > 1 else 1
        short, far = min(before, after), max(before, after)
        uneven = far - short > max(2 * gap, size // 16 + 1)  # more than lines that were drawn at random leave out
        shares.append(float((before + after) / (2 * far)) if uneven else 1.0)
    return tuple(shares)
