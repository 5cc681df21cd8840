"""Keep graphs of candidate nodes with the edges that are real in files, and draw parts of them to train on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...arguments.contracts import Count, Natural, checked
from ...core import random
from ...core.errors import MetaoptError
from ...data.location import data_path
from ...problems.refinement import GraphRefinement
from ..patches import integer

FIELDS = {"x": 2, "pairs": 2, "edge_index": 2, "position": 2, "real": 1}


@checked
@dataclass(frozen=True, eq=False)
class AirwayGraphs:
    """Draw graphs of candidate nodes of airways from files, most of whose edges do not belong to the airways.

    The files were written by :func:`write_graph`, from simulated CTs for instance. ``sample`` gives a
    :class:`~metaopt.problems.GraphRefinement` and which of its edges are real (E,), as 0 and 1, in both directions. A
    part of a graph holds the nodes nearest to one of its nodes that real edges join.

    Args:
        folder: The folder with the files, relative to the folder of data or absolute.
        nodes: The number of nodes of a part. 0: whole graphs, in turn with the seeds.
        batch: The number of parts, which are put side by side in one graph.
    """

    folder: str
    nodes: Natural = 0
    batch: Count = 1
    files: tuple[Path, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        files = tuple(sorted(data_path(self.folder).glob("*.npz")))
        if not files:
            raise MetaoptError(
                f"The folder {data_path(self.folder)} has no graphs (*.npz); 'python -m metaopt.applications.airway."
                "graphs FOLDER' makes some from simulated CTs."
            )
        object.__setattr__(self, "files", files)

    def sample(self, seed: int) -> tuple[GraphRefinement, Tensor]:
        generator = random.generator(seed)
        drawn = []
        for number in range(self.batch):
            if self.nodes:
                graph = read_graph(self.files[integer(len(self.files), generator)])
                drawn.append(self._part(graph, generator))
            else:
                drawn.append(read_graph(self.files[(seed * self.batch + number) % len(self.files)]))
        graphs = [GraphRefinement(g["x"], g["pairs"], g["edge_index"]) for g in drawn]
        return GraphRefinement.union(graphs), torch.cat([g["real"] for g in drawn])

    def _part(self, graph: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        ends = graph["edge_index"][:, graph["real"] > 0].flatten()
        middle = ends[integer(len(ends), generator)] if len(ends) else 0
        distance = (graph["position"] - graph["position"][middle]).norm(dim=1)
        inside = torch.zeros(len(distance), dtype=torch.bool)
        inside[distance.topk(min(self.nodes, len(distance)), largest=False).indices] = True
        edges = inside[graph["edge_index"]].all(0)
        used, edge_index = graph["edge_index"][:, edges].unique(return_inverse=True)
        nodes = {name: graph[name][used] for name in ("x", "position")}
        return {**nodes, "pairs": graph["pairs"][edges], "real": graph["real"][edges], "edge_index": edge_index}


@checked
def write_graph(path: Path, problem: GraphRefinement, position: Tensor, real: Tensor) -> None:
    """Write a graph with what is real of it to a file.

    Args:
        path: The file, \\*.npz. It is replaced if it is there.
        problem: The graph.
        position: (N, 3), positions of the nodes in mm.
        real: (E,), 1 for the edges that are real and 0 for others.

    Raises:
        MetaoptError: Nodes or edges are not as many as those of the graph.
    """
    if len(position) != len(problem.x) or len(real) != problem.edge_index.shape[1]:
        raise MetaoptError(
            f"A graph of {len(problem.x)} nodes and {problem.edge_index.shape[1]} edges has as many positions and "
            f"targets, but got {len(position)} and {len(real)}."
        )
    values = (problem.x, problem.pairs, problem.edge_index, position, real.to(problem.x))
    arrays: dict[str, Any] = {name: value.numpy() for name, value in zip(FIELDS, values, strict=True)}
    np.savez(path, **arrays)


def read_graph(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a graph that :func:`write_graph` wrote.

    Args:
        path: The file.

    Returns:
        ``x`` (N, F), ``pairs`` (E, P), ``edge_index`` (2, E), ``position`` (N, 3) and ``real`` (E,).

    Raises:
        MetaoptError: The file cannot be read, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            found: dict[str, Any] = {name: torch.from_numpy(file[name]) for name in FIELDS}
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise MetaoptError(f"{path} is no graph of airways: {str(error).rstrip('.')}.") from error
    if any(found[name].ndim != axes for name, axes in FIELDS.items()):
        raise MetaoptError(f"{path} is no graph of airways: its arrays have shapes that do not belong together.")
    return found
