"""Leave out what a tree of airways has beside the trachea above the carina: pieces of the larynx and of the throat."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...arguments.contracts import checked
from ...tasks.airways import AirwayTree

SHARE = 0.05  # of what lies beyond a division, below which a side has little
NARROW = 0.5  # of the radius of the trachea, below which a side is no main bronchus


class BelowLarynx(NamedTuple):
    """Hold a tree whose trachea is one branch, of which former branches each is made, and how many were dropped."""

    tree: AirwayTree
    made_of: list[list[int]]
    dropped: int

    @property
    def note(self) -> str:
        """A sentence on what was left out; empty, where nothing was."""
        if not self.dropped:
            return ""
        return f"Above the carina, {self.dropped} side branches were left out, as those of a larynx."

    def mean(self, values: Tensor, length: Tensor) -> Tensor:
        """Return the means of values (N,) of the former branches, weighted by their length (N,)."""
        return torch.stack([(values[of] * length[of]).sum() / length[of].sum() for of in self.made_of])


@checked
def below_larynx(tree: AirwayTree) -> BelowLarynx:
    """Return a tree without the side branches of its trachea above the carina, which become no generations.

    A CT that shows the neck has air beside the vocal cords and in the throat. The carina is the first division from the
    root of which two sides are bronchi: with 5 % of the length beyond it, or half as wide as the trachea. A bronchus
    that leaves the trachea itself (one person in some hundred has it, and it feeds a lobe or segment) therefore stays,
    with all that follows. A tree without such a division stays as it is.

    Args:
        tree: The tree, the trachea first.

    Returns:
        The tree, the branches of the former one that each of its branches is made of, and how many were left out.
    """
    children, length, radius = tree.children, tree.length.tolist(), tree.mean_radius.tolist()
    beyond = list(length)
    for number in range(len(tree) - 1, 0, -1):
        beyond[int(tree.parent[number])] += beyond[number]
    trunk = [0]
    widest = radius[0]
    while following := children[trunk[-1]]:
        main = max(following, key=beyond.__getitem__)
        whole = sum(beyond[n] for n in following)
        if any(n != main and (beyond[n] >= SHARE * whole or radius[n] >= NARROW * widest) for n in following):
            return _joined(tree, trunk)
        trunk.append(main)
        widest = max(widest, radius[main])
    return BelowLarynx(tree, [[n] for n in range(len(tree))], 0)


def _joined(tree: AirwayTree, trunk: list[int]) -> BelowLarynx:
    """Return the tree whose first branch is all of the trunk, without what leaves it before its end."""
    new, made_of = {trunk[-1]: 0}, [trunk]
    for number, parent in enumerate(tree.parent.tolist()):
        if number not in trunk and parent in new:
            new[number] = len(made_of)
            made_of.append([number])
    parents = torch.tensor([-1, *(new[int(tree.parent[of[0]])] for of in made_of[1:])])
    lines = [torch.cat([tree.points[n][n != of[0] :] for n in of]) for of in made_of]
    radii = [torch.cat([tree.radius[n][n != of[0] :] for n in of]) for of in made_of]
    return BelowLarynx(AirwayTree(parents, lines, radii), made_of, len(tree) - sum(map(len, made_of)))
