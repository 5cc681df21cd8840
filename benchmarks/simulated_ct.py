"""Simulated chest CT of a person whom no training saw: of their own airways, and of trees grown in their lungs.

The tissue was chosen before any method was tuned, on people 1 to 3. With walls as thick as CT measures them, region
growing found 83 % of the length without a leak, which it does in no real CT: CT takes thin walls for thicker than they
are. So walls are as in anatomy, where airways of 3, 1 and 0.7 mm diameter have 0.3, 0.15 and 0.1 mm, which is 0.2 to
0.36 mm at a lumen of 10 mm perimeter (W. R. Webb, Thin-section CT of the secondary pulmonary lobule (2006),
https://doi.org/10.1148/radiol.2392041968, after Weibel). Of healthy lungs at full inspiration 2.0 % (standard deviation
2.7) have less than -950 HU (J. A. Zach et al. (2012), https://doi.org/10.1097/RLI.0b013e318262292e); here 6 %.
In the middle setting region growing, at the highest threshold without a leak, then found 80, 65 and 54 % of the length
of people 1, 2 and 3, which is 66 % on average (the tree of person 1 is marked less deep than the others).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from metaopt.core import random
from metaopt.tasks.airways import AirwayTree, Scanner, Tissue, draw_lungs, grow_airways, simulate_ct
from metaopt.tasks.airways.grid import bounding_box
from metaopt.tasks.airways.people import masks_of

PERSON = 4  # people 1 to 3 are for training, validation and calibration
MASKS = "ct/airway_masks"
TISSUE = Tissue(thickness=0.22, parenchyma=-880.0, texture=45.0)
AROUND = (10.0, 32.0, 32.0)  # mm of body that stay around the lungs, along (z, y, x)
DRAWN, LITRES = (1.2, 1.0, 1.0), 1.5  # mm and the size of the lungs of a quick run
REAL, GROWN = "real mask", "grown tree"

Spacing = tuple[float, float, float]


class Setting(NamedTuple):
    """How the chest is scanned: full width at half maximum of the blur in mm, noise in HU."""

    blur: float
    noise: float

    def __str__(self) -> str:
        return f"blur {self.blur:g} mm, noise {self.noise:g} HU"


SETTINGS = (Setting(0.7, 20.0), Setting(1.0, 40.0), Setting(1.5, 80.0))
MIDDLE = SETTINGS[1]


class Scene(NamedTuple):
    """A chest before it is scanned, (D, H, W) in HU, with its lumen (D, H, W) bool and its tree."""

    volume: Tensor
    spacing: Spacing
    lumen: Tensor
    tree: AirwayTree


@functools.lru_cache(maxsize=1)  # the settings of one seed follow each other
def scene(person: int | None, subject: str, seed: int) -> Scene:
    """The chest of that seed; without a person, lungs that are drawn."""
    if person is None:
        mask, lungs, spacing = None, draw_lungs(1, DRAWN, LITRES), DRAWN
    else:
        mask, lungs, spacing = masks(person)
    if subject == GROWN or mask is None:
        airways: AirwayTree | Tensor = grow_airways(lungs, spacing, 1000 + seed)
    else:
        airways = mask
    ct = simulate_ct(airways, lungs, spacing, seed, TISSUE, Scanner(0.0, 0.0, 0.0))
    return Scene(ct.volume, spacing, ct.lumen, ct.tree)


def scan(chest: Scene, setting: Setting, seed: int) -> Tensor:
    """The CT (D, H, W) in HU; each setting and seed has noise of its own."""
    return Scanner(*setting).scan(chest.volume, chest.spacing, random.generator(2009, seed, SETTINGS.index(setting)))


def masks(person: int) -> tuple[Tensor, Tensor, Spacing]:
    """Airways and lungs (D, H, W) of a person, from below the lungs to the upper end of the trachea."""
    lung, mask, spacing = masks_of(MASKS, person)
    box = list(bounding_box(lung, [round(around / size) for size, around in zip(spacing, AROUND, strict=True)]))
    box[0] = slice(box[0].start, int(mask.any(2).any(1).nonzero()[-1]) + 1)
    return mask[tuple(box)].clone(), lung[tuple(box)].clone(), spacing


def enlarged(chest: Scene, shape: tuple[int, int, int]) -> Scene:
    """The same chest in a larger or smaller grid, with air around it; above it stays as it is."""
    volume = torch.full(shape, -1000.0)
    lumen = torch.zeros(shape, dtype=torch.bool)
    to, of = [], []
    for new, old in zip(shape, chest.volume.shape, strict=True):
        shift = (new - old) if not to else (new - old) // 2  # the upper end and the middle are kept
        to.append(slice(max(0, shift), max(0, shift) + min(new, old)))
        of.append(slice(max(0, -shift), max(0, -shift) + min(new, old)))
    volume[tuple(to)], lumen[tuple(to)] = chest.volume[tuple(of)], chest.lumen[tuple(of)]
    return chest._replace(volume=volume, lumen=lumen)
