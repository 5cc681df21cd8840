"""Inverse problems of pictures: denoising, inpainting, deblurring, super-resolution, random projections, mixtures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core import MetaoptError, random
from ..operators import (
    Blocks,
    Blur,
    Identity,
    Mask,
    Operator,
    Scaled,
    bernoulli_projection,
    bicubic_downsample,
    fourier_projection,
    gaussian_kernel,
    gaussian_projection,
)
from ..problems import InverseProblem
from ..problems.noise import from_grey_levels, per_sample
from .task import Task


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
    """y = x + noise n, with the noise's standard deviation drawn for each patch uniformly between ``noise_levels``.

    A share ``quantised`` of the patches, drawn at random, is then clipped to [0, 1] and rounded to 8 bits, as noise in
    files is. Noise levels are in the units of y, in which pictures lie in [0, 1], here and in the tasks below;
    :func:`grey_levels` gives those of 8-bit pictures.
    """

    patches: Patches
    noise_levels: tuple[float, float] = (1 / 255, 55 / 255)
    quantised: float = 0.0

    def __post_init__(self) -> None:
        _check_levels(self)

    def sample(self, seed: int) -> tuple[InverseProblem, Tensor]:
        generator = random.generator(seed)
        target = self.patches.draw(generator)
        noise = _uniform(*self.noise_levels, len(target), generator)
        y = _add_noise(target, noise, generator)
        if self.quantised > 0:
            chosen = torch.rand(len(target), generator=generator) < self.quantised
            y = torch.where(chosen.reshape(-1, 1, 1, 1), (255 * y.clamp(0, 1)).round() / 255, y)
        return InverseProblem(Identity(), y, noise), target


@dataclass(frozen=True, eq=False)
class Inpainting:
    """y = m (x + noise n): each patch keeps a share of its pixels, drawn from ``kept_shares``.

    What is kept is random in grains of so many pixels as one of ``grains``, drawn for every batch: with 1, single
    pixels are missing, with more, blots of about that width. The noise's standard deviation is drawn for each patch
    between ``noise_levels``, uniformly on a logarithmic scale; the same holds in the tasks below.
    """

    patches: Patches
    kept_shares: tuple[float, float] = (0.1, 0.9)
    noise_levels: tuple[float, float] = (1 / 255, 1 / 255)
    grains: Sequence[int] = (1,)

    def __post_init__(self) -> None:
        _check_levels(self)

    def sample(self, seed: int) -> tuple[InverseProblem, Tensor]:
        generator = random.generator(seed)
        target = self.patches.draw(generator)
        shares = _uniform(*self.kept_shares, len(target), generator)
        grain = self.grains[_integer(len(self.grains), generator)]
        operator = Mask(_blots(shares, tuple(target.shape[2:]), grain, generator))
        noise = _levels(self.noise_levels, len(target), generator)
        return InverseProblem(operator, operator(_add_noise(target, noise, generator)), noise), target


@dataclass(frozen=True, eq=False)
class Deblurring:
    """y = k * x + noise n: each patch has a Gaussian kernel of its own, its width in pixels drawn from ``widths``.

    The kernel spans ``size`` pixels a side, and beyond the border the picture is dark.
    """

    patches: Patches
    widths: tuple[float, float] = (0.5, 3.0)
    size: int = 15
    noise_levels: tuple[float, float] = (1 / 255, 1 / 255)

    def __post_init__(self) -> None:
        _check_levels(self)

    def sample(self, seed: int) -> tuple[InverseProblem, Tensor]:
        generator = random.generator(seed)
        target = self.patches.draw(generator)
        widths = _uniform(*self.widths, len(target), generator).tolist()
        operator = Blur(torch.stack([gaussian_kernel(self.size, width) for width in widths]))
        return _measured(target, operator, _levels(self.noise_levels, len(target), generator), generator)


@dataclass(frozen=True, eq=False)
class SuperResolution:
    """y = S x + noise n, where S shrinks by one of ``factors``, the same for a whole batch (:func:`shrinking`).

    ``noise_levels`` are those of the small picture, whose values are ``factor`` times smaller than those of y.
    """

    patches: Patches
    factors: Sequence[int] = (2, 3, 4)
    noise_levels: tuple[float, float] = (1 / 255, 1 / 255)

    def __post_init__(self) -> None:
        _check_levels(self)

    def sample(self, seed: int) -> tuple[InverseProblem, Tensor]:
        generator = random.generator(seed)
        target = self.patches.draw(generator)
        factor = self.factors[_integer(len(self.factors), generator)]
        target = target[..., : target.shape[-2] // factor * factor, : target.shape[-1] // factor * factor]
        noise = factor * _levels(self.noise_levels, len(target), generator)
        return _measured(target, shrinking(tuple(target.shape), factor), noise, generator)


def shrinking(shape: tuple[int, ...], factor: int, *, dtype: torch.dtype = torch.float32) -> Operator:
    """Antialiased bicubic shrinking of (..., H, W), times ``factor``.

    Its rows then have about unit norm, as those of other operators have: y is ``factor`` times the small picture, and
    the noise as well.
    """
    return Scaled(bicubic_downsample(shape, factor, dtype=dtype), factor)


@dataclass(frozen=True, eq=False)
class Mixture:
    """Every batch is of one of ``tasks``, drawn with probabilities in proportion to ``weights`` (default: equal)."""

    tasks: Sequence[Task]
    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        weights = self.weights or [1.0] * len(self.tasks)
        if not self.tasks or len(weights) != len(self.tasks) or min(weights) < 0 or not sum(weights) > 0:
            raise MetaoptError(f"A Mixture of {len(self.tasks)} tasks needs a positive weight each, but got {weights}.")
        object.__setattr__(self, "weights", weights)

    def sample(self, seed: int) -> tuple[InverseProblem, Tensor]:
        weights = torch.tensor(self.weights, dtype=torch.float64)
        chosen = int(torch.multinomial(weights, 1, generator=random.generator(seed, 1)))
        return self.tasks[chosen].sample(seed)


@dataclass(frozen=True, eq=False)
class RandomProjections:
    """y = A x + noise n, where A is drawn anew for every batch and acts on each ``block`` x ``block`` square alike.

    The ensemble (Gaussian, +-1 Bernoulli, rows of the Fourier transform) is drawn with equal probability and the ratio
    of measurements to pixels uniformly from ``ratios``. The problem is in units in which ``|A| = 1``
    (:meth:`InverseProblem.normalized`), because the norm of A is another for every ratio; its first guess is middle
    grey.
    """

    patches: Patches
    block: int = 32
    ratios: tuple[float, float] = (0.1, 0.5)
    noise_levels: tuple[float, float] = (1 / 255, 1 / 255)

    def __post_init__(self) -> None:
        _check_levels(self)

    def sample(self, seed: int) -> tuple[InverseProblem, Tensor]:
        generator = random.generator(seed)
        target = self.patches.draw(generator)
        ensembles: tuple[Callable[..., Operator], ...] = (gaussian_projection, bernoulli_projection, fourier_projection)
        ensemble = ensembles[_integer(len(ensembles), generator)]
        ratio = float(_uniform(*self.ratios, 1, generator))
        operator = block_projection(ensemble, ratio, tuple(target.shape[1:]), self.block, random.derive(seed, 1))
        noise = _levels(self.noise_levels, len(target), generator)
        problem, _ = _measured(target, operator, noise, generator, guess=0.5)
        return problem.normalized(iterations=20), target


def block_projection(
    ensemble: Callable[..., Operator], ratio: float, shape: tuple[int, ...], block: int, seed: int
) -> Operator:
    """One random projection of ``ratio`` times as many rows as pixels, for every block of (C, H, W) pictures."""
    channels = shape[0]
    rows = max(1, round(ratio * channels * block**2))
    return ensemble(rows, (channels, block, block), seed) @ Blocks(shape, block)


def grey_levels(low: float, high: float | None = None) -> tuple[float, float]:
    """Noise levels in the units of pictures in [0, 1], of those in grey levels of 255; ``high`` is ``low`` by default.

    Example: ``Denoising(patches, grey_levels(1, 55))``.
    """
    return from_grey_levels(low), from_grey_levels(low if high is None else high)


def _check_levels(task: Any) -> None:
    low, high = task.noise_levels
    if not 0 < low <= high <= 1:
        raise MetaoptError(
            f"The noise levels of {type(task).__name__} are in the units of pictures in [0, 1], two numbers, the "
            f"smaller first, but got {low:g} and {high:g}; for grey levels of 255 give grey_levels({low:g}, {high:g})."
        )


def _integer(stop: int, generator: torch.Generator) -> int:
    return int(torch.randint(stop, (), generator=generator))


def _uniform(low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)


def _levels(bounds: tuple[float, float], count: int, generator: torch.Generator) -> Tensor:
    """Standard deviations between ``bounds``, uniform on a logarithmic scale."""
    low, high = (math.log(bound) for bound in bounds)
    return _uniform(low, high, count, generator).exp()


def _blots(shares: Tensor, shape: tuple[int, ...], grain: int, generator: torch.Generator) -> Tensor:
    """Masks (B, 1, H, W) of 1 at the share of pixels where a random field, smooth over ``grain`` pixels, is lowest."""
    coarse = torch.rand(len(shares), 1, *(-(-n // grain) + 1 for n in shape), generator=generator)
    fine = F.interpolate(coarse, scale_factor=grain, mode="bicubic") if grain > 1 else coarse
    field = fine[..., : shape[0], : shape[1]].flatten(1)
    rank = field.argsort(1).argsort(1)
    return (rank < shares[:, None] * rank.shape[1]).float().reshape(-1, 1, *shape)


def _measured(
    target: Tensor, operator: Operator, noise: Tensor, generator: torch.Generator, guess: float | None = None
) -> tuple[InverseProblem, Tensor]:
    """The problem y = A target + noise n, and its target."""
    return InverseProblem(operator, _add_noise(operator(target), noise, generator), noise, guess=guess), target


def _add_noise(clean: Tensor, noise: Tensor, generator: torch.Generator) -> Tensor:
    level = per_sample(noise, clean)
    if clean.is_complex():
        parts = torch.randn(*clean.shape, 2, generator=generator, dtype=clean.real.dtype)
        return clean + level * torch.view_as_complex(parts)
    return clean + level * torch.randn(clean.shape, generator=generator, dtype=clean.dtype)


def pool(sources: Mapping[str, Sequence[Tensor]]) -> list[Tensor]:
    """Lists of pictures as one, in which each has the same total weight (shorter ones are repeated)."""
    most = max(len(source) for source in sources.values())
    return [source[i % len(source)] for source in sources.values() for i in range(most)]
