"""Check that the parts of a factor graph fit, and number its edges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..core import MetaoptError, tree
from .factors import LARGEST, Factors


def check_cardinalities(cards: Tensor) -> int:
    """Return the number of all states, or raise unless each variable has some and all together are not too many."""
    if cards.ndim != 1 or bool((cards < 1).any()):
        raise MetaoptError(f"Cardinalities are int64, (V,), and at least 1, but got {tree.describe(cards)}.")
    total = int(cards.sum())
    if total > LARGEST:
        raise MetaoptError(f"The variables have {total} states in all; at most {LARGEST} are taken.")
    return total


def check_graphs(cardinalities: Tensor, graph: Tensor, constant: Tensor) -> None:
    """Raise unless each variable has a graph and each graph a constant."""
    count = len(cardinalities)
    if graph.dtype != torch.long or graph.shape != (count,) or bool((graph < 0).any()):
        raise MetaoptError(f"graph is int64, ({count},), from 0, but got {tree.describe(graph)}.")
    graphs = int(graph.max()) + 1 if count else 0
    if not constant.is_floating_point():
        raise MetaoptError(f"constant is (B, {graphs}) of real numbers, but got {tree.describe(constant)}.")
    if constant.ndim != 2 or constant.shape[1] < graphs or bool((constant.isnan() | (constant == math.inf)).any()):
        raise MetaoptError(
            f"constant is (B, {graphs}), without NaN or +inf in any sample, but got {tree.describe(constant)}."
        )


def check_groups(groups: Any) -> tuple[Factors, ...]:
    """Return groups of factors as a tuple, or raise if something else came."""
    if not isinstance(groups, tuple | list):
        raise MetaoptError(f"Factors are a tuple of groups such as TableFactors, but got a {type(groups).__name__}.")
    for group in groups:
        if not (isinstance(getattr(group, "variables", None), Tensor) and hasattr(group, "messages")):
            raise MetaoptError(
                f"Factors are groups such as TableFactors, but got a {type(group).__name__}; "
                "FactorGraph.from_factors takes pairs of variables and tables."
            )
    return tuple(groups)


def check_batches(unary: Tensor, groups: Sequence[Factors], constant: Tensor) -> None:
    """Raise unless all potentials and constants have one batch, or one sample for all."""
    batch = max([len(unary), len(constant), *(group.batch for group in groups)])
    for name, count in (("unary", len(unary)), ("constant", len(constant))):
        if count not in (1, batch):
            raise MetaoptError(
                f"{name} holds {count} samples of a graph of {batch} samples; it has one for all, or one a sample."
            )
    for number, group in enumerate(groups):
        if group.batch not in (1, batch):
            raise MetaoptError(
                f"Group {number} holds {group.batch} samples of its potentials, but the graph {batch}; "
                "each has one for all, or one a sample."
            )


def check_group(cardinalities: Tensor, unary: Tensor, number: int, group: Factors) -> None:
    """Raise unless the factors of a group fit the variables that they name, and the precision of ``unary``."""
    variables, shape = group.variables, group.shape()
    if variables.numel() and not (int(variables.min()) >= 0 and int(variables.max()) < len(cardinalities)):
        raise MetaoptError(
            f"Factors of group {number} name variables up to {int(variables.max())}, but the graph has "
            f"{len(cardinalities)}, numbered from 0."
        )
    wrong = cardinalities[variables] != torch.tensor(shape, device=variables.device)
    if bool(wrong.any()):
        factor, place = (int(i) for i in wrong.nonzero()[0])
        variable = int(variables[factor, place])
        raise MetaoptError(
            f"Factor {factor} of group {number} has {shape[place]} states for variable {variable}, which has "
            f"{int(cardinalities[variable])}."
        )
    ordered = variables.sort(1).values
    if bool((twice := (ordered[:, 1:] == ordered[:, :-1]).any(1)).any()):
        raise MetaoptError(f"Factor {int(twice.nonzero()[0, 0])} of group {number} names a variable twice.")
    for held in vars(group).values():
        if isinstance(held, Tensor) and held.is_floating_point() and held.dtype != unary.dtype:
            raise MetaoptError(f"Group {number} is {held.dtype}, but unary is {unary.dtype}; they must agree.")


def edges(groups: Sequence[Factors], offset: Tensor, graph: Tensor) -> dict[str, Tensor]:
    """Number the edges through the groups: the state, edge and factor of each edge state, and each factor's graph."""
    states, edges, factors, graphs, factor, edge = [], [], [], [], 0, 0
    device = offset.device
    for group in groups:
        numbers = torch.arange(len(group.variables), device=device)
        for j, size in enumerate(group.shape()):
            steps = torch.arange(size, device=device)[:, None]
            states.append((offset[group.variables[:, j]] + steps).flatten())
            edges.append((edge + numbers).expand(size, -1).flatten())
            factors.append((factor + numbers).expand(size, -1).flatten())
            edge += len(numbers)
        graphs.append(graph[group.variables[:, 0]] if group.shape() else torch.zeros_like(numbers))
        factor += len(numbers)
    names, empty = ("edge_state", "edge", "edge_factor", "factor_graph"), offset.new_zeros(0)
    found = zip(names, (states, edges, factors, graphs), strict=True)
    return {name: torch.cat(values) if values else empty for name, values in found}
