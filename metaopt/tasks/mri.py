"""Draw problems of magnetic resonance imaging: complex pictures from undersampled k-space."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..arguments.contracts import Count, NotNegative, Positives, checked
from ..core import random
from ..operators import Fourier, gaussian_mask
from ..problems import InverseProblem
from .images import _add_noise
from .patches import Patches, uniform


@checked
@dataclass(frozen=True, eq=False)
class UndersampledMri:
    """Reconstruct a complex picture from undersampled k-space: ``y = M F (x + noise n)``.

    The magnitudes come from ``patches``, and each is given a smooth random phase. Every picture of a batch has its own
    variable-density mask M. The transform F is unitary, so the noise is white in k-space as well.

    Args:
        patches: The magnitudes, in [0, 1].
        accelerations: (low, high) of the ratio of pixels to samples; each picture draws its own, uniformly.
        center: Half axis of the fully sampled centre, relative to the extent of k-space.
        noise_levels: (low, high) of the standard deviation of the real and of the imaginary part of the noise, in units
            in which the brightest pixel is at most 1; each picture draws its own, uniformly.
    """

    patches: Patches
    accelerations: Positives = (2.0, 6.0)
    center: NotNegative = 0.02
    noise_levels: Positives = (0.002, 0.04)

    def sample(self, seed: int) -> tuple[InverseProblem, Tensor]:
        generator = random.generator(seed)
        magnitude = self.patches.draw(generator)
        count, (height, width) = len(magnitude), magnitude.shape[-2:]
        target = magnitude * torch.stack([smooth_phase((height, width), generator) for _ in range(count)])[:, None]
        accelerations = uniform(*self.accelerations, count, generator).tolist()
        shape, seeds = (height, width), [random.derive(seed, i) for i in range(count)]
        masks = [gaussian_mask(shape, a, self.center, s) for a, s in zip(accelerations, seeds, strict=True)]
        operator = Fourier(torch.stack(masks)[:, None])
        noise = uniform(*self.noise_levels, count, generator)
        y = operator(_add_noise(target, noise, generator))  # the unitary transform of white noise is white noise
        return InverseProblem(operator, y, noise), target


@checked
def smooth_phase(
    shape: tuple[int, int], generator: torch.Generator, modes: Count = 3, size: NotNegative = 1.2
) -> Tensor:
    """Draw a smooth phase factor exp(i phi), where phi is a random sum of cosines of low frequency.

    Args:
        shape: (H, W).
        generator: Draws the amplitudes.
        modes: Number of frequencies along each axis.
        size: Standard deviation of the amplitude at frequency 0, in radians; it decreases with the frequency.

    Returns:
        exp(i phi), (H, W) complex.
    """
    axes = [torch.linspace(0, math.pi, n) for n in shape]
    rows, columns = (torch.cos(torch.arange(modes)[:, None] * axis) for axis in axes)
    frequency = torch.arange(modes)[:, None] ** 2 + torch.arange(modes) ** 2
    amplitudes = size * torch.randn(modes, modes, generator=generator) / (1 + frequency).sqrt()
    phase = rows.T @ amplitudes @ columns
    return torch.polar(torch.ones(shape), phase)
