"""Make graphs of candidate nodes from simulated CTs, on which the methods of refinement are trained.

    python -m metaopt.applications.airway.graphs data/airway_graphs/train --count 12

Trees are grown in lungs that are drawn, or, with --masks, in the lungs of people and taken from their own airways, in
turn. What is there already is not made again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...arguments.contracts import Count, Natural, Positive, checked
from ...core import random
from ...core.errors import MetaoptError
from ...tasks import tree_edges
from ...tasks.airways import Scanner, SimulatedCt, Tissue, draw_lungs, grow_airways, node_parents, simulate_ct
from ...tasks.airways.graphs import write_graph
from ...tasks.airways.grid import bounding_box
from ...tasks.airways.people import masks_of
from ...tasks.patches import uniform
from .candidates import find_candidates
from .refine import airway_graph

Sight = Callable[[SimulatedCt, Tensor], Tensor]
BLUR, NOISE, THICKNESS = (0.6, 1.6), (15.0, 90.0), (0.2, 0.8)  # as the network's own training has them
PARENCHYMA, TEXTURE = (-920.0, -790.0), (25.0, 60.0)
OPAQUE = 0.2  # of the CTs have opacities
MARGIN = 12.0  # mm around the airways of people, beyond which the CT is cut off
VISIBLE = 0.3  # voxels, the least radius of a branch


def network_sight(ct: SimulatedCt, lungs: Tensor) -> Tensor:
    """Return the airwayness of a simulated CT by the network that comes with the package.

    Args:
        ct: The CT.
        lungs: The lung mask, (D, H, W) bool.
    """
    from .airwayness import airwayness
    from .lungs import Lungs

    trachea = ct.labels == 1
    seed = trachea.nonzero()[-1]
    return airwayness(ct.volume, Lungs(lungs, trachea, seed), ct.spacing)


@checked
def write_graph_of(path: Path, ct: SimulatedCt, airwayness: Tensor) -> int:
    """Write the graph of a simulated CT to a file, with what its tree says of the edges.

    Args:
        path: The file.
        ct: The CT.
        airwayness: (D, H, W), from 0 to 1.

    Returns:
        The number of nodes.
    """
    nodes = find_candidates(airwayness, ct.spacing)
    graph = airway_graph(nodes, airwayness, ct.spacing)
    parents = node_parents(ct.tree, nodes.mean[:, :3]).parent
    write_graph(path, graph, nodes.mean[:, :3], tree_edges(graph.edge_index, parents))
    return len(nodes.mean)


@checked
def simulate_chest(seed: int, size: Positive = 0.9, masks: Sequence[Any] | None = None) -> tuple[SimulatedCt, Tensor]:
    """Simulate the CT of a chest as graphs are made of: odd seeds have real airways where there are masks of people.

    Args:
        seed: Draws the chest, its tissue and its scan.
        size: The distance of voxels in mm in lungs that are drawn; a grown tree in people's lungs has about that too.
        masks: Lung masks, masks of the lumen and spacings of people, in threes. None: lungs are drawn.

    Returns:
        The CT and its lung mask.
    """
    generator = random.generator(seed, 0)
    ranges = (BLUR, NOISE, THICKNESS, PARENCHYMA, TEXTURE)
    blur, noise, thickness, parenchyma, texture = (float(uniform(*r, 1, generator)) for r in ranges)
    opaque = float(torch.rand((), generator=generator)) < OPAQUE
    scanner = Scanner(blur, noise)
    tissue = Tissue(thickness, parenchyma=parenchyma, texture=texture, opacities=2 if opaque else 0)
    if masks is None:
        spacing = (size, size, size)
        lungs = draw_lungs(random.derive(seed, 1), spacing, litres=4.5)
        airways: Any = grow_airways(lungs, spacing, random.derive(seed, 2))
    else:
        lungs, lumen, spacing = masks[(seed // 2) % len(masks)]
        if seed % 2:
            box = bounding_box(lumen, [round(MARGIN / size) for size in spacing])
            lungs, airways = lungs[box].clone(), lumen[box].clone()
        else:
            steps = [max(1, round(size / s)) for s in spacing]
            lungs = lungs[:: steps[0], :: steps[1], :: steps[2]].clone()
            spacing = tuple(s * n for s, n in zip(spacing, steps, strict=True))
            airways = grow_airways(lungs, spacing, random.derive(seed, 2))
    if not isinstance(airways, Tensor):
        airways = airways.wider_than(VISIBLE * min(spacing))
    return simulate_ct(airways, lungs, spacing, random.derive(seed, 3), tissue, scanner), lungs


@checked
def make_graphs(
    folder: Path,
    count: Count,
    seed: Natural = 0,
    masks: Sequence[Any] | None = None,
    sight: Sight | None = None,
    size: Positive = 0.9,
) -> Iterator[str]:
    """Simulate CTs, and write the graph of each to ``folder``; those that are there already stay.

    Args:
        folder: The folder, which is made.
        count: The number of graphs.
        seed: The seed of the first CT.
        masks: As for :func:`simulate_chest`.
        sight: A function of the CT and its lung mask that gives airwayness. None: the network's.
        size: As for :func:`simulate_chest`.

    Yields:
        What was written, a line each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(seed, seed + count):
        path = folder / f"{number:04d}.npz"
        if not path.exists():
            ct, lungs = simulate_chest(number, size, masks)
            nodes = write_graph_of(path, ct, (sight or network_sight)(ct, lungs))
            yield f"{path}: {nodes} nodes, {len(ct.tree)} branches"


def main(arguments: list[str] | None = None) -> None:
    """Run the command line of this module.

    Args:
        arguments: The arguments. None: those of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="receives the graphs")
    parser.add_argument("--count", type=int, default=12, help="number of graphs (default: 12)")
    parser.add_argument("--seed", type=int, default=0, help="of the first CT (default: 0)")
    parser.add_argument("--size", type=float, default=0.9, help="of a voxel in mm (default: 0.9)")
    parser.add_argument("--masks", type=Path, help="folder of people's masks, such as data/ct/airway_masks")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 2, 3], help="whose (default: 1 2 3)")
    options = parser.parse_args(arguments)
    try:
        masks = [masks_of(options.masks, person) for person in options.people] if options.masks else None
        for line in make_graphs(options.folder, options.count, options.seed, masks, None, options.size):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    except (MetaoptError, OSError) as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
