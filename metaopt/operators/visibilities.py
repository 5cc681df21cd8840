"""Compute what an interferometer measures of a picture of the sky: its visibilities."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from ..arguments.checks import check_count, check_finite, check_number, check_tensor
from ..core import tree
from ..core.errors import MetaoptError, MetaoptWarning
from ..foundation.extras import require
from .nufft import _spectrum, _tolerance, _transform
from .operator import Operator, at_least_single, same_precision
from .uv import LIGHT, check_geometry, check_weights, inverse_n, known, w_phase


class _Measures(Protocol):
    """Name what operators from pictures to visibilities have in common."""

    @property
    def uvw(self) -> Tensor: ...
    @property
    def frequency(self) -> Tensor: ...
    @property
    def shape(self) -> Sequence[int]: ...
    @property
    def cell(self) -> float: ...
    @property
    def weights(self) -> Tensor | None: ...
    @property
    def beam(self) -> Tensor | None: ...
    @property
    def planes(self) -> int: ...
    @property
    def tolerance(self) -> float | None: ...


NOTICED, WRONG = 0.1, 1.0  # radians that neglecting w may cost: from here on it is said, and refused


@dataclass(frozen=True, eq=False)
class Visibilities(Operator):
    r"""Apply the measurement equation of an interferometer to pictures of a small field, (B, P, H, W) to (B, V, F).

    With ``(u, v) = f / c`` times the first two columns of ``uvw``,

        ``y = sqrt(weights) sum_lm beam(l, m) I(l, m) / n exp(-2 pi i (u l + v m))``,  ``n = sqrt(1 - l^2 - m^2)``.

    Pictures are in Jy/pixel, and as in FITS files: rows grow to the north, ``m = (row - H // 2) cell``, and columns to
    the west, ``l = -(column - W // 2) cell``. The phase ``w (n - 1)`` is neglected; where that costs more than 0.1
    radians at a corner the constructor warns, above 1 it refuses. :class:`WideVisibilities` has it. A measurement set
    has the opposite sign of uvw, which :func:`~metaopt.data.read_visibilities` turns.

    With weights of 1 / variance, ``InverseProblem(operator, operator.whiten(visibilities), noise=1.0)`` is the
    likelihood: noise of a visibility whose weight is 0 counts nothing. ``normal`` is a convolution by padded Fourier
    transforms, which the constructor prepares; where weights or uvw require a gradient it is
    computed by two transforms.

    Args:
        uvw: (V, 3) in metres; float64, or the last digits of long baselines are lost.
        frequency: (F,) in hertz, in any order.
        shape: (H, W).
        cell: The size of a pixel in radians.
        weights: (V, F), 1 / variance of the real part and of the imaginary part each, in 1 / Jy^2; 0 for what is
            flagged. None: 1 for all.
        beam: The primary beam, (H, W) or (P, H, W): the answer to a source at each pixel. None: 1.
        planes: P, the pictures of a sample: 1 for a sky that is the same at all channels, F for one a channel, or a
            divisor of F, where each picture is seen by F / P channels that follow each other.
        tolerance: The relative error, at best 1e-14; by default 1e-6 for float32 and 1e-12 for float64.

    Raises:
        MetaoptError: The arguments do not fit each other or are not finite, cells are too coarse for the longest
            baseline, w cannot be neglected, all weights are 0, or finufft is not installed; or x is not real or has
            another shape.

    Source:
        Thompson, Moran & Swenson, Interferometry and Synthesis in Radio Astronomy, 2017,
        doi:10.1007/978-3-319-44431-4, chapter 3; Barnett et al., 2019, doi:10.1137/18M120885X.
    """

    uvw: Tensor
    frequency: Tensor
    shape: Sequence[int]
    cell: float
    weights: Tensor | None = None
    beam: Tensor | None = None
    planes: int = 1
    tolerance: float | None = None
    spectrum: Tensor | None = field(
        default=None,
        init=False,
        repr=False,
        metadata={"derived_from": ("uvw", "frequency", "shape", "cell", "weights")},
    )

    def __post_init__(self) -> None:
        check_fields(self)
        phase = w_phase(self.uvw, self.frequency, self.shape, self.cell) if known() else 0.0
        if phase > NOTICED:
            _say_neglected(phase)
        require("finufft", "radio")
        if known() and not self._is_learned():
            object.__setattr__(self, "spectrum", self._prepared())

    def apply(self, x: Tensor) -> Tensor:
        wide = at_least_single(fitting(self, x))
        seen = (pixel_gain(self, wide) * wide).transpose(0, 1)  # (P, B, H, W), since a picture's points are its own
        rows = torch.complex(seen, torch.zeros_like(seen))
        samples = _transform(rows, self._points(), tuple(self.shape), self.tolerance, False) * self._norm()
        y = samples.unflatten(-1, (samples.shape[-1] // len(self.uvw), len(self.uvw))).permute(1, 3, 0, 2).flatten(2)
        return weigh(self, y)

    def adjoint(self, y: Tensor) -> Tensor:
        wide = weigh(self, fitting_samples(self, y))
        by_plane = wide.unflatten(-1, (self.planes, wide.shape[-1] // self.planes))
        samples = by_plane.permute(2, 0, 3, 1).flatten(2)  # (P, B, F / P V)
        pictures = _transform(samples, self._points(), tuple(self.shape), self.tolerance, True) * self._norm()
        x = pictures.real.transpose(0, 1)
        return pixel_gain(self, x) * x

    def normal(self, x: Tensor) -> Tensor:
        """Return A^H A x, within ten times the tolerance."""
        wide, spectrum = at_least_single(fitting(self, x)), self.spectrum
        if spectrum is None or self._is_learned() or spectrum.dtype.itemsize < wide.dtype.itemsize:
            return self.adjoint(self.apply(x))
        gain = pixel_gain(self, wide)
        return gain * convolve(spectrum, gain * wide)

    def whiten(self, visibilities: Tensor) -> Tensor:
        """Return y, ``sqrt(weights)`` times the visibilities, 0 where the weight is 0, whatever was measured there.

        Args:
            visibilities: (B, V, F) complex, in Jy.

        Raises:
            MetaoptError: They have another shape, or are not finite where the weight is not 0.
        """
        return whitened(self, visibilities)

    def weighted(self, weights: Tensor | None) -> Visibilities:
        """Return the operator of the same baselines with other weights.

        Args:
            weights: (V, F), or None for 1.

        Raises:
            MetaoptError: They do not fit.
        """
        with warnings.catch_warnings():  # what the neglected w costs has been said
            warnings.simplefilter("ignore", MetaoptWarning)
            return Visibilities(
                *(self.uvw, self.frequency, self.shape, self.cell),
                *(weights, self.beam, self.planes, self.tolerance),
            )

    def _is_learned(self) -> bool:
        return any(t is not None and t.requires_grad for t in (self.uvw, self.frequency, self.weights))

    def _points(self) -> Tensor:
        """Return (P, F / P V, 2) in cycles per pixel, for the rows and columns of the picture."""
        across = self.uvw[:, [1, 0]] * self.uvw.new_tensor([self.cell, -self.cell])
        scaled = (self.frequency.to(across) / LIGHT)[:, None, None] * across
        return scaled.reshape(self.planes, -1, 2).clamp(-0.5, 0.5 - 1e-12)

    def _norm(self) -> float:
        return (self.shape[0] * self.shape[1]) ** 0.5  # the transform of Nufft is divided by it

    def _prepared(self) -> Tensor:
        """Return the transform of the point spread function, (P, 2 H, 2 W) float64."""
        weights = self.weights
        each = None if weights is None else weights.detach().double().mT.reshape(self.planes, -1)
        tolerance = max(_tolerance(self.tolerance, torch.complex128) / 10, 1e-14)
        spectrum = _spectrum(self._points().double(), tuple(self.shape), tolerance, each)[:, 0]
        # Of a real picture's convolution the real part is wanted, which is that with the real part of the function.
        mirrored = spectrum.flip(1, 2).roll((1, 1), (1, 2))
        return (spectrum + mirrored) / 2 * (self.shape[0] * self.shape[1])


def convolve(spectrum: Tensor, x: Tensor) -> Tensor:
    """Return the middle of the convolution of real pictures (..., H, W) with a function of that spectrum (2 H, 2 W)."""
    height, width = x.shape[-2:]
    if not x.numel():
        return x
    padded = torch.fft.rfft(x, n=2 * width)
    padded = torch.fft.fft(padded, n=2 * height, dim=-2) * same_precision(spectrum, x)[..., : width + 1]
    rows = torch.fft.ifft(padded, dim=-2).narrow(-2, 0, height)
    return torch.fft.irfft(rows, n=2 * width).narrow(-1, 0, width)


def check_fields(operator: _Measures) -> None:
    """Check the arguments of an operator from pictures to visibilities, and make its shape a tuple."""
    who = type(operator).__name__
    shape = check_geometry(who, operator.uvw, operator.frequency, operator.shape, operator.cell)
    object.__setattr__(operator, "shape", shape)
    object.__setattr__(operator, "cell", float(operator.cell))
    if operator.weights is not None:
        check_weights(who, operator.weights, operator.uvw, operator.frequency)
    check_count(f"The number of planes of {who}", operator.planes)
    if len(operator.frequency) % operator.planes:
        raise MetaoptError(
            f"{len(operator.frequency)} channels of {who} cannot be shared out evenly over {operator.planes} planes; "
            f"take a divisor of {len(operator.frequency)}, or leave out some channels."
        )
    if operator.beam is not None:
        check_tensor(f"The beam of {who}", operator.beam, "real")
        check_finite(f"The beam of {who}", operator.beam)
        if tuple(operator.beam.shape) not in (shape, (operator.planes, *shape)) or operator.beam.dtype.itemsize < 4:
            raise MetaoptError(
                f"The beam of {who} is {shape} or {(operator.planes, *shape)}, but got {tree.describe(operator.beam)}."
            )
    if operator.tolerance is not None:
        check_number(f"The tolerance of {who}", operator.tolerance, high=0.1, above=0)


def _say_neglected(phase: float) -> None:
    cost = (
        f"neglecting w costs {phase:.2g} radians of phase at the corners of the picture, "
        f"{100 * min(phase, 2):.0f} % of the visibilities of a source there"
    )
    remedy = "WideVisibilities, which needs ducc0, has the w term; or take a smaller picture"
    if phase > WRONG:
        raise MetaoptError(
            f"Visibilities takes the sky for flat, but {cost}: {remedy}, or set uvw[:, 2] to 0 to neglect it all the "
            "same."
        )
    warnings.warn(f"{cost[0].upper()}{cost[1:]}; {remedy}.", MetaoptWarning, stacklevel=5)


def fitting(operator: _Measures, x: Tensor) -> Tensor:
    """Return x, if it is real, (B, P, H, W)."""
    wanted = (operator.planes, *operator.shape)
    if x.ndim != 4 or tuple(x.shape[1:]) != wanted or x.is_complex() or not x.is_floating_point():
        raise MetaoptError(
            f"{type(operator).__name__} of {operator.planes} planes takes real pictures (B, "
            f"{', '.join(map(str, wanted))}) in Jy/pixel, but got {tree.describe(x)}."
        )
    return x


def fitting_samples(operator: _Measures, y: Tensor) -> Tensor:
    """Return y, if it is complex, (B, V, F)."""
    wanted = (len(operator.uvw), len(operator.frequency))
    if y.ndim != 3 or tuple(y.shape[1:]) != wanted or not y.is_complex():
        raise MetaoptError(
            f"{type(operator).__name__} of {wanted[0]} rows and {wanted[1]} channels takes complex visibilities (B, "
            f"{wanted[0]}, {wanted[1]}), but got {tree.describe(y)}."
        )
    return at_least_single(y)


def pixel_gain(operator: _Measures, x: Tensor) -> Tensor:
    """Return ``beam / n``, (H, W) or (P, H, W), in the precision of real x."""
    gain = inverse_n(operator.shape, operator.cell).to(x)
    return gain if operator.beam is None else gain * operator.beam.to(x)


def weigh(operator: _Measures, y: Tensor) -> Tensor:
    """Return ``sqrt(weights) y``."""
    return y if operator.weights is None else y * same_precision(operator.weights, y).sqrt()


def whitened(operator: _Measures, visibilities: Tensor) -> Tensor:
    """Return ``sqrt(weights)`` times the visibilities, and 0 where the weight is 0."""
    check_tensor(f"The visibilities for {type(operator).__name__}", visibilities, "real or complex")
    y = fitting_samples(operator, visibilities)
    if operator.weights is not None:
        used = (operator.weights > 0).expand(y.shape)
        y = weigh(operator, torch.where(used, y, torch.zeros_like(y)))
    if known() and not bool(y.isfinite().all()):
        raise MetaoptError(
            f"{int((~y.isfinite()).sum())} visibilities that are not flagged are NaN or infinite; set their weights "
            "to 0."
        )
    return y
