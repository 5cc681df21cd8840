"""What is said to a user whose shapes, sizes or dtypes do not fit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from metaopt import operators as ops
from metaopt.core.errors import MetaoptError

REAL, COMPLEX = torch.ones(2, 3, 6, 4), torch.ones(2, 3, 6, 4, dtype=torch.complex64)
PATCHES = ops.Dense(torch.ones(3, 24), (6, 4))

MISTAKES: list[tuple[str, Callable[[], object]]] = [
    (r"Mask needs a real mask, but got \(4,\) complex64", lambda: ops.Mask(COMPLEX[0, 0, 0])),
    (r"mask \(2, 1\) of Mask does not fit an input \(2, 3, 6, 4\)", lambda: ops.Mask(torch.ones(2, 1))(REAL)),
    (r"mask \(5, 3, 6, 4\) of Mask does not fit", lambda: ops.Mask(torch.ones(5, 3, 6, 4))(REAL[:1])),
    (r"Select needs one axis of integers from 0 to 23", lambda: ops.Select(torch.tensor([24]), (6, 4))),
    (r"Select needs .* got \(2,\) float32", lambda: ops.Select(torch.ones(2), (6, 4))),
    (r"Dense needs a matrix \(m, n\) or \(B, m, n\), but got \(3,\)", lambda: ops.Dense(torch.ones(3))),
    (r"acts on 7 entries, but shape \(6,\) has 6", lambda: ops.Dense(torch.ones(3, 7), (6,))),
    (r"Dense expects \(..., 6, 4\), but got \(2, 3, 6, 5\)", lambda: PATCHES(torch.ones(2, 3, 6, 5))),
    (r"Dense expects \(..., 6, 4\), but got \(4,\)", lambda: PATCHES(torch.ones(4))),
    (r"adjoint of Dense expects \(..., 3\), but got \(2, 4\)", lambda: PATCHES.adjoint(torch.ones(2, 4))),
    (r"complex matrix, but got \(2, 4\) float32; .* RealToComplex", lambda: ops.Dense(COMPLEX[0, 0])(torch.ones(2, 4))),
    (r"batch of matrices \(3,\) of Dense does not fit", lambda: ops.Dense(torch.ones(3, 2, 5))(torch.ones(2, 5))),
    (r"multiples of it, but got \(3, 6, 4\); crop", lambda: ops.Blocks((3, 6, 4), 4)),
    (r"24 coefficients and 25 rows", lambda: ops.fourier_projection(25, (1, 6, 4), 0)),
    (r"Blur needs a kernel .* of odd sizes, but got \(3, 2\)", lambda: ops.Blur(torch.ones(3, 2))),
    (r"batch of kernels \(3,\) of Blur does not fit", lambda: ops.Blur(torch.ones(3, 1, 1))(REAL)),
    (r"kernel \(7, 3\) of CircularBlur is larger than", lambda: ops.CircularBlur(torch.ones(7, 3))(REAL)),
    (r"odd size and a positive sigma, but got 4", lambda: ops.gaussian_kernel(4, 1.0)),
    (r"bicubic_downsample by 4 needs .* multiples of 4, but got \(6, 4\)", lambda: ops.bicubic_downsample((6, 4), 4)),
    (r"box_downsample by 3 needs", lambda: ops.box_downsample((3, 6, 4), 3)),
    (r"rows to be a real .* got \(3,\)", lambda: ops.Separable(torch.ones(3), torch.ones(3, 3))),
    (r"Separable expects \(..., 8, 4\), but got \(2, 3, 6, 4\)", lambda: ops.box_downsample((8, 4), 2)(REAL)),
    (r"leading axes of rows \(2,\) of Separable", lambda: ops.Separable(torch.ones(2, 2, 6), torch.eye(4))(REAL)),
    (r"Fourier takes complex images, but got \(2, 3, 6, 4\) float32; .* RealToComplex", lambda: ops.Fourier()(REAL)),
    (r"mask \(4, 6\) of Fourier does not fit", lambda: ops.Fourier(torch.ones(4, 6))(COMPLEX)),
    (r"RealToComplex takes real input", lambda: ops.RealToComplex()(COMPLEX)),
    (r"Scaled needs one real factor, but got \(2,\)", lambda: ops.Scaled(ops.Identity(), torch.ones(2))),
    (r"asked for 2 samples in all, but its centre has 4", lambda: ops.cartesian_mask((8, 8), 4, 0.5, 0)),
    (r"gaussian_mask is asked for 6 samples", lambda: ops.gaussian_mask((8, 8), 10, 0.4, 0)),
    (r"vectors \(B, 5\), but got \(2, 4\)", lambda: ops.as_operator(_Scipy())(torch.ones(2, 4))),
]  # fmt: skip


class _Scipy:
    shape, dtype = (3, 5), "float64"

    def matmat(self, x: object) -> object:
        return x

    rmatmat = matmat


@pytest.mark.parametrize(("sentence", "mistake"), MISTAKES, ids=range(len(MISTAKES)))
def test_mistake_is_answered_with_a_sentence(sentence: str, mistake: Callable[[], object]) -> None:
    with pytest.raises(MetaoptError, match=sentence) as caught:
        mistake()
    assert str(caught.value).endswith(".")


def test_product_with_something_else_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        ops.Identity() @ torch.ones(3)
