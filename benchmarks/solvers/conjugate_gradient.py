"""Conjugate gradients for diffusion through a random medium, -∇·(a ∇u) = f, with a preconditioner to learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import conv2d, pad

import metaopt as mo

from .case import Case

N = 31  # interior points a side


class Diffusion(NamedTuple):
    """Conductivities of the faces along the rows (N, N + 1) and along the columns (N + 1, N); the source (N, N)."""

    across: Tensor
    along: Tensor
    source: Tensor

    def matrix(self, u: Tensor) -> Tensor:
        flow = self.across * pad(u, (1, 1)).diff(dim=-1), self.along * pad(u, (0, 0, 1, 1)).diff(dim=-2)
        return -flow[0].diff(dim=-1) - flow[1].diff(dim=-2)

    def diagonal(self) -> Tensor:
        return self.across[..., 1:] + self.across[..., :-1] + self.along[..., 1:, :] + self.along[..., :-1, :]


def dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((-2, -1), keepdim=True)


class Unpreconditioned(nn.Module):
    def forward(self, problem: Diffusion, residual: Tensor) -> Tensor:
        return residual


class Jacobi(nn.Module):
    def forward(self, problem: Diffusion, residual: Tensor) -> Tensor:
        scale = problem.diagonal().rsqrt()
        return scale * (scale * residual)


class Stencil(nn.Module):
    """r -> S (I + K)^T (I + K) S r, with S = diag(A)^(-1/2) and a convolution K: symmetric, Jacobi while K = 0."""

    def __init__(self, size: int):
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(size, size, dtype=torch.float64))

    def forward(self, problem: Diffusion, residual: Tensor) -> Tensor:
        scale = problem.diagonal().rsqrt()
        scaled = scale * residual
        shape = [n + 2 * len(self.kernel) for n in scaled.shape[-2:]]  # room for (I + K)^T (I + K) beyond the borders
        gain = (1 + torch.fft.rfft2(self.kernel, shape)).abs().square() - 1
        smooth = torch.fft.irfft2(gain * torch.fft.rfft2(scaled, shape), shape)
        return scale * (scaled + smooth[..., : scaled.shape[-2], : scaled.shape[-1]])


def conjugate_gradient(problem: Diffusion, steps: int, precondition: Callable[[Diffusion, Tensor], Tensor]) -> Tensor:
    """Preconditioned conjugate gradients. Saad, Iterative Methods for Sparse Linear Systems, alg. 9.1."""
    u, residual = torch.zeros_like(problem.source), problem.source
    z = precondition(problem, residual)
    direction, rz = z, dot(residual, z)
    for _ in range(steps):
        image = problem.matrix(direction)
        alpha = rz / dot(image, direction)
        u, residual = u + alpha * direction, residual - alpha * image
        z = precondition(problem, residual)
        rz, before = dot(residual, z), rz
        direction = z + rz / before * direction
    return u


class ConjugateGradient(mo.Algorithm):
    def __init__(self, precondition):
        super().__init__()
        self.precondition = mo.slot(precondition)

    def init(self, problem):
        z = self.precondition(0)(problem, problem.source)
        return torch.zeros_like(z), problem.source, z, dot(problem.source, z)

    def step(self, problem, state, k):
        u, residual, direction, rz = state
        image = problem.matrix(direction)
        alpha = rz / dot(image, direction)
        u, residual = u + alpha * direction, residual - alpha * image
        z = self.precondition(k)(problem, residual)
        following = dot(residual, z)
        return u, residual, z + following / rz * direction, following

    def readout(self, problem, state, k):
        return state[0]


def diffusions(count: int, generator: Generator) -> Diffusion:
    """Log-normal media (correlated over a few points, standard deviation of the logarithm 1) with white sources."""
    white = torch.randn(count, 1, N + 2 + 8, N + 2 + 8, generator=generator).double()
    bump = torch.exp(-(torch.arange(-4, 5).double() ** 2) / (2 * 1.5**2))
    bump = bump[:, None] * bump
    a = torch.exp(conv2d(white, (bump / bump.norm())[None, None]))[:, 0]
    across, along = (a[:, 1:-1, 1:] + a[:, 1:-1, :-1]) / 2, (a[:, 1:, 1:-1] + a[:, :-1, 1:-1]) / 2
    return Diffusion(across, along, torch.randn(count, N, N, generator=generator).double())


def residual(problem: Diffusion, u: Tensor) -> Tensor:
    """||f - A u|| / ||f||"""
    return (problem.source - problem.matrix(u)).flatten(1).norm(dim=1) / problem.source.flatten(1).norm(dim=1)


JACOBI = [{"precondition": Jacobi()}]

CASE = Case(
    name="conjugate gradient",
    plain=conjugate_gradient,
    wrap=lambda steps, precondition: ConjugateGradient(precondition),
    wrapper=ConjugateGradient,
    sample=diffusions,
    residual=residual,
    classical=JACOBI,
    classical_is="Jacobi's preconditioner",
    tuned=[*JACOBI, {"precondition": Unpreconditioned()}],
    tuned_is="Jacobi's preconditioner or none",
    openings={"precondition": mo.shared(Stencil(9))},
    steps=10,
    rate=0.01,
)
