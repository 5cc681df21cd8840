"""Grow airway trees that fill a lung mask, by published morphometry calibrated on real masks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from ...arguments.contracts import Between, Positive, Share, checked
from ...core import random
from .chest import Chest, chest_of
from .tree import AirwayTree

Fraction = Annotated[float, Between(above=0, below=1)]
ANGLES = 2.5  # exponent of the angles: with that of the diameters they would be 20 degrees, not 30 as in real masks
UNEVEN = 0.12  # standard deviation by which a plane is shifted, in shares of a region
LEAN = 0.1  # standard deviation of the lean of the trachea, per mm
TAPER = 0.1  # relative change of the radius along a branch
TRIES = (1.0, 0.75, 0.5, 0.35)  # of the drawn length, until the branch lies in the lung
TURNS = (0.0, 45.0, 90.0, 135.0)  # degrees by which the plane of a division is turned until there is a way
AIMS = 12  # points of a region that are aimed at where neither the angle nor its middle leads on
SEEN = 0.4  # of these points, at least, the end of a branch should see through the lung
FEWEST = 12  # points of the coarse grid in the region of a branch that divides


@checked
@dataclass(frozen=True)
class Morphometry:
    """Hold the numbers by which airway trees grow.

    The model is that of Kitaoka et al. (1999): the flow Q of a branch is the volume of the region that it supplies,
    ``Q ~ d^n``, a plane through the branch divides the region, and the angles follow from the flows. The defaults are
    calibrated by :func:`measure_airways` on the airway masks of people 1 to 3 of Med-MPD (from LIDC-IDRI) and on ten
    segmentations of two more people by the five best teams of ATM'22. Medians there: exponents of 1.7 to 2.5 at each
    division (hence 2.15; Kitaoka's is 2.8, Van de Moortele's below Poiseuille's 3 as well), a smaller share of the
    flow of 0.42 with quartiles 0.36 and 0.46, branches of 13.5, 11.2, 10.6, 9.3 and 9.8 mm at diameters of 7.5, 5.5,
    3.8, 2.8 and 2.1 mm (``l = 7 d^(1/3)``) with a standard deviation of log l of 0.5, and a trachea of 7.4 to 10.5 mm
    radius.

    Args:
        trachea: The radius of the trachea in mm, where the lungs hold 6 litres; it grows with their third root.
        exponent: n of ``d^n = d1^n + d2^n``, which holds at every division.
        length: Length in mm of a branch of 1 mm diameter; it grows with the third root of the diameter.
        spread: The standard deviation of the logarithm of the length.
        narrowest: The radius in mm below which nothing grows.
        smallest_share: The least share of the flow that the smaller child gets.
        pull: How much a branch turns from the angle of its flow towards the middle of its region, 0 to 1.
        turn: Standard deviation in degrees of the angle between the planes of two divisions about 90 degrees.

    Source:
        H. Kitaoka, R. Takaki and B. Suki, A three-dimensional model of the human airway tree (1999),
        https://doi.org/10.1152/jappl.1999.87.6.2207; T. Van de Moortele, C. H. Wendt and F. Coletti, Morphological and
        functional properties of the conducting human airways (2018), https://doi.org/10.1152/japplphysiol.00490.2017;
        E. R. Weibel, Morphometry of the human lung (1963), https://doi.org/10.1007/978-3-642-87553-3
    """

    trachea: Positive = 8.2
    exponent: Positive = 2.15
    length: Positive = 7.0
    spread: Positive = 0.45
    narrowest: Positive = 0.7
    smallest_share: Share = 0.15
    pull: Share = 0.5
    turn: Positive = 20.0


@dataclass
class _Bud:
    """A branch that has grown to ``end`` and may divide: its direction, radius, region and the plane it lies in."""

    number: int
    end: Tensor
    direction: Tensor
    radius: float
    region: Tensor
    plane: Tensor


@checked
def grow_airways(lungs: Tensor, spacing: Any, seed: int, morphometry: Morphometry | None = None) -> AirwayTree:
    """Grow an airway tree that fills a lung mask.

    The mask may hold the lungs alone or the airways between them as well. Its first axis leads to the head. The trachea
    comes from the top of the grid (or is 120 mm long, as Weibel's), divides at a place that is given by the shape of
    the lungs, and the wider and shorter main bronchus leads to the larger lung, which is the right one. From there on
    each region of lung is divided by a plane and grown into, until the lumen would be narrower than
    ``morphometry.narrowest`` or no way leads on inside the lung. All branches after the main bronchi lie in the mask,
    and ``r^n = r1^n + r2^n`` holds at every division for their mean radii.

    Args:
        lungs: The lung mask, (D, H, W) bool; z, the first axis, grows towards the head.
        spacing: The distance of voxels along (z, y, x), in mm.
        seed: Draws the tree.
        morphometry: The numbers of the model. None: those of :class:`Morphometry`.

    Returns:
        The tree.

    Raises:
        MetaoptError: The mask is empty or too small for a chest, or the spacing is missing or not positive.
    """
    chest, numbers = chest_of(lungs, spacing), morphometry or Morphometry()
    growth = _Growth(chest, numbers, random.generator(seed, 0))
    growth.begin()
    while growth.buds:
        growth.divide(growth.buds.pop(0))
    return AirwayTree(torch.tensor(growth.parents), growth.points, growth.radii)


class _Growth:
    """Hold a tree while it grows."""

    def __init__(self, chest: Chest, numbers: Morphometry, generator: torch.Generator) -> None:
        self.chest, self.numbers, self.generator = chest, numbers, generator
        self.parents: list[int] = []
        self.points: list[Tensor] = []
        self.radii: list[Tensor] = []
        self.buds: list[_Bud] = []

    def begin(self) -> None:
        """Grow the trachea and the main bronchi, whose places are those of the chest."""
        chest, n = self.chest, self.numbers.exponent
        top, carina = chest.trachea
        radius = self.numbers.trachea * (chest.litres / 6) ** (1 / 3) * (1 + 0.08 * self._normal())
        tilt = LEAN * (top - carina).norm() * torch.tensor([0.0, self._normal(), 0.3 * self._normal()])
        down = carina - top - tilt
        self._add(-1, _curve(carina - down, carina, down), radius)
        shares = [len(region) / sum(map(len, chest.regions)) for region in chest.regions]
        for share, hilum, region in zip(shares, chest.hila, chest.regions, strict=True):
            own, line = (
                radius * share ** (1 / n),
                _curve(carina, hilum, 0.4 * _unit(down) + _unit(hilum - carina)),
            )
            number = self._add(0, line, own)
            plane = torch.linalg.cross(_unit(down), _unit(hilum - carina), dim=0)
            self.buds.append(_Bud(number, hilum, _unit(line[-1] - line[-2]), own, region, _unit(plane)))

    def divide(self, bud: _Bud) -> None:
        """Let a branch divide into two, by the first of a few planes where both are wide enough and find a way."""
        if len(bud.region) < FEWEST:
            return
        first = self._across(bud)
        second = torch.linalg.cross(bud.direction, first, dim=0)
        for turn in TURNS:
            across = math.cos(math.radians(turn)) * first + math.sin(math.radians(turn)) * second
            if self._divide(bud, across):
                return

    def _divide(self, bud: _Bud, across: Tensor) -> bool:
        side = (bud.region - bud.end) @ across
        least = self.numbers.smallest_share
        natural = float((side > 0).double().mean())
        share = min(max(natural + UNEVEN * self._normal(), least), 1 - least)
        level = side.kthvalue(max(1, round((1 - share) * len(side)))).values
        regions = bud.region[side > level], bud.region[side <= level]
        shares = [len(region) / len(bud.region) for region in regions]
        radii = [bud.radius * s ** (1 / self.numbers.exponent) for s in shares]
        if min(shares) <= 0 or min(radii) < self.numbers.narrowest:
            return False
        angles = branching_angles(shares[0], ANGLES)
        lines = []
        for a, sign, region, radius in zip(angles, (1, -1), regions, radii, strict=True):
            line = self._way(bud, math.cos(a) * bud.direction + sign * math.sin(a) * across, region, 2 * radius)
            if line is None:
                return False
            lines.append(line)
        plane = _unit(torch.linalg.cross(bud.direction, across, dim=0))
        for line, region, radius in zip(lines, regions, radii, strict=True):
            number = self._add(bud.number, line, radius)
            self.buds.append(_Bud(number, line[-1], _unit(line[-1] - line[-2]), radius, region, plane))
        return True

    def _across(self, bud: _Bud) -> Tensor:
        """Return the direction, across a branch, in which its region is divided: its longest, near the turned plane."""
        around = bud.region - bud.region.mean(0)
        flat = around - (around @ bud.direction)[:, None] * bud.direction
        longest = torch.linalg.eigh(flat.T @ flat)[1][:, -1]
        second = torch.linalg.cross(bud.direction, bud.plane, dim=0)
        angle = math.radians(self.numbers.turn) * self._normal()
        turned = math.cos(angle) * bud.plane + math.sin(angle) * second  # the planes of divisions cross at 90 degrees
        longest = longest * (1.0 if float(longest @ turned) >= 0 else -1.0)
        across = longest + turned
        return _unit(across - (across @ bud.direction) * bud.direction)

    def _way(self, bud: _Bud, wanted: Tensor, region: Tensor, diameter: float) -> Tensor | None:
        """Return the centre line of a child, the first of a few in the lung whose end sees enough of the region."""
        middle = region.mean(0) - bud.end
        reach, pull = float(middle.norm()), self.numbers.pull
        direction = _unit((1 - pull) * _unit(wanted) + pull * _unit(middle))
        drawn = self.numbers.length * diameter ** (1 / 3) * math.exp(self.numbers.spread * self._normal())
        full = min(max(drawn, diameter), max(1.2 * reach, 0.5 * diameter))
        sample = region[torch.randint(len(region), (AIMS,), generator=self.generator)]
        best, most = None, 0.0
        for aim in (direction, _unit(middle), *_directions(sample - bud.end, direction)):
            for share in TRIES:
                line = _curve(bud.end, bud.end + share * full * aim, 0.4 * bud.direction + 0.6 * aim)
                if share * full < 0.5 * diameter or not self.chest.holds(line):
                    continue
                seen = self.chest.seen(line[-1], sample)
                if seen >= SEEN:
                    return line
                if seen > most:
                    best, most = line, seen
        return best

    def _add(self, parent: int, line: Tensor, radius: float) -> int:
        along = torch.linspace(0.5, -0.5, len(line), dtype=torch.float64)
        self.parents.append(parent)
        self.points.append(line.float())
        self.radii.append((radius * (1 + TAPER * along)).float())
        return len(self.parents) - 1

    def _normal(self) -> float:
        return float(torch.randn((), generator=self.generator, dtype=torch.float64).clamp(-2.5, 2.5))


@checked
def branching_angles(share: Fraction, exponent: Positive) -> tuple[float, float]:
    """Return the angles of two children with their parent that need the least volume of lumen, in radians.

    ``cos a = (1 + q^(4/n) - (1 - q)^(4/n)) / (2 q^(2/n))`` for the child of the share q of the flow.

    Args:
        share: The share q of the first child, between 0 and 1.
        exponent: n of the law ``Q ~ d^n``.

    Returns:
        The angles of the child with q and of that with 1 - q.

    Source:
        H. Kitaoka, R. Takaki and B. Suki (1999), https://doi.org/10.1152/jappl.1999.87.6.2207; the formula is that of
        C. D. Murray, The physiological principle of minimum work applied to the angle of branching of arteries (1926),
        https://doi.org/10.1085/jgp.9.6.835
    """

    def angle(q: float) -> float:
        cosine = (1 + q ** (4 / exponent) - (1 - q) ** (4 / exponent)) / (2 * q ** (2 / exponent))
        return math.acos(min(1.0, max(-1.0, cosine)))

    return angle(share), angle(1 - share)


def _curve(begin: Tensor, end: Tensor, start: Tensor) -> Tensor:
    """Return points, about 1 mm apart, on a parabola that leaves in the direction ``start``."""
    length = float((end - begin).norm())
    middle = begin + 0.5 * length * _unit(start)
    t = torch.linspace(0, 1, max(3, math.ceil(length) + 1), dtype=torch.float64)[:, None]
    return (1 - t) ** 2 * begin + 2 * t * (1 - t) * middle + t**2 * end


def _directions(vectors: Tensor, wanted: Tensor) -> Tensor:
    """Return the directions of vectors (n, 3), the nearest to ``wanted`` first."""
    directions = vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-9)
    return directions[(directions @ wanted).argsort(descending=True)]


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm().clamp(min=1e-9)
