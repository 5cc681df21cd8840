"""Convert UAI models to factor graphs, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ...arguments.contracts import checked
from ...core.errors import MetaoptError, warn
from ...problems import FactorGraph, graph_formats
from .uai import UaiModel

ROUNDED = 0.01  # by how much a sum of rounded probabilities may miss 1
SPAN = 700.0  # nats; float64 holds exp(-708) to exp(709) with all digits
MOST_CONSTANTS = 1000  # factors without variables


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


def check_conditional(model: UaiModel) -> None:
    """Warn of a Bayesian network that is none; a model of ``MARKOV`` may have any tables.

    Each variable has one table, in which it is the last, and for each state of the others its entries sum to 1, here
    up to 1 %, since files round. What is computed of other tables is of their product, as for ``MARKOV``.

    Args:
        model: The model.
    """
    if model.kind != "BAYES":
        return
    what = "; what is computed is of the product of its tables, as for MARKOV"
    for factor, (scope, table) in enumerate(zip(model.scopes, model.tables, strict=True)):
        sums = table.sum(-1) if scope else table
        if not bool((abs(sums - 1) < ROUNDED).all()):
            worst = float(sums.flat[int(abs(sums - 1).argmax())])
            warn(f"The model is BAYES, but factor {factor} has probabilities that sum to {worst:.4g}, not 1{what}.")
            return
    last = sorted(scope[-1] for scope in model.scopes if scope)
    if last != list(range(len(model.cardinalities))):
        variables, tables = len(model.cardinalities), len(last)
        warn(
            f"The model is BAYES, but its {variables} variables are not the last of one of {tables} tables each{what}."
        )


@checked
def uai_model(graph: FactorGraph) -> UaiModel:
    """Convert a factor graph of one sample to a UAI model.

    Counting factors become tables, and observed variables become factors of one nonzero entry. A table whose values
    would be beyond float64, though their ratios are not, is divided by a constant, which becomes factors without
    variables, so that the partition function stays as it is.

    Args:
        graph: The factor graph.

    Returns:
        The model.

    Raises:
        MetaoptError: The graph has several samples, a counting factor is too large for a table, or float64 cannot hold
            the ratios of a table or the constant.
    """
    cardinalities, scopes, logs = graph_formats.list_factors(graph)
    centred, shifts = zip(*map(_centred, scopes, logs), strict=True) if logs else ((), ())
    constants = _constants(math.fsum(shifts))
    tables = [table.exp().numpy() for table in (*centred, *constants)]
    return UaiModel(cardinalities, scopes + [()] * len(constants), tables)


def _centred(scope: tuple[int, ...], log_table: Tensor) -> tuple[Tensor, float]:
    """Return log potentials whose exponentials float64 holds with all digits, and what was subtracted from them."""
    log_table = log_table.detach().double().cpu()
    possible = log_table[log_table > -math.inf]
    low, high = (float(possible.min()), float(possible.max())) if len(possible) else (0.0, 0.0)
    if high - low > 2 * SPAN:
        raise MetaoptError(
            f"The log potentials of the factor of the variables {list(scope)} go from {low:.6g} to {high:.6g}, but UAI "
            f"files hold the potentials themselves, and float64 no ratio above exp({2 * SPAN:g}). Set what is to be "
            "impossible to -inf, or raise the small ones."
        )
    shift = 0.0 if low >= -SPAN and high <= SPAN else (low + high) / 2
    return log_table - shift, shift


def _constants(shift: float) -> list[Tensor]:
    """Return logarithms that float64 holds the exponentials of, and whose sum is ``shift``."""
    count = math.ceil(abs(shift) / SPAN)
    if count > MOST_CONSTANTS:
        raise MetaoptError(
            f"The log potentials add up to {shift:.6g} nats beyond what the tables of a UAI file can hold; subtract a "
            "constant from those of each factor, which changes no marginal."
        )
    return [torch.tensor(shift / max(1, count), dtype=torch.float64)] * count
