"""Combine coils to fewer."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...arguments.checks import check_finite, check_tensor, said
from ...arguments.contracts import Count, Share, checked
from ...core import MetaoptError


class Compressed(NamedTuple):
    """K-space of virtual coils.

    ``kspace`` is (B, N, ...), ``matrix`` (N, C) with orthonormal rows, so that ``kspace`` is the matrix times that of
    the coils and white noise stays white, and ``energy`` the share of the energy that is kept.
    """

    kspace: Tensor
    matrix: Tensor
    energy: float


@checked
def compress_coils(kspace: Tensor, coils: Count | None = None, energy: Share | None = None) -> Compressed:
    """Combine the coils to the N virtual coils that hold most of the energy, by a singular value decomposition.

    The combination is the same for the whole batch. Coils should have equal and independent noise: whiten them first.
    Maps of the virtual coils are estimated from the compressed k-space, or are ``matrix`` times the maps of the coils.

    Args:
        kspace: (B, C, ...) complex; 0 where it is not measured.
        coils: The number N of virtual coils.
        energy: Instead of ``coils``, the share of the energy that is kept at least, by as few virtual coils as can.

    Raises:
        MetaoptError: The k-space is not (B, C, ...), complex and finite, or is zero; more virtual coils than coils are
            wanted; or not exactly one of ``coils`` and ``energy`` is given.

    Source:
        Buehrer et al., Array compression for MRI with large coil arrays, 2007, doi:10.1002/mrm.21237.
    """
    check_tensor("The k-space of compress_coils", kspace, "any", "(B, C, N, ...)")
    if kspace.dtype not in (torch.complex64, torch.complex128) or not kspace.numel():
        raise MetaoptError(f"compress_coils needs complex k-space (B, C, ...), of 32 or 64 bits, not {said(kspace)}.")
    check_finite("The k-space of compress_coils", kspace)
    if (coils is None) == (energy is None):
        raise MetaoptError(
            "compress_coils needs either coils, the number of virtual coils, or energy, the share to keep."
        )
    if coils is not None and coils > kspace.shape[1]:
        raise MetaoptError(f"compress_coils cannot make {coils} virtual coils of {kspace.shape[1]} coils.")
    samples = kspace.transpose(0, 1).flatten(1).to(torch.complex128)
    largest = samples.abs().max()
    if not bool(largest > 0):
        raise MetaoptError("The k-space of compress_coils is zero everywhere, so no coil holds more than another.")
    samples = samples / largest
    squares, vectors = torch.linalg.eigh(samples @ samples.mH)
    kept = squares.flip(0).clamp_min(0).cumsum(0) / squares.clamp_min(0).sum()
    number = coils or 1 + int((kept < (energy or 0.0) - 1e-12).sum())
    matrix = vectors.flip(1)[:, : min(number, len(kept))].mH.to(kspace.dtype)
    share = float(kept[len(matrix) - 1])
    return Compressed(torch.einsum("nc,bc...->bn...", matrix, kspace), matrix, share)
