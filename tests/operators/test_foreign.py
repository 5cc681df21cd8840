"""Operators that come from elsewhere: two functions, scipy, deepinv; and what is said of those that cannot be right."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch
from torch import Tensor, nn

from metaopt import operators as ops
from metaopt.core.autodiff import foreign_leaf
from metaopt.core.errors import MetaoptError, MetaoptWarning
from metaopt.problems import InverseProblem

from .cases import random, random_complex

SINGLE, DOUBLE = torch.float32, torch.float64
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


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool])
def test_a_matrix_of_whole_numbers_is_one_of_float64_from_torch_as_from_numpy(dtype: torch.dtype) -> None:
    whole = torch.tensor([[0, 1, 0], [1, 1, 1]]).to(dtype)
    x = torch.tensor([[0.5, 0.25, 1.0]], dtype=DOUBLE)
    for made in (ops.Dense(whole), ops.as_operator(whole), ops.as_operator(whole.numpy())):
        assert made.matrix.dtype == DOUBLE
        torch.testing.assert_close(made(x), torch.tensor([[0.25, 1.75]], dtype=DOUBLE))
    problem = InverseProblem(whole, torch.zeros(1, 2), 0.1)
    assert problem.operator(x.float()).tolist() == [[0.25, 1.75]]


def test_deepinv_operator_is_taken_with_its_adjoint() -> None:
    physics = Physics(torch.arange(5.0, dtype=DOUBLE)).requires_grad_(False)
    operator = ops.as_operator(physics)
    torch.testing.assert_close(operator(X), physics.weight * X)
    ops.check_adjoint(operator, X)


def test_tensors_and_operators_are_taken() -> None:
    identity = ops.Identity()
    assert ops.as_operator(identity) is identity
    torch.testing.assert_close(ops.as_operator(MATRIX)(X), X @ MATRIX.mT)


@pytest.mark.parametrize(
    "thing", [None, "blur", np.ones(3), torch.ones(3), lambda x: x], ids=lambda t: type(t).__name__
)
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


SHAPES = {
    "blur": (ops.Blur(random(5, 5, dtype=SINGLE, seed=0)), (2, 3, 8, 9)),
    "circular blur": (ops.CircularBlur(random(5, 5, dtype=SINGLE, seed=0)), (2, 3, 8, 9)),
    "dense": (ops.Dense(random(3, 5, dtype=SINGLE, seed=0)), (2, 5)),
    "complex dense": (ops.Dense(random_complex(3, 5, dtype=SINGLE, seed=0)), (2, 5)),
    "mask": (ops.Mask(random(8, 9, dtype=SINGLE, seed=0)), (2, 3, 8, 9)),
    "fourier": (ops.Fourier(random(8, 9, dtype=SINGLE, seed=0)), (2, 3, 8, 9)),
    "real fourier": (ops.Fourier(random(8, 9, dtype=SINGLE, seed=0)) @ ops.RealToComplex(), (2, 3, 8, 9)),
    "separable": (ops.box_downsample((8, 9), 1), (2, 8, 9)),
    "projection": (ops.gaussian_projection(3, (2, 4), 0), (5, 2, 4)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_enough_to_check_the_adjoint_of_an_operator_in_its_own_precision(name: str) -> None:
    operator, shape = SHAPES[name]
    assert ops.check_adjoint(operator, shape) < 1e-6
    assert ops.check_adjoint(operator.to(dtype=DOUBLE), shape) < 1e-14, "and in that of an operator in float64"


@pytest.mark.parametrize("name", SHAPES)
def test_operators_compute_in_the_precision_of_their_input(name: str) -> None:
    operator, shape = SHAPES[name]
    x = random(*shape, dtype=DOUBLE, seed=0)
    if name in ("complex dense", "fourier"):
        x = x + 1j * random(*shape, dtype=DOUBLE, seed=1)
    y = operator(x)
    assert (y.dtype.to_real(), operator.adjoint(y).dtype) == (DOUBLE, x.dtype)
    torch.testing.assert_close(y, operator.to(dtype=DOUBLE)(x), rtol=1e-12, atol=1e-12)
    single = x.to(torch.complex64 if x.is_complex() else torch.float32)
    y = operator.to(dtype=DOUBLE)(single)
    assert (y.dtype.to_real(), operator.adjoint(y).dtype) == (torch.float32, single.dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_circular_blur_of_16_bits_is_that_of_32_rounded(dtype: torch.dtype) -> None:
    operator, x = ops.CircularBlur(ops.gaussian_kernel(3, 1.0)), random(2, 1, 8, 9, dtype=SINGLE, seed=0).to(dtype)
    for map_16, map_32 in ((operator, operator), (operator.H, operator.H), (operator.to(dtype=dtype), operator)):
        got = map_16(x)
        assert got.dtype == dtype
        torch.testing.assert_close(got.float(), map_32(x.float()), rtol=0.02, atol=0.02)


def test_a_fourier_transform_of_half_precision_is_that_of_single_precision_rounded() -> None:
    x = random_complex(1, 1, 8, 8, dtype=SINGLE, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # complex32 is experimental in torch
        got = ops.Fourier()(x.to(torch.complex32))
        assert got.dtype == torch.complex32
        torch.testing.assert_close(got.to(torch.complex64), ops.Fourier()(x), rtol=0.01, atol=0.01)


FORMS = {
    "array": lambda m: m,
    "numpy matrix": np.matrix,
    "csr matrix": scipy.sparse.csr_matrix,
    "coo array": scipy.sparse.coo_array,
    "torch coo": lambda m: torch.from_numpy(m).to_sparse_coo(),
    "torch csr": lambda m: torch.from_numpy(m).to_sparse_csr(),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR", "ignore:the matrix subclass")
@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("kind", ["real", "complex", "whole"])
def test_matrices_of_every_form_are_their_dense_selves(name: str, kind: str) -> None:
    matrix = {"real": MATRIX, "complex": MATRIX + 0.5j * MATRIX.flip(0), "whole": (4 * MATRIX).round().long()}[kind]
    if kind == "whole" and name.startswith("torch"):
        matrix = matrix.to(DOUBLE)
    operator, dense = ops.as_operator(FORMS[name](matrix.numpy())), ops.Dense(matrix.to(torch.complex128))
    for x in (X, X + 1j * X.flip(0)):
        if kind == "complex" and not x.is_complex() and isinstance(operator, ops.Dense):
            continue
        expected = dense(x.to(torch.complex128))
        torch.testing.assert_close(operator(x).to(torch.complex128), expected, rtol=1e-12, atol=1e-12)
        single = operator(x.to(torch.complex64 if x.is_complex() else torch.float32))
        torch.testing.assert_close(single.to(torch.complex128), expected, rtol=1e-5, atol=1e-5)
    y = random_complex(2, 3, dtype=SINGLE, seed=0).to(torch.complex128)
    torch.testing.assert_close(operator.adjoint(y), dense.adjoint(y), rtol=1e-12, atol=1e-12)
    x = (X + 0j).requires_grad_()
    torch.testing.assert_close(
        torch.autograd.grad(operator(x).abs().square().sum(), x),
        torch.autograd.grad(dense(x).abs().square().sum(), x),
    )


@pytest.mark.filterwarnings("ignore:Sparse CSR", "ignore:the matrix subclass")
@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_matrices_of_every_form_hold_finite_numbers(name: str, value: float) -> None:
    matrix = MATRIX.clone()
    matrix[1, 2] = value
    with pytest.raises(MetaoptError, match="holds 1 values that are NaN or infinite"):
        ops.as_operator(FORMS[name](matrix.numpy()))


def test_a_scipy_operator_without_an_adjoint_is_refused_when_it_is_given() -> None:
    one_way = scipy.sparse.linalg.LinearOperator((3, 4), matvec=lambda v: v[:3], dtype=float)
    with pytest.raises(MetaoptError, match=r"no adjoint that works .* rmatvec"):
        ops.as_operator(one_way)


class PhaseRetrieval(Physics):
    """A nonlinear physics, which offers the same two methods."""

    def A(self, x: Tensor) -> Tensor:
        return (self.weight * x).abs().square()


class Stacked(Physics):
    """A physics of several measurements."""

    def A(self, x: Tensor) -> Any:
        return [x, self.weight * x]


Y = random(2, 5, seed=3, dtype=SINGLE)
NONLINEAR = {
    "square": ops.LinearMap(lambda x: x * x, lambda y: y),
    "magnitude": ops.LinearMap(torch.abs, lambda y: y),
    "offset": ops.LinearMap(lambda x: x + 1, lambda y: y),
    "saturation": ops.LinearMap(lambda x: x.clamp(-1, 1), lambda y: y),
    "random": ops.LinearMap(lambda x: x + 0.1 * torch.randn_like(x), lambda y: y),
    "inside a product": ops.Identity() @ ops.LinearMap(torch.abs, lambda y: y),
    "phase retrieval": PhaseRetrieval(torch.ones(5)),
}


@pytest.mark.parametrize("name", NONLINEAR)
def test_a_problem_with_a_map_that_is_not_linear_is_refused(name: str) -> None:
    state = torch.get_rng_state()
    with pytest.raises(MetaoptError, match="is not linear, or draws random numbers"):
        InverseProblem(NONLINEAR[name], Y, noise=0.1)
    if name != "random":
        assert torch.equal(torch.get_rng_state(), state)


def test_what_else_is_wrong_with_a_foreign_map_is_said_when_the_problem_is_made() -> None:
    with pytest.warns(MetaoptWarning, match="adjoint of this LinearMap is wrong"):
        InverseProblem(ops.LinearMap(lambda x: 2 * x, lambda y: y), Y)
    with pytest.raises(MetaoptError, match="NaN or infinite"):
        InverseProblem(ops.LinearMap(lambda x: x / 0 * 0, lambda y: y), Y)
    with pytest.raises(MetaoptError, match=r"gives \(2, 4\) float32 .* but the measurement is \(2, 5\) float32"):
        InverseProblem(ops.LinearMap(lambda x: x[:, 1:], lambda y: y), Y)
    with pytest.raises(MetaoptError, match="must return one tensor, but gave a list"):
        InverseProblem(Stacked(torch.ones(5)), Y)


def test_a_linear_map_is_tried_once_and_in_every_precision_and_kind() -> None:
    calls: list[int] = []

    def count(x: Tensor) -> Tensor:
        calls.append(1)
        return 2 * x

    operator = ops.LinearMap(count, lambda y: 2 * y)
    for _ in range(3):
        InverseProblem(operator, Y, noise=0.1)
    assert len(calls) == 4, "u, v, their combination, and v at the size of y"
    for dtype in (torch.float16, torch.bfloat16, DOUBLE, torch.complex64):
        InverseProblem(ops.LinearMap(lambda x: 2 * x, lambda y: 2 * y), Y.to(dtype))
    InverseProblem(ops.Fourier() @ ops.RealToComplex(), random_complex(1, 4, 4, dtype=SINGLE, seed=0))
    real = ops.LinearMap(lambda x: torch.fft.fft(x), lambda y: torch.fft.ifft(y, norm="forward").real)
    InverseProblem(real, random_complex(2, 6, dtype=SINGLE, seed=0))


def test_the_norm_of_an_operator_that_gives_nan_is_not_called_zero() -> None:
    mask = ops.Mask(torch.ones(2))
    problem = InverseProblem(mask, torch.ones(1, 2), noise=0.1)
    mask.mask[1] = float("nan")  # after the checks
    with pytest.raises(MetaoptError, match=r"norm of the operator Mask is nan, .*NaN or infinite for finite x"):
        problem.normalized()


def test_a_product_that_transforms_the_wrong_axis_of_a_column_is_refused() -> None:
    LinearOperator = scipy.sparse.linalg.LinearOperator

    def forward(x: np.ndarray) -> np.ndarray:
        return np.fft.fft(x, norm="ortho")

    def back(y: np.ndarray) -> np.ndarray:
        return np.fft.ifft(y, norm="ortho")

    with pytest.raises(MetaoptError, match="for a column"):
        ops.as_operator(LinearOperator((5, 5), matvec=forward, rmatvec=back, dtype=complex))
    right = LinearOperator((5, 5), lambda x: forward(x.ravel()), lambda y: back(y.ravel()), dtype=complex)
    x = torch.randn(2, 5, dtype=torch.complex128)
    assert torch.allclose(ops.as_operator(right)(x), torch.fft.fft(x, norm="ortho"))
