"""Apply the Fourier transform at points off the grid, such as those of a radial or spiral scan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arguments.checks import check_finite, check_number, check_tensor
from ..core import autodiff, tree
from ..core.errors import MetaoptError
from ..foundation.extras import require
from .operator import Operator, at_least_single, same_precision
from .shapes import check_counts

_FINEST = 1e-14  # what finufft reaches in double precision
_DEFAULT = {torch.complex64: 1e-6, torch.complex128: 1e-12}


@dataclass(frozen=True, eq=False)
class Nufft(Operator):
    """Apply the non-uniform Fourier transform, from pictures (B, C, ...) to samples (B, C, M).

    With N pixels r, counted from the middle ``n // 2`` of each axis, and points k in cycles per pixel,

        ``y_m = N^{-1/2} sum_r x_r exp(-2 pi i k_m . r)``.

    At the points of the grid it is ``Fourier(centred=True)``. It is computed on the CPU by finufft, in double precision
    (rounded points alone would cost 1e-5 of a picture of 256 x 256). ``normal`` is a convolution with the point spread
    function, by Fourier transforms of twice the size along each axis, on the device of x; the constructor prepares it,
    which takes as long as 2 to the (d - 1) adjoints of a picture. Where the points were changed in place since, or
    replaced by ``tree.replace``, ``normal`` is computed by two transforms. Gradients to every order, also with respect
    to the points, are non-uniform transforms again.

    Args:
        points: k, (M, d) for all samples or (B, M, d) for each its own, real, from -0.5 to below 0.5 cycles per pixel;
            the axes are those of ``shape``, in its order.
        shape: The d spatial axes of x: 1, 2 or 3.
        tolerance: The relative error of a transform, at best 1e-14; by default 1e-6 for complex64 and 1e-12 for
            complex128.

    Raises:
        MetaoptError: The points are not real, have another shape, are none, are not finite or lie outside of the range,
            or finufft is not installed; or x is real or has another shape.

    Source:
        Barnett, Magland & af Klinteberg, A parallel non-uniform fast Fourier transform library, 2019,
        doi:10.1137/18M120885X; Fessler et al., Toeplitz-based iterative image reconstruction for MRI, 2005,
        doi:10.1109/TSP.2005.853152.
    """

    points: Tensor
    shape: Sequence[int]
    tolerance: float | None = None
    # Of the point spread function, and where its points are in memory and how often they had been written into.
    spectrum: Tensor | None = field(
        default=None, init=False, repr=False, metadata={"derived_from": ("points", "shape", "tolerance")}
    )
    prepared: tuple[int, int] = field(default=(0, 0), init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", check_counts("The shape of Nufft", self.shape))
        if self.tolerance is not None:
            check_number("The tolerance of Nufft", self.tolerance, high=0.1, above=0)
        _check_points(self.points, self.shape)
        require("finufft", "mri")
        if autodiff.values_known() and not autodiff.inside_transform() and not self.points.requires_grad:
            tolerance = max(_tolerance(self.tolerance, torch.complex128) / 10, _FINEST)
            object.__setattr__(self, "spectrum", _spectrum(self.points, tuple(self.shape), tolerance))
            object.__setattr__(self, "prepared", _place(self.points))

    def apply(self, x: Tensor) -> Tensor:
        wide = at_least_single(self._fitting(x, tuple(self.shape), "pictures"))
        rows = wide.reshape(len(x), math.prod(x.shape[1 : x.ndim - len(self.shape)]), *self.shape)
        y = _transform(rows, self.points, tuple(self.shape), self.tolerance, False)
        return y.reshape(*x.shape[: x.ndim - len(self.shape)], y.shape[-1]).to(x.dtype)

    def adjoint(self, y: Tensor) -> Tensor:
        wide = at_least_single(self._fitting(y, self.points.shape[-2:-1], "samples"))
        rows = wide.reshape(len(y), math.prod(y.shape[1:-1]), y.shape[-1])
        x = _transform(rows, self.points, tuple(self.shape), self.tolerance, True)
        return x.reshape(*y.shape[:-1], *self.shape).to(y.dtype)

    def normal(self, x: Tensor) -> Tensor:
        """Return A^H A x, within ten times the tolerance."""
        wide = at_least_single(self._fitting(x, tuple(self.shape), "pictures"))
        spectrum = self.spectrum
        learned = self.points.requires_grad or self._were_written_into()
        if not x.numel():
            return x
        if spectrum is None or learned or spectrum.dtype.itemsize < wide.real.dtype.itemsize:
            return self.adjoint(self.apply(x))
        axes = range(-len(self.shape), 0)
        padded = wide.reshape(len(x), math.prod(x.shape[1 : x.ndim - len(self.shape)]), *self.shape)
        for axis, n in zip(axes, self.shape, strict=True):  # one after the other: the padding is not transformed twice
            padded = torch.fft.fft(padded, n=2 * n, dim=axis)
        padded = same_precision(spectrum, wide) * padded
        for axis, n in zip(axes, self.shape, strict=True):
            padded = torch.fft.ifft(padded, dim=axis).narrow(axis, 0, n)
        return padded.reshape(x.shape).to(x.dtype)

    def _were_written_into(self) -> bool:
        """Whether the points have changed in place since the spectrum was made; a copy of them begins at 0 writes."""
        if not autodiff.values_known() or autodiff.inside_transform():
            return False
        place, writes = self.prepared
        return tree.version(self.points) != (writes if self.points.data_ptr() == place else 0)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), **({"spectrum": None} if self._were_written_into() else {})}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, prepared=_place(state["points"]))  # a copy is a write

    def _fitting(self, x: Tensor, trailing: Sequence[int], what: str) -> Tensor:
        """x, if it is complex and ends in the axes of pictures or samples, after at least a batch."""
        batch = len(self.points) if self.points.ndim == 3 else 1
        fits = x.ndim > len(trailing) and tuple(x.shape[x.ndim - len(trailing) :]) == tuple(trailing)
        if not fits or not x.is_complex() or batch not in (1, x.shape[0]):
            raise MetaoptError(
                f"Nufft of points {tuple(self.points.shape)} takes complex {what} ({'B' if batch == 1 else batch}, "
                f"..., {', '.join(map(str, trailing))}), but got {tree.describe(x)}; for real pictures use "
                "Nufft(points, shape) @ RealToComplex()."
            )
        return x


def _check_points(points: Any, shape: Sequence[int]) -> None:
    dims = len(shape)
    if dims not in (1, 2, 3):
        raise MetaoptError(f"The shape of Nufft has 1, 2 or 3 axes, but got {tuple(shape)}; leave out batch and coils.")
    check_tensor("The points of Nufft", points, "real or complex")
    fits = points.ndim in (2, 3) and points.shape[-1] == dims and points.numel() and points.dtype.itemsize >= 4
    if points.is_complex() or not fits:
        raise MetaoptError(
            f"The points of Nufft for shape {tuple(shape)} are real, (M, {dims}) or (B, M, {dims}), of 32 bits or "
            f"more, with at least one point, but got {tree.describe(points)}; join the readouts to one axis of points, "
            "and turn complex ones to real by torch.stack([k.real, k.imag], -1)."
        )
    check_finite("The points of Nufft", points)
    if autodiff.values_known() and not autodiff.inside_transform():
        low, high = float(points.detach().min()), float(points.detach().max())
        if low < -0.5 or high >= 0.5:
            raise MetaoptError(
                f"The points of Nufft are in cycles per pixel, from -0.5 to below 0.5, but go from {low:.6g} to "
                f"{high:.6g}; divide radians by 2 pi, cycles per field of view by the size of the picture, and move "
                "0.5 to -0.5."
            )


def _place(points: Tensor) -> tuple[int, int]:
    return points.data_ptr(), tree.version(points)


def _tolerance(tolerance: float | None, dtype: torch.dtype) -> float:
    return _DEFAULT[dtype] if tolerance is None else max(float(tolerance), _FINEST)


def _spectrum(points: Tensor, shape: tuple[int, ...], tolerance: float, weights: Tensor | None = None) -> Tensor:
    """Return the Fourier transform of the point spread function ``c_j = 1/N sum_m w_m exp(2 pi i k_m . j)``, |j| < n.

    The weights w, (B, M) float64, are 1 where there are none.

    It is real, since c_-j is the conjugate of c_j, for which j >= 0 along the last axis is enough. It has twice the
    size of x along each axis, with c = 0 at the one offset more; float64 whatever the points are, as the operator may
    be applied in any precision.
    """
    each = points.detach().double().reshape(-1, *points.shape[-2:])
    *others, last = shape
    spread = torch.zeros(len(each), *(2 * n for n in others), last + 1, dtype=torch.complex128, device=points.device)
    for halves in product(*[(0, 1)] * len(others), (1,)):  # piece by piece, each of the size of x
        offset = [(half - 1) * n + n // 2 for half, n in zip(halves, shape, strict=True)]
        place = [slice(half * n, half * n + n) for half, n in zip(halves, others, strict=False)]
        phase = 2 * math.pi * (each * each.new_tensor(offset)).sum(-1, keepdim=True).mT
        size = torch.ones_like(phase) if weights is None else weights[:, None]
        piece = _compute(torch.polar(size, phase), each, shape, tolerance, True)[:, 0]
        spread[(slice(None), *place, slice(last))] = piece
    axes = tuple(range(1, spread.ndim))
    for axis in axes[:-1]:
        spread.select(axis, 0).zero_()
    centred = torch.fft.ifftshift(spread, axes[:-1]) if others else spread
    spectrum = torch.fft.hfftn(centred, s=[2 * n for n in shape], dim=axes) / math.prod(shape) ** 0.5
    return spectrum[:, None] if points.ndim == 3 else spectrum[0]


def _transform(x: Tensor, points: Tensor, shape: tuple[int, ...], tolerance: float | None, adjoint: bool) -> Tensor:
    return _Transform.apply(x, points, shape, _tolerance(tolerance, x.dtype), adjoint)


class _Transform(torch.autograd.Function):
    """The transform of (B, C, ...) at (M, d) or (B, M, d) points, or its adjoint.

    ``LinearMap`` would do for x alone, but its functions cannot depend on points that are mapped or require gradients.
    """

    @staticmethod
    def forward(x: Tensor, points: Tensor, shape: tuple[int, ...], tolerance: float, adjoint: bool) -> Tensor:
        return torch.ops.metaopt.nufft(x, points, shape, tolerance, adjoint)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, points, *ctx.settings = inputs
        ctx.save_for_backward(x, points)
        ctx.save_for_forward(x, points)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        (x, points), (gradient,), (*settings, adjoint) = ctx.saved_tensors, gradients, ctx.settings
        back = _Transform.apply(gradient, points, *settings, not adjoint) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return back, None, None, None, None
        picture, samples = (gradient, x) if adjoint else (x, gradient)
        slopes = [
            (samples.conj() * _Transform.apply(moment, points, *settings, False)).real.sum(1)
            for moment in _moments(picture, settings[0])
        ]
        slope = torch.stack(slopes, -1).to(points)  # (B, M, d)
        slope = slope.sum(0) if points.ndim == 2 else slope.sum_to_size(points.shape)
        return back, slope, None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        (x, points), (*settings, adjoint), (change, velocity, *_) = ctx.saved_tensors, ctx.settings, tangents
        total: Any = None if change is None else _Transform.apply(change, points, *settings, adjoint)
        if velocity is None:
            return total
        for axis in range(points.shape[-1]):
            speed = velocity[..., axis].to(x.real).reshape(-1, 1, points.shape[-2])
            if adjoint:
                moved = -_moments(_Transform.apply(speed * x, points, *settings, True), settings[0])[axis]
            else:
                moved = speed * _Transform.apply(_moments(x, settings[0])[axis], points, *settings, False)
            total = moved if total is None else total + moved
        return total

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        x, points, *settings = inputs
        size = info.batch_size
        x = x.expand(size, *x.shape) if in_dims[0] is None else x.movedim(in_dims[0], 0)
        if in_dims[1] is not None or points.ndim == 3:  # points of each task, or of each sample, or of both
            points = points.expand(size, *points.shape) if in_dims[1] is None else points.movedim(in_dims[1], 0)
            points = points if points.ndim == 4 else points[:, None]
            points = points.expand(size, x.shape[1], *points.shape[2:]).flatten(0, 1)
        return _Transform.apply(x.flatten(0, 1), points, *settings).unflatten(0, x.shape[:2]), 0


def _moments(x: Tensor, shape: tuple[int, ...]) -> list[Tensor]:
    """Return ``-2 pi i r_d x`` for each axis d, whose transforms are the derivatives of x's by the points."""
    moments = []
    for axis, n in enumerate(shape):
        place = torch.arange(n, dtype=x.real.dtype, device=x.device) - n // 2
        moments.append(x * (-2j * math.pi * place).reshape(-1, *[1] * (len(shape) - axis - 1)))
    return moments


def _compute(x: Tensor, points: Tensor, shape: Sequence[int], tolerance: float, adjoint: bool) -> Tensor:
    """Return the transform or its adjoint by finufft: at once for shared points, else sample by sample."""
    finufft = require("finufft", "mri")
    kind = getattr(finufft, f"nufft{len(shape)}d{1 if adjoint else 2}")
    each = _array(points.double().reshape(-1, *points.shape[-2:])) * (2 * math.pi)
    values = _array(x.to(torch.complex128)) / math.prod(shape) ** 0.5
    groups = values[None].reshape(1, -1, *values.shape[2:]) if len(each) == 1 else values
    result = np.zeros((*groups.shape[:2], *(shape if adjoint else (each.shape[1],))), values.dtype)
    # The same upsampling both ways, which finufft would choose for each: only then are they exact adjoints.
    # Threads that add to one grid do so in any order, and the rounding of a sum depends on it: the adjoint has one.
    settings = {"eps": tolerance, "upsampfac": 2.0, "nthreads": 1 if adjoint else torch.get_num_threads()}
    for coordinates, group, out in zip(each, groups, result, strict=True) if values.size else ():
        axes = [np.ascontiguousarray(coordinate) for coordinate in coordinates.T]
        out[...] = kind(*axes, group, *([tuple(shape)] if adjoint else []), isign=1 if adjoint else -1, **settings)
    return torch.from_numpy(result.reshape(*values.shape[:2], *result.shape[2:])).to(x)


def _shaped(x: Tensor, points: Tensor, shape: Sequence[int], tolerance: float, adjoint: bool) -> Tensor:
    return x.new_empty(*x.shape[:2], *(shape if adjoint else points.shape[-2:-1]))


def _array(tensor: Tensor) -> Any:
    return np.ascontiguousarray(tensor.detach().cpu().resolve_conj().resolve_neg().numpy())


# As an operation of torch it stays whole when a step is compiled or exported, where finufft could not be traced.
_LIBRARY = torch.library.Library("metaopt", "FRAGMENT")
_LIBRARY.define("nufft(Tensor x, Tensor points, int[] shape, float tolerance, bool adjoint) -> Tensor")
_LIBRARY.impl("nufft", _compute, "CompositeExplicitAutograd")
_LIBRARY.impl("nufft", _shaped, "Meta")
