"""Two solvers of the Poisson equation -Δu = f on a square with u = 0 around it: SOR and the Chebyshev iteration."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

import metaopt as mo

from .case import Case

N = 31  # interior points a side
LOWEST, HIGHEST = (4 - 4 * math.cos(math.pi * j / (N + 1)) for j in (1, N))  # exact eigenvalues of `laplacian`


def neighbours(u: Tensor) -> Tensor:
    """The sum over the four neighbours of every point."""
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


def wrapped_sor(steps: int, omega: float) -> mo.Algorithm:
    def step(source, u, k, omega):
        for colour, factor in zip(checkerboard(u), omega, strict=True):
            u = torch.where(colour, u + factor * ((neighbours(u) + source) / 4 - u), u)
        return u

    return mo.Algorithm.from_step(step, torch.zeros_like, slots={"omega": torch.tensor([omega, omega]).double()})


def chebyshev(source: Tensor, steps: int, low: float, high: float) -> Tensor:
    """Chebyshev iteration for eigenvalues in [low, high]. Saad, Iterative Methods for Sparse Linear Systems, alg. 12.1."""
    centre, radius = (high + low) / 2, (high - low) / 2
    u, residual, rho = torch.zeros_like(source), source, radius / centre
    change = residual / centre
    for _ in range(steps):
        u = u + change
        residual = residual - laplacian(change)
        rho, before = 1 / (2 * centre / radius - rho), rho
        change = rho * before * change + 2 * rho / radius * residual
    return u


class ChebyshevState(NamedTuple):
    u: Tensor
    residual: Tensor
    change: Tensor


class Chebyshev(mo.Algorithm):
    def __init__(self, steps, low, high):
        super().__init__()
        centre, radius = (high + low) / 2, (high - low) / 2
        self.first, rhos = mo.slot(1 / centre), [radius / centre]
        for _ in range(steps):
            rhos.append(1 / (2 * centre / radius - rhos[-1]))
        self.momentum = mo.slot([after * before for before, after in zip(rhos, rhos[1:])])
        self.step_size = mo.slot([2 * rho / radius for rho in rhos[1:]])

    def init(self, source):
        return ChebyshevState(torch.zeros_like(source), source, self.first(0) * source)

    def step(self, source, state, k):
        residual = state.residual - laplacian(state.change)
        return ChebyshevState(state.u + state.change, residual, self.momentum(k) * state.change + self.step_size(k) * residual)

    def readout(self, source, state):
        return state.u


def sources(count: int, generator: Generator) -> Tensor:
    """One to four smooth sources of either sign, at random places and of random widths."""
    place, width, size = (torch.rand(count, 4, s, 1, 1, generator=generator).double() for s in (2, 1, 1))
    present = torch.arange(4)[:, None, None] <= torch.randint(4, (count, 1, 1, 1), generator=generator)
    grid = torch.linspace(0, 1, N + 2).double()[1:-1]
    distance = (grid[:, None] - place[:, :, 0]) ** 2 + (grid - place[:, :, 1]) ** 2
    return ((2 * size[:, :, 0] - 1) * present * torch.exp(-distance / (2 * (0.05 + 0.1 * width[:, :, 0]) ** 2))).sum(1)


def residual(source: Tensor, u: Tensor) -> Tensor:
    return (source - laplacian(u)).flatten(1).norm(dim=1) / source.flatten(1).norm(dim=1)


SOR = Case(
    name="sor",
    plain=sor,
    wrap=wrapped_sor,
    wrapper=(wrapped_sor,),
    sample=sources,
    residual=residual,
    settings=[{"omega": 1 + 0.025 * i} for i in range(40)],
    openings=lambda steps: {"omega": mo.per_step(steps)},
    steps=10,
    rate=0.03,
    rival="constant omega",
)

CHEBYSHEV = Case(
    name="chebyshev",
    plain=chebyshev,
    wrap=Chebyshev,
    wrapper=(ChebyshevState, Chebyshev),
    sample=sources,
    residual=residual,
    settings=[{"low": LOWEST * a, "high": HIGHEST * b} for a in (1, 1.5, 2, 3, 4, 6, 8, 12,16) for b in (0.1,.15,.2,.3,.4,.5, 0.6,.8, 1)],
    openings=lambda steps: {"first": mo.shared(), "momentum": mo.per_step(steps), "step_size": mo.per_step(steps)},
    steps=10,
    rate=0.01,
    rival="eigenvalue bounds exact",
)
