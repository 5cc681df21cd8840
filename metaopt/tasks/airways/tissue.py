"""Paint lungs: walls, lumen, parenchyma, vessels and opacities in Hounsfield units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...arguments.contracts import Natural, NotNegative, Positive, checked
from ...core import random
from .growth import Morphometry, grow_airways
from .scanner import grained, smooth_field
from .tree import AirwayTree
from .tubes import Tube

PERIMETER = 10 / math.pi  # mm, the diameter of a lumen of 10 mm perimeter
SOFT, FAT, OUTSIDE, VESSEL = 40.0, -90.0, -1000.0, 40.0  # HU
SKIN = 25.0  # mm from the lungs
TEXTURE = 2.0  # mm, the width of the fine texture
SLOW = 25.0  # mm over which the density of a lung changes
OPAQUE = (-700.0, -100.0)  # HU, from ground glass to consolidation
GAP = 0.2  # mm between the wall of a bronchus and its artery
VEINS = Morphometry(trachea=7.5, exponent=2.3, narrowest=0.6, spread=0.5)


@checked
@dataclass(frozen=True)
class Tissue:
    """Hold what a simulated chest is made of.

    The wall of a lumen of diameter D is ``thickness (D / 3.18 mm)^0.75`` thick: published walls at an inner perimeter
    of 10 mm (a diameter of 3.18 mm) go from 0.44 mm in never-smokers (0.49 in smokers) to 0.82 mm, where the inner is
    0.66 of the outer diameter as in subsegmental bronchi, and CT of segmental bronchi at sea level finds 1.1 mm; the
    power gives 2 mm at the trachea. CT takes thin walls for thicker than they are: those of anatomy, 0.2 to 0.3 mm at
    diameters of 1.5 to 3 mm and 0.15 mm at 1 mm, are a ``thickness`` of 0.2 to 0.36. An artery runs beside each
    bronchus: the diameter of a lumen is 0.62 to 0.79 of that of its artery. Healthy lungs have -770 to -875 HU on
    average, and hold more air at total lung capacity.

    Args:
        thickness: The thickness in mm of a wall around a lumen of 10 mm perimeter.
        wall: Hounsfield units of walls.
        air: Hounsfield units of the lumen.
        parenchyma: Mean Hounsfield units of the parenchyma.
        texture: Standard deviation of the parenchyma in Hounsfield units, of which a fine grain of 2 mm has 0.8 and
            differences over 25 mm have 0.6.
        artery: The radius of an artery, relative to that of its lumen; 0 for no arteries.
        veins: The number of trees of further vessels, which do not accompany airways.
        opacities: The number of opacities, of 10 to 35 mm radius, from ground glass (-700 HU) to consolidation.

    Source:
        E. D. Telenga et al., wall thickness in never-smokers and smokers (2017),
        https://doi.org/10.1186/s12890-017-0363-0; ratio of inner to outer diameter (1995),
        https://pubmed.ncbi.nlm.nih.gov/7790543; ratios and walls by altitude (1997),
        https://doi.org/10.1097/00004728-199703000-00028; W. R. Webb, Thin-section CT of the secondary pulmonary lobule
        (2006), https://doi.org/10.1148/radiol.2392041968; A. A. Diaz et al., ratio of bronchus to artery (2017),
        https://doi.org/10.1111/resp.12875; density of normal lungs (1991),
        https://doi.org/10.1016/s0009-9260(05)80245-4
    """

    thickness: Positive = 0.6
    wall: float = 20.0
    air: float = -995.0
    parenchyma: float = -860.0
    texture: NotNegative = 30.0
    artery: NotNegative = 1.4
    veins: Natural = 1
    opacities: Natural = 0

    def walls(self, radius: Tensor) -> Tensor:
        """Return the thickness of the wall around lumina of the given radii, in mm."""
        return self.thickness * (2 * radius / PERIMETER) ** 0.75


def vessel_tubes(airways: AirwayTree, lungs: Tensor, spacing: Any, tissue: Tissue, seed: int) -> list[Tube]:
    """Draw the arteries beside the airways, but for the trachea, and veins that grow into the lungs by themselves.

    Args:
        airways: The airways.
        lungs: The lung mask, (D, H, W) bool; it is looked at for veins only.
        spacing: The distance of its voxels, in mm.
        tissue: Says how many vessels there are.
        seed: Draws them.

    Returns:
        Centre lines and radii.
    """
    tubes = _arteries(airways, tissue, random.generator(seed, 2)) if tissue.artery else []
    for number in range(tissue.veins):
        tree = grow_airways(lungs, spacing, random.derive(seed, 3, number), VEINS)
        early = tree.generation < 2
        tubes += [tube for tube, first in zip(tree.tubes, early.tolist(), strict=True) if not first]
    return tubes


def _arteries(airways: AirwayTree, tissue: Tissue, generator: torch.Generator) -> list[Tube]:
    ends: dict[int, Tensor] = {}
    tubes = []
    for number, parent in enumerate(airways.parent.tolist()):
        points, radius = airways.points[number], airways.radius[number]
        chord = points[-1] - points[0]
        aside = torch.linalg.cross(chord, torch.randn(3, generator=generator), dim=0)
        own = tissue.artery * radius * float(1 + 0.15 * torch.randn((), generator=generator).clamp(-2, 2))
        distance = radius + tissue.walls(radius) + own + GAP
        line = points + distance[:, None] * aside / aside.norm().clamp(min=1e-9)
        if parent < 0:
            continue
        if parent in ends:
            line = torch.cat([ends[parent][None], line[1:]])
        ends[number] = line[-1]
        tubes.append((line, own))
    return tubes


def paint(shares: tuple[Tensor, Tensor, Tensor], lungs: Tensor, spacing: Any, tissue: Tissue, seed: int) -> Tensor:
    """Return the volume in Hounsfield units before it is scanned.

    Args:
        shares: The shares (D, H, W) of each voxel in the lumen, in the lumen or the wall, and in vessels.
        lungs: The lung mask, (D, H, W) bool.
        spacing: The distance of voxels along (z, y, x), in mm.
        tissue: What it is made of.
        seed: Draws texture and opacities.

    Returns:
        ``(1 - o) ((1 - v) b + v vessel) + (o - l) wall + l air`` with the background b, (D, H, W) float32.
    """
    lumen, outer, vessels = shares
    generator = random.generator(seed, 4)
    slow = smooth_field(lungs.shape, spacing, SLOW, generator)
    volume = torch.where(slow > 0.8, FAT, SOFT + 8 * slow)
    inside = tissue.parenchyma + 0.6 * tissue.texture * slow
    inside += 0.8 * tissue.texture * grained(lungs.shape, spacing, TEXTURE, generator)
    _add_opacities(inside, lungs, spacing, tissue.opacities, slow, generator)
    volume[lungs] = inside[lungs]
    volume += vessels * (VESSEL - volume)
    volume += outer * (tissue.wall - volume)
    return volume.add_(lumen * (tissue.air - tissue.wall))


def _add_opacities(
    inside: Tensor, lungs: Tensor, spacing: Any, count: int, slow: Tensor, generator: torch.Generator
) -> None:
    """Add opacities with soft, irregular borders to the parenchyma, in place."""
    places = lungs.nonzero() if count else lungs.new_zeros(0, 3)
    for _ in range(count if len(places) else 0):
        center = places[int(torch.randint(len(places), (), generator=generator))]
        wide, dense = torch.rand(2, generator=generator).tolist()
        radius = 10 + 25 * wide
        axes = [((torch.arange(n) - c) * s / radius) ** 2 for n, c, s in zip(lungs.shape, center, spacing, strict=True)]
        boxes = tuple(slice(int(a.le(4).nonzero()[0]), int(a.le(4).nonzero()[-1]) + 1) for a in axes)
        z, y, x = (a[b] for a, b in zip(axes, boxes, strict=True))
        away = (z[:, None, None] + y[:, None] + x).sqrt_()
        weight = torch.sigmoid((1 - away + 0.25 * slow[boxes]) / 0.08)
        inside[boxes] += weight * (OPAQUE[0] + dense * (OPAQUE[1] - OPAQUE[0]) - inside[boxes])


def cut_body(volume: Tensor, lungs: Tensor, spacing: Any) -> None:
    """Set what lies outside an oval around the lungs to air, in place.

    Args:
        volume: The volume, (D, H, W) in Hounsfield units.
        lungs: The lung mask of a whole chest, (D, H, W) bool.
        spacing: The distance of voxels along (z, y, x), in mm.
    """
    squares = []
    for axis, other in ((1, 2), (2, 1)):
        set_ = lungs.any(0).any(other - 1).nonzero()
        low, high = int(set_[0]), int(set_[-1])
        half = (high - low) / 2 * spacing[axis] + SKIN
        squares.append((((torch.arange(lungs.shape[axis]) - (low + high) / 2) * spacing[axis]).abs() / half) ** 3)
    outside = squares[0][:, None] + squares[1] > 1
    volume[:, outside & ~lungs.any(0)] = OUTSIDE
