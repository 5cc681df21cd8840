"""Operators that come from elsewhere: two functions, scipy, deepinv; and what is said of those that cannot be right."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from torch import Tensor, nn

from metaopt import operators as ops
from metaopt.core.autodiff import foreign_leaf
from metaopt.core.errors import MetaoptError

from .cases import random, random_complex

DOUBLE = torch.float64
MATRIX = random(3, 5, dtype=DOUBLE, seed=0)
X = random(2, 5, dtype=DOUBLE, seed=1)


class Physics(nn.Module):
    """An operator by deepinv's convention."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def A(self, x: Tensor) -> Tensor:
        return self.weight * x

    def A_adjoint(self, y: Tensor) -> Tensor:
        return self.weight * y


def multiply(x: Tensor) -> Tensor:
    return x @ MATRIX.mT


def multiply_back(y: Tensor) -> Tensor:
    return y @ MATRIX


LINEAR_MAP = ops.LinearMap(multiply, multiply_back)


def quartic(operator: ops.Operator, x: Tensor) -> Tensor:
    return operator(x).pow(4).sum()


def test_scipy_operator_equals_its_matrix_at_the_precision_of_the_input() -> None:
    sparse = scipy.sparse.linalg.aslinearoperator(scipy.sparse.csr_matrix(MATRIX.numpy()))
    operator = ops.as_operator(sparse)
    torch.testing.assert_close(operator(X), X @ MATRIX.mT)
    ops.check_adjoint(operator, X)
    assert operator(X.float()).dtype == torch.float32
    gradient = torch.func.grad(lambda x: quartic(operator, x))(X)
    torch.testing.assert_close(gradient, torch.func.grad(lambda x: quartic(ops.Dense(MATRIX), x))(X))


def test_complex_scipy_operator_equals_its_matrix() -> None:
    matrix = random_complex(3, 5, dtype=DOUBLE, seed=0)
    operator = ops.as_operator(scipy.sparse.linalg.aslinearoperator(matrix.numpy()))
    x = random_complex(2, 5, dtype=DOUBLE, seed=1)
    torch.testing.assert_close(operator(x), ops.Dense(matrix)(x))
    torch.testing.assert_close(operator.adjoint(operator(x)), ops.Dense(matrix).normal(x))
    gradient = torch.func.grad(lambda x: operator(x).abs().square().sum())(X)
    torch.testing.assert_close(gradient, 2 * X @ (matrix.mT @ matrix.conj()).real)


def test_deepinv_operator_is_taken_with_its_adjoint() -> None:
    physics = Physics(torch.arange(5.0, dtype=DOUBLE)).requires_grad_(False)
    operator = ops.as_operator(physics)
    torch.testing.assert_close(operator(X), physics.weight * X)
    ops.check_adjoint(operator, X)


def test_tensors_and_operators_are_taken() -> None:
    identity = ops.Identity()
    assert ops.as_operator(identity) is identity
    torch.testing.assert_close(ops.as_operator(MATRIX)(X), X @ MATRIX.mT)


@pytest.mark.parametrize("thing", [None, "blur", np.eye(3), torch.ones(3), lambda x: x], ids=lambda t: type(t).__name__)
def test_anything_else_is_refused_with_what_is_accepted(thing: object) -> None:
    with pytest.raises(MetaoptError, match=r"takes an Operator, a tensor .* A and A_adjoint .* LinearMap\(forward"):
        ops.as_operator(thing)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own forward mode warns
def test_gradients_of_a_linear_map_are_exact_to_third_order_and_under_func() -> None:
    dense = ops.Dense(MATRIX)
    for transform in (torch.func.hessian, lambda f: torch.func.jacrev(torch.func.jacrev(torch.func.grad(f)))):
        ours, theirs = (transform(lambda x, o=o: quartic(o, x))(X) for o in (LINEAR_MAP, dense))
        torch.testing.assert_close(ours, theirs)
    batches = torch.stack([X, 2 * X, -X])
    ours, theirs = (
        torch.func.vmap(torch.func.grad(lambda x, o=o: quartic(o, x)))(batches) for o in (LINEAR_MAP, dense)
    )
    torch.testing.assert_close(ours, theirs)


def test_captured_tensor_that_would_lose_its_gradient_is_refused() -> None:
    operator = ops.as_operator(Physics(torch.ones(5, dtype=DOUBLE)))
    with pytest.raises(MetaoptError, match=r"a tensor \(5,\) float64 that requires a gradient"):
        operator(X)
    with pytest.raises(MetaoptError, match="requires a gradient"):
        operator.adjoint(X.clone().requires_grad_())
    with torch.no_grad():  # nothing to lose
        torch.testing.assert_close(operator(X), X)


def test_foreign_leaf_finds_what_is_not_allowed() -> None:
    known, other = (torch.ones(2, requires_grad=True) for _ in range(2))
    outputs = [known.exp() * 2, (known * other).sum()]
    assert foreign_leaf(outputs, [known]) is other
    assert foreign_leaf(outputs, [known, other]) is None
    assert foreign_leaf(outputs[:1], [known]) is None
    assert foreign_leaf([other], [known]) is other
    assert foreign_leaf([torch.ones(1)], []) is None


def test_numpy_functions_that_work_in_place_leave_tensors_alone() -> None:
    buffer = np.zeros((2, 5))

    def double(x: np.ndarray) -> np.ndarray:
        x *= 2
        buffer[:] = x
        return buffer

    operator, x = ops.LinearMap.from_numpy(double, double), X.clone()
    first, second = operator(x), operator(3 * x)
    assert torch.equal(x, X)
    torch.testing.assert_close(first, 2 * X)
    torch.testing.assert_close(second, 6 * X)


def test_adjoint_of_the_wrong_shape_is_reported_in_the_gradient() -> None:
    operator = ops.LinearMap(multiply, lambda y: y)
    with pytest.raises(MetaoptError, match=r"gave \(2, 3\) for an input of \(2, 5\)"):
        operator(X.clone().requires_grad_()).sum().backward()


def test_wrong_adjoint_is_reported_with_its_size_and_factor() -> None:
    assert ops.check_adjoint(LINEAR_MAP, (2, 5)) < 1e-14
    with pytest.raises(MetaoptError, match=r"LinearMap is wrong by .* it is 3 times the right one"):
        ops.check_adjoint(ops.LinearMap(multiply, lambda y: 3 * multiply_back(y)), X)
    with pytest.raises(MetaoptError, match="no multiple of the right one"):
        ops.check_adjoint(ops.LinearMap(multiply, lambda y: multiply_back(y).flip(1)), X)
    with pytest.raises(MetaoptError, match=r"gives \(2, 3\) float64 for inputs \(2, 5\) float64"):
        ops.check_adjoint(ops.LinearMap(multiply, lambda y: y), X)
    with pytest.raises(MetaoptError, match="wrong by nan"):
        ops.check_adjoint(ops.LinearMap(multiply, lambda y: multiply_back(y) * float("nan")), X)


def test_size_of_the_error_is_the_relative_one() -> None:
    off = ops.LinearMap(lambda x: x, lambda y: 1.001 * y)
    assert ops.check_adjoint(off, torch.ones(1, 1, dtype=DOUBLE), tolerance=1) == pytest.approx(1e-3, rel=1e-6)
    with pytest.raises(MetaoptError, match=r"1\.001 times"):
        ops.check_adjoint(off, torch.ones(1, 1))
