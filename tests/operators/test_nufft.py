"""The non-uniform Fourier transform is the sum that defines it, and its normal operator a convolution."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from unittest import mock

import pytest
import scipy.io
import torch
from torch import Tensor

import metaopt as mo
from metaopt import operators as ops

from ..real_data import real_data
from .cases import points, random_complex

SHAPES = [(9,), (8, 7), (5, 6, 4)]
DOUBLE = torch.float64


def dense(k: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The matrix (M, N) of the transform, written out."""
    grid = torch.meshgrid(*(torch.arange(n, dtype=DOUBLE) - n // 2 for n in shape), indexing="ij")
    places = torch.stack([axis.flatten() for axis in grid])
    return torch.exp(-2j * math.pi * (k.double() @ places)) / math.prod(shape) ** 0.5


def error(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("tolerance", [None, 1e-3, 1e-14])
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
def test_nufft_is_the_dense_transform_within_its_tolerance(
    shape: tuple[int, ...], tolerance: float | None, dtype: torch.dtype
) -> None:
    k, x = points(40, len(shape), dtype=DOUBLE, seed=0), random_complex(2, 3, *shape, dtype=DOUBLE, seed=1)
    nufft, matrix = ops.Nufft(k, shape, tolerance), dense(k, shape)
    allowed = max(tolerance or 1e-12, 1e-13) if dtype == torch.complex128 else tolerance or 1e-6
    allowed = max(allowed, 2e-7 if dtype == torch.complex64 else 0)
    y = torch.einsum("mn,bcn->bcm", matrix, x.flatten(2))
    assert error(nufft(x.to(dtype)), y) <= allowed
    back = torch.einsum("mn,bcm->bcn", matrix.conj(), y).view(x.shape)
    assert error(nufft.adjoint(y.to(dtype)), back) <= allowed
    assert error(nufft.normal(x.to(dtype)), nufft.adjoint(nufft(x.to(dtype)))) <= 10 * allowed
    assert nufft(x.to(dtype)).dtype == nufft.normal(x.to(dtype)).dtype == dtype


def test_nufft_at_the_points_of_the_grid_is_the_centred_fourier_transform() -> None:
    x = random_complex(2, 1, 5, 4, dtype=DOUBLE, seed=0)
    grid = torch.meshgrid(*((torch.arange(n, dtype=DOUBLE) - n // 2) / n for n in (5, 4)), indexing="ij")
    y = ops.Nufft(torch.stack(grid, -1).flatten(0, 1), (5, 4))(x)
    assert error(y.view(x.shape), ops.Fourier(centred=True)(x)) <= 1e-11


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_points_of_each_sample_are_those_of_its_own_operator(shape: tuple[int, ...]) -> None:
    k, x = points(2, 30, len(shape), dtype=DOUBLE, seed=0), random_complex(2, 3, *shape, dtype=DOUBLE, seed=1)
    both, each = ops.Nufft(k, shape), [ops.Nufft(one, shape) for one in k]
    assert error(both(x), torch.cat([one(x[i : i + 1]) for i, one in enumerate(each)])) <= 1e-12
    assert error(both.normal(x), torch.cat([one.normal(x[i : i + 1]) for i, one in enumerate(each)])) <= 1e-12


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("batch", [(), (2,)], ids=["shared", "each"])
def test_points_have_exact_derivatives_both_ways_and_to_second_order(
    shape: tuple[int, ...], batch: tuple[int, ...]
) -> None:
    k = (0.9 * points(*batch, 6, len(shape), dtype=DOUBLE, seed=0)).requires_grad_()
    x = random_complex(2, 2, *shape, dtype=DOUBLE, seed=1).requires_grad_()
    y = random_complex(2, 2, 6, dtype=DOUBLE, seed=2).requires_grad_()
    nufft = ops.Nufft(k.detach(), shape, 1e-14)

    def at(function: str, k: Tensor, values: Tensor) -> Tensor:
        return torch.view_as_real(getattr(mo.tree.replace(nufft, {"points": k}), function)(values))

    for function, values in (("apply", x), ("adjoint", y), ("normal", x)):
        call = lambda k, values, f=function: at(f, k, values)  # noqa: E731
        torch.autograd.gradcheck(call, (k, values), fast_mode=True, check_forward_ad=function != "normal")
    torch.autograd.gradgradcheck(lambda k, x: at("apply", k, x).square().sum(), (k, x), fast_mode=True)


def test_the_normal_operator_follows_points_that_are_learned() -> None:
    """The point spread function is made of the first points, and must not be used for others."""
    x = random_complex(1, 1, 6, 4, dtype=DOUBLE, seed=1)
    k = points(9, 2, dtype=DOUBLE, seed=0)
    nufft = ops.Nufft(torch.nn.Parameter(k.clone()), (6, 4))
    with torch.no_grad():
        nufft.points.copy_(points(9, 2, dtype=DOUBLE, seed=5))
    assert error(nufft.normal(x).detach(), ops.Nufft(points(9, 2, dtype=DOUBLE, seed=5), (6, 4)).normal(x)) <= 1e-11


OTHERS: dict[str, Callable[[ops.Nufft, Tensor], ops.Nufft]] = {
    "in place": lambda nufft, k: written(nufft, k),
    "in place after a move": lambda nufft, k: written(nufft.to(torch.float32), k),
    "in place in a copy": lambda nufft, k: written(copy.deepcopy(nufft), k),
    "in place before a copy": lambda nufft, k: copy.deepcopy(written(nufft, k)),
    "in place before it is pickled": lambda nufft, k: pickle.loads(pickle.dumps(written(nufft, k))),
    "replaced": lambda nufft, k: mo.tree.replace(nufft, {"points": k}),
    "replaced after a move": lambda nufft, k: mo.tree.replace(nufft.to(torch.float32), {"points": k}),
    "replaced in an alias": lambda nufft, k: mo.tree.replace(mo.tree.detach(nufft), {"points": k}),
    "replaced for each sample": lambda nufft, k: mo.tree.replace(nufft, {"points": k.expand(2, -1, -1)}),
}


def written(nufft: ops.Nufft, k: Tensor) -> ops.Nufft:
    nufft.points.copy_(k)
    return nufft


@pytest.mark.parametrize("how", OTHERS)
@pytest.mark.parametrize("writes", [0, 1], ids=["fresh", "written"])
def test_the_normal_operator_follows_points_that_are_changed(how: str, writes: int) -> None:
    x = random_complex(2, 1, 6, 4, dtype=DOUBLE, seed=1)
    k, new = (points(9, 2, dtype=DOUBLE, seed=seed) for seed in (0, 5))
    for _ in range(writes):  # such as those that filled an array
        k.mul_(0.5)
    nufft = OTHERS[how](ops.Nufft(k, (6, 4)), new)
    assert error(nufft.normal(x), ops.Nufft(new.to(nufft.points), (6, 4)).normal(x)) <= 1e-7


@pytest.mark.parametrize("writes", [0, 1], ids=["fresh", "written"])
def test_copies_of_an_operator_keep_its_point_spread_function(writes: int) -> None:
    """It is the quicker way, which a move, a detached alias or a rebuilt tree must not lose."""
    x, k = random_complex(1, 1, 6, 4, dtype=DOUBLE, seed=1), points(9, 2, dtype=DOUBLE, seed=0)
    for _ in range(writes):
        k.mul_(0.5)
    nufft = ops.Nufft(k, (6, 4))
    tensors, rebuild = mo.tree.partition(nufft)
    with mock.patch.object(ops.Nufft, "apply", side_effect=AssertionError("transformed")):
        for same in (
            nufft,
            pickle.loads(pickle.dumps(nufft)),
            mo.tree.detach(nufft),
            rebuild(tensors),
            nufft.to("cpu"),
        ):
            same.normal(x)
        nufft.to(torch.float32).normal(x.to(torch.complex64))
        mo.vmap(lambda x: nufft.normal(x))(x[None])


@pytest.mark.parametrize("coils", [1, 3])
def test_several_threads_give_the_same_bits_each_time(coils: int) -> None:
    k, y = points(60_000, 2, dtype=DOUBLE, seed=0), random_complex(1, coils, 60_000, dtype=DOUBLE, seed=1)
    nufft, before = ops.Nufft(k, (64, 64)), torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        first, *others = [nufft.adjoint(y) for _ in range(20)]
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(first, other) for other in others)


def test_nothing_is_transformed_of_an_empty_batch() -> None:
    nufft = ops.Nufft(points(9, 2, dtype=DOUBLE, seed=0), (6, 4))
    assert nufft(torch.zeros(0, 3, 6, 4, dtype=torch.complex64)).shape == (0, 3, 9)


def test_sampled_enough_a_picture_is_solved_for() -> None:
    picture = random_complex(1, 1, 8, 8, dtype=DOUBLE, seed=0)
    nufft = ops.Nufft(ops.radial_points(26, 16), (8, 8))
    problem = mo.InverseProblem(nufft, nufft(picture), 1.0)
    assert error(mo.unroll(mo.algorithms.ConjugateGradient(), 60)(problem).final, picture) < 1e-3


def test_a_measured_spiral_scan_is_that_of_its_own_picture() -> None:
    """Points and samples that were not made here: the order of the axes, the sign and the unit are the scanner's."""
    scan = scipy.io.loadmat(real_data("mri/real_spiral_8coil/spiral.mat"))
    k, weights, samples = (torch.as_tensor(scan[name]).flatten(0, 1) for name in ("k", "w", "data"))
    spiral = ops.Nufft(torch.stack([k.imag, k.real], -1), (256, 256))
    mirrored = ops.Nufft(torch.stack([-k.imag, k.real], -1), (256, 256))
    measured = samples.T[None, :1]
    picture = spiral.adjoint(weights * measured)

    def likeness(y: Tensor) -> float:
        """The correlation over k-space, each sample by the area it stands for."""
        inner, norms = (
            (weights * y.conj() * measured).sum().abs(),
            [(weights * a.abs() ** 2).sum() for a in (y, measured)],
        )
        return float(inner / (norms[0] * norms[1]).sqrt())

    assert likeness(spiral(picture)) > 0.9
    assert likeness(mirrored(picture)) < 0.2
    assert error(spiral.normal(picture), spiral.adjoint(spiral(picture))) <= 1e-11
