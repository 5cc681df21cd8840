"""Hold a tree of airways: its branches with their centre lines and the radii of their lumen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...arguments.checks import check_finite, check_tensor, said
from ...arguments.contracts import Positive, checked
from ...core.errors import MetaoptError

STEM = 10.0  # mm over which the direction of a branch is measured


@dataclass(frozen=True, eq=False)
class AirwayTree:
    """Hold the branches of an airway tree, the root (trachea) first and every branch after its parent.

    A branch leads from the end of its parent to its own end, where it divides or stops. Positions are in millimetres
    from the centre of the first voxel, with the axes in the order (z, y, x) of a volume (D, H, W).

    Args:
        parent: The number of each branch's parent, (N,) whole numbers; -1 for the root.
        points: The centre line of each branch from its parent's end to its own, (P, 3) in mm with P of at least 2.
        radius: The radius of the lumen at each of these points, (P,) in mm.

    Raises:
        MetaoptError: A branch comes before its parent, there is no root or a second one, or points and radii do not
            belong together.
    """

    parent: Tensor
    points: Sequence[Tensor]
    radius: Sequence[Tensor]

    def __post_init__(self) -> None:
        parent = check_tensor("The parents of an AirwayTree", self.parent, "whole", "(N,)").long()
        count = len(parent)
        for name, given in (("centre lines", self.points), ("radii", self.radius)):
            if not isinstance(given, list | tuple):
                raise MetaoptError(
                    f"The {name} of an AirwayTree must be a list with a tensor a branch, but got {said(given)}."
                )
        if not count or len(self.points) != count or len(self.radius) != count:
            raise MetaoptError(
                f"An AirwayTree has a parent, a centre line and radii for each branch, and at least one branch, but "
                f"got {count} parents, {len(self.points)} centre lines and {len(self.radius)} lists of radii."
            )
        wrong = (parent >= torch.arange(count)) | (parent < 0)
        if parent[0] != -1 or bool(wrong[1:].any()):
            number = int(wrong[1:].nonzero()[0]) + 1 if parent[0] == -1 else 0
            raise MetaoptError(
                "An AirwayTree begins with its root, whose parent is -1, and every other branch comes after its "
                f"parent, but branch {number} has parent {int(parent[number])}."
            )
        for number, (points, radius) in enumerate(zip(self.points, self.radius, strict=True)):
            _check_branch(number, points, radius)
        object.__setattr__(self, "parent", parent)
        object.__setattr__(self, "points", tuple(self.points))
        object.__setattr__(self, "radius", tuple(self.radius))

    def __len__(self) -> int:
        return len(self.parent)

    @property
    def generation(self) -> Tensor:
        """The number of divisions between the root and each branch, (N,): 0 for the trachea."""
        generations: list[int] = []
        for parent in self.parent.tolist():
            generations.append(0 if parent < 0 else generations[parent] + 1)
        return torch.tensor(generations)

    @property
    def length(self) -> Tensor:
        """The length of each branch along its centre line, (N,) in mm."""
        return torch.stack([p.diff(dim=0).norm(dim=1).sum() for p in self.points])

    @property
    def mean_radius(self) -> Tensor:
        """The median radius of each branch, (N,) in mm."""
        return torch.stack([r.quantile(0.5) for r in self.radius])

    @property
    def angle(self) -> Tensor:
        """The angle between each branch and its parent, (N,) in degrees; NaN for the root.

        The direction of a branch is that of the chord over its first 10 mm beyond the lumen of its parent (or what
        there is), that of a parent the chord over its last 10 mm.
        """
        return torch.stack(
            [self._turn(n, p) if p >= 0 else torch.tensor(math.nan) for n, p in enumerate(self.parent.tolist())]
        ).rad2deg()

    @property
    def tubes(self) -> list[tuple[Tensor, Tensor]]:
        """The centre line and the radii of each branch, in pairs, as :func:`fill_tubes` takes them."""
        return list(zip(self.points, self.radius, strict=True))

    @property
    def children(self) -> list[list[int]]:
        """The numbers of the children of each branch."""
        found: list[list[int]] = [[] for _ in self.points]
        for number, parent in enumerate(self.parent.tolist()):
            if parent >= 0:
                found[parent].append(number)
        return found

    @checked
    def wider_than(self, radius: Positive) -> AirwayTree:
        """Return the tree without the branches that are somewhere narrower than ``radius`` mm, and what follows them.

        Args:
            radius: The smallest radius that stays, in mm.

        Returns:
            The tree that is left.

        Raises:
            MetaoptError: Nothing is left.
        """
        new: dict[int, int] = {}
        for number, parent in enumerate(self.parent.tolist()):
            if (parent < 0 or parent in new) and float(self.radius[number].min()) >= radius:
                new[number] = len(new)
        if not new:
            raise MetaoptError(f"The root of this tree is narrower than {radius} mm, so no branch is left.")
        parents = torch.tensor([new.get(int(self.parent[n]), -1) for n in new])
        return AirwayTree(parents, [self.points[n] for n in new], [self.radius[n] for n in new])

    def _turn(self, number: int, parent: int) -> Tensor:
        own, back = self.points[number].double(), self.points[parent].double().flip(0)
        begin = float(self.radius[parent][-1])
        a = _chord(own, begin if float((own[-1] - own[0]).norm()) > 2 * begin else 0.0)
        b = -_chord(back, 0.0)
        cosine = (a @ b) / (a.norm() * b.norm()).clamp(min=1e-12)
        return cosine.clamp(-1, 1).acos().float()


def _chord(points: Tensor, begin: float) -> Tensor:
    """Return the vector from where a line has left a ball of radius ``begin`` to 10 mm further."""
    away = (points - points[0]).norm(dim=1)
    first = int((away >= begin).nonzero()[0])
    last = int((away <= begin + STEM).nonzero()[-1])
    return points[max(last, min(first + 1, len(points) - 1))] - points[first if last > first else 0]


def _check_branch(number: int, points: Tensor, radius: Tensor) -> None:
    check_finite(f"Centre line {number}", check_tensor(f"Centre line {number}", points, "real", "(P, 3)"))
    check_finite(
        f"The radius of branch {number}", check_tensor(f"The radius of branch {number}", radius, "real", "(P,)")
    )
    if len(points) < 2 or len(points) != len(radius) or not bool((radius > 0).all()):
        raise MetaoptError(
            f"A branch needs at least 2 points with a positive radius each, but branch {number} has {len(points)} "
            f"points and {len(radius)} radii, of which {int((radius > 0).sum())} are positive."
        )
