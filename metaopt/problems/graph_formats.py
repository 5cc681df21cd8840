"""Convert factor graphs to and from lists of factors, graphs of PyTorch Geometric and graphs of networkx."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..arguments.checks import check_instance, said
from ..core import MetaoptError
from ..foundation.extras import require
from .factor_graph import FactorGraph


class FactorList(NamedTuple):
    """A factor list holds the ``cardinalities`` of a graph, and the ``scopes`` and ``log_tables`` of its factors.

    The log table of a factor whose scope has a variables is (c_1, ..., c_a).
    """

    cardinalities: list[int]
    scopes: list[tuple[int, ...]]
    log_tables: list[Tensor]


def list_factors(graph: FactorGraph) -> FactorList:
    """List the factors of a graph of one sample: the constant, unary potentials that are not 1, then the groups.

    Raises:
        MetaoptError: The graph has more than one sample.
    """
    check_instance("What is listed", graph, FactorGraph)
    if graph.batch != 1:
        raise MetaoptError(f"Only a graph of one sample is a list of factors, but this has {graph.batch}.")
    scopes: list[tuple[int, ...]] = []
    tables: list[Tensor] = []
    if (constant := graph.constant.sum()) != 0:
        scopes.append(())
        tables.append(constant)
    for variable, potentials in enumerate(graph.unary[0].split(graph.cardinalities.tolist())):
        if bool((potentials != 0).any()):
            scopes.append((variable,))
            tables.append(potentials)
    for group in graph.factors:
        scopes += [tuple(scope) for scope in group.variables.tolist()]
        tables += list(group.tables()[0].unbind(-1))
    return FactorList(graph.cardinalities.tolist(), scopes, tables)


def to_data(graph: FactorGraph) -> Any:
    """Convert a factor graph to a bipartite ``torch_geometric.data.Data``, which ``Batch`` can join.

    Nodes are the variables first, then the factors.

    Returns:
        The ``Data``, with

        - ``cardinality`` (V + F,), which is 0 for factors;
        - ``edge_index`` (2, E), from variables to factors, each factor's edges in the order of its table's axes;
        - ``unary`` (N,), the log potentials of single variables;
        - ``log_table``, all tables one after the other in row-major order, and ``table_size`` (F,), their lengths;
        - ``constant`` (1,).

    Raises:
        MetaoptError: The graph has more than one sample, or PyTorch Geometric is not installed.
    """
    Data = require("torch_geometric.data", "graphs").Data

    cardinalities, scopes, tables = list_factors(graph)
    listed = list(zip(scopes, tables, strict=True))
    alone = FactorGraph.from_factors(cardinalities, [(s, t) for s, t in listed if len(s) < 2])
    joined = [(s, t) for s, t in listed if len(s) > 1]
    count = len(cardinalities)
    edges = [[v, count + i] for i, (scope, _) in enumerate(joined) for v in scope]
    empty = graph.unary.new_zeros(0)
    return Data(
        num_nodes=count + len(joined),
        cardinality=torch.tensor(cardinalities + [0] * len(joined)),
        edge_index=torch.tensor(edges, dtype=torch.long).reshape(-1, 2).T.contiguous(),
        unary=alone.unary[0].to(graph.unary),
        log_table=torch.cat([t.flatten() for _, t in joined]) if joined else empty,
        table_size=torch.tensor([t.numel() for _, t in joined], dtype=torch.long),
        constant=alone.constant[0].to(graph.unary),
    )


def from_data(data: Any) -> FactorGraph:
    """Make the factor graph of a ``Data`` from :func:`to_data`, or the union of those of a ``Batch``.

    Raises:
        MetaoptError: The data lack what :func:`to_data` writes.
    """
    names = ("cardinality", "edge_index", "unary", "log_table", "table_size", "constant")
    if missing := [name for name in names if not isinstance(getattr(data, name, None), Tensor)]:
        raise MetaoptError(f"This {type(data).__name__} has no tensor {missing[0]!r}; to_data makes it.")
    is_variable = data.cardinality > 0
    number = is_variable.cumsum(0) - 1
    cards = data.cardinality[is_variable]
    source, target = data.edge_index
    starts = torch.unique_consecutive(target, return_counts=True)[1].tolist()
    scopes = [tuple(s.tolist()) for s in number[source].split(starts)] if len(target) else []
    sizes = cards.tolist()
    tables = [
        t.reshape([sizes[v] for v in scope])
        for scope, t in zip(scopes, data.log_table.split(data.table_size.tolist()), strict=True)
    ]
    batch = getattr(data, "batch", None)
    graph = FactorGraph.from_factors(sizes, [(s, t) for s, t in zip(scopes, tables, strict=True)])
    owner = None if batch is None else batch[is_variable]
    return FactorGraph(cards, data.unary[None], graph.factors, owner, data.constant[None])


def to_networkx(graph: FactorGraph) -> Any:
    """Convert a factor graph to a bipartite ``networkx.Graph``.

    Variables are the nodes 0, 1, ... with their ``cardinality``. Factors are the nodes ``("factor", i)`` with
    ``variables``, in the order of the axes, and ``log_potential``, a NumPy array.

    Raises:
        MetaoptError: The graph has more than one sample, or networkx is not installed.
    """
    networkx = require("networkx", "graphs")

    cardinalities, scopes, tables = list_factors(graph)
    result = networkx.Graph()
    for variable, size in enumerate(cardinalities):
        result.add_node(variable, cardinality=size, bipartite=0)
    for number, (scope, table) in enumerate(zip(scopes, tables, strict=True)):
        node = ("factor", number)
        result.add_node(node, variables=scope, log_potential=table.numpy(), bipartite=1)
        result.add_edges_from((variable, node) for variable in scope)
    return result


def from_networkx(graph: Any) -> FactorGraph:
    """Make the factor graph of a bipartite graph like those from :func:`to_networkx`; variables may have any names.

    Variables are numbered in the order of the nodes with a ``cardinality``.

    Raises:
        MetaoptError: No node has a cardinality, a factor lacks an attribute, or a factor joins an unknown variable.
    """
    if not callable(getattr(graph, "nodes", None)):
        raise MetaoptError(f"from_networkx takes a graph of networkx, but got {said(graph)}.")
    variables = [node for node, given in graph.nodes(data=True) if "cardinality" in given]
    if not variables:
        raise MetaoptError("No node has a 'cardinality', which every variable of a factor graph needs.")
    number = {node: i for i, node in enumerate(variables)}
    factors: list[tuple[Sequence[int], Tensor]] = []
    for node, given in graph.nodes(data=True):
        if node in number:
            continue
        if missing := {"variables", "log_potential"} - set(given):
            raise MetaoptError(f"Node {node!r} has no cardinality and no {' or '.join(sorted(missing))}.")
        if unknown := [v for v in given["variables"] if v not in number]:
            raise MetaoptError(f"Factor {node!r} joins {unknown[0]!r}, which is no variable.")
        factors.append(([number[v] for v in given["variables"]], torch.as_tensor(given["log_potential"])))
    return FactorGraph.from_factors([graph.nodes[v]["cardinality"] for v in variables], factors)
