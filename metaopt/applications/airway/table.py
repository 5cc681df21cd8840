"""Tabulate the branches of an airway tree: where they belong, how long and wide they are, and how they taper."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import torch
from torch import Tensor

from ...arguments.checks import check_instance
from ...arguments.contracts import checked
from ...core import MetaoptError
from ...data.formats.ct_grid import Grid
from ...files import replacing
from ...tasks.airways import AirwayTree

SPUR = 0.12  # of the length beyond a division, below which a branch is none of the two main bronchi
ENDS = 0.1  # of the length, at each end, where a branch widens into others and its taper is not measured
CLEAR = 1.5  # radii of its parent, after which a branch has left its lumen
SHORTEST = 3.0  # mm over which a taper can be measured


class Branch(NamedTuple):
    """Hold a row of the table of an airway tree.

    - ``branch``: its number, 0 for the trachea; ``parent``: that of its parent, -1 for none.
    - ``generation``: the number of divisions between the trachea and it.
    - ``side``: right or left of the patient, by its subtree's place beside the carina; empty up to the carina.
    - ``length_mm``: the length of its centre line.
    - ``diameter_mm``: twice the median radius of its lumen; ``area_mm2``: pi times the square of that radius.
    - ``taper_mm_per_mm``: by how much the diameter decreases per length, by least squares over the middle 80 % of the
      branch, as far as it has left the lumen of its parent; negative where it widens. None below 3 mm of these.
    - ``angle_deg``: the angle to the direction of its parent. None for the trachea.
    """

    branch: int
    parent: int
    generation: int
    side: str
    length_mm: float
    diameter_mm: float
    area_mm2: float
    taper_mm_per_mm: float | None
    angle_deg: float | None


@checked
def tabulate(tree: AirwayTree, grid: Grid | None = None) -> list[Branch]:
    """Return a row for each branch of an airway tree.

    Args:
        tree: The tree.
        grid: That of its CT or mask, which says what is right and left. None: x leads to the left of the patient.

    Returns:
        The rows, in the order of the branches.
    """
    right = -torch.eye(3, dtype=torch.float64)[2]  # of a point (z, y, x)
    if grid is not None:
        right = grid.placed(torch.eye(3))[:, 0] - grid.placed(torch.zeros(1, 3))[0, 0]
    sides = sides_of(tree, right)
    generations, lengths, radii = tree.generation.tolist(), tree.length.tolist(), tree.mean_radius.tolist()
    return [
        Branch(
            number,
            parent,
            generations[number],
            sides[number],
            lengths[number],
            2 * radii[number],
            math.pi * radii[number] ** 2,
            _taper(tree, number, parent),
            None if math.isnan(angle) else angle,
        )
        for number, (parent, angle) in enumerate(zip(tree.parent.tolist(), tree.angle.tolist(), strict=True))
    ]


@checked
def summarize(tree: AirwayTree) -> str:
    """Return a sentence on the size of an airway tree.

    Args:
        tree: The tree.

    Returns:
        Its branches, generations, length and the width of the trachea.
    """
    count, deepest = len(tree), int(tree.generation.max())
    width, length = 2 * float(tree.mean_radius[0]), float(tree.length.sum())
    branches = "1 branch" if count == 1 else f"{count} branches"
    return f"{branches} to generation {deepest}, {length:.0f} mm long in all; the first is {width:.1f} mm wide."


def carina_of(tree: AirwayTree) -> int:
    """Return the branch that ends at the carina, -1 where the tree does not divide into two large parts.

    From the trachea the larger subtree is followed until the second largest has 12 % of the length beyond, so that a
    spur or a bronchus of the trachea is no main bronchus.

    Args:
        tree: The tree.
    """
    beyond = tree.length.double().tolist()
    for number in range(len(tree) - 1, 0, -1):
        beyond[int(tree.parent[number])] += beyond[number]
    children, here = tree.children, 0
    while children[here]:
        parts = sorted((beyond[child] for child in children[here]), reverse=True)
        if len(parts) > 1 and parts[1] >= SPUR * sum(parts):
            return here
        here = max(children[here], key=lambda child: beyond[child])
    return -1


def sides_of(tree: AirwayTree, right: Tensor) -> list[str]:
    """Return the side of each branch, right or left, or an empty text for the trachea or where there is no carina.

    Args:
        tree: The tree.
        right: How far each of (z, y, x) leads to the right of the patient, (3,) float64.
    """
    carina = carina_of(tree)
    if carina < 0:
        return [""] * len(tree)
    before = {carina}
    while (parent := int(tree.parent[min(before)])) >= 0:
        before.add(parent)
    middle = float(tree.points[carina][-1].double() @ right)
    top: dict[int, int] = {}  # the branch off the trachea that each branch follows
    weights, places = [0.0] * len(tree), [0.0] * len(tree)
    for number, parent in enumerate(tree.parent.tolist()):
        if number in before:
            continue
        top[number] = first = top.get(parent, number)
        line = tree.points[number].double()
        pieces = line.diff(dim=0).norm(dim=1)
        weights[first] += float(pieces.sum())
        places[first] += float(pieces @ ((line[1:] + line[:-1]) @ right / 2 - middle))
    return ["" if number not in top else "right" if places[top[number]] > 0 else "left" for number in range(len(tree))]


def _taper(tree: AirwayTree, number: int, parent: int) -> float | None:
    points, radius = tree.points[number].double(), tree.radius[number].double()
    along = torch.cat([torch.zeros(1, dtype=torch.float64), points.diff(dim=0).norm(dim=1).cumsum(0)])
    whole, within = float(along[-1]), CLEAR * float(tree.radius[parent][-1]) if parent >= 0 else 0.0
    inner = (along >= max(ENDS * whole, within)) & (along <= (1 - ENDS) * whole)
    x, y = along[inner], 2 * radius[inner]
    if len(x) < 3 or float(x[-1] - x[0]) < SHORTEST:
        return None
    x = x - x.mean()
    return -float(x @ y) / float(x @ x)


@checked
def write_table(path: str | os.PathLike[str], rows: Sequence[Branch]) -> None:
    """Write the table of an airway tree as CSV; the file appears complete or not at all.

    Args:
        path: The file, .csv.
        rows: What :func:`tabulate` gave.

    Raises:
        MetaoptError: The ending is another, or the file cannot be written.
    """
    path = check_table_name(path)
    with replacing(path) as file:
        put_table(file, rows)


def check_table_name(path: str | os.PathLike[str]) -> Path:
    """Return the path of a table to be written.

    Args:
        path: The file.

    Raises:
        MetaoptError: It does not end in .csv.
    """
    path = Path(path)
    if not path.name.lower().endswith(".csv"):
        raise MetaoptError(f"{path} does not say that it is a table; end it in .csv.")
    return path


def put_table(file: BinaryIO, rows: Sequence[Branch]) -> None:
    """Write the table of an airway tree into an open file.

    Args:
        file: The file.
        rows: The rows; what is None stays empty.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Branch._fields)
    for row in rows:
        row = check_instance("A row of the table", row, Branch)
        writer.writerow([f"{value:.4g}" if isinstance(value, float) else value for value in row])
    file.write(text.getvalue().encode())
