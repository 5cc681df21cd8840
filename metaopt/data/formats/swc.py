"""Read and write trees of tubes as SWC, the text format of neurons, which viewers of trees read."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import torch
from torch import Tensor

from ...arguments.contracts import checked
from ...core.errors import MetaoptError
from ...files import named_errors, read_bytes, replacing

LARGEST = 2**28  # bytes
COLUMNS = "# id type x y z radius parent"


class SwcNodes(NamedTuple):
    """Hold the nodes of an SWC file.

    - ``points``: (N, 3), x, y and z of each node as the file has them.
    - ``radius``: (N,), in the unit of the points.
    - ``parent``: (N,) int64, the number of each node's parent from 0 in the order of the file; -1 for a root.
    """

    points: Tensor
    radius: Tensor
    parent: Tensor


def write_swc(path: str | os.PathLike[str], nodes: SwcNodes, comments: Sequence[str] = ()) -> None:
    """Write nodes as SWC; the file appears complete or not at all.

    A line a node: its number from 1, its type (0, undefined), x, y, z, its radius, and the number of its parent, -1 for
    a root.

    Args:
        path: The file.
        nodes: The nodes, every one after its parent.
        comments: Lines for the head of the file.

    Raises:
        MetaoptError: The file cannot be written.

    Source:
        R. C. Cannon, D. A. Turner, G. K. Pyapali and H. V. Wheal, An on-line archive of reconstructed hippocampal
        neurons (1998), https://doi.org/10.1016/S0165-0270(98)00091-0
    """
    with replacing(Path(path)) as file:
        put_swc(file, nodes, comments)


def put_swc(file: BinaryIO, nodes: SwcNodes, comments: Sequence[str] = ()) -> None:
    """Write nodes as SWC into an open file.

    Args:
        file: The file.
        nodes: The nodes, every one after its parent.
        comments: Lines for the head of the file.
    """
    lines = [*(f"# {comment}" for comment in comments), COLUMNS]
    rows = zip(nodes.points.tolist(), nodes.radius.tolist(), nodes.parent.tolist(), strict=True)
    for number, ((x, y, z), radius, parent) in enumerate(rows, 1):
        lines.append(f"{number} 0 {x:.4f} {y:.4f} {z:.4f} {radius:.4f} {parent + 1 if parent >= 0 else -1}")
    file.write(("\n".join(lines) + "\n").encode())


@checked
def read_swc(path: str | os.PathLike[str]) -> SwcNodes:
    """Read the nodes of an SWC file, whatever order they are in.

    Args:
        path: The file.

    Returns:
        The nodes.

    Raises:
        MetaoptError: The file is missing or no SWC, a number occurs twice, a parent is missing, nodes are their own
            ancestors, or a position or a radius is none.
    """
    path = Path(path)
    with named_errors(path, "SWC tree"):
        if path.is_dir():
            raise MetaoptError("is a folder; give an SWC file.")
        text = read_bytes(path, LARGEST).decode("utf-8-sig", "replace")
        rows: dict[int, tuple[list[float], float, int]] = {}
        for place, line in enumerate(text.splitlines(), 1):
            line = line.partition("#")[0].strip()
            if not line:
                continue
            number, row = _row(line, place)
            if number in rows:
                raise MetaoptError(f"has two nodes of number {number}, the second in line {place}; number them anew.")
            rows[number] = row
        if not rows:
            raise MetaoptError("has no nodes; a line of SWC is 'id type x y z radius parent'.")
        index = {number: i for i, number in enumerate(rows)}
        for number, (_, _, parent) in rows.items():
            if parent >= 0 and parent not in index:
                raise MetaoptError(f"has a node {number} whose parent {parent} is missing; it was cut short or edited.")
        parents = [index[parent] if parent >= 0 else -1 for _, _, parent in rows.values()]
        _check_rooted(parents, list(rows))
        points = torch.tensor([point for point, _, _ in rows.values()], dtype=torch.float64)
        radius = torch.tensor([radius for _, radius, _ in rows.values()], dtype=torch.float64)
        return SwcNodes(points, radius, torch.tensor(parents))


def _row(line: str, place: int) -> tuple[int, tuple[list[float], float, int]]:
    words = line.split()
    try:
        if len(words) < 7 or "_" in line:
            raise ValueError(line)
        number, parent = int(words[0]), int(words[6])
        *point, radius = (float(word) for word in words[2:6])
    except ValueError:
        raise MetaoptError(f"has {line!r:.80} in line {place}, which is not 'id type x y z radius parent'.") from None
    if not all(map(math.isfinite, (*point, radius))) or radius <= 0 or number < 0:
        raise MetaoptError(
            f"has {line!r:.80} in line {place}; a node has a number from 0, a finite position and a radius above 0."
        )
    return number, (point, radius, parent)


def _check_rooted(parents: list[int], numbers: list[int]) -> None:
    """Check that every node leads to a root."""
    reached = [parent < 0 for parent in parents]
    for start in range(len(parents)):
        trail, seen = [], set()
        node = start
        while not reached[node]:
            if node in seen:
                raise MetaoptError(f"has nodes that are their own ancestors, such as {numbers[node]}; correct it.")
            seen.add(node)
            trail.append(node)
            node = parents[node]
        for node in trail:
            reached[node] = True
