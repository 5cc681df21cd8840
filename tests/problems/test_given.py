"""What users hand a factor graph is right as a list, an array or a tensor, or a sentence says what is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import metaopt as mo
from metaopt.problems import cardinality, parity

TABLE = [[0.0, 1.0], [2.0, -1.0]]


def log_z(graph: mo.FactorGraph) -> float:
    return float(mo.unroll(mo.BeliefPropagation(), 4)(graph).final.log_z)


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor, lambda t: np.array(t, dtype=np.float32)])
def test_tables_of_any_kind_are_tables(kind: Callable[[Any], Any]) -> None:
    expected = math.log(sum(math.exp(value) for row in TABLE for value in row))
    graph = mo.FactorGraph.from_factors(np.array([2, 2]), [(np.array([0, 1]), kind(TABLE)), ([1], kind([0.0, 0.0]))])  # type: ignore[arg-type]
    assert log_z(graph) == pytest.approx(expected, rel=1e-6)
    group = mo.TableFactors([[0, 1]], np.array(TABLE)[None, :, :, None])  # type: ignore[arg-type]
    assert log_z(mo.FactorGraph([2, 2], np.zeros((1, 4)), [group])) == pytest.approx(expected)  # type: ignore[arg-type]


def test_whole_log_potentials_are_numbers_and_precisions_are_the_highest() -> None:
    mixed = [((0,), torch.tensor([0, 1])), ((0, 1), torch.zeros(2, 2)), ((1,), torch.zeros(2, dtype=torch.float64))]
    graph = mo.FactorGraph.from_factors([2, 2], mixed)
    assert graph.unary.dtype == torch.float64
    assert log_z(graph) == pytest.approx(math.log((1 + math.e) * 2))
    assert log_z(mo.FactorGraph([2, 2], np.zeros((1, 4)), (parity([[0, 1]]),))) == pytest.approx(math.log(2))  # type: ignore[arg-type]


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "half a state": (lambda: mo.FactorGraph.from_factors([2.5], []), r"Cardinalities are whole numbers.*2\.5"),  # type: ignore[list-item]
    "no cardinalities": (lambda: mo.FactorGraph.from_factors(None, []), "Cardinalities are whole numbers"),  # type: ignore[arg-type]
    "a number of variables": (lambda: mo.FactorGraph.from_factors(3, []), "Cardinalities are int64, "),  # type: ignore[arg-type]
    "no factors": (lambda: mo.FactorGraph.from_factors([2], None), "list of pairs"),  # type: ignore[arg-type]
    "a table alone": (lambda: mo.FactorGraph.from_factors([2], [torch.zeros(2)]), "Factor 0 has to be a pair"),  # type: ignore[list-item]
    "one variable": (lambda: mo.FactorGraph.from_factors([2], [(0, [0.0, 0.0])]), "are a list, such as"),  # type: ignore[list-item]
    "a word": (lambda: mo.FactorGraph.from_factors([2], [([0], "zero")]), "real numbers"),
    "no table": (lambda: mo.FactorGraph.from_factors([2], [([0], None)]), "real numbers"),
    "a ragged table": (lambda: mo.FactorGraph.from_factors([2, 2], [([0, 1], [[0.0], [1.0, 2.0]])]), "real numbers"),
    "a complex table": (lambda: mo.FactorGraph.from_factors([2], [([0], torch.zeros(2) * 1j)]), "real numbers"),
    "a sparse table": (
        lambda: mo.TableFactors(torch.tensor([[0]]), torch.zeros(1, 2, 1).to_sparse()),
        "must be a tensor, but got a sparse",
    ),
    "half precision": (
        lambda: mo.FactorGraph(torch.tensor([2]), torch.zeros(1, 2, dtype=torch.float16)),
        "float32, float64 or bfloat16",
    ),
    "groups that are none": (lambda: mo.FactorGraph([2], torch.zeros(1, 2), [([0], [0.0, 0.0])]), "from_factors takes"),  # type: ignore
    "one group": (
        lambda: mo.FactorGraph([2, 2], torch.zeros(1, 4), parity([[0, 1]], dtype=torch.float32)),  # type: ignore[arg-type]
        "tuple of groups",
    ),
    "a variable of a half": (lambda: mo.TableFactors([[0.5]], torch.zeros(1, 2, 1)), "whole numbers"),  # type: ignore[arg-type]
    "parity of one list": (lambda: parity([0, 1]), "one row a factor"),  # type: ignore[arg-type]
    "counts of no weights": (lambda: cardinality([[0, 1]], None), "Log weights of counts"),  # type: ignore[arg-type]
    "samples of the constant": (
        lambda: mo.FactorGraph([2], torch.zeros(2, 2), constant=torch.zeros(3, 1)),  # type: ignore[arg-type]
        "unary holds 2 samples of a graph of 3",
    ),
    "a constant that is NaN in one sample": (
        lambda: mo.FactorGraph([2], torch.zeros(2, 2), constant=torch.tensor([[0.0], [math.nan]])),  # type: ignore[arg-type]
        "constant is",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_is_refused_in_a_sentence(name: str) -> None:
    build, message = REFUSED[name]
    with pytest.raises(mo.MetaoptError, match=message):
        build()


def test_each_sample_has_its_constant() -> None:
    graph = mo.FactorGraph([2], torch.zeros(1, 2), constant=torch.tensor([[0.0], [1.0]]))  # type: ignore[arg-type]
    assert graph.batch == 2
    final = mo.unroll(mo.BeliefPropagation(), 1)(graph).final
    assert (final.log_z[1] - final.log_z[0]).item() == pytest.approx(1)
