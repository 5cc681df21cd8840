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
    (r"Scaled needs one real factor, but got a tensor \(2,\)", lambda: ops.Scaled(ops.Identity(), torch.ones(2))),
    (r"asked for 2 samples in all, but its centre has 4", lambda: ops.cartesian_mask((8, 8), 4, 0.5, 0)),
    (r"gaussian_mask is asked for 6 samples", lambda: ops.gaussian_mask((8, 8), 10, 0.4, 0)),
    ("Scaled needs one real factor, but got '2'", lambda: ops.Scaled(ops.Identity(), "2")),  # type: ignore[arg-type]
    ("operator of Scaled must be an Operator", lambda: ops.Scaled(torch.ones(2), 2.0)),  # type: ignore[arg-type]
    ("operator of Compose must be an Operator", lambda: ops.Compose(ops.Identity(), None)),  # type: ignore[arg-type]
    ("operator of Adjoint must be an Operator", lambda: ops.Adjoint(torch.ones(2))),  # type: ignore[arg-type]
    ("The mask of Mask must be a tensor, but got None", lambda: ops.Mask(None)),  # type: ignore[arg-type]
    ("The mask of Mask must be a tensor.*sparse", lambda: ops.Mask(torch.eye(2).to_sparse())),
    ("The mask of Fourier must be a tensor, but got", lambda: ops.Fourier([1.0])),  # type: ignore[arg-type]
    ("axes of Fourier must be a whole number of at least 1", lambda: ops.Fourier(None, 0)),
    ("centred of Fourier must be True or False", lambda: ops.Fourier(centred=1)),  # type: ignore[arg-type]
    (r"maps of Sense are complex, .* single set by maps\[None\]", lambda: ops.Sense(COMPLEX[0, 0])),
    (r"maps of Sense are complex", lambda: ops.Sense(REAL)),
    (r"maps of Sense hold values that are NaN", lambda: ops.Sense(COMPLEX / 0)),
    (r"Sense has 1, 2 or 3 spatial axes, not 4", lambda: ops.Sense(COMPLEX, 4)),
    (r"takes complex pictures, one a set, \(B, 2, 6, 4\)", lambda: ops.Sense(COMPLEX[:, :2])(COMPLEX)),
    (r"takes complex coils, \(B, 2, 6, 4\), but got", lambda: ops.Sense(COMPLEX[:, :2]).adjoint(COMPLEX)),
    ("matrix of Dense must be a floating-point or complex", lambda: ops.Dense([[1.0]])),  # type: ignore[arg-type]
    ("matrix of Dense must be a floating-point or complex", lambda: ops.Dense(torch.ones(2, 2).long())),
    ("matrix of Dense must be.*", lambda: ops.Dense(torch.ones(2, 2, device="meta"))),
    ("shape of Dense must be a list", lambda: ops.Dense(torch.ones(2, 2), 2)),  # type: ignore[arg-type]
    ("kernel of Blur must be a floating-point or complex", lambda: ops.Blur(torch.ones(3, 3).to(torch.float8_e4m3fn))),
    ("kernel of CircularBlur must be a", lambda: ops.CircularBlur(torch.ones(3, 3).bool())),
    ("shape of Select must be a list", lambda: ops.Select(torch.tensor([0]), None)),  # type: ignore[arg-type]
    ("indices of Select must be a tensor", lambda: ops.Select([0], (2,))),  # type: ignore[arg-type]
    ("forward function of LinearMap must be a function of", lambda: ops.LinearMap(2, None)),  # type: ignore[arg-type]
    ("size of gaussian_kernel must be a whole", lambda: ops.gaussian_kernel(2.5, 1.0)),  # type: ignore[arg-type]
    ("sigma of gaussian_kernel must be a finite", lambda: ops.gaussian_kernel(3, float("nan"))),
    ("factor of box_downsample must be a whole", lambda: ops.box_downsample((4, 4), 0)),
    ("shape of bicubic_downsample must be a list", lambda: ops.bicubic_downsample(4, 2)),  # type: ignore[arg-type]
    ("rows of Separable must be", lambda: ops.Separable([1.0], torch.eye(4))),  # type: ignore[arg-type]
    ("size of Blocks must be a whole", lambda: ops.Blocks((3, 6, 4), 0)),
    ("rows of gaussian_projection must be a whole", lambda: ops.gaussian_projection(-1, (2, 2), 0)),
    ("seed of bernoulli_projection must be", lambda: ops.bernoulli_projection(1, (2,), None)),  # type: ignore[arg-type]
    ("acceleration of cartesian_mask must be a finite number", lambda: ops.cartesian_mask((8, 8), 0, 0.1, 0)),
    ("center_fraction of gaussian_mask must be", lambda: ops.gaussian_mask((8, 8), 2, 1.5, 0)),
    ("columns of gaussian_dictionary must be a whole", lambda: ops.gaussian_dictionary(2, 0, 0)),
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
