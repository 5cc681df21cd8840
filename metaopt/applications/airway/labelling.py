"""Turn scores of edges into a labelled tree: the most probable arborescence from the trachea, pruned."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...algorithms import maximum_arborescence
from ...arguments.checks import check_tensor
from ...arguments.contracts import Natural, Share, checked
from ...core.errors import MetaoptError
from ...tasks.airways import AirwayTree
from ...tasks.airways.grid import check_mask, check_spacing
from .candidates import AirwayNodes

LEAST = 0.005  # the least probability of an edge
SURE = 6.0  # the largest log-odds that a node adds
SPUR = 2.0  # mm beyond the lumen of its parent that a last branch must lead
WIDE = 0.6  # of the widest radius: the trachea
DENSE = 1.0  # mm between points of a centre line
CLEAR = 0.4  # airwayness of nodes of the trachea


class LabelledTree(NamedTuple):
    """Hold a tree of airways, and for each branch the mean probability (N,) of the edges that it is made of."""

    tree: AirwayTree
    probability: Tensor


@checked
def find_root(nodes: AirwayNodes, trachea: Tensor | None = None, spacing: Any = None) -> int:
    """Return the number of the node where the trachea begins: the highest of the wide ones.

    Args:
        nodes: The nodes.
        trachea: The mask of the trachea, (D, H, W) bool, in which it is looked for first. None: not known.
        spacing: The distance of voxels along (z, y, x), in mm, where there is a mask.

    Raises:
        MetaoptError: No node has an airwayness to be trusted, or the mask is none or has no spacing.
    """
    clear = nodes.airwayness >= CLEAR
    if not bool(clear.any()):
        best = float(nodes.airwayness.max()) if len(nodes.mean) else 0.0
        raise MetaoptError(
            f"{len(nodes.mean)} candidate nodes were found, but none with an airwayness of {CLEAR}; the clearest has "
            f"{best:.2f}. There is no trachea to begin a tree at."
        )
    position, radius = nodes.mean[:, :3], nodes.mean[:, 3]
    if trachea is not None:
        trachea = check_mask("The mask of the trachea", trachea)
        index = (position / torch.tensor(check_spacing(spacing))).round().long()
        size = torch.tensor(trachea.shape)
        index = torch.minimum(index.clamp(min=0), size - 1)
        inside = clear & trachea[index[:, 0], index[:, 1], index[:, 2]]
        clear = inside if bool(inside.any()) else clear
    wide = clear & (radius >= WIDE * float(radius[clear].max()))
    upright = wide & (nodes.mean[:, 4].abs() > 0.6)
    wide = upright if bool(upright.any()) else wide
    return int(torch.where(wide, position[:, 0], -torch.inf).argmax())


@checked
def labelled_tree(
    nodes: AirwayNodes, edge_index: Tensor, log_odds: Tensor, root: Natural, least: Share = LEAST
) -> LabelledTree:
    """Return the labelled tree of the most probable edges.

    Among the trees from the root whose edges have a probability of at least ``least``, it is found by
    :func:`~metaopt.algorithms.maximum_arborescence`; then each part stays whose nodes have log-odds of being in the
    tree with a sum above 0, so that one improbable edge is taken for what lies beyond, but nothing improbable stays at
    the ends. Last branches that hardly leave the lumen of their parent are no branches.

    Args:
        nodes: The nodes.
        edge_index: (2, E) int64.
        log_odds: (E,), of a refinement.
        root: The number of the node at the beginning of the trachea.
        least: The least probability of an edge.

    Returns:
        The tree, and how probable its branches are.

    Raises:
        MetaoptError: No edge of the root is probable, or the graph has no edge, a self-loop, or one that comes twice or
            names a node that does not exist.
    """
    check_tensor("The edges of labelled_tree", edge_index, "whole", "(2, E)")
    found = maximum_arborescence(edge_index, len(nodes.mean), log_odds, root, least)
    gain = _gain(edge_index, log_odds.detach(), found.edge)
    parent, score = found.parent.tolist(), gain.double().tolist()
    order = _order(parent, root)
    children = _worth(parent, score, order, root)
    position, radius = nodes.mean[:, :3].double().numpy(), nodes.mean[:, 3].double().numpy()
    _drop_spurs(children, parent, order, position, radius)
    if children[root]:
        children[root] = [max(children[root], key=lambda c: _reach(c, children, position, root))]
    else:
        best = torch.sigmoid(log_odds[edge_index[0] == root].max()) if bool((edge_index[0] == root).any()) else 0.0
        raise MetaoptError(
            f"No edge of the trachea at {[round(v) for v in position[root].tolist()]} mm is probable enough for a tree "
            f"(the best has {float(best):.2f}), though there are {len(position)} candidate nodes."
        )
    parents, paths = _branches(children, root)
    lines = [_line(path, number == 0, position, radius) for number, path in enumerate(paths)]
    sure = torch.sigmoid(log_odds.detach())[found.edge.clamp(min=0)]
    mean = torch.stack([sure[path[1:]].mean() for path in paths])
    return LabelledTree(AirwayTree(torch.tensor(parents), [p for p, _ in lines], [r for _, r in lines]), mean)


def _gain(edge_index: Tensor, log_odds: Tensor, edge: Tensor) -> Tensor:
    """Return how much each node adds to the worth of the tree, (N,), given the edge (N,) from its parent.

    It is the log-odds that one of its two best edges is real, for independent edges: a node that may be joined in two
    ways is surely in the tree, though neither edge is sure. What its edge is worse than its best one, in log
    probability, is taken off.
    """
    score = log_odds.double()
    missing, present = torch.nn.functional.logsigmoid(-score), torch.nn.functional.logsigmoid(score)
    none = torch.minimum(*(-_two_best(end, -missing, len(edge)) for end in edge_index)).clamp(max=-1e-12)
    inside = torch.log(-torch.expm1(none)) - none
    best = torch.full((len(edge),), -torch.inf, dtype=score.dtype)
    for end in edge_index:
        best = best.scatter_reduce(0, end, present, "amax")
    worse = torch.where(edge >= 0, present[edge.clamp(min=0)] - best, 0.0)
    return inside.clamp(-SURE, SURE) + worse


def _two_best(node: Tensor, values: Tensor, nodes: int) -> Tensor:
    """Return the sum of the two largest values, which are positive, of each node, (nodes,)."""
    order = values.argsort(descending=True, stable=True)
    order = order[node[order].argsort(stable=True)]
    counts = torch.bincount(node, minlength=nodes)
    rank = torch.arange(len(node)) - (counts.cumsum(0) - counts)[node[order]]
    two = order[rank < 2]
    return torch.zeros(nodes, dtype=values.dtype).index_add(0, node[two], values[two])


def _order(parent: list[int], root: int) -> list[int]:
    """Return the nodes of the tree, every one after its parent."""
    following: dict[int, list[int]] = {}
    for node, above in enumerate(parent):
        following.setdefault(above, []).append(node)
    order = [root]
    for node in order:
        order += following.get(node, [])
    return order


def _worth(parent: list[int], score: list[float], order: list[int], root: int) -> list[list[int]]:
    """Return the children of each node without those whose part of the tree has log-odds with a sum of 0 or less."""
    value = [0.0] * len(parent)
    children: list[list[int]] = [[] for _ in parent]
    for node in reversed(order):
        value[node] += score[node]
        if node != root and value[node] > 0:
            children[parent[node]].append(node)
            value[parent[node]] += value[node]
    return children


def _drop_spurs(
    children: list[list[int]], parent: list[int], order: list[int], position: np.ndarray, radius: np.ndarray
) -> None:
    """Take away last branches that hardly leave their parent; what they leave behind may be one branch again."""
    far = np.zeros(len(parent))  # from a node to the end of the longest way on
    for node in reversed(order):
        if len(children[node]) > 1:
            steps = {c: float(np.linalg.norm(position[c] - position[node])) + far[c] for c in children[node]}
            longest = max(steps.values())
            least = radius[node] + SPUR
            children[node] = [c for c in children[node] if steps[c] >= least or steps[c] == longest]
        far[node] = max(
            (float(np.linalg.norm(position[c] - position[node])) + far[c] for c in children[node]), default=0
        )


def _reach(node: int, children: list[list[int]], position: np.ndarray, root: int) -> int:
    """Return the number of nodes of a part of the tree."""
    waiting, count = [node], 0
    while waiting:
        count += 1
        waiting += children[waiting.pop()]
    return count


def _branches(children: list[list[int]], root: int) -> tuple[list[int], list[list[int]]]:
    """Return the parents and nodes of branches, each with the last node of its parent first."""
    parents, paths = [], []
    waiting = [(-1, [root])]
    while waiting:
        above, path = waiting.pop(0)
        while len(following := children[path[-1]]) == 1:
            path.append(following[0])
        parents.append(above)
        paths.append(path)
        waiting += [(len(paths) - 1, [path[-1], child]) for child in following]
    return parents, paths


def _line(path: list[int], first: bool, position: np.ndarray, radius: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return a centre line with points about 1 mm apart and its radii; where it begins, the radius is its own."""
    points, radii = position[path], radius[path].copy()
    if not first:
        radii[0] = radii[1]
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    fine = np.linspace(0, along[-1], max(2, round(along[-1] / DENSE) + 1))
    line = np.stack([np.interp(fine, along, points[:, a]) for a in range(3)], 1)
    return torch.from_numpy(line).float(), torch.from_numpy(np.interp(fine, along, radii)).float()
