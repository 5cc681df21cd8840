"""Turn measured k-space into problems: its noise, the maps of its coils, and units in which pictures reach 1."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...arguments.checks import check_count, check_number, said
from ...core import MetaoptError
from ...core.errors import warn
from ...data import KSpace
from ...operators import Fourier, Operator, Sense, Whitening
from ...problems import InverseProblem
from .classical import root_sum_of_squares
from .espirit import espirit
from .noise import border_noise, noise_covariance
from .planes import Planes

APART = (1e-15, 1e15)  # noise over intensity, whose squares float32 holds
PROBED = 5  # planes that are looked at for the noise and the intensity
WHITE = 0.999  # the share of pixels of a plane that are darker than what counts as its brightest
SHARES = (0.05, 0.02, 0.01)  # of the samples that are taken as the border of k-space, one after the other
NO_CENTRE = "measure one, give maps of the coils (--maps), or take the method zero (--method zero)"


@dataclass(frozen=True, eq=False)
class Noise:
    """Hold what is known of the noise of k-space.

    Args:
        level: The standard deviation of its real component, in the units of the file.
        source: Where that is from, in words.
        whitening: Combines the coils so that each has that level, independently; None: they are taken as they are.
    """

    level: float
    source: str
    whitening: Whitening | None = None


@dataclass(frozen=True, eq=False)
class Preparation:
    """Make the problems of planes of k-space.

    Args:
        planes: The planes.
        noise: Their noise; None where only the method without noise is asked for.
        unit: What the brightest part of the picture is in the units of the file; problems are in units of it.
        sets: Number of sets of maps.
        maps: (C, H, W), (S, C, H, W) or (D, S, C, H, W) of the coils, or None: by ESPIRiT from each plane.
        calibration: For each plane the k-space that maps are computed of, where it was measured for them alone.
    """

    planes: Planes
    noise: Noise | None
    unit: float
    sets: int = 1
    maps: Tensor | None = None
    calibration: KSpace | None = None

    def read(self, index: int) -> tuple[Tensor, Tensor]:
        """Return the k-space of a plane in units of ``unit``, (C, H, W) and whitened, and its mask (H, W)."""
        y, mask = self.planes.read(index)
        return self._whitened(y) / self.unit, mask

    def problem(self, indices: list[int]) -> InverseProblem:
        """Return the problem of some planes, one a sample, on ``Fourier(mask, centred=True) @ Sense(maps)``.

        Args:
            indices: The planes, or 0 for a whole volume.

        Raises:
            MetaoptError: The noise is not known, or maps cannot be computed, since the middle of k-space is missing.
        """
        if self.noise is None:
            raise MetaoptError("A problem needs the noise of k-space; prepare it with a noise.")
        found = [self.read(index) for index in indices]
        y, masks = (torch.stack(parts) for parts in zip(*found, strict=True))
        same = bool((masks == masks[:1]).all())
        dims = len(self.planes.shape)
        operator: Operator = Fourier(masks[0] if same else masks[:, None], dims, centred=True)
        if y.shape[1] > 1 or self.maps is not None:
            maps = [self._maps(index, k) for index, (k, _) in zip(indices, found, strict=True)]
            operator = operator @ Sense(torch.stack(maps), dims)
        return InverseProblem(operator, y, self.noise.level / self.unit)

    def _whitened(self, y: Tensor) -> Tensor:
        if self.noise is None or self.noise.whitening is None:
            return y
        return self.noise.whitening(y[None])[0]

    def _maps(self, index: int, y: Tensor) -> Tensor:
        """Return the maps of a plane, (S, C, H, W), of unit norm over the coils or 0."""
        if self.maps is not None:
            each = self.maps.ndim == y.ndim + 2  # plane has its own
            given = self.maps[index] if each else self.maps.reshape(-1, *self.maps.shape[-y.ndim :])
            maps = torch.stack([self._whitened(one) for one in given.to(y.dtype)])
            norm = torch.linalg.vector_norm(maps, dim=1, keepdim=True)
            return torch.where(norm > 0, maps / norm.clamp_min(torch.finfo(norm.dtype).tiny), 0)
        if self.calibration is not None:
            y = self._whitened(_placed(self.calibration.read_calibration(index), y))
        try:
            return espirit(y[None], sets=self.sets, dims=y.ndim - 1, centred=True).maps[0]
        except MetaoptError as error:
            if "no fully sampled centre" not in str(error) and "too small for a kernel" not in str(error):
                raise
            what = f"Slice {index}" if y.ndim == 3 else "The volume"
            raise MetaoptError(
                f"{what} has no calibration region that maps of its {len(y)} coils can be computed of: the "
                f"middle of k-space was not, or hardly, sampled in full; {NO_CENTRE}."
            ) from error


def prepare(
    kspace: KSpace,
    planes: Planes,
    noise: float | None = None,
    maps: Tensor | None = None,
    sets: int = 1,
    noise_needed: bool = True,
) -> Preparation:
    """Look at some planes of k-space for what the problems of all planes need.

    Args:
        kspace: The k-space.
        planes: Its planes.
        noise: The standard deviation of a real component of its noise, in the units of the file. None: of the file's
            scan of noise, as the file states it, or of the border of k-space.
        maps: Maps of the coils, or None.
        sets: Number of sets of maps.
        noise_needed: Whether noise that cannot be told is refused.

    Raises:
        MetaoptError: The noise is not a number above 0 or cannot be told, there is no set, or maps do not fit.
    """
    check_count("The number of sets of maps", sets)
    if noise is not None:
        noise = check_number("The noise of k-space", noise, above=0)
    if maps is not None:
        _check_maps(maps, kspace, planes)
        axes = 1 + len(planes.shape)
        sets = 1 if maps.ndim == axes else maps.shape[-axes - 1]
    step = max(1, math.ceil(planes.count / PROBED))
    probed = [planes.read(index)[0] for index in range(planes.count // 2 % step, planes.count, step)]
    found = known_noise(kspace, probed, noise, noise_needed)
    preparation = Preparation(planes, found, 1.0, sets, maps, kspace if _has_calibration(kspace) else None)
    unit = max(_peak(preparation._whitened(y)) for y in probed)
    if found is not None and not APART[0] < found.level / unit < APART[1]:
        raise MetaoptError(
            f"The noise of k-space is {found.level:g}, but pictures reach {unit:g}, and numbers of 32 bits do not hold "
            "both; see whether the noise is in the units of k-space."
        )
    if noise is not None and noise > unit:
        warn(
            f"The noise of k-space is given as {noise:g}, but pictures reach {unit:.3g}, so hardly anything can be "
            "seen in them; see whether the noise is in the units of k-space."
        )
    return Preparation(planes, found, unit, sets, maps, preparation.calibration)


def known_noise(kspace: KSpace, probed: list[Tensor], noise: float | None, needed: bool) -> Noise | None:
    """Return the noise as given, of the file's scan of noise, as the file states it, or of the border of k-space.

    Args:
        kspace: The k-space.
        probed: K-space of some of its planes, (C, H, W) each.
        noise: The level that was given, or None.
        needed: Whether noise that cannot be told is refused.

    Raises:
        MetaoptError: It cannot be told.
    """
    if noise is not None:
        return Noise(noise, "as given")
    if kspace.noise is not None and kspace.noise.shape[1] >= 10 * kspace.coils:
        return _noise_of(kspace.noise, noise_covariance, "from the file's scan of noise")
    stated = kspace.attributes.get("noise")
    if isinstance(stated, int | float) and 0 < stated < math.inf:
        return Noise(float(stated), "as the file states it")
    cause = None
    for share in SHARES:
        for y in sorted(probed, key=lambda y: -float(y.abs().max())):
            estimate = functools.partial(border_noise, share=share, centred=True)
            try:
                return _noise_of(y[None], estimate, "from the border of k-space")
            except MetaoptError as error:
                cause = cause or error
    if not needed:
        return None
    raise MetaoptError(
        f"The noise of {kspace.path} cannot be told: there is no scan of noise, and the border of k-space is no noise "
        "alone. Give the standard deviation of its real part (--noise), or take the method zero (--method zero)."
    ) from cause


def _noise_of(samples: Tensor, estimate: Callable[[Tensor], Tensor], source: str) -> Noise:
    """Return the noise of samples; whitened coils have the level of the mean power.

    Units of k-space may be such that squares are lost in 32 bits, so samples are divided by the largest.
    """
    largest = float(samples.abs().max())
    covariance = estimate(samples.to(torch.complex128) / largest)
    level = float((covariance.diagonal().real.mean() / 2).sqrt())
    whitening = Whitening(covariance / level**2) if len(covariance) > 1 else None
    return Noise(level * largest, source, whitening)


def _peak(y: Tensor) -> float:
    """Return what few pixels of the zero-filled picture of a plane exceed."""
    largest = float(y.abs().max())
    pictures = root_sum_of_squares(Fourier(dims=y.ndim - 1, centred=True).adjoint(y[None] / largest)).flatten()
    return float(torch.quantile(pictures[:: 1 + (pictures.numel() - 1) // 2**24], WHITE)) * largest


def _has_calibration(kspace: KSpace) -> bool:
    return kspace.dims == 2 and kspace.stored.calibration is not None


def _placed(block: Tensor, y: Tensor) -> Tensor:
    """Return k-space as large as ``y`` with a block in its middle."""
    placed = torch.zeros_like(y)
    places = [slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(y.shape[1:], block.shape[1:], strict=True)]
    placed[(slice(None), *places)] = block.to(y.dtype)
    return placed


def _check_maps(maps: Tensor, kspace: KSpace, planes: Planes) -> None:
    wanted = (kspace.coils, *planes.shape)
    more = maps.ndim - len(wanted) if isinstance(maps, Tensor) and maps.is_complex() else -1
    fits = 0 <= more <= 2 and tuple(maps.shape[more:]) == wanted
    if not fits or (more == 2 and len(maps) != planes.count):
        raise MetaoptError(
            f"The maps of the coils must be complex, (coil, ..., row, column) = {wanted}, with axes for sets, or for "
            f"slices and sets, before them, but are {said(maps)}."
        )
    if not bool(torch.isfinite(maps).all()):
        raise MetaoptError("The maps of the coils hold values that are NaN or infinite; set them to 0 there.")
    if not bool(maps.any()):
        raise MetaoptError("The maps of the coils are 0 everywhere, so no coil would see anything.")
