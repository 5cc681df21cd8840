"""Convert UAI models to factor graphs, and back."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ...arguments.contracts import checked
from ...problems import FactorGraph, graph_formats
from .uai import UaiModel


@checked
def factor_graph(model: UaiModel, evidence: Mapping[int, int] | None = None) -> FactorGraph:
    """Convert a UAI model to a factor graph in float64.

    Args:
        model: The model.
        evidence: The state of each observed variable.

    Returns:
        The factor graph, with the evidence observed.

    Raises:
        MetaoptError: The evidence does not fit the model.
    """
    tables = [torch.as_tensor(table, dtype=torch.float64).log() for table in model.tables]
    graph = FactorGraph.from_factors(model.cardinalities, list(zip(model.scopes, tables, strict=True)))
    return graph.observe(evidence or {})


@checked
def uai_model(graph: FactorGraph) -> UaiModel:
    """Convert a factor graph of one sample to a UAI model.

    Counting factors become tables, and observed variables become factors of one nonzero entry.

    Args:
        graph: The factor graph.

    Returns:
        The model.

    Raises:
        MetaoptError: The graph has several samples, or a counting factor is too large for a table.
    """
    cardinalities, scopes, tables = graph_formats.list_factors(graph)
    return UaiModel(cardinalities, scopes, [table.double().exp().numpy() for table in tables])
