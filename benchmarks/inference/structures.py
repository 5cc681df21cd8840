"""Ising models of one strength on many structures: marginals and log Z against exact ones."""

from __future__ import annotations

from typing import Any

import torch

from metaopt.core import random
from metaopt.tasks import RandomFields
from metaopt.tasks.batch_marginals import batch_marginals
from metaopt.tasks.random_fields import STRUCTURES

from ..rows import Rows
from .methods import CLASSICAL, LEARNED, marginal_error, weights_read

SIZES = {"as in training": 16, "larger": 49}
LARGE = ("grid", "torus", "ladder", "circular ladder", "cycle", "path", "binary tree", "regular", "random")
FIELD, COUPLING = 0.25, 1.0  # standard deviations, as in Yoon et al., arXiv:1803.07710


def cases(quick: bool) -> list[tuple[str, str, int]]:
    names = {"as in training": ("grid",) if quick else tuple(STRUCTURES), "larger": ("grid",) if quick else LARGE}
    return [(size, name, SIZES[size]) for size, chosen in names.items() for name in chosen]


def rows_of(quick: bool, saved: Rows) -> list[dict[str, Any]]:
    found = []
    for size, name, variables in cases(quick):

        def compute(name: str = name, variables: int = variables) -> list[dict[str, Any]]:
            return measured(name, variables, 10 if quick else 50)

        rows = saved.rows(f"structures {size} {name}", compute, weights_read(*LEARNED))
        found += [{"size": size, "structure": name, **row} for row in rows]
    return found


def measured(name: str, variables: int, batch: int) -> list[dict[str, Any]]:
    task = RandomFields(
        (name,),
        (variables, variables),
        (COUPLING, COUPLING),
        (FIELD, FIELD),
        batch=batch,
        dtype=torch.float64,
    )
    graph = task.draw(random.generator(1))
    exact, log_z = batch_marginals(graph)
    rows = []
    for label, method in {**CLASSICAL, **LEARNED}.items():
        result = method(graph)
        errors = marginal_error(graph, result.log_marginals, exact)
        rows.append(
            {
                "method": label,
                "variables": len(graph.cardinalities),
                "error": float(errors.mean()),
                "error_spread": float(errors.std()),
                "log_z_error": float((result.log_z - log_z).abs().mean()),
            }
        )
    return rows
