"""Inverse problems of pictures: denoising, and random projections."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core import MetaoptError
from ..operators import (
    Blocks,
    Identity,
    Operator,
    bernoulli_projection,
    fourier_projection,
    gaussian_projection,
)
from ..problems import InverseProblem


@dataclass(frozen=True, eq=False)
class Patches:
    """Random square crops of pictures, mirrored, turned and magnified (by 1 to ``zoom``) at random.

    ``pictures`` are (C, H, W) uint8 tensors at least ``size`` wide and high; ``draw`` gives (batch, C, size, size) in
    [0, 1].
    """

    pictures: Sequence[Tensor]
    size: int = 40
    batch: int = 16
    zoom: float = 1.0

    def __post_init__(self) -> None:
        fitting = [p for p in self.pictures if min(p.shape[-2:]) >= self.size]
        if not fitting:
            raise MetaoptError(
                f"None of the {len(self.pictures)} pictures is at least {self.size} x {self.size} pixels."
            )
        object.__setattr__(self, "pictures", fitting)

    def draw(self, generator: torch.Generator) -> Tensor:
        return torch.stack([self._crop(generator) for _ in range(self.batch)])

    def _crop(self, generator: torch.Generator) -> Tensor:
        picture = self.pictures[_integer(len(self.pictures), generator)]
        side = math.ceil(self.size / float(_uniform(1.0, self.zoom, 1, generator)))
        top, left = (_integer(n - side + 1, generator) for n in picture.shape[-2:])
        crop = picture[:, top : top + side, left : left + side].float() / 255
        if side != self.size:
            crop = F.interpolate(crop[None], size=(self.size, self.size), mode="bicubic")[0].clamp(0, 1)
        turned = torch.rot90(crop, _integer(4, generator), (-2, -1))
        return turned.flip(-1) if _integer(2, generator) else turned


@dataclass(frozen=True, eq=False)
class Denoising:
    """y = x + sigma n, not clipped, with sigma (grey levels of 255) drawn for each patch from [low, high]."""

    patches: Patches
    low: float = 1.0
    high: float = 55.0

    def sample(self, seed: int) -> tuple[InverseProblem, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        target = self.patches.draw(generator)
        noise = _uniform(self.low, self.high, len(target), generator) / 255
        return InverseProblem(Identity(), _add_noise(target, noise, generator), noise), target


@dataclass(frozen=True, eq=False)
class RandomProjections:
    """y = A x + noise n, where A is drawn anew for every batch and acts on each ``block`` x ``block`` square alike.

    The ensemble (Gaussian, +-1 Bernoulli, rows of the Fourier transform) is drawn with equal probability and the ratio
    of measurements to pixels uniformly from [low, high]; ``noise`` is in the units of a measurement.
    """

    patches: Patches
    block: int = 32
    low: float = 0.1
    high: float = 0.5
    noise: float = 1 / 255

    def sample(self, seed: int) -> tuple[InverseProblem, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        target = self.patches.draw(generator)
        ensembles: tuple[Callable[..., Operator], ...] = (gaussian_projection, bernoulli_projection, fourier_projection)
        ensemble = ensembles[_integer(len(ensembles), generator)]
        ratio = float(_uniform(self.low, self.high, 1, generator))
        operator = block_projection(ensemble, ratio, tuple(target.shape[1:]), self.block, seed)
        noise = torch.full((len(target),), self.noise)
        return InverseProblem(operator, _add_noise(operator(target), noise, generator), noise), target


def block_projection(
    ensemble: Callable[..., Operator], ratio: float, shape: tuple[int, ...], block: int, seed: int
) -> Operator:
    """One random projection of ``ratio`` times as many rows as pixels, for every block of (C, H, W) pictures."""
    channels = shape[0]
    rows = max(1, round(ratio * channels * block**2))
    return ensemble(rows, (channels, block, block), seed) @ Blocks(shape, block)


def _integer(stop: int, generator: torch.Generator) -> int:
    return int(torch.randint(stop, (), generator=generator))


def _uniform(low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)


def _add_noise(clean: Tensor, noise: Tensor, generator: torch.Generator) -> Tensor:
    level = noise.reshape(-1, *[1] * (clean.ndim - 1))
    if clean.is_complex():
        parts = torch.randn(*clean.shape, 2, generator=generator, dtype=clean.real.dtype)
        return clean + level * torch.view_as_complex(parts)
    return clean + level * torch.randn(clean.shape, generator=generator, dtype=clean.dtype)


def pool(sources: Mapping[str, Sequence[Tensor]]) -> list[Tensor]:
    """Lists of pictures as one, in which each has the same total weight (shorter ones are repeated)."""
    most = max(len(source) for source in sources.values())
    return [source[i % len(source)] for source in sources.values() for i in range(most)]
