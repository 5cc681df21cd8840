"""The table of operators that every law is tested on: one row enters an operator into all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from metaopt import operators as ops

Build = Callable[[torch.dtype, int], tuple[ops.Operator, Tensor]]


class Case(NamedTuple):
    """``build(dtype, seed)`` gives an operator and an input of batch 2, whose tensors are of that real dtype."""

    name: str
    build: Build


def random(*shape: int, dtype: torch.dtype, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def random_complex(*shape: int, dtype: torch.dtype, seed: int) -> Tensor:
    return torch.complex(random(*shape, dtype=dtype, seed=seed), random(*shape, dtype=dtype, seed=seed + 100))


def points(*shape: int, dtype: torch.dtype, seed: int) -> Tensor:
    return (random(*shape, dtype=dtype, seed=seed) + 0.5) % 1 - 0.5


def covariance(*shape: int, dtype: torch.dtype, seed: int) -> Tensor:
    noise = random_complex(*shape, 8, dtype=dtype, seed=seed)
    return noise @ noise.mH + torch.eye(shape[-1])


def _image(operator: Callable[[torch.dtype, int], ops.Operator], *shape: int, complex_input: bool = False) -> Build:
    draw = random_complex if complex_input else random

    def build(dtype: torch.dtype, seed: int) -> tuple[ops.Operator, Tensor]:
        return operator(dtype, seed), draw(2, *(shape or (2, 6, 4)), dtype=dtype, seed=seed + 50)

    return build


def baselines(dtype: torch.dtype, seed: int) -> tuple[Tensor, Tensor]:
    """(uvw, frequency) of 5 rows and 2 channels, the second of which is the lower, w = 0."""
    uvw = torch.cat([100 * points(5, 2, dtype=torch.float64, seed=seed), torch.zeros(5, 1, dtype=torch.float64)], 1)
    return uvw.to(dtype), torch.tensor([1.4e9, 1.2e9], dtype=dtype)


def weights(dtype: torch.dtype, seed: int) -> Tensor:
    return random(5, 2, dtype=dtype, seed=seed).abs() + 0.1


def beam(dtype: torch.dtype, seed: int) -> Tensor:
    return random(6, 4, dtype=dtype, seed=seed + 1)


class Difference:
    """x -> neighbours' differences and back, in plain torch: picklable functions for ``LinearMap``."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 1:] - x[:, :-1]

    def adjoint(self, y: Tensor) -> Tensor:
        zero = torch.zeros_like(y[:, :1])
        return torch.cat([zero, y], 1) - torch.cat([y, zero], 1)


def cumulative_sum(x: np.ndarray) -> np.ndarray:
    return np.cumsum(x, 1)


def reversed_cumulative_sum(y: np.ndarray) -> np.ndarray:
    return np.cumsum(y[:, ::-1], 1)[:, ::-1]


CASES = [
    Case("identity", _image(lambda d, s: ops.Identity())),
    Case("real to complex", _image(lambda d, s: ops.RealToComplex())),
    Case("shared mask", _image(lambda d, s: ops.Mask(random(6, 4, dtype=d, seed=s)))),
    Case("mask per sample", _image(lambda d, s: ops.Mask(random(2, 1, 6, 4, dtype=d, seed=s)), complex_input=True)),
    Case("select", _image(lambda d, s: ops.Select((torch.tensor([5, 0, 47, 5]) + s) % 48, (2, 6, 4)))),
    Case("dense", _image(lambda d, s: ops.Dense(random(3, 5, dtype=d, seed=s)), 5)),
    Case("dense on images", _image(lambda d, s: ops.Dense(random(3, 48, dtype=d, seed=s), (2, 6, 4)))),
    Case("dense per sample", _image(lambda d, s: ops.Dense(random(2, 3, 8, dtype=d, seed=s), (2, 4)), 3, 2, 4)),
    Case("complex dense", _image(lambda d, s: ops.Dense(random_complex(3, 5, dtype=d, seed=s)), 5, complex_input=True)),
    Case("gaussian projection", _image(lambda d, s: ops.gaussian_projection(7, (2, 6, 4), s, dtype=d))),
    Case("bernoulli projection", _image(lambda d, s: ops.bernoulli_projection(7, (2, 6, 4), s, dtype=d))),
    Case("fourier projection", _image(lambda d, s: ops.fourier_projection(9, (2, 6, 4), s))),
    Case("blocks", _image(lambda d, s: ops.Blocks((2, 6, 4), 2))),
    Case(
        "projected blocks",
        _image(lambda d, s: ops.gaussian_projection(3, (2, 2, 2), s, dtype=d) @ ops.Blocks((2, 6, 4), 2)),
    ),
    Case("blur", _image(lambda d, s: ops.Blur(random(3, 5, dtype=d, seed=s)))),
    Case("blur per sample", _image(lambda d, s: ops.Blur(random(2, 3, 5, dtype=d, seed=s)), 2, 3, 4, 5)),
    Case("complex blur", _image(lambda d, s: ops.Blur(random(3, 3, dtype=d, seed=s)), complex_input=True)),
    Case("circular blur", _image(lambda d, s: ops.CircularBlur(random(3, 3, dtype=d, seed=s)))),
    Case("circular blur per sample", _image(lambda d, s: ops.CircularBlur(random(2, 5, 3, dtype=d, seed=s)))),
    Case("bicubic downsample", _image(lambda d, s: ops.bicubic_downsample((6, 4), 2, dtype=d))),
    Case("box downsample", _image(lambda d, s: ops.box_downsample((6, 4), 2, dtype=d), complex_input=True)),
    Case(
        "separable per sample",
        _image(lambda d, s: ops.Separable(random(2, 1, 3, 6, dtype=d, seed=s), random(5, 4, dtype=d, seed=s + 1))),
    ),
    Case("fourier", _image(lambda d, s: ops.Fourier(), complex_input=True)),
    Case("masked fourier", _image(lambda d, s: ops.Fourier(random(6, 4, dtype=d, seed=s)), complex_input=True)),
    Case(
        "volume fourier per sample",
        _image(lambda d, s: ops.Fourier(random(2, 1, 3, 2, 4, dtype=d, seed=s), 3), 1, 3, 2, 4, complex_input=True),
    ),
    Case(
        "centred fourier",
        _image(lambda d, s: ops.Fourier(random(5, 4, dtype=d, seed=s), 2, True), 2, 5, 4, complex_input=True),
    ),
    Case("sense", _image(lambda d, s: ops.Sense(random_complex(2, 3, 6, 4, dtype=d, seed=s)), complex_input=True)),
    Case(
        "fourier and sense of volumes per sample",
        _image(
            lambda d, s: (
                ops.Fourier(random(2, 1, 3, 2, 4, dtype=d, seed=s), 3, True)
                @ ops.Sense(random_complex(2, 1, 3, 3, 2, 4, dtype=d, seed=s), 3)
            ),
            *(1, 3, 2, 4),
            complex_input=True,
        ),
    ),
    Case("nufft", _image(lambda d, s: ops.Nufft(points(9, 2, dtype=d, seed=s), (6, 4), 1e-14), complex_input=True)),
    Case(
        "nufft and sense of volumes per sample",
        _image(
            lambda d, s: (
                ops.Nufft(points(2, 7, 3, dtype=d, seed=s), (3, 2, 4), 1e-14)
                @ ops.Sense(random_complex(2, 1, 3, 3, 2, 4, dtype=d, seed=s), 3)
            ),
            *(1, 3, 2, 4),
            complex_input=True,
        ),
    ),
    Case(
        "nufft of lines",
        _image(lambda d, s: ops.Nufft(points(5, 1, dtype=d, seed=s), (4,), 1e-14) @ ops.RealToComplex()),
    ),
    Case(
        "visibilities",
        _image(
            lambda d, s: ops.Visibilities(
                *baselines(d, s), (6, 4), 1e-3, weights(d, s), beam(d, s), planes=2, tolerance=1e-14
            )
        ),
    ),
    Case(
        "visibilities of one picture",
        _image(lambda d, s: ops.Visibilities(*baselines(d, s), (6, 4), 1e-3, tolerance=1e-14), 1, 6, 4),
    ),
    Case(
        "whitening",
        _image(lambda d, s: ops.Whitening(covariance(3, dtype=d, seed=s)), 3, 5, 4, complex_input=True),
    ),
    Case(
        "whitening per sample",
        _image(lambda d, s: ops.Whitening(covariance(2, 3, dtype=d, seed=s)), 3, 7, complex_input=True),
    ),
    Case(
        "gridded visibilities per sample",
        _image(lambda d, s: ops.GriddedVisibilities(random(2, 1, 12, 8, dtype=d, seed=s).square())),
    ),
    Case("real fourier", _image(lambda d, s: ops.Fourier(random(6, 4, dtype=d, seed=s)) @ ops.RealToComplex())),
    Case("adjoint", _image(lambda d, s: ops.Dense(random(5, 3, dtype=d, seed=s)).H, 5)),
    Case("scaled", _image(lambda d, s: ops.Scaled(ops.Identity(), random(1, dtype=d, seed=s)[0]))),
    Case("linear map", _image(lambda d, s: ops.LinearMap(Difference().forward, Difference().adjoint), 5)),
    Case("numpy linear map", _image(lambda d, s: ops.LinearMap.from_numpy(cumulative_sum, reversed_cumulative_sum), 5)),
]
every_case = pytest.mark.parametrize("case", CASES, ids=[case.name.replace(" ", "-") for case in CASES])
