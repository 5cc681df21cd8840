"""Compute visibilities of a wide field, where the sky cannot be taken for flat."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.errors import MetaoptError
from .linear_map import LinearMap
from .operator import Operator, at_least_single
from .uv import w_phase
from .visibilities import NOTICED, Visibilities, check_fields, fitting, fitting_samples, pixel_gain, weigh, whitened

_FINEST = 5e-13  # what ducc0 reaches in double precision
_SMALLEST = 32  # pixels along a side, of what ducc0 says it takes
_DEFAULT = {torch.float32: 1e-6, torch.float64: 1e-12}


@dataclass(frozen=True, eq=False)
class WideVisibilities(Operator):
    r"""Apply the whole measurement equation, with the w term, to pictures (B, P, H, W) to (B, V, F).

    ``y = sqrt(weights) sum_lm beam(l, m) I(l, m) / n exp(-2 pi i (u l + v m + w (n - 1)))``; all else is as in
    :class:`Visibilities`. It is computed on the CPU by ducc0, whose licence is the GPL, in double precision. ``normal``
    is computed by both transforms, since the point spread function is another at every place.

    Args:
        uvw: (V, 3) in metres.
        frequency: (F,) in hertz, in any order.
        shape: (H, W).
        cell: The size of a pixel in radians.
        weights: (V, F), 1 / variance of the real part and of the imaginary part each; 0 for what is flagged.
        beam: The primary beam, (H, W) or (P, H, W).
        planes: P, 1, F or a divisor of F.
        tolerance: The relative error, at best 5e-13; by default 1e-6 for float32 and 1e-12 for float64.

    Raises:
        MetaoptError: As for :class:`Visibilities`, or ducc0 is not installed.

    Source:
        Arras, Reinecke, Westermann & Ensslin, Efficient wide-field radio interferometry response, 2021,
        doi:10.1051/0004-6361/202039723.
    """

    uvw: Tensor
    frequency: Tensor
    shape: Sequence[int]
    cell: float
    weights: Tensor | None = None
    beam: Tensor | None = None
    planes: int = 1
    tolerance: float | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        _gridder()

    def apply(self, x: Tensor) -> Tensor:
        wide = at_least_single(fitting(self, x))
        return weigh(self, self._map()(pixel_gain(self, wide) * wide))

    def adjoint(self, y: Tensor) -> Tensor:
        x = self._map().adjoint(weigh(self, fitting_samples(self, y)))
        return pixel_gain(self, x) * x

    def whiten(self, visibilities: Tensor) -> Tensor:
        """Return y, ``sqrt(weights)`` times the visibilities, 0 where the weight is 0, whatever was measured there.

        Args:
            visibilities: (B, V, F) complex, in Jy.

        Raises:
            MetaoptError: They have another shape, or are not finite where the weight is not 0.
        """
        return whitened(self, visibilities)

    def weighted(self, weights: Tensor | None) -> WideVisibilities:
        """Return the operator of the same baselines with other weights.

        Args:
            weights: (V, F), or None for 1.

        Raises:
            MetaoptError: They do not fit.
        """
        return WideVisibilities(
            *(self.uvw, self.frequency, self.shape, self.cell),
            *(weights, self.beam, self.planes, self.tolerance),
        )

    def _map(self) -> LinearMap:
        if self.uvw.requires_grad or self.frequency.requires_grad:
            raise MetaoptError(
                "The uvw or frequency of WideVisibilities requires a gradient, which would be lost; detach it, or use "
                "Visibilities, which differentiates by them where w can be neglected."
            )
        predict = functools.partial(_computed, self, False)
        return LinearMap(predict, functools.partial(_computed, self, True))


def visibility_operator(
    uvw: Tensor,
    frequency: Tensor,
    shape: Sequence[int],
    cell: float,
    weights: Tensor | None = None,
    beam: Tensor | None = None,
    planes: int = 1,
) -> Visibilities | WideVisibilities:
    """Return the operator that the field of view asks for: with the w term where neglecting it costs 0.1 radians.

    Args:
        uvw: (V, 3) in metres.
        frequency: (F,) in hertz, in any order.
        shape: (H, W) of the picture.
        cell: The size of a pixel in radians.
        weights: (V, F), 1 / variance of each visibility, 0 for what is flagged. None: 1 for all.
        beam: The primary beam, (H, W) or (P, H, W). None: 1.
        planes: The pictures of a sample, one, or one for each F / P channels.

    Returns:
        A :class:`Visibilities`, by finufft, or a :class:`WideVisibilities`, by ducc0.

    Raises:
        MetaoptError: The arguments do not fit each other, or ducc0 is needed and not installed.
    """
    wide = w_phase(uvw, frequency, shape, cell) > NOTICED
    kind = WideVisibilities if wide else Visibilities
    return kind(uvw, frequency, shape, cell, weights, beam, planes)


def _computed(operator: WideVisibilities, adjoint: bool, x: Tensor) -> Tensor:
    """Return the transform of (B, P, H, W), or its adjoint of (B, V, F), by ducc0."""
    numbers = x.dtype.to_real()
    tolerance = max(_DEFAULT[numbers] if operator.tolerance is None else float(operator.tolerance), _FINEST)
    frequency = operator.frequency.detach().cpu().double().numpy()
    uvw = operator.uvw.detach().cpu().double().numpy()
    settings: dict[str, Any] = {
        # Rows of a picture, which grow to the north, are ducc0's first axis, columns grow to the west, and its w is -w.
        "uvw": np.ascontiguousarray(uvw[:, [1, 0, 2]] * [1.0, -1.0, -1.0]),
        "pixsize_x": operator.cell,
        "pixsize_y": operator.cell,
        "epsilon": tolerance,
        "do_wgridding": True,
        "divide_by_n": False,  # it is part of the gain of pixels
        "nthreads": 1,  # the sum over visibilities is then the same at every run
    }
    values = x.detach().cpu().resolve_conj().resolve_neg().numpy()
    groups = np.arange(len(frequency)).reshape(operator.planes, -1)
    result = np.zeros(
        (len(x), operator.planes, *operator.shape) if adjoint else (len(x), len(uvw), len(frequency)),
        np.float64 if adjoint else np.complex128,
    )
    for plane, channels in enumerate(groups):
        for chosen in _ascending(frequency, channels):
            for sample in range(len(x)):
                given = {**settings, "freq": frequency[chosen]}
                if adjoint:
                    result[sample, plane] += _picture(values[sample][:, chosen], tuple(operator.shape), given)
                else:
                    result[sample][:, chosen] = _predicted(values[sample, plane], given)
    wanted = numbers if adjoint else numbers.to_complex()
    return torch.from_numpy(result).to(x.device, wanted)


def _predicted(picture: np.ndarray, settings: dict[str, Any]) -> np.ndarray:
    (rows, top), (columns, left) = map(_padded, picture.shape)
    padded = np.zeros((rows, columns))
    padded[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return _gridder().dirty2vis(dirty=padded, **settings)


def _picture(samples: np.ndarray, shape: tuple[int, ...], settings: dict[str, Any]) -> np.ndarray:
    (rows, top), (columns, left) = map(_padded, shape)
    values = np.ascontiguousarray(samples, dtype=np.complex128)
    picture = _gridder().vis2dirty(vis=values, npix_x=rows, npix_y=columns, **settings)
    return picture[top : top + shape[0], left : left + shape[1]]


def _gridder() -> Any:
    """Return the gridder of ducc0, which no extra installs, since its licence is the GPL."""
    try:
        return importlib.import_module("ducc0.wgridder")
    except (ImportError, OSError) as error:
        raise MetaoptError(
            f"WideVisibilities needs ducc0, which is not installed or cannot be imported ({error}): pip install ducc0."
        ) from error


def _padded(n: int) -> tuple[int, int]:
    """Return an even size that ducc0 takes, and how many pixels come before the first of n, so that middles agree."""
    size = max(n + n % 2, _SMALLEST)
    return size, size // 2 - n // 2


def _ascending(frequency: np.ndarray, channels: np.ndarray) -> list[np.ndarray]:
    """Return the channels in groups of ascending frequency, as ducc0 takes them: one group, unless some are equal."""
    order = channels[np.argsort(frequency[channels], kind="stable")]
    _, place, counts = np.unique(frequency[order], return_index=True, return_counts=True)
    return [order[place[counts > turn] + turn] for turn in range(int(counts.max()))]
