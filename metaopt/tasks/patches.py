"""Draw random crops of pictures, and join collections of pictures to draw them from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from ..arguments.contracts import Between, Count, checked
from ..core import MetaoptError

Zoom = Annotated[float, Between(1)]


@checked
@dataclass(frozen=True, eq=False)
class Patches:
    """Draw random square crops of pictures, mirrored, turned by multiples of 90 degrees and magnified.

    Args:
        pictures: (C, H, W) tensors, uint8, or of real numbers in [0, 1]. Those smaller than ``size`` are left out; one
            at least is not.
        size: Side of a crop in pixels.
        batch: Number of crops that :meth:`draw` gives.
        zoom: Largest magnification; each crop draws its own, uniformly from 1 to ``zoom``.
    """

    pictures: Sequence[Tensor]
    size: Count = 40
    batch: Count = 16
    zoom: Zoom = 1.0

    def __post_init__(self) -> None:
        fitting = [p for p in self.pictures if min(p.shape[-2:]) >= self.size]
        if not fitting:
            raise MetaoptError(
                f"None of the {len(self.pictures)} pictures is at least {self.size} x {self.size} pixels."
            )
        for picture in fitting:
            _check_shades(picture)
        object.__setattr__(self, "pictures", fitting)

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw a batch of crops (batch, C, size, size) in [0, 1] by ``generator``."""
        return torch.stack([self._crop(generator) for _ in range(self.batch)])

    def _crop(self, generator: torch.Generator) -> Tensor:
        picture = self.pictures[integer(len(self.pictures), generator)]
        side = math.ceil(self.size / float(uniform(1.0, self.zoom, 1, generator)))
        top, left = (integer(n - side + 1, generator) for n in picture.shape[-2:])
        crop = picture[:, top : top + side, left : left + side]
        crop = crop / 255 if crop.dtype == torch.uint8 else crop.float()
        if side != self.size:
            crop = F.interpolate(crop[None], size=(self.size, self.size), mode="bicubic")[0].clamp(0, 1)
        turned = torch.rot90(crop, integer(4, generator), (-2, -1))
        return turned.flip(-1) if integer(2, generator) else turned


def _check_shades(picture: Tensor) -> None:
    """Refuse pictures that are neither of bytes nor of numbers from 0 to 1."""
    if picture.dtype == torch.uint8:
        return
    if not picture.is_floating_point():
        raise MetaoptError(f"Pictures are uint8, or real numbers in [0, 1], but one is {picture.dtype}.")
    low, high = (float(bound) for bound in picture.aminmax())
    if not 0 <= low <= high <= 1:
        raise MetaoptError(
            f"Pictures of {picture.dtype} go from 0 to 1, but one goes from {low:g} to {high:g}; divide it by its "
            "white, or give 8 bits as uint8."
        )


@checked
def pool(sources: Mapping[str, Sequence[Tensor]]) -> list[Tensor]:
    """Join several lists of pictures to one in which each source has the same weight, by repeating the shorter ones.

    Args:
        sources: Lists of pictures, by name.
    """
    if not sources or not all(len(source) for source in sources.values()):
        raise MetaoptError("A pool is joined of lists of pictures by name, of which none is empty.")
    most = max(len(source) for source in sources.values())
    return [source[i % len(source)] for source in sources.values() for i in range(most)]


def integer(stop: int, generator: torch.Generator) -> int:
    """Draw one of 0, 1, ..., stop - 1."""
    return int(torch.randint(stop, (), generator=generator))


def uniform(low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    """Draw (count,) numbers between low and high."""
    return low + (high - low) * torch.rand(count, generator=generator)
