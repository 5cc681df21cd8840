"""The trial of foreign maps when a problem is made: what it sees of the map and of its adjoint."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch
from torch import Tensor

from metaopt import operators as ops
from metaopt.core.errors import MetaoptError, MetaoptWarning
from metaopt.problems import InverseProblem

from .cases import random

MATRIX = random(6, 4, dtype=torch.float32, seed=0)
Y = random(3, 6, dtype=torch.float32, seed=1)


def forward(x: Tensor) -> Tensor:
    return x @ MATRIX.to(x.dtype).mT


def back(y: Tensor) -> Tensor:
    return y @ MATRIX.to(y.dtype)


WRONG_ADJOINTS = {
    "drops an entry": lambda y: back(y) * torch.tensor([1.0, 1, 1, 0]),
    "drops all but one entry": lambda y: back(y) * torch.tensor([0.0, 1, 0, 0]),
    "zero": lambda y: 0 * back(y),
    "averages": lambda y: back(y).mean(1, keepdim=True).expand(-1, 4),
    "too large": lambda y: 1.03 * back(y),
    "permuted": lambda y: back(y).flip(1),
}


@pytest.mark.parametrize("name", WRONG_ADJOINTS)
def test_an_adjoint_that_is_wrong_or_leaves_parts_out_is_warned_of(name: str) -> None:
    with pytest.warns(MetaoptWarning, match="adjoint of this LinearMap is wrong"):
        InverseProblem(ops.LinearMap(forward, WRONG_ADJOINTS[name]), Y)


@pytest.mark.parametrize("rows", [4, 400, 40_000])
def test_a_zero_adjoint_is_seen_at_every_size(rows: int) -> None:
    with pytest.warns(MetaoptWarning, match="is wrong"):
        InverseProblem(ops.LinearMap(lambda x: 2 * x, lambda y: 0 * y), random(2, rows, dtype=torch.float32, seed=0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-3, 1.0, 1e4, 1e33])
def test_a_linear_map_with_its_adjoint_passes_at_every_size_and_precision(size: float, dtype: torch.dtype) -> None:
    y = (size * Y.double()).to(dtype)
    if bool(y.isfinite().all()):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            InverseProblem(ops.LinearMap(forward, back), y)


def saturate(x: Tensor) -> Tensor:
    return forward(x).clamp(-50, 50)


def cut(x: Tensor) -> Tensor:
    return torch.where(forward(x).abs() < 1e-3, 0, forward(x))


@pytest.mark.parametrize(("function", "size"), [(saturate, 100.0), (cut, 1e-4)])
def test_a_map_that_is_not_linear_at_the_size_of_y_is_refused_even_after_it_passed_at_another(
    function: Any, size: float
) -> None:
    operator = ops.LinearMap(function, back)
    InverseProblem(operator, Y)
    with pytest.raises(MetaoptError, match="not linear for numbers of the size of y"):
        InverseProblem(operator, size * Y)


def fail(x: Tensor) -> Tensor:
    raise RuntimeError("the scanner is off")


def both(x: Tensor) -> Any:
    return x, x


BROKEN = {
    "forward fails": (fail, back, "map of this LinearMap cannot be computed .*: the scanner is off"),
    "adjoint fails": (forward, fail, "adjoint of this LinearMap cannot be computed .*: the scanner is off"),
    "stacked measurement": (both, lambda y: y[0] + y[1], "must return one tensor, but gave a tuple"),
    "stacked measurement unpacked": (both, lambda y: sum(y[:, 0, 7]), "adjoint of this LinearMap cannot be computed"),
    "adjoint of another shape": (forward, lambda y: back(y)[:, :3], r"cannot be computed for \(3, 3\) float32"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_functions_that_cannot_be_computed_are_refused_in_a_sentence(name: str) -> None:
    first, second, message = BROKEN[name]
    with pytest.raises(MetaoptError, match=message):
        InverseProblem(ops.LinearMap(first, second), Y)


def rows_of(matvec: Any, rmatvec: Any) -> Any:
    return scipy.sparse.linalg.LinearOperator((6, 4), matvec=matvec, rmatvec=rmatvec, dtype=float)


ARRAY = MATRIX.double().numpy()
WRONG_PRODUCTS = {
    "A x too short": (lambda v: (ARRAY @ v)[:5], lambda v: ARRAY.T @ v),
    "A x out of bounds": (lambda v: ARRAY @ v[9], lambda v: ARRAY.T @ v),
    "A^H y too short": (lambda v: ARRAY @ v, lambda v: (ARRAY.T @ v)[:3]),
    "A^H y out of bounds": (lambda v: ARRAY @ v, lambda v: ARRAY.T @ v[9]),
    "A^H y divides by zero": (lambda v: ARRAY @ v, lambda v: v * (1 // 0)),
}


@pytest.mark.parametrize("name", WRONG_PRODUCTS)
def test_a_scipy_operator_whose_products_fail_is_refused_in_a_sentence_that_names_the_product(name: str) -> None:
    with pytest.raises(
        MetaoptError, match=f"product {name[: name.index(' ') + 2]}.* cannot be computed".replace("^", r"\^")
    ):
        ops.as_operator(rows_of(*WRONG_PRODUCTS[name]))


@pytest.mark.parametrize("kind", [">f8", ">f4", "longdouble", "clongdouble", ">c16"])
@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_matrix, scipy.sparse.linalg.aslinearoperator])
def test_matrices_of_numbers_that_torch_lacks_are_their_dense_selves(form: Any, kind: str) -> None:
    if form is scipy.sparse.csr_matrix and kind.startswith(">"):
        kind = "longdouble"  # scipy has no sparse matrices in another byte order
    operator = ops.as_operator(form(ARRAY.astype(kind)))
    y = Y.to(torch.complex128)
    torch.testing.assert_close(operator.adjoint(y).real, y.real @ MATRIX.double())
    torch.testing.assert_close(operator(operator.adjoint(y)).real, y.real @ MATRIX.double() @ MATRIX.double().mT)
