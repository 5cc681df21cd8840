"""Draw inverse problems on pictures: denoising, inpainting, deblurring, super-resolution, projections, mixtures.

Noise levels are standard deviations in the units of y, in which pictures lie in [0, 1]; :func:`grey_levels` converts
those of 8-bit pictures. Every task refuses levels that are not 0 < low <= high <= 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..arguments.contracts import Count, Positive, Positives, Share, Shares, SomeCounts, checked
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
from .patches import Patches, integer, uniform
from .task import Task


@checked
@dataclass(frozen=True, eq=False)
class Denoising:
    """Remove white Gaussian noise: ``y = x + noise n``.

    Args:
        patches: The pictures x.
        noise_levels: (low, high); each patch draws its own level, uniformly.
        quantised: Probability that a patch is clipped to [0, 1] and rounded to 8 bits, as in picture files.
    """

    patches: Patches
    noise_levels: tuple[float, float] = (1 / 255, 55 / 255)
    quantised: Share = 0.0

    def __post_init__(self) -> None:
        _check_levels(self)

    def sample(self, seed: int) -> tuple[InverseProblem, Tensor]:
        generator = random.generator(seed)
        target = self.patches.draw(generator)
        noise = uniform(*self.noise_levels, len(target), generator)
        y = _add_noise(target, noise, generator)
        if self.quantised > 0:
            chosen = torch.rand(len(target), generator=generator) < self.quantised
            y = torch.where(chosen.reshape(-1, 1, 1, 1), (255 * y.clamp(0, 1)).round() / 255, y)
        return InverseProblem(Identity(), y, noise), target


@checked
@dataclass(frozen=True, eq=False)
class Inpainting:
    """Fill in missing pixels: ``y = m (x + noise n)``, with a random mask m for each patch.

    Args:
        patches: The pictures x.
        kept_shares: (low, high) of the share of pixels that a patch keeps; each patch draws its own, uniformly.
        noise_levels: (low, high); each patch draws its own, uniformly on a logarithmic scale.
        grains: Widths of the missing blots in pixels, of which each batch draws one. With 1 single pixels are missing.
    """

    patches: Patches
    kept_shares: Shares = (0.1, 0.9)
    noise_levels: tuple[float, float] = (1 / 255, 1 / 255)
    grains: SomeCounts = (1,)

    def __post_init__(self) -> None:
        _check_levels(self)

    def sample(self, seed: int) -> tuple[InverseProblem, Tensor]:
        generator = random.generator(seed)
        target = self.patches.draw(generator)
        shares = uniform(*self.kept_shares, len(target), generator)
        grain = self.grains[integer(len(self.grains), generator)]
        operator = Mask(_blots(shares, tuple(target.shape[2:]), grain, generator))
        noise = _levels(self.noise_levels, len(target), generator)
        return InverseProblem(operator, operator(_add_noise(target, noise, generator)), noise), target


@checked
@dataclass(frozen=True, eq=False)
class Deblurring:
    """Undo a Gaussian blur: ``y = k * x + noise n``, with zeros beyond the border.

    Args:
        patches: The pictures x.
        widths: (low, high) of the standard deviation of the kernel in pixels; each patch draws its own, uniformly.
        size: Side of the kernel in pixels, odd.
        noise_levels: (low, high); each patch draws its own, uniformly on a logarithmic scale.
    """

    patches: Patches
    widths: Positives = (0.5, 3.0)
    size: Count = 15
    noise_levels: tuple[float, float] = (1 / 255, 1 / 255)

    def __post_init__(self) -> None:
        _check_levels(self)

    def sample(self, seed: int) -> tuple[InverseProblem, Tensor]:
        generator = random.generator(seed)
        target = self.patches.draw(generator)
        widths = uniform(*self.widths, len(target), generator).tolist()
        operator = Blur(torch.stack([gaussian_kernel(self.size, width) for width in widths]))
        return _measured(target, operator, _levels(self.noise_levels, len(target), generator), generator)


@checked
@dataclass(frozen=True, eq=False)
class SuperResolution:
    """Enlarge a picture: ``y = S x + noise n``, where S is the :func:`shrinking` by one factor for the whole batch.

    Args:
        patches: The pictures x.
        factors: Factors of which each batch draws one.
        noise_levels: (low, high) in the small picture, whose values are those of y divided by the factor; each patch
            draws its own, uniformly on a logarithmic scale.
    """

    patches: Patches
    factors: SomeCounts = (2, 3, 4)
    noise_levels: tuple[float, float] = (1 / 255, 1 / 255)

    def __post_init__(self) -> None:
        _check_levels(self)

    def sample(self, seed: int) -> tuple[InverseProblem, Tensor]:
        generator = random.generator(seed)
        target = self.patches.draw(generator)
        factor = self.factors[integer(len(self.factors), generator)]
        target = target[..., : target.shape[-2] // factor * factor, : target.shape[-1] // factor * factor]
        noise = factor * _levels(self.noise_levels, len(target), generator)
        return _measured(target, shrinking(tuple(target.shape), factor), noise, generator)


@checked
def shrinking(shape: tuple[Count, ...], factor: Count, *, dtype: torch.dtype = torch.float32) -> Operator:
    """Return antialiased bicubic downsampling of (..., H, W) by ``factor``, multiplied by ``factor``.

    With that factor its rows have about unit norm, like those of other operators. So y and its noise are ``factor``
    times those of the small picture.

    Args:
        shape: The shape of x, (..., H, W), with H and W multiples of ``factor``.
        factor: How many times smaller the result is along each side.
        dtype: The dtype of the operator.
    """
    return Scaled(bicubic_downsample(shape, factor, dtype=dtype), factor)


@checked
@dataclass(frozen=True, eq=False)
class Mixture:
    """Draw each batch from one of several tasks.

    Args:
        tasks: The tasks.
        weights: Weights in proportion to the probabilities of the tasks. None: all are equal.

    Raises:
        MetaoptError: There is no task, or the weights do not fit the tasks.
    """

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


@checked
@dataclass(frozen=True, eq=False)
class RandomProjections:
    """Reconstruct pictures from random projections: ``y = A x + noise n``, with a new A for every batch.

    A acts on each ``block`` x ``block`` square alike. Its ensemble (Gaussian, +-1 Bernoulli or rows of the Fourier
    transform) is drawn with equal probability. The problem is normalised to ``|A| = 1``
    (:meth:`~metaopt.InverseProblem.normalized`), because the norm of A depends on the number of rows. The first guess
    is middle grey.

    Args:
        patches: The pictures x.
        block: Side of the squares in pixels.
        ratios: (low, high) of the ratio of measurements to pixels; each batch draws its own, uniformly.
        noise_levels: (low, high); each patch draws its own, uniformly on a logarithmic scale.
    """

    patches: Patches
    block: Count = 32
    ratios: Shares = (0.1, 0.5)
    noise_levels: tuple[float, float] = (1 / 255, 1 / 255)

    def __post_init__(self) -> None:
        _check_levels(self)

    def sample(self, seed: int) -> tuple[InverseProblem, Tensor]:
        generator = random.generator(seed)
        target = self.patches.draw(generator)
        ensembles: tuple[Callable[..., Operator], ...] = (gaussian_projection, bernoulli_projection, fourier_projection)
        ensemble = ensembles[integer(len(ensembles), generator)]
        ratio = float(uniform(*self.ratios, 1, generator))
        _, channels, height, width = target.shape
        operator = block_projection(ensemble, ratio, (channels, height, width), self.block, random.derive(seed, 1))
        noise = _levels(self.noise_levels, len(target), generator)
        problem, _ = _measured(target, operator, noise, generator, guess=0.5)
        return problem.normalized(iterations=20), target


@checked
def block_projection(
    ensemble: Callable[[Any, Any, Any], Operator],
    ratio: Positive,
    shape: tuple[Count, Count, Count],
    block: Count,
    seed: int,
) -> Operator:
    """Return one random projection that acts on every block of (C, H, W) pictures alike.

    Args:
        ensemble: ``ensemble(rows, shape, seed)`` makes a projection: :func:`~metaopt.operators.gaussian_projection`.
        ratio: Ratio of measurements to pixels.
        shape: (C, H, W) of the pictures.
        block: Side of a block in pixels.
        seed: Seed of the projection.
    """
    channels = shape[0]
    rows = max(1, round(ratio * channels * block**2))
    return ensemble(rows, (channels, block, block), seed) @ Blocks(shape, block)


@checked
def grey_levels(low: float, high: float | None = None) -> tuple[float, float]:
    """Convert noise levels in grey levels of 255 to the units of pictures in [0, 1].

    Args:
        low: The lowest level.
        high: The highest level. None: the same as ``low``.

    Example:
        >>> task = Denoising(patches, grey_levels(1, 55))
    """
    return from_grey_levels(low), from_grey_levels(low if high is None else high)


def _check_levels(task: Any) -> None:
    low, high = task.noise_levels
    if not 0 < low <= high <= 1:
        raise MetaoptError(
            f"The noise levels of {type(task).__name__} are in the units of pictures in [0, 1], two numbers, the "
            f"smaller first, but got {low:g} and {high:g}; for grey levels of 255 give grey_levels({low:g}, {high:g})."
        )


def _levels(bounds: tuple[float, float], count: int, generator: torch.Generator) -> Tensor:
    """Draw standard deviations between ``bounds``, uniformly on a logarithmic scale."""
    low, high = (math.log(bound) for bound in bounds)
    return uniform(low, high, count, generator).exp()


def _blots(shares: Tensor, shape: tuple[Count, ...], grain: int, generator: torch.Generator) -> Tensor:
    """Return masks (B, 1, H, W), 1 at the share of pixels where a field, smooth over ``grain`` pixels, is lowest."""
    coarse = torch.rand(len(shares), 1, *(-(-n // grain) + 1 for n in shape), generator=generator)
    fine = F.interpolate(coarse, scale_factor=grain, mode="bicubic") if grain > 1 else coarse
    field = fine[..., : shape[0], : shape[1]].flatten(1)
    rank = field.argsort(1).argsort(1)
    return (rank < shares[:, None] * rank.shape[1]).float().reshape(-1, 1, *shape)


def _measured(
    target: Tensor, operator: Operator, noise: Tensor, generator: torch.Generator, guess: float | None = None
) -> tuple[InverseProblem, Tensor]:
    """Return the problem y = A target + noise n, and its target."""
    return InverseProblem(operator, _add_noise(operator(target), noise, generator), noise, guess=guess), target


def _add_noise(clean: Tensor, noise: Tensor, generator: torch.Generator) -> Tensor:
    level = per_sample(noise, clean)
    if clean.is_complex():
        parts = torch.randn(*clean.shape, 2, generator=generator, dtype=clean.real.dtype)
        return clean + level * torch.view_as_complex(parts)
    return clean + level * torch.randn(clean.shape, generator=generator, dtype=clean.dtype)
