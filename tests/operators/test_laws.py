"""What every operator of the table obeys."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor

from metaopt.core import tree
from metaopt.operators import Operator, check_adjoint

from .cases import Case, every_case

DOUBLE = torch.float64


def close(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def random_like(x: Tensor, seed: int) -> Tensor:
    return torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(seed))


@every_case
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_adjoint_passes_the_dot_test(case: Case, dtype: torch.dtype) -> None:
    operator, x = case.build(dtype, 0)
    assert check_adjoint(operator, x) <= (1e-10 if dtype == DOUBLE else 1e-4)
    assert operator(x).dtype.to_real() == dtype
    assert operator.adjoint(operator(x)).dtype == x.dtype


@every_case
def test_operator_is_linear(case: Case) -> None:
    operator, x = case.build(DOUBLE, 0)
    other = random_like(x, 1)
    close(operator(2.5 * x - other), 2.5 * operator(x) - operator(other))


@every_case
def test_batch_equals_its_items(case: Case) -> None:
    operator, x = case.build(DOUBLE, 0)
    y = operator(x)
    for item in (slice(0, 1), slice(1, 2)):
        one = of_sample(operator, item) if "per sample" in case.name else operator
        close(one(x[item]), y[item])
        close(one.adjoint(y[item]), operator.adjoint(y)[item])


@every_case
def test_an_empty_batch_gives_an_empty_batch(case: Case) -> None:
    operator, x = case.build(DOUBLE, 0)
    y, none = operator(x), slice(0, 0)
    operator = of_sample(operator, none) if "per sample" in case.name else operator
    assert operator(x[none]).shape == y[none].shape
    assert operator.adjoint(y[none]).shape == x[none].shape
    assert operator.normal(x[none]).shape == x[none].shape


def of_sample(operator: Operator, item: slice) -> Operator:
    """The operator of one sample: a tensor with a leading axis of 2 has one entry per sample of the batch."""
    return tree.map(lambda t: t[item] if len(t) == 2 else t, operator)


@every_case
def test_normal_is_adjoint_after_operator(case: Case) -> None:
    operator, x = case.build(DOUBLE, 0)
    close(operator.normal(x), operator.adjoint(operator(x)))
    close((operator.H @ operator)(x), operator.adjoint(operator(x)))


@every_case
def test_adjoint_of_adjoint_is_the_operator(case: Case) -> None:
    operator, x = case.build(DOUBLE, 0)
    close(operator.H(operator(x)), operator.adjoint(operator(x)), 0)
    close(operator.H.adjoint(x), operator(x), 0)
    assert operator.H.H is operator or operator.H.H.H is operator.H


@every_case
def test_adjoint_is_the_conjugate_transpose_of_the_matrix_built_column_by_column(case: Case) -> None:
    operator, x = case.build(DOUBLE, 0)
    forward, backward = matrix(operator, x), matrix(operator.H, operator(x))
    close(backward, forward.mT)


def matrix(operator: Operator, x: Tensor) -> Tensor:
    """The real matrix of an operator on one batch, with real and imaginary parts as coordinates of their own."""
    parts = torch.view_as_real(x).numel() if x.is_complex() else x.numel()
    columns = []
    for unit in torch.eye(parts, dtype=x.dtype.to_real()):
        point = torch.view_as_complex(unit.view(*x.shape, 2)) if x.is_complex() else unit.view(x.shape)
        y = operator(point)
        columns.append((torch.view_as_real(y) if y.is_complex() else y).flatten())
    return torch.stack(columns, 1)


@every_case
def test_gradient_of_the_misfit_is_exact_to_second_order(case: Case) -> None:
    operator, x = case.build(DOUBLE, 0)
    tensors, rebuild = tree.partition(operator)
    tensors = [t.clone().requires_grad_(t.is_floating_point() or t.is_complex()) for t in tensors]
    x = x.clone().requires_grad_()

    def misfit(x: Tensor, *tensors: Tensor) -> Tensor:
        return torch.view_as_real(rebuild(tensors)(x) + 0j).square().sum()

    torch.autograd.gradcheck(misfit, (x, *tensors), fast_mode=True)
    torch.autograd.gradgradcheck(misfit, (x, *tensors), fast_mode=True)


@every_case
def test_gradient_of_the_misfit_is_the_normal_operator(case: Case) -> None:
    operator, x = case.build(DOUBLE, 0)
    gradient = torch.func.grad(lambda x: 0.5 * torch.view_as_real(operator(x) + 0j).square().sum())(x)
    close(gradient, operator.normal(x))


@every_case
def test_vmap_over_stacked_operators_equals_a_loop(case: Case) -> None:
    tasks = [case.build(DOUBLE, seed) for seed in range(3)]
    operators, inputs = tree.stack([operator for operator, _ in tasks]), torch.stack([x for _, x in tasks])
    there_and_back = tree.vmap(lambda operator, x: (operator(x), operator.adjoint(operator(x)), operator.normal(x)))
    expected = [(operator(x), operator.adjoint(operator(x)), operator.normal(x)) for operator, x in tasks]
    for result, *loop in zip(there_and_back(operators, inputs), *expected, strict=True):
        close(result, torch.stack(loop))


@every_case
def test_operator_moves_to_float32(case: Case) -> None:
    operator, x = case.build(DOUBLE, 0)
    moved, y = tree.to(operator, dtype=torch.float32), operator(x)
    close(moved(tree.to(x, dtype=torch.float32)), tree.to(y, dtype=torch.float32), 1e-4)


@every_case
def test_operator_survives_pickle_and_deepcopy(case: Case) -> None:
    operator, x = case.build(DOUBLE, 0)
    for twin in (pickle.loads(pickle.dumps(operator)), copy.deepcopy(operator)):
        close(twin(x), operator(x), 0)


@every_case
@pytest.mark.filterwarnings("ignore:.*Function.* should not be instantiated:DeprecationWarning")  # dynamo, on a jvp
def test_operator_compiles_into_one_graph(case: Case) -> None:
    operator, x = case.build(DOUBLE, 0)
    whole = "linear map" not in case.name  # foreign functions break the graph
    torch.compiler.reset()
    compiled = torch.compile(lambda x: operator.H(operator(x)), backend="eager", fullgraph=whole)
    close(compiled(x), operator.adjoint(operator(x)))


@every_case
def test_operator_leaves_its_input_alone(case: Case) -> None:
    operator, x = case.build(DOUBLE, 0)
    before, y = x.clone(), operator(x)
    image = y.clone()
    operator.adjoint(y)
    assert torch.equal(x, before)
    assert torch.equal(y, image)
