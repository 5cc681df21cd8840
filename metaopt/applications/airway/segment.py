"""Segment the airways of a chest CT: from the volume to a labelled tree and the mask of its lumen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from ...arguments.checks import said
from ...arguments.contracts import Axes, checked
from ...core import Unrolled
from ...core.errors import MetaoptError
from ...foundation.extras import require
from ...tasks.airways import AirwayTree, measure_airways
from ...tasks.airways.grid import check_spacing
from .candidates import check_airwayness, find_candidates
from .labelling import find_root, labelled_tree
from .larynx import BelowLarynx, below_larynx
from .refine import REFINEMENTS, airway_graph, favored
from .voxels import fill_airways

Volume = Annotated[Tensor, Axes("real", "(D, H, W)")]
GRAPH_METHODS = (*REFINEMENTS, "mst")
METHODS = (*GRAPH_METHODS, "threshold", "grow")
HIGH, LOW = 0.5, 0.3  # airwayness at which hysteresis begins, and to which it goes on
FEW = 50  # nodes
FULL = 8000  # nodes, the most that are looked at
DOUBTFUL = 0.6  # mean probability of a branch


@dataclass(frozen=True, eq=False)
class Airways:
    """Hold the airways that were found in a CT.

    ``tree`` has the branches with centre lines and radii in mm, ``mask`` (D, H, W) bool is the lumen, ``notes`` are
    sentences on what was found and what may be wrong with it, ``airwayness`` (D, H, W) is what the tree was found in
    (None for region growing), and ``probability`` (N,) says how sure each branch is (None where no graph was refined).
    """

    tree: AirwayTree
    mask: Tensor
    notes: list[str]
    airwayness: Tensor | None = None
    probability: Tensor | None = None


@checked
def segment_airways(
    volume: Volume,
    spacing: Any,
    method: str = "gnn",
    airwayness: Volume | None = None,
    progress: Callable[[str], None] | None = None,
    lungs: Any = None,
    net: Unrolled | None = None,
) -> Airways:
    """Segment the airways of a chest CT.

    Candidate nodes are found in the airwayness of the CT and joined to a graph, whose edges are judged; the most
    probable tree from the trachea is grown into voxels. The method ``"threshold"`` takes the airwayness above 0.3 that
    is connected with some above 0.5, and ``"grow"`` grows a region in the CT itself; both then measure their mask.

    Args:
        volume: The CT, (D, H, W) in Hounsfield units, with the first axis towards the head.
        spacing: The distance of voxels along (z, y, x), in mm.
        method: ``"gnn"``, ``"mfn"``, ``"mfn3"``, ``"bp"``, ``"lbp"``, ``"edge"``
            (:func:`~metaopt.applications.airway.refinement`), ``"mst"``, ``"threshold"`` or ``"grow"``.
        airwayness: (D, H, W), from 0 to 1, where it is known already. None: the network's.
        progress: A function that is told in a few words what is done next.
        lungs: What ``find_lungs`` found, where it is known already.
        net: The network that judges the edges. None: that of the method.

    Returns:
        Tree, mask and notes.

    Raises:
        MetaoptError: The volume is no CT of a chest, there is no such method, or there is nothing to make a tree of;
            the message says what was found.
    """
    sizes = check_spacing(spacing)
    check_method(method)
    if lungs is not None and not isinstance(getattr(lungs, "trachea", None), Tensor):
        raise MetaoptError(f"The lungs are what find_lungs gives, with the mask of the trachea, not {said(lungs)}.")
    tell = progress or (lambda _: None)
    chest: Any = lungs
    if lungs is None and (airwayness is None or method == "grow"):
        from .lungs import find_lungs

        tell("finding the lungs")
        chest = find_lungs(volume, sizes)
    if method == "grow":
        from .growing import grow_region

        tell("growing a region")
        return _measured(grow_region(volume, chest.seed, sizes), sizes, None)
    if airwayness is None:
        from .airwayness import airwayness as see

        tell("looking for airways")
        airwayness = see(volume, chest, sizes)
    if airwayness.shape != volume.shape:
        raise MetaoptError(
            f"Airwayness is a number for each voxel of the CT, but has {tuple(airwayness.shape)} for "
            f"{tuple(volume.shape)}."
        )
    airwayness = check_airwayness(airwayness)
    if method == "threshold":
        tell("growing the mask")
        return _measured(threshold_airways(airwayness), sizes, airwayness)
    return _by_graph(airwayness, sizes, method, (tell, chest, net))


def check_method(method: str) -> None:
    """Check that there is a method to find airways.

    Args:
        method: Its name.

    Raises:
        MetaoptError: There is none of the name.
    """
    if method not in METHODS:
        raise MetaoptError(f"There is no method {method!r:.80} to find airways; there are {', '.join(METHODS)}.")


def _by_graph(
    airwayness: Tensor, sizes: tuple[float, float, float], method: str, given: tuple[Callable[[str], None], Any, Any]
) -> Airways:
    tell, lungs, net = given
    tell("finding candidate nodes")
    nodes = find_candidates(airwayness, sizes, most=FULL)
    root = find_root(nodes, None if lungs is None else lungs.trachea, sizes)
    tell(f"judging the edges of {len(nodes.mean)} nodes")
    graph = airway_graph(nodes, airwayness, sizes)
    found = labelled_tree(nodes, graph.edge_index, favored(graph, method, net), root)
    below = below_larynx(found.tree)
    probability = below.mean(found.probability, found.tree.length)
    tell("filling the tree")
    mask = fill_airways(below.tree, airwayness, sizes)
    notes = []
    if len(nodes.mean) < FEW:
        notes.append(f"Only {len(nodes.mean)} candidate nodes were found; a chest CT gives some 2,000 to {FULL:,}.")
    if len(nodes.mean) >= FULL:
        notes.append(
            f"More than {FULL:,} candidates were found, of which the weakest were left out; the CT is noisy, or much "
            "in it looks like airways."
        )
    doubtful = int((probability < DOUBTFUL).sum())
    if doubtful:
        notes.append(f"{doubtful} of the {len(below.tree)} branches have a mean probability below {DOUBTFUL}.")
    return Airways(below.tree, mask, [*_said(below), *notes], airwayness, probability)


def threshold_airways(airwayness: Tensor, high: float = HIGH, low: float = LOW) -> Tensor:
    """Return the largest connected part of airwayness by a threshold with hysteresis.

    Args:
        airwayness: (D, H, W), from 0 to 1.
        high: Every part has a voxel above this.
        low: And consists of voxels above this.

    Returns:
        (D, H, W) bool.

    Raises:
        MetaoptError: No voxel is above ``high``.
    """
    ndimage: Any = require("scipy.ndimage", "airway")
    labels, _ = ndimage.label((airwayness >= low).numpy())
    labels = torch.from_numpy(labels)
    counts = labels.flatten().bincount()
    strong = labels[airwayness >= high].unique()
    if not len(strong):
        raise MetaoptError(
            f"No voxel has an airwayness of {high}; the largest is {float(airwayness.max()):.2f}, so that there are no "
            "airways to be seen."
        )
    return labels == strong[counts[strong].argmax()]


def _measured(mask: Tensor, sizes: tuple[float, float, float], airwayness: Tensor | None) -> Airways:
    below = below_larynx(measure_airways(mask, sizes))
    return Airways(below.tree, mask, _said(below), airwayness)


def _said(below: BelowLarynx) -> list[str]:
    """Return sentences on what is in a tree, and what is not."""
    tree = below.tree
    generation = tree.generation
    notes = [
        f"{len(tree)} branches were found, {float(tree.length.sum()) / 10:.0f} cm long together, down to generation "
        f"{int(generation.max())}."
    ]
    if len(tree) == 1:
        notes.append("Only a trachea was found, without bronchi.")
    elif int((generation == 1).sum()) > 1 and len(tree) < 7:
        notes.append("Only the largest bronchi were found.")
    return [*notes, below.note] if below.note else notes
