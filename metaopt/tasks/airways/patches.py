"""Draw patches of simulated chest CT with their lumen, on which a network learns to see airways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...arguments.checks import said
from ...arguments.contracts import Count, Positives, Share, checked
from ...core import random
from ...core.errors import MetaoptError
from ..patches import integer, uniform
from .chest import draw_lungs
from .ct import airway_shares, lumen_mask
from .grid import check_mask, check_spacing
from .growth import Morphometry, grow_airways
from .scanner import Scanner
from .tissue import Tissue, paint, vessel_tubes
from .tree import AirwayTree
from .tubes import Tube, fill_tubes, visible

BORDER = 4  # voxels around a patch that are simulated and cut off, so that it is blurred as inside a volume
DRAWN = (3.0, 3.0, 3.0)  # mm, the spacing of lungs that are drawn
ELSEWHERE = 0.25  # of the patches lie anywhere in the lungs, the others at airways


@checked
@dataclass(frozen=True, eq=False)
class AirwayCts:
    """Find the lumen of airways in patches of chest CT.

    Each batch grows one tree in lungs that it draws, and takes patches of it: three of four around a place on a branch,
    every branch with the same probability, the others anywhere in the lungs. Every patch has its own spacing, blur,
    noise, thickness of walls and density of parenchyma, from the ranges of published CT protocols and morphometry.

    Args:
        lungs: Lung masks (D, H, W) with their spacing (z, y, x) in mm, in pairs, of which each batch takes one. None:
            they are drawn (:func:`draw_lungs`).
        size: Side of a patch in voxels.
        batch: Number of patches.
        spacing: (low, high) of the distance of voxels within and between slices, in mm, drawn separately.
        blur: (low, high) of the full width at half maximum of the scanner, in mm.
        noise: (low, high) of the standard deviation of the noise, in Hounsfield units.
        thickness: (low, high) of the thickness of walls at an inner perimeter of 10 mm, in mm (:class:`Tissue`).
        opaque: The share of the patches with opacities.
    """

    lungs: Sequence[Any] | None = field(default=None, repr=False)
    size: Count = 48
    batch: Count = 4
    spacing: Positives = (0.5, 1.0)
    blur: Positives = (0.6, 1.6)
    noise: Positives = (15.0, 90.0)
    thickness: Positives = (0.44, 0.99)
    opaque: Share = 0.2

    def __post_init__(self) -> None:
        if self.lungs is None:
            return
        if not len(self.lungs):
            raise MetaoptError("AirwayCts needs at least one lung mask with its spacing, or None to draw lungs.")
        for pair in self.lungs:
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise MetaoptError(
                    f"The lungs of AirwayCts are pairs of a mask and its spacing, but one is {said(pair)}."
                )
        found = [(check_mask("A lung mask of AirwayCts", m), check_spacing(s)) for m, s in self.lungs]
        object.__setattr__(self, "lungs", found)

    def sample(self, seed: int) -> tuple[Tensor, Tensor]:
        """Draw (CT, lumen), both (B, 1, size, size, size) float32: Hounsfield units, and 1 inside and 0 outside."""
        generator = random.generator(seed)
        if self.lungs is None:
            mask, spacing = draw_lungs(random.derive(seed, 0), DRAWN), DRAWN
        else:
            mask, spacing = self.lungs[integer(len(self.lungs), generator)]
        morphometry = Morphometry(trachea=float(uniform(7.0, 9.5, 1, generator)))
        tree = grow_airways(mask, spacing, random.derive(seed, 1), morphometry)
        vessels = vessel_tubes(tree, mask, spacing, Tissue(), random.derive(seed, 2))
        pairs = [
            self._patch(tree, vessels, (mask, spacing), random.derive(seed, 3, i), generator) for i in range(self.batch)
        ]
        cts, lumina = zip(*pairs, strict=True)
        return torch.stack(cts)[:, None], torch.stack(lumina)[:, None]

    def _patch(
        self, tree: AirwayTree, vessels: list[Tube], lungs: tuple[Tensor, Any], seed: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        within, between = uniform(*self.spacing, 2, generator).tolist()
        spacing, side = (between, within, within), self.size + 2 * BORDER
        sizes = torch.tensor(spacing)
        corner = self._place(tree, lungs, sizes, generator) - (side - 1) / 2 * sizes
        shape = (side, side, side)
        near = (_near(tubes, corner, (side - 1) * sizes) for tubes in (tree.tubes, vessels))
        airways, others = (visible(tubes, spacing) for tubes in near)
        thickness, parenchyma, opaque = torch.rand(3, generator=generator).tolist()
        tissue = Tissue(
            thickness=self.thickness[0] + thickness * (self.thickness[1] - self.thickness[0]),
            parenchyma=-920 + 130 * parenchyma,
            opacities=2 if opaque < self.opaque else 0,
        )
        lumen, outer = airway_shares(airways, shape, spacing, tissue)
        filled = fill_tubes(others, shape, spacing)
        inside = _resampled(lungs, corner, shape, sizes)
        volume = paint((lumen, outer, filled), inside, spacing, tissue, seed)
        blur, noise = float(uniform(*self.blur, 1, generator)), float(uniform(*self.noise, 1, generator))
        scanned = Scanner(blur, noise).scan(volume, spacing, random.generator(seed, 1))
        cut = (slice(BORDER, -BORDER),) * 3
        return scanned[cut].clone(), lumen_mask(lumen, airways, spacing)[cut].float()

    def _place(self, tree: AirwayTree, lungs: tuple[Tensor, Any], sizes: Tensor, generator: torch.Generator) -> Tensor:
        """Return the middle of a patch, in mm."""
        shift = (torch.rand(3, generator=generator) - 0.5) * 0.6 * self.size * sizes
        if float(torch.rand((), generator=generator)) < ELSEWHERE:
            places = lungs[0].nonzero()
            return places[integer(len(places), generator)] * torch.tensor(lungs[1]).float()
        points = tree.points[integer(len(tree), generator)]
        return points[integer(len(points), generator)] + shift


def _near(tubes: Sequence[Tube], corner: Tensor, extent: Tensor) -> list[Tube]:
    """Return the tubes that may touch a patch, with positions from its corner."""
    found = []
    for points, radius in tubes:
        shifted, wide = points - corner, 2 * float(radius.max()) + 2
        if bool(((shifted.amax(0) > -wide) & (shifted.amin(0) < extent + wide)).all()):
            found.append((shifted, radius))
    return found


def _resampled(lungs: tuple[Tensor, Any], corner: Tensor, shape: tuple[int, ...], sizes: Tensor) -> Tensor:
    """Return the part of a lung mask on another grid, by linear interpolation; outside it there is no lung."""
    mask, spacing = lungs
    places = [(corner[a] + torch.arange(n) * sizes[a]) / spacing[a] for a, n in enumerate(shape)]
    starts = [min(max(0, int(p[0]) - 1), n - 2) for p, n in zip(places, mask.shape, strict=True)]
    ends = [max(s + 2, int(p[-1]) + 3) for p, s in zip(places, starts, strict=True)]
    part = mask[tuple(slice(s, e) for s, e in zip(starts, ends, strict=True))]
    unit = [2 * (p - s) / (n - 1) - 1 for p, s, n in zip(places, starts, part.shape, strict=True)]
    grid = torch.stack(torch.meshgrid(*unit, indexing="ij")[::-1], -1)[None]
    return torch.nn.functional.grid_sample(part[None, None].float(), grid, align_corners=True)[0, 0] >= 0.5
