"""Shipped networks compute the same whatever torch's default dtype is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt import operators as ops
from metaopt.problems import parity

SHIPPED = mo.weights.shipped()


@pytest.fixture
def double_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def drawn(*shape: int, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.rand(shape, generator=generator, dtype=torch.float64).to(dtype)


def problem_of(name: str, dtype: torch.dtype) -> Any:
    if name == "learned_bp":
        edges = [((i, (i + 1) % 4), drawn(2, 2 + i, dtype=dtype)[:, :2]) for i in range(4)]
        graph = mo.FactorGraph.from_factors([2] * 4, edges)
        return mo.FactorGraph(
            graph.cardinalities, graph.unary, (*graph.factors, parity(torch.arange(3)[None], dtype=dtype))
        )
    if name == "airway":
        return 900 * drawn(1, 1, 12, 16, 20, dtype=dtype) - 1000
    if name.startswith("airway_"):
        ring = torch.tensor([[0, 1, 2, 3, 1, 2, 3, 0], [1, 2, 3, 0, 0, 1, 2, 3]])
        return mo.problems.GraphRefinement(drawn(4, 5, dtype=dtype), drawn(8, 9, dtype=dtype), ring)
    if name == "mri":
        x = torch.complex(drawn(1, 1, 16, 20, dtype=dtype), drawn(1, 1, 20, 16, dtype=dtype).mT)
        operator: Any = ops.Fourier(ops.cartesian_mask((16, 20), 2, 0.1, 0))
    elif name == "random_projections":
        x, operator = drawn(1, 1, 16, 16, dtype=dtype), ops.gaussian_projection(64, (1, 16, 16), 0)
    else:
        x, operator = drawn(1, 3 if "color" in name else 1, 16, 20, dtype=dtype), ops.Identity()
    problem = mo.InverseProblem(operator, operator(x), noise=0.02)
    return problem.normalized() if name == "random_projections" else problem


def result_of(name: str, dtype: torch.dtype) -> Tensor:
    if name.startswith("optimizer"):
        update, memory, x = mo.optim.load(name).to(dtype), None, [drawn(7, dtype=dtype)]
        for k in range(3):
            memory = update.init(x, ()) if memory is None else memory
            change, memory = update([3 * x[0]], x, memory, k, ())
            x = [x[0] + change[0]]
        return x[0].detach()
    out = mo.models.load(name)(problem_of(name, dtype), steps=2).final
    return (out.log_marginals if name == "learned_bp" else out).detach()


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_network_gives_the_same_bits_under_a_default_of_float64(name: str, request: Any) -> None:
    usual = result_of(name, torch.float32)
    request.getfixturevalue("double_by_default")
    again = result_of(name, torch.float32)
    assert again.dtype == usual.dtype
    assert torch.equal(again, usual)
    assert torch.get_default_dtype() == torch.float64, "what is loaded leaves the default alone"


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_network_in_double_precision_takes_problems_in_double_precision(
    name: str, double_by_default: None
) -> None:
    if name.startswith("optimizer"):
        wide = result_of(name, torch.float64)
    else:
        out = mo.models.load(name).double()(problem_of(name, torch.float64), steps=2).final
        wide = (out.log_marginals if name == "learned_bp" else out).detach()
    narrow = result_of(name, torch.float32)
    assert wide.dtype.to_real() == torch.float64
    torch.testing.assert_close(wide.to(narrow.dtype), narrow, rtol=2e-3, atol=2e-3)


def test_what_is_saved_in_double_precision_is_loaded_in_double_precision(
    tmp_path: Any, double_by_default: None
) -> None:
    net = mo.models.learned_bp(2, hidden=4)
    assert {p.dtype for p in net.parameters()} == {torch.float64}
    path = mo.models.save(net, tmp_path / "wide.safetensors")
    torch.set_default_dtype(torch.float32)
    assert {p.dtype for p in mo.models.load(path).parameters()} == {torch.float64}


@pytest.mark.parametrize(
    "name",
    [
        n
        for n in SHIPPED
        if n not in ("learned_map", "airway_mfn", "airway_mfn3", "airway_lbp") and not n.startswith("optimizer")
    ],
)
def test_a_problem_in_another_precision_than_the_weights_is_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(mo.MetaoptError, match=r"float32.*float64.*\bto\("):
        result_of(name, torch.float64)
