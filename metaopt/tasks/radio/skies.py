"""Draw skies as radio telescopes see them: galaxies, jets, points and whatever is bright on a dark ground."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...arguments.contracts import Count, Positives, Share, checked
from ...core import MetaoptError
from ..patches import integer, uniform

FAINTEST = 1e-4  # of the brightest of the parts that a sky is the sum of


@checked
@dataclass(frozen=True, eq=False)
class Skies:
    """Draw positive pictures whose brightest pixel is 1, of a wide dynamic range.

    A sky is the sum of one to three parts: crops of ``galaxies``, turned, shifted and zoomed; crops of ``pictures``
    under a smooth window; or components of Gaussians, curved jets and points. Half of the skies are then
    stretched, ``x -> ((1 + a)^x - 1) / a``, so that what was at half of the peak is at about ``1 / sqrt(a)``.

    Args:
        galaxies: Pictures (1, H, W) of positive numbers.
        pictures: Pictures (1, H, W), uint8 or from 0 to 1, whose ground need not be dark. Empty: none.
        size: The side of a sky in pixels.
        batch: The number of skies that :meth:`draw` gives.
        zooms: (low, high) of the magnification; each part draws its own, uniformly on a logarithmic scale.
        stretches: (low, high) of a, likewise.
        galaxy_share: The probability that a part is a galaxy.
        picture_share: The probability that it is a picture, where there are any; components have the rest.

    Raises:
        MetaoptError: There is no galaxy, or the shares exceed 1.

    Source:
        The stretch: Terris et al., Image reconstruction algorithms in radio interferometry: from handcrafted to learned
        denoisers, 2022, arXiv:2202.12959, section 4.
    """

    galaxies: Sequence[Tensor]
    pictures: Sequence[Tensor] = ()
    size: Count = 64
    batch: Count = 4
    zooms: Positives = (0.5, 2.0)
    stretches: Positives = (10.0, 1e4)
    galaxy_share: Share = 0.5
    picture_share: Share = 0.2

    def __post_init__(self) -> None:
        if not self.galaxies:
            raise MetaoptError("Skies needs at least one galaxy, a picture (1, H, W).")
        if self.galaxy_share + self.picture_share > 1:
            raise MetaoptError(
                f"The shares of galaxies and pictures are at most 1 together, but got {self.galaxy_share} and "
                f"{self.picture_share}."
            )

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw a batch of skies (batch, 1, size, size) by ``generator``."""
        return torch.stack([self._sky(generator) for _ in range(self.batch)])

    def _sky(self, generator: torch.Generator) -> Tensor:
        sky = self._part(generator)
        for _ in range(integer(3, generator)):
            sky = sky + logarithmic(FAINTEST, 1.0, generator) * self._part(generator)
        sky = sky / sky.amax().clamp(min=1e-30)
        if integer(2, generator):
            base = logarithmic(*self.stretches, generator)
            sky = torch.expm1(sky * math.log1p(base)) / base
        return sky

    def _part(self, generator: torch.Generator) -> Tensor:
        """Draw a picture (1, size, size) whose peak is 1."""
        chosen = float(torch.rand((), generator=generator))
        if chosen < self.galaxy_share:
            part = self._placed(self.galaxies, generator, 0.3)
        elif chosen < self.galaxy_share + self.picture_share and len(self.pictures):
            part = self._placed(self.pictures, generator, 0.6)
            part = (part / part.amax().clamp(min=1e-30)) ** logarithmic(1.0, 4.0, generator) * self._window(generator)
        else:
            part = self._components(generator)
        return part / part.amax().clamp(min=1e-30)

    def _placed(self, pictures: Sequence[Tensor], generator: torch.Generator, shift: float) -> Tensor:
        """Draw a picture, turned, zoomed and mirrored; its middle is shifted by up to a share of half the sky."""
        picture = pictures[integer(len(pictures), generator)].float()[None]
        zoom = logarithmic(*self.zooms, generator)
        if zoom < 1:
            picture = F.interpolate(picture, scale_factor=zoom, mode="bilinear", antialias=True)
        zoom = max(zoom, 1.0)
        turn = float(uniform(0, 2 * math.pi, 1, generator))
        mirror = 1 - 2 * integer(2, generator)
        cosine, sine = (self.size / zoom * f(turn) for f in (math.cos, math.sin))
        tall, wide = picture.shape[-2:]
        x, y = uniform(-shift, shift, 2, generator).tolist()
        matrix = torch.tensor([[[mirror * cosine / wide, -sine / wide, x], [mirror * sine / tall, cosine / tall, y]]])
        grid = F.affine_grid(matrix, [1, 1, self.size, self.size], align_corners=False)
        return F.grid_sample(picture, grid, mode="bicubic", align_corners=False)[0].clamp(min=0)

    def _window(self, generator: torch.Generator) -> Tensor:
        """Draw a smooth elliptical window, (size, size), that is 0 at the border."""
        x, y = self._turned(generator)
        wide, tall = uniform(0.3, 0.9, 2, generator).tolist()
        edge = 1 - (x / wide).square() - (y / tall).square()
        return (3 * edge).clamp(0, 1) * (4 * (1 - self._axis().abs())).clamp(0, 1).prod(0)

    def _components(self, generator: torch.Generator) -> Tensor:
        """Draw points, Gaussians and the knots of a jet, each of its own size and flux."""
        knots = [uniform(-0.8, 0.8, 2, generator) for _ in range(1 + integer(12, generator))]
        if integer(2, generator):  # a curved line through the middle, with a lobe at each end
            angle, bend = uniform(0, math.pi, 2, generator).tolist()
            along = torch.linspace(-1, 1, 8 + integer(40, generator)) * float(uniform(0.1, 0.8, 1, generator))
            turned = angle + (bend - math.pi / 2) * along
            knots += list(torch.stack([along * turned.cos(), along * turned.sin()], 1))
        width = logarithmic(0.4, 6.0, generator)  # pixels
        spread = float(uniform(0, 1.2, 1, generator))
        sky = torch.zeros(1, self.size, self.size)
        x, y = self._axis() * self.size / 2  # pixels
        for place in knots:
            drawn = torch.randn(4, generator=generator) * torch.tensor([spread, 0.3, 1.5, 0.0])
            size = max(0.05, width * math.exp(float(drawn[0]) - 0.3))
            ratio, angle = math.exp(float(drawn[1])), float(uniform(0, math.pi, 1, generator))
            u, v = x - place[0] * self.size / 2, y - place[1] * self.size / 2
            if size < 0.4:  # a point is one pixel
                row, column = ((1 + place.flip(0)) * self.size / 2).long().clamp(0, self.size - 1).tolist()
                sky[0, row, column] += math.exp(float(drawn[2]))
                continue
            a, b = u * math.cos(angle) + v * math.sin(angle), v * math.cos(angle) - u * math.sin(angle)
            sky[0] += math.exp(float(drawn[2])) / size * torch.exp(-((a / ratio).square() + b.square()) / (2 * size**2))
        return sky

    def _axis(self) -> Tensor:
        """Return x and y of each pixel, from -1 to 1, (2, size, size)."""
        axis = (2 * torch.arange(self.size) + 1) / self.size - 1
        return torch.stack(torch.meshgrid(axis, axis, indexing="xy"))

    def _turned(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        (x, y), angle = self._axis(), float(uniform(0, math.pi, 1, generator))
        return x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)


def logarithmic(low: float, high: float, generator: torch.Generator) -> float:
    """Draw a number between low and high, uniformly on a logarithmic scale."""
    return math.exp(float(uniform(math.log(low), math.log(high), 1, generator)))
