"""Make the noise of receiver coils white: combine the coils so that their noise is independent and of one size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..arguments.checks import check_finite, check_instance, check_tensor
from ..core import autodiff, tree
from ..core.errors import MetaoptError
from .operator import Operator, at_least_single, same_kind
from .reach import Window
from .sense import Sense


@dataclass(frozen=True, eq=False)
class Whitening(Operator):
    """Apply ``y -> sqrt(2) L^{-1} y`` over the coils, where ``L L^H`` is the covariance of their noise.

    Noise of that covariance is then white, with standard deviation 1 of its real and of its imaginary part, and
    independent between coils. :func:`prewhiten` does it to k-space and to the model at once.

    Args:
        covariance: ``E[n n^H]`` as ``noise_covariance`` of ``metaopt.applications.mri`` estimates it: Hermitian,
            (C, C) for all samples or (B, C, C) for each its own.

    Raises:
        MetaoptError: The covariance is not square, finite and Hermitian, or is singular; or y is not complex
            (B, C, ...).

    Source:
        Pruessmann et al., Advances in sensitivity encoding with arbitrary k-space trajectories, 2001,
        doi:10.1002/mrm.1241.
    """

    covariance: Tensor

    def __post_init__(self) -> None:
        check_tensor("The covariance of Whitening", self.covariance, "real or complex")
        shape = self.covariance.shape
        square = len(shape) in (2, 3) and shape[-1] == shape[-2] and self.covariance.numel()
        if not square or self.covariance.dtype.to_real().itemsize < 4:
            raise MetaoptError(
                "The covariance of Whitening has a row and a column for each coil, (C, C) or (B, C, C) of at least 32 "
                f"bits, but got {tree.describe(self.covariance)}; noise_covariance of metaopt.applications.mri makes "
                "one of samples."
            )
        check_finite("The covariance of Whitening", self.covariance)
        if autodiff.values_known() and not autodiff.inside_transform():
            _check_definite(self.covariance.detach())

    def apply(self, x: Tensor) -> Tensor:
        return self._solve(x, adjoint=False)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._solve(y, adjoint=True)

    @property
    def reach(self) -> int:
        return 0

    def crop(self, window: Window) -> Operator:
        return self

    def _solve(self, x: Tensor, adjoint: bool) -> Tensor:
        coils, batch = self.covariance.shape[-1], len(self.covariance) if self.covariance.ndim == 3 else 1
        if x.ndim < 2 or x.shape[1] != coils or batch not in (1, x.shape[0]) or not x.is_complex():
            raise MetaoptError(
                f"Whitening of {coils} coils takes complex ({'B' if batch == 1 else batch}, {coils}, ...), but got "
                f"{tree.describe(x)}; for the maps of coils use prewhiten."
            )
        wide = at_least_single(x)
        return (
            _whitened(self.covariance, wide.reshape(len(x), coils, math.prod(x.shape[2:])), adjoint)
            .reshape(x.shape)
            .to(x.dtype)
        )


class Whitened(NamedTuple):
    """K-space and coils whose noise is white, of standard deviation 1 a real component."""

    kspace: Tensor
    sense: Sense


def prewhiten(kspace: Tensor, sense: Sense, covariance: Tensor) -> Whitened:
    """Return k-space and coils with white noise, of which the picture is the same as before.

    Coils are combined pixel by pixel, and so commute with the Fourier transform and the mask:

        >>> kspace, sense = prewhiten(kspace, Sense(maps), covariance)
        >>> problem = mo.InverseProblem(Fourier(mask) @ sense, kspace, noise=1.0)

    Args:
        kspace: y, complex (B, C, ...), on a grid or not.
        sense: The coils with which it was measured.
        covariance: ``E[n n^H]``, (C, C) or (B, C, C), as :class:`Whitening` takes it.

    Returns:
        The k-space and the coils, in whitened units: divided by the noise.

    Raises:
        MetaoptError: The covariance is singular or the number of coils differs.
    """
    whitening = Whitening(covariance)
    check_instance("The coils of prewhiten", sense, Sense, "Sense(maps) makes one of maps")
    check_tensor("The k-space of prewhiten", kspace, "real or complex", "(B, C, ...)")
    check_finite("The k-space of prewhiten", kspace)
    maps = sense.maps.flatten(-sense.dims)  # ([B,] S, C, N)
    if maps.shape[-2] != covariance.shape[-1]:
        raise MetaoptError(
            f"The maps {tuple(sense.maps.shape)} of prewhiten have {maps.shape[-2]} coils, but the covariance "
            f"{tuple(covariance.shape)} has {covariance.shape[-1]}; compress or select the coils of both alike."
        )
    each = covariance[:, None] if covariance.ndim == 3 else covariance
    if covariance.ndim == 3 and maps.ndim == 4 and 1 not in (len(covariance), len(maps)) and len(maps) != len(each):
        raise MetaoptError(
            f"The maps {tuple(sense.maps.shape)} of prewhiten are of {len(maps)} samples, but the covariance "
            f"{tuple(covariance.shape)} of {len(covariance)}."
        )
    white = _whitened(each, maps, adjoint=False).unflatten(-1, sense.maps.shape[-sense.dims :])
    return Whitened(whitening(kspace), Sense(white, sense.dims))


def _whitened(covariance: Tensor, y: Tensor, adjoint: bool) -> Tensor:
    """Return ``sqrt(2) L^{-1} y``, or ``sqrt(2) L^{-H} y``, of the coils at axis -2 of y."""
    hermitian = same_kind((covariance + covariance.mH) / 2, y)
    factor = torch.linalg.cholesky_ex(hermitian).L
    return 2**0.5 * torch.linalg.solve_triangular(factor.mH if adjoint else factor, y, upper=adjoint)


def _check_definite(covariance: Tensor) -> None:
    """Refuse a covariance that is not Hermitian, or singular to the precision of its numbers."""
    wide = covariance.to(torch.complex128)
    size = float(wide.abs().max())
    if float((wide - wide.mH).abs().max()) > 1e-3 * size:
        raise MetaoptError(
            "The covariance of Whitening must be Hermitian, E[n n^H], but differs from its conjugate transpose; "
            "noise_covariance of metaopt.applications.mri makes one of samples."
        )
    power = wide.diagonal(dim1=-2, dim2=-1).real
    silent = sorted({int(coil) for *_, coil in (power <= 0).nonzero().tolist()})
    if silent:
        raise MetaoptError(
            f"The covariance of Whitening is singular: coil {', '.join(map(str, silent))} has no noise; leave out "
            "coils that are dead, from k-space and maps too."
        )
    scale = power.rsqrt()
    correlation = scale[..., :, None] * (wide + wide.mH) / 2 * scale[..., None, :]
    smallest = float(torch.linalg.eigvalsh(correlation).min())
    if not smallest > 10 * covariance.shape[-1] * torch.finfo(covariance.dtype).eps:
        raise MetaoptError(
            f"The covariance of Whitening is singular: the smallest eigenvalue of the coils' correlation is "
            f"{smallest:.3g}; measure more noise than there are coils, or compress the coils first."
        )
