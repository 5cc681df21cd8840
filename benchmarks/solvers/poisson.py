"""Two solvers of the Poisson equation -Δu = f on a square with u = 0 around it: SOR and the Chebyshev iteration."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

import metaopt as mo

from .case import Case

N = 31  # interior points a side
LOWEST, HIGHEST = (4 - 4 * math.cos(math.pi * j / (N + 1)) for j in (1, N))  # exact eigenvalues of `laplacian`


def neighbours(u: Tensor) -> Tensor:
    """The sum over the four neighbours of every point, with zeros around."""
    u = pad(u, (1, 1, 1, 1))
    return u[..., :-2, 1:-1] + u[..., 2:, 1:-1] + u[..., 1:-1, :-2] + u[..., 1:-1, 2:]


def laplacian(u: Tensor) -> Tensor:
    """-Δu times the mesh width squared; sources are given times that square, too."""
    return 4 * u - neighbours(u)


def checkerboard(u: Tensor) -> tuple[Tensor, Tensor]:
    """The red and the black points."""
    i = torch.arange(u.shape[-1])
    red = (i[:, None] + i) % 2 == 0
    return red, ~red


def sor(source: Tensor, steps: int, omega: float) -> Tensor:
    """Successive over-relaxation in red-black order. Young, Iterative Solution of Large Linear Systems, 1971."""
    u = torch.zeros_like(source)
    for _ in range(steps):
        for colour in checkerboard(u):
            gauss_seidel = (neighbours(u) + source) / 4
            u = torch.where(colour, u + omega * (gauss_seidel - u), u)
    return u


def wrap_sor(omega: float) -> mo.Algorithm:
    def step(source, u, k, red, black):
        for colour, factor in zip(checkerboard(u), (red, black), strict=True):
            gauss_seidel = (neighbours(u) + source) / 4
            u = torch.where(colour, u + factor * (gauss_seidel - u), u)
        return u

    return mo.Algorithm.from_step(step, init=torch.zeros_like, slots={"red": omega, "black": omega})


def chebyshev(source: Tensor, steps: int, low: float, high: float) -> Tensor:
    """Chebyshev's, for eigenvalues in [low, high]. Saad, Iterative Methods for Sparse Linear Systems, alg. 12.1."""
    centre, radius = (high + low) / 2, (high - low) / 2
    u, residual, rho = torch.zeros_like(source), source, radius / centre
    change = residual / centre
    for _ in range(steps):
        u = u + change
        residual = residual - laplacian(change)
        rho, before = 1 / (2 * centre / radius - rho), rho
        change = rho * before * change + 2 * rho / radius * residual
    return u


class Chebyshev(mo.Algorithm):
    def __init__(self, steps, low, high):
        super().__init__()
        centre, radius = (high + low) / 2, (high - low) / 2
        rho = [radius / centre]
        for _ in range(steps):
            rho.append(1 / (2 * centre / radius - rho[-1]))
        self.first = mo.slot(1 / centre)
        self.momentum = mo.slot([rho[k + 1] * rho[k] for k in range(steps)])
        self.step_size = mo.slot([2 * rho[k + 1] / radius for k in range(steps)])
        self.smoothing = mo.slot(0.0)  # what the textbook does not have: a five-point stencil on the residual

    def init(self, source):
        return torch.zeros_like(source), source, self.first(0) * source

    def step(self, source, state, k):
        u, residual, change = state
        following = residual - laplacian(change)
        smooth = following + self.smoothing(k) * neighbours(following)
        return u + change, following, self.momentum(k) * change + self.step_size(k) * smooth

    def readout(self, source, state, k):
        return state[0]


def sources(count: int, generator: Generator) -> Tensor:
    """One to four smooth sources of either sign, at random places and of random widths."""
    place, width, size = (torch.rand(count, 4, s, 1, 1, generator=generator).double() for s in (2, 1, 1))
    present = torch.arange(4)[:, None, None] <= torch.randint(4, (count, 1, 1, 1), generator=generator)
    grid = torch.linspace(0, 1, N + 2).double()[1:-1]
    squared = (grid[:, None] - place[:, :, 0]) ** 2 + (grid - place[:, :, 1]) ** 2
    bumps = torch.exp(-squared / (2 * (0.05 + 0.1 * width[:, :, 0]) ** 2))
    return ((2 * size[:, :, 0] - 1) * present * bumps).sum(1)


def residual(source: Tensor, u: Tensor) -> Tensor:
    """||f - A u|| / ||f||"""
    return (source - laplacian(u)).flatten(1).norm(dim=1) / source.flatten(1).norm(dim=1)


OMEGAS = [
    {"omega": omega} for omega in (0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.4, 1.5, 1.6, 1.7, 1.75, 1.8, 1.85, 1.9, 1.95)
]
BOUNDS = list(itertools.product((0.7, 1, 1.5, 2, 3, 4.5), (0.4, 0.6, 0.8, 1, 1.2)))

SOR = Case(
    name="sor",
    plain=sor,
    wrap=lambda steps, omega: wrap_sor(omega),
    wrapper=wrap_sor,
    sample=sources,
    residual=residual,
    classical=OMEGAS,
    classical_is="the best constant omega for the number of steps",
    tuned=OMEGAS,
    tuned_is="the same",
    openings={"red": mo.per_step(10), "black": mo.per_step(10)},
    steps=10,
    rate=0.03,
)

CHEBYSHEV = Case(
    name="chebyshev",
    plain=chebyshev,
    wrap=Chebyshev,
    wrapper=Chebyshev,
    sample=sources,
    residual=residual,
    classical=[{"low": LOWEST, "high": HIGHEST}],
    classical_is="exact bounds on the eigenvalues",
    tuned=[{"low": LOWEST * a, "high": HIGHEST * b} for a, b in BOUNDS],
    tuned_is="the best bounds for the sources and the number of steps",
    openings={"first": mo.shared(), **{n: mo.per_step(12) for n in ("momentum", "step_size", "smoothing")}},
    steps=12,
    rate=0.03,
)
