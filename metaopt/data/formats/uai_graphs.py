"""UAI models as factor graphs, and back."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ...problems import FactorGraph, graph_formats
from .uai import UaiModel


def factor_graph(model: UaiModel, evidence: Mapping[int, int] | None = None) -> FactorGraph:
    """The factor graph of a UAI model, float64, with its evidence ``{variable: state}`` observed."""
    tables = [torch.as_tensor(table, dtype=torch.float64).log() for table in model.tables]
    graph = FactorGraph.from_factors(model.cardinalities, list(zip(model.scopes, tables, strict=True)))
    return graph.observe(evidence or {})


def uai_model(graph: FactorGraph) -> UaiModel:
    """The UAI model of a graph of one sample; counting factors become tables, observed variables factors of one entry.

    Raises: MetaoptError where the graph has more samples, or a counting factor is too large for a table.
    """
    cardinalities, scopes, tables = graph_formats.list_factors(graph)
    return UaiModel(cardinalities, scopes, [table.double().exp().numpy() for table in tables])
