"""Keep airway trees as SWC files, in millimetres of the scanner."""

from __future__ import annotations

import heapq
import os
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from ...arguments.checks import check_instance
from ...arguments.contracts import checked
from ...core import MetaoptError
from ...data.formats.ct_grid import Grid
from ...data.formats.swc import SwcNodes, put_swc, read_swc
from ...files import replacing
from ...tasks.airways import AirwayTree

SAME = 1e-3  # mm; nearer than this, a branch begins at the end of its parent
NARROWEST = 1e-3  # mm, that the text of a radius shows
SCANNER = "positions and radii in mm; x to the right, y to the front, z to the head of the patient (RAS, as of NIfTI)"
VOXEL = "positions and radii in mm; the place in the scanner is not known: x, y, z as the format of the file presumes"


@checked
def write_tree(path: str | os.PathLike[str], tree: AirwayTree, grid: Grid) -> None:
    """Write an airway tree as SWC, in millimetres of the scanner (RAS); the file appears complete or not at all.

    Args:
        path: The file, .swc.
        tree: The tree, in mm from the first voxel.
        grid: That of the CT or mask of the tree, which says where the voxel is.

    Raises:
        MetaoptError: The ending is another, or the file cannot be written.
    """
    path = check_tree_name(path)
    with replacing(path) as file:
        put_tree(file, tree, grid)


def check_tree_name(path: str | os.PathLike[str]) -> Path:
    """Return the path of a tree to be written.

    Args:
        path: The file.

    Raises:
        MetaoptError: It does not end in .swc.
    """
    path = Path(path)
    if not path.name.lower().endswith(".swc"):
        raise MetaoptError(f"{path} does not say that it is a tree; end it in .swc.")
    return path


def put_tree(file: BinaryIO, tree: AirwayTree, grid: Grid) -> None:
    """Write an airway tree as SWC into an open file.

    Args:
        file: The file.
        tree: The tree.
        grid: That of its CT or mask.
    """
    nodes = nodes_of(check_instance("The tree", tree, AirwayTree), check_instance("The grid", grid, Grid))
    head = ("airways, by metaopt", SCANNER if grid.known else VOXEL, f"{len(tree)} branches, the trachea first")
    put_swc(file, nodes, head)


def nodes_of(tree: AirwayTree, grid: Grid) -> SwcNodes:
    """Return the nodes of a tree in millimetres of the scanner, a branch after the other.

    Where a branch begins at the end of its parent, as it should, the two share that node.

    Args:
        tree: The tree.
        grid: That of its CT or mask.
    """
    points, radii, parents, last = [], [], [], []
    count = 0
    for number, parent in enumerate(tree.parent.tolist()):
        line, radius = tree.points[number].double().cpu(), tree.radius[number].double().cpu()
        before = last[parent] if parent >= 0 else -1
        if parent >= 0 and float((line[0] - tree.points[parent][-1].double().cpu()).norm()) < SAME:
            line, radius = line[1:], radius[1:]
        points.append(line)
        radii.append(radius)
        parents += [before, *range(count, count + len(line) - 1)]
        count += len(line)
        last.append(count - 1)
    placed = grid.placed(torch.cat(points))
    return SwcNodes(placed, torch.cat(radii).clamp(min=NARROWEST), torch.tensor(parents))


@checked
def read_tree(path: str | os.PathLike[str], grid: Grid | None = None) -> AirwayTree:
    """Read an airway tree from SWC; its branches lead from one division to the next.

    A branch begins with the node at which its parent divides, and takes its first radius from the node after it.
    Branches with one child alone, of which SWC knows nothing, become one with it.

    Args:
        path: The file, with positions in millimetres of the scanner (RAS), the root being the outer end of the trachea.
        grid: That of the CT, to whose first voxel positions then refer. None: positions stay in the scanner's frame, in
            the order (head, back, left).

    Returns:
        The tree, in mm along (z, y, x).

    Raises:
        MetaoptError: As of :func:`~metaopt.data.read_swc`; there are several roots, or a single node.
    """
    nodes = read_swc(path)
    roots = (nodes.parent < 0).nonzero().flatten().tolist()
    if len(roots) != 1 or len(nodes.parent) < 2:
        raise MetaoptError(
            f"{path} has {len(nodes.parent)} nodes and {len(roots)} roots; an airway tree has one root and several "
            "nodes, so take out the parts that do not belong to it."
        )
    turned = nodes.points.flip(1) * torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    points = grid.found(nodes.points) if grid is not None else turned
    return _tree(points, nodes.radius, nodes.parent.tolist(), roots[0])


def _tree(points: Tensor, radius: Tensor, parents: list[int], root: int) -> AirwayTree:
    children: list[list[int]] = [[] for _ in parents]
    for node, parent in enumerate(parents):
        if parent >= 0:
            children[parent].append(node)
    found, lines = [], []
    waiting = [(root, -1, [root])]
    while waiting:  # of the branches whose parents are there, that which comes first in the file
        _, parent, line = heapq.heappop(waiting)
        while len(children[line[-1]]) == 1:
            line.append(children[line[-1]][0])
        number = len(lines)
        if len(line) > 1:
            found.append(parent)
            lines.append(line)
        else:  # the root divides at once
            number = parent
        for child in children[line[-1]]:
            heapq.heappush(waiting, (child, number, [line[-1], child]))
    if found.count(-1) != 1:
        raise MetaoptError("The root of this SWC tree divides at once; an airway tree begins with a trachea.")
    radii = [radius[[line[1], *line[1:]] if parent >= 0 else line] for parent, line in zip(found, lines, strict=True)]
    return AirwayTree(torch.tensor(found), [points[line].float() for line in lines], [r.float() for r in radii])
