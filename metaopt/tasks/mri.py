"""Draw problems of magnetic resonance imaging: complex pictures from undersampled k-space."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor

from ..arguments.contracts import Count, Counts, NotNegative, Positives, Share, checked
from ..core import random
from ..operators import Fourier, Sense, gaussian_mask
from ..problems import InverseProblem
from .coils import coil_maps
from .images import _add_noise
from .patches import Patches, integer, uniform

AIR = 0.1  # of the largest magnitude


@checked
@dataclass(frozen=True, eq=False)
class UndersampledMri:
    """Reconstruct a complex picture from undersampled k-space: ``y = M F (S x + noise n)``.

    The magnitudes come from ``patches``, and each is given a smooth random phase. Every picture of a batch has its own
    mask M, and with several coils its own maps S (:func:`coil_maps`). The transform F is unitary, so the noise is white
    in k-space as well. For masks of several kinds see :class:`Mixture`.

    Args:
        patches: The magnitudes, in [0, 1].
        accelerations: (low, high) of the ratio of pixels to samples; each picture draws its own, uniformly.
        center: Half axis of the fully sampled centre, relative to the extent of k-space, or what ``mask`` takes for it.
        noise_levels: (low, high) of the standard deviation of the real and of the imaginary part of the noise, in units
            in which the brightest pixel is at most 1; each picture draws its own, uniformly.
        coils: The number of coils, or (low, high), between which each batch draws its own. One coil has no maps.
        mask: Draws a mask by (shape, acceleration, center, seed), such as
            :func:`~metaopt.operators.gaussian_columns_mask`.
        inverted: The share of pictures whose contrast is inverted, where they are not black: T1 and T2 weighted
            pictures of a head are nearly that to each other.
    """

    patches: Patches
    accelerations: Positives = (2.0, 6.0)
    center: NotNegative = 0.02
    noise_levels: Positives = (0.002, 0.04)
    coils: Count | Counts = 1
    mask: Callable[[Sequence[int], float, float, int], Tensor] = gaussian_mask
    inverted: Share = 0.0

    def sample(self, seed: int) -> tuple[InverseProblem, Tensor]:
        generator = random.generator(seed)
        magnitude = self._inverted(self.patches.draw(generator), generator)
        count, (height, width) = len(magnitude), magnitude.shape[-2:]
        target = magnitude * torch.stack([smooth_phase((height, width), generator) for _ in range(count)])[:, None]
        accelerations = uniform(*self.accelerations, count, generator).tolist()
        shape, seeds = (height, width), [random.derive(seed, i) for i in range(count)]
        masks = [self.mask(shape, a, self.center, s) for a, s in zip(accelerations, seeds, strict=True)]
        fourier = Fourier(torch.stack(masks)[:, None])
        noise = uniform(*self.noise_levels, count, generator)
        coils = self._coils(generator)
        if coils == 1:
            operator, seen = fourier, target
        else:
            sense = Sense(torch.stack([coil_maps(shape, coils, generator) for _ in range(count)])[:, None])
            operator, seen = fourier @ sense, sense(target)
        y = fourier(_add_noise(seen, noise, generator))  # the unitary transform of white noise is white noise
        return InverseProblem(operator, y, noise), target

    def _inverted(self, magnitude: Tensor, generator: torch.Generator) -> Tensor:
        if not self.inverted:
            return magnitude
        chosen = torch.rand(len(magnitude), 1, 1, 1, generator=generator) < self.inverted
        shown = (magnitude / AIR).clamp(max=1)  # the air around a head stays black
        return torch.where(chosen, shown * (magnitude.amax((1, 2, 3), keepdim=True) - magnitude), magnitude)

    def _coils(self, generator: torch.Generator) -> int:
        if isinstance(self.coils, int | Integral):
            return int(self.coils)
        low, high = self.coils
        return low + integer(high - low + 1, generator)


@checked
def smooth_phase(
    shape: Sequence[Count], generator: torch.Generator, modes: Count = 3, size: NotNegative = 1.2
) -> Tensor:
    """Draw a smooth phase factor exp(i phi), where phi is a random sum of cosines of low frequency.

    Args:
        shape: (H, W), or (D, H, W).
        generator: Draws the amplitudes.
        modes: Number of frequencies along each axis.
        size: Standard deviation of the amplitude at frequency 0, in radians; it decreases with the frequency.

    Returns:
        exp(i phi), complex and of that shape.
    """
    squares = torch.meshgrid(*[torch.arange(modes) ** 2] * len(shape), indexing="ij")
    frequency = torch.stack(squares).sum(0)
    phase = size * torch.randn(frequency.shape, generator=generator) / (1 + frequency).sqrt()
    for n in shape:  # one axis of modes after the other becomes one of places, at the end
        waves = torch.cos(torch.arange(modes)[:, None] * torch.linspace(0, math.pi, n))
        phase = torch.einsum("m...,mn->...n", phase, waves)
    return torch.polar(torch.ones_like(phase), phase)
