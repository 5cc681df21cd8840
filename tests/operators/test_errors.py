"""What is said to a user whose shapes, sizes or dtypes do not fit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from metaopt import operators as ops
from metaopt.core.errors import MetaoptError

REAL, COMPLEX = torch.ones(2, 3, 6, 4), torch.ones(2, 3, 6, 4, dtype=torch.complex64)
POINTS = torch.zeros(5, 2)
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
    (r"points of Nufft .* are real, \(M, 2\) .* got \(5, 3\)", lambda: ops.Nufft(REAL[0, 0, :5, :3], (6, 4))),
    (r"at least one point, but got \(0, 2\)", lambda: ops.Nufft(torch.zeros(0, 2), (6, 4))),
    (r"points of Nufft .* got \(5,\)", lambda: ops.Nufft(torch.zeros(5), (6,))),
    (r"of 32 bits or more", lambda: ops.Nufft(torch.zeros(5, 2).half(), (6, 4))),
    (r"points of Nufft .* complex64; .* torch.stack", lambda: ops.Nufft(COMPLEX[0, 0, :, :2], (6, 4))),
    (r"points of Nufft holds 10 values that are NaN", lambda: ops.Nufft(torch.zeros(5, 2) / 0, (6, 4))),
    (r"from 0.5 to 0.5; .* move 0.5 to -0.5", lambda: ops.Nufft(torch.full((5, 2), 0.5), (6, 4))),
    (r"go from -3 to -3; divide radians", lambda: ops.Nufft(torch.full((5, 2), -3.0), (6, 4))),
    (r"shape of Nufft has 1, 2 or 3 axes", lambda: ops.Nufft(torch.zeros(5, 4), (2, 3, 6, 4))),
    (r"shape of Nufft must be a list", lambda: ops.Nufft(torch.zeros(5, 1), 6)),  # type: ignore[arg-type]
    (r"tolerance of Nufft must be a finite", lambda: ops.Nufft(torch.zeros(5, 2), (6, 4), 0.0)),
    (r"takes complex pictures \(B, ..., 6, 4\), but got .* RealToComplex", lambda: ops.Nufft(POINTS, (6, 4))(REAL)),
    (r"takes complex pictures \(B, ..., 4, 6\)", lambda: ops.Nufft(POINTS, (4, 6)).normal(COMPLEX)),
    (r"takes complex samples \(B, ..., 5\)", lambda: ops.Nufft(POINTS, (6, 4)).adjoint(COMPLEX)),
    (r"takes complex pictures \(3, ..., 6, 4\)", lambda: ops.Nufft(POINTS.expand(3, 5, 2), (6, 4))(COMPLEX)),
    (r"row and a column for each coil.* got \(2, 3\)", lambda: ops.Whitening(torch.ones(2, 3))),
    (r"singular: coil 1 has no noise", lambda: ops.Whitening(torch.diag(torch.tensor([1.0, 0.0])))),
    (r"singular: the smallest eigenvalue", lambda: ops.Whitening(torch.ones(2, 2))),
    (r"must be Hermitian", lambda: ops.Whitening(torch.tensor([[2.0, 1.0], [0.0, 2.0]]))),
    (r"covariance of Whitening holds 4 values", lambda: ops.Whitening(torch.ones(2, 2) / 0)),
    (r"Whitening of 2 coils takes complex \(B, 2, ...\), but", lambda: ops.Whitening(torch.eye(2))(COMPLEX)),
    (r"have 3 coils, but the covariance \(2, 2\)", lambda: ops.prewhiten(COMPLEX, ops.Sense(COMPLEX), torch.eye(2))),
    (r"coils of prewhiten must be a Sense", lambda: ops.prewhiten(COMPLEX, COMPLEX, torch.eye(3))),  # type: ignore[arg-type]
    (r"shape of cartesian_mask must be \(H, W\) or", lambda: ops.cartesian_mask((8,), 2, 0.1, 0)),
    (r"cartesian_mask keeps none of 8 columns at acceleration 20", lambda: ops.cartesian_mask((8, 8), 20, 0.0, 0)),
    (r"equispaced_mask is asked for 2 samples", lambda: ops.equispaced_mask((8, 8), 4, 0.5, 0)),
    (r"gaussian_columns_mask is asked for 2", lambda: ops.gaussian_columns_mask((8, 8), 4, 0.5, 0)),
    (r"width of gaussian_columns_mask", lambda: ops.gaussian_columns_mask((8, 8), 4, 0.1, 0, width=0.0)),
    (r"poisson_disc_mask is asked for 6 samples", lambda: ops.poisson_disc_mask((8, 8), 10, 0.4, 0)),
    (
        r"asked for 64 points, but has places for 47 of 64; raise the acceleration to at least 1.36",
        lambda: ops.poisson_disc_mask((8, 8), 1, 0.1, 0, elliptical=True),
    ),
    (r"falloff of poisson_disc_mask", lambda: ops.poisson_disc_mask((8, 8), 4, 0.1, 0, falloff=-1.0)),
    (r"radial_mask is asked for 6 samples", lambda: ops.radial_mask((8, 8), 10, 0.4, 0)),
    (r"acceleration of spiral_mask must be .* at least 1", lambda: ops.spiral_mask((8, 8), 0.5, 0.1, 0)),
    (r"every 9th line .* of 8", lambda: ops.regular_mask((8, 8), 9)),
    (r"for 10 central lines, of 8", lambda: ops.regular_mask((8, 8), 2, 10)),
    (r"offset below 2", lambda: ops.regular_mask((8, 8), 2, 2, offset=2)),
    (r"center of regular_mask must be a whole", lambda: ops.regular_mask((8, 8), 2, (2, 2))),
    (r"keeps 3 of 8 lines .* without frequency zero", lambda: ops.partial_fourier_mask((8, 8), 0.4)),
    (r"axis of partial_fourier_mask must be one of 2", lambda: ops.partial_fourier_mask((8, 8), 0.6, axis=2)),
    (r"must be real and fit \(8, 8\)", lambda: ops.partial_fourier_mask((8, 8), 0.6, mask=torch.ones(4, 8))),
    (r"centred of a mask must be", lambda: ops.radial_mask((8, 8), 4, 0.1, 0, centred=1)),  # type: ignore[arg-type]
    (r"spokes must be a whole number", lambda: ops.radial_points(0, 4)),
    (r"axes of radial_points must be .* at least 2", lambda: ops.radial_points(2, 4, dims=1)),
    (r"turns of spiral_points must be", lambda: ops.spiral_points(2, 4, 0.0)),
    ("matrix of Dense must be a tensor", lambda: ops.Dense([[1.0]])),  # type: ignore[arg-type]
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


EYE, BOX = torch.eye(3), torch.full((3, 3), 1 / 9)
HELD: dict[str, tuple[Callable[[torch.Tensor], object], torch.Tensor]] = {
    "Mask": (ops.Mask, EYE),
    "Scaled": (lambda t: ops.Scaled(ops.Identity(), t[0, 0]), EYE),
    "Scaled by a number": (lambda t: ops.Scaled(ops.Identity(), float(t[0, 0])), EYE),
    "Dense": (ops.Dense, EYE),
    "Dense of a batch": (lambda t: ops.Dense(torch.stack([EYE, t])), EYE),
    "Dense, complex": (ops.Dense, EYE + 0j),
    "as_operator": (ops.as_operator, EYE),
    "Blur": (ops.Blur, BOX),
    "CircularBlur": (ops.CircularBlur, BOX),
    "Fourier": (ops.Fourier, EYE),
    "Separable, rows": (lambda t: ops.Separable(t, EYE), EYE),
    "Separable, columns": (lambda t: ops.Separable(EYE, t), EYE),
    "Sense": (lambda t: ops.Sense(t[None, None]), EYE + 0j),
}


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize(("make", "tensor"), HELD.values(), ids=HELD)
def test_operators_hold_finite_numbers(
    make: Callable[[torch.Tensor], object], tensor: torch.Tensor, value: float
) -> None:
    make(tensor)
    spoilt = tensor.clone()
    spoilt[0, 0] = value
    with pytest.raises(MetaoptError, match="NaN or infinite"):
        make(spoilt)
