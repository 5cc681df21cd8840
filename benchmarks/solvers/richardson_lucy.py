"""Richardson-Lucy deconvolution of an image of point sources and extended ones."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

import metaopt as mo

from .case import Case

SIZE, WIDTH = 32, 2.0


class Deconvolution(NamedTuple):
    """A blurred image (batch, n, n) and the blur of its rows and of its columns (n, n)."""

    image: Tensor
    matrix: Tensor

    def blur(self, x: Tensor) -> Tensor:
        return self.matrix @ x @ self.matrix.mT

    def adjoint(self, x: Tensor) -> Tensor:
        return self.matrix.mT @ x @ self.matrix

    def flat(self) -> Tensor:
        """An even sky as bright as the image."""
        return torch.ones_like(self.image) * self.image.mean((-2, -1), keepdim=True)


def richardson_lucy(problem: Deconvolution, steps: int, exponent: float) -> Tensor:
    """Richardson, doi:10.1364/JOSA.62.000055; Lucy, doi:10.1086/111605. ``exponent`` 1 is the original."""
    x, even = problem.flat(), problem.adjoint(torch.ones_like(problem.image))
    for _ in range(steps):
        x = x * (problem.adjoint(problem.image / problem.blur(x)) / even) ** exponent
    return x


def wrap_richardson_lucy(exponent: float) -> mo.Algorithm:
    def step(problem, x, k, exponent):
        even = problem.adjoint(torch.ones_like(x))
        return x * (problem.adjoint(problem.image / problem.blur(x)) / even) ** exponent

    return mo.Algorithm.from_step(step, Deconvolution.flat, slots={"exponent": exponent})


def gaussian(width: float) -> Tensor:
    """Blur by a Gaussian of that many pixels; what leaves the image is lost."""
    i = torch.arange(SIZE).double()
    return torch.exp(-((i[:, None] - i) ** 2) / (2 * width**2)) / (width * (2 * torch.pi) ** 0.5)


def skies(count: int, generator: Generator) -> Deconvolution:
    """Stars (one pixel in fifty) and clouds over a faint background, blurred without noise."""
    stars, bright = (torch.rand(count, SIZE, SIZE, generator=generator).double() for _ in range(2))
    clouds = Deconvolution(stars, gaussian(3.0)).blur(torch.randn(count, SIZE, SIZE, generator=generator).double())
    x = 0.05 + 10 * bright * (stars < 0.02) + 5 * clouds.clamp(min=0)
    return Deconvolution(Deconvolution(x, gaussian(WIDTH)).blur(x), gaussian(WIDTH))


def residual(problem: Deconvolution, x: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the blurred estimate from the image, as a part of the image's sum."""
    image, model = problem.image, problem.blur(x)
    return (image * (image / model).log() - image + model).sum((1, 2)) / image.sum((1, 2))


CASE = Case(
    name="richardson-lucy",
    plain=richardson_lucy,
    wrap=lambda steps, exponent: wrap_richardson_lucy(exponent),
    wrapper=wrap_richardson_lucy,
    sample=skies,
    residual=residual,
    classical=[{"exponent": 1.0}],
    classical_is="the original, exponent 1",
    tuned=[{"exponent": round(1 + 0.1 * i, 1)} for i in range(14)],
    tuned_is="the best constant exponent for the number of steps",
    openings={"exponent": mo.per_step(10, positive=True)},
    steps=10,
    rate=0.05,
)
