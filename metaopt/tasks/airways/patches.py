"""Draw patches of simulated chest CT with their lumen, on which a network learns to see airways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...arguments.checks import check_instance, said
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
TEXTURE = (25.0, 60.0)  # HU, standard deviation of the parenchyma
ELSEWHERE = 0.25  # of the patches lie anywhere in the lungs, the others at airways
LEVELS = 64  # of the share of a voxel, which is sampled at 4 x 4 x 4 places


class Forest(NamedTuple):
    """Hold lungs, a mask (D, H, W) with its spacing in mm, with the airways and the vessels that grow there."""

    lungs: Tensor
    spacing: tuple[float, float, float]
    tree: AirwayTree
    vessels: list[Tube]


class Scene(NamedTuple):
    """Hold a place that was rendered, with a border.

    ``shares`` (3, D, H, W) uint8 are the parts of a voxel in lumen, lumen or wall, and vessels, in 64ths; ``lungs`` and
    ``lumen`` (D, H, W) are masks.
    """

    shares: Tensor
    lungs: Tensor
    lumen: Tensor
    spacing: tuple[float, float, float]


@checked
@dataclass(frozen=True, eq=False)
class AirwayCts:
    """Find the lumen of airways in patches of chest CT.

    Each batch grows one tree in lungs that it draws, and takes patches of it: three of four around a place on a branch,
    every branch with the same probability, the others anywhere in the lungs. Every patch has its own spacing, blur,
    noise, thickness of walls, density and texture of parenchyma, from the ranges of published CT protocols and
    morphometry; thin walls are those of anatomy.

    Args:
        lungs: Lung masks (D, H, W) with their spacing (z, y, x) in mm, in pairs, of which each batch takes one; a
            third member is the tree of their own airways, which is taken instead of growing one. None: lungs
            are drawn (:func:`draw_lungs`).
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
    thickness: Positives = (0.2, 0.8)
    opaque: Share = 0.2

    def __post_init__(self) -> None:
        if self.lungs is None:
            return
        if not len(self.lungs):
            raise MetaoptError("AirwayCts needs at least one lung mask with its spacing, or None to draw lungs.")
        object.__setattr__(self, "lungs", [_chest(entry) for entry in self.lungs])

    def sample(self, seed: int) -> tuple[Tensor, Tensor]:
        """Draw (CT, lumen), both (B, 1, size, size, size) float32: Hounsfield units, and 1 inside and 0 outside."""
        generator, forest = random.generator(seed), self.forest(seed)
        seeds = [random.derive(seed, 3, i) for i in range(self.batch)]
        pairs = [self.shown(self.scene(forest, s), s, generator) for s in seeds]
        cts, lumina = zip(*pairs, strict=True)
        return torch.stack(cts)[:, None], torch.stack(lumina)[:, None]

    def forest(self, seed: int) -> Forest:
        """Return lungs with a tree of airways, and vessels.

        Args:
            seed: Draws the lungs, the tree and the vessels.
        """
        generator = random.generator(seed, 6)
        chest: Any = (draw_lungs(random.derive(seed, 0), DRAWN), DRAWN)
        if self.lungs is not None:
            chest = self.lungs[integer(len(self.lungs), generator)]
        mask, spacing = chest[:2]
        trachea = float(uniform(7.0, 9.5, 1, generator))
        tree = chest[2] if len(chest) == 3 else None
        if tree is None:
            tree = grow_airways(mask, spacing, random.derive(seed, 1), Morphometry(trachea=trachea))
        return Forest(mask, spacing, tree, vessel_tubes(tree, mask, spacing, Tissue(), random.derive(seed, 2)))

    def scene(self, forest: Forest, seed: int) -> Scene:
        """Render a place: what a CT of it shows before the density of tissue, blur and noise are known.

        Args:
            forest: What there is.
            seed: Draws the place, its spacing and the thickness of walls.
        """
        generator = random.generator(seed, 7)
        within, between = uniform(*self.spacing, 2, generator).tolist()
        spacing, side = (between, within, within), self.size + 2 * BORDER
        sizes = torch.tensor(spacing)
        corner = self._place(forest, sizes, generator) - (side - 1) / 2 * sizes
        shape = (side, side, side)
        near = (_near(tubes, corner, (side - 1) * sizes) for tubes in (forest.tree.tubes, forest.vessels))
        airways, others = (visible(tubes, spacing) for tubes in near)
        tissue = Tissue(thickness=float(uniform(*self.thickness, 1, generator)))
        lumen, outer = airway_shares(airways, shape, spacing, tissue)
        mask, inside = lumen_mask(lumen, airways, spacing), _resampled(forest, corner, shape, sizes)
        shares = torch.stack([lumen, outer, fill_tubes(others, shape, spacing)])
        return Scene(shares.mul_(LEVELS).round_().to(torch.uint8), inside, mask, spacing)

    def shown(self, scene: Scene, seed: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the CT of a scene and its lumen, both (size, size, size) float32.

        Args:
            scene: The scene.
            seed: Draws texture, opacities and noise.
            generator: Draws density and texture of the parenchyma, whether there are opacities, blur and noise level.
        """
        parenchyma, opaque, blur, noise, texture = torch.rand(5, generator=generator).tolist()
        tissue = Tissue(
            parenchyma=-920 + 130 * parenchyma,
            texture=TEXTURE[0] + texture * (TEXTURE[1] - TEXTURE[0]),
            opacities=2 if opaque < self.opaque else 0,
        )
        lumen, outer, vessels = scene.shares.float() / LEVELS
        volume = paint((lumen, outer, vessels), scene.lungs, scene.spacing, tissue, seed)
        levels = [low + share * (high - low) for (low, high), share in ((self.blur, blur), (self.noise, noise))]
        scanned = Scanner(*levels).scan(volume, scene.spacing, random.generator(seed, 1))
        cut = (slice(BORDER, -BORDER),) * 3
        return scanned[cut].clone(), scene.lumen[cut].float()

    def _place(self, forest: Forest, sizes: Tensor, generator: torch.Generator) -> Tensor:
        """Return the middle of a patch, in mm."""
        shift = (torch.rand(3, generator=generator) - 0.5) * 0.6 * self.size * sizes
        if float(torch.rand((), generator=generator)) < ELSEWHERE:
            places = forest.lungs.nonzero()
            return places[integer(len(places), generator)] * torch.tensor(forest.spacing).float()
        points = forest.tree.points[integer(len(forest.tree), generator)]
        return points[integer(len(points), generator)] + shift


def _chest(entry: Any) -> tuple[Any, ...]:
    if not isinstance(entry, tuple | list) or len(entry) not in (2, 3):
        raise MetaoptError(
            f"The lungs of AirwayCts are pairs of a mask and its spacing, or have a tree as well, but one is "
            f"{said(entry)}."
        )
    chest = check_mask("A lung mask of AirwayCts", entry[0]), check_spacing(entry[1])
    if len(entry) == 3:
        check_instance("The tree of lungs of AirwayCts", entry[2], AirwayTree)
    return (*chest, *entry[2:])


def _near(tubes: Sequence[Tube], corner: Tensor, extent: Tensor) -> list[Tube]:
    """Return the tubes that may touch a patch, with positions from its corner."""
    found = []
    for points, radius in tubes:
        shifted, wide = points - corner, 2 * float(radius.max()) + 2
        if bool(((shifted.amax(0) > -wide) & (shifted.amin(0) < extent + wide)).all()):
            found.append((shifted, radius))
    return found


def _resampled(forest: Forest, corner: Tensor, shape: tuple[int, ...], sizes: Tensor) -> Tensor:
    """Return the part of a lung mask on another grid, by linear interpolation; outside it there is no lung."""
    mask, spacing = forest.lungs, forest.spacing
    places = [(corner[a] + torch.arange(n) * sizes[a]) / spacing[a] for a, n in enumerate(shape)]
    starts = [min(max(0, int(p[0]) - 1), n - 2) for p, n in zip(places, mask.shape, strict=True)]
    ends = [max(s + 2, int(p[-1]) + 3) for p, s in zip(places, starts, strict=True)]
    part = mask[tuple(slice(s, e) for s, e in zip(starts, ends, strict=True))]
    unit = [2 * (p - s) / (n - 1) - 1 for p, s, n in zip(places, starts, part.shape, strict=True)]
    grid = torch.stack(torch.meshgrid(*unit, indexing="ij")[::-1], -1)[None]
    return torch.nn.functional.grid_sample(part[None, None].float(), grid, align_corners=True)[0, 0] >= 0.5
