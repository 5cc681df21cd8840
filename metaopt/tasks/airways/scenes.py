"""Draw patches of simulated chest CT from scenes that are rendered once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...arguments.contracts import Count, checked
from ...core import random
from ..patches import integer
from .patches import AirwayCts, Scene

OF_ONE_TREE = 12  # scenes


@checked
@dataclass(frozen=True, eq=False)
class AirwayScenes:
    """Find the lumen of airways in patches of chest CT at a limited number of places, for a tenth of the time.

    Rendering takes most of the time of :class:`AirwayCts`. Here every scene is rendered when it is first drawn, and
    kept; each time, it has another density, texture, blur and noise, other opacities, and is mirrored or turned about
    the axis of the body. What is drawn depends on the seed alone, not on what was drawn before.

    Args:
        patches: Renders the scenes, and says how many make a batch.
        scenes: The number of scenes. One of 48 voxels a side takes 0.5 MiB.
    """

    patches: AirwayCts = field(default_factory=AirwayCts)
    scenes: Count = 256
    _kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def sample(self, seed: int) -> tuple[Tensor, Tensor]:
        """Draw (CT, lumen), both (B, 1, size, size, size) float32: Hounsfield units, and 1 inside and 0 outside."""
        generator = random.generator(seed)
        numbers = torch.randint(self.scenes, (self.patches.batch,), generator=generator).tolist()
        pairs = []
        for place, number in enumerate(numbers):
            shown = self.patches.shown(self._scene(number), random.derive(seed, place), generator)
            pairs.append(_turned(shown, generator))
        cts, lumina = zip(*pairs, strict=True)
        return torch.stack(cts)[:, None], torch.stack(lumina)[:, None]

    def _scene(self, number: int) -> Scene:
        if number not in self._kept:
            tree = "tree", number // OF_ONE_TREE
            if tree not in self._kept:
                self._kept[tree] = self.patches.forest(random.derive(tree[1], 4))
            self._kept[number] = self.patches.scene(self._kept[tree], random.derive(number, 5))
        return self._kept[number]


def _turned(pair: tuple[Tensor, Tensor], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a CT and its lumen (D, H, W) as they were mirrored, and turned about the first axis."""
    flips = [axis for axis in range(3) if integer(2, generator)]
    swap = (0, 2, 1) if integer(2, generator) else (0, 1, 2)
    ct, lumen = (part.flip(flips).permute(swap).contiguous() for part in pair)
    return ct, lumen
