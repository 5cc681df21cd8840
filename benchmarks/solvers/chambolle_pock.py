"""The primal-dual iteration of Chambolle and Pock for total variation denoising."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

import metaopt as mo

from .case import SPAN, Case
from .poisson import neighbours

SIZE, NOISE, WEIGHT = 32, 0.1, 0.15
NORM = 8.0  # bound on the squared norm of `gradient`


class Estimate(NamedTuple):
    """The image x (batch, n, n), its extrapolation, and the dual field (batch, 2, n, n)."""

    x: Tensor
    ahead: Tensor
    dual: Tensor


def gradient(x: Tensor) -> Tensor:
    """Forward differences, zero at the last row and column."""
    down, right = pad(x.diff(dim=-2), (0, 0, 0, 1)), pad(x.diff(dim=-1), (0, 1))
    return torch.stack([down, right], dim=-3)


def divergence(p: Tensor) -> Tensor:
    """Minus the adjoint of `gradient`."""
    down, right = pad(p[..., 0, :-1, :], (0, 0, 1, 1)).diff(dim=-2), pad(p[..., 1, :, :-1], (1, 1)).diff(dim=-1)
    return down + right


def project(p: Tensor) -> Tensor:
    """Onto vectors no longer than WEIGHT."""
    return p / (torch.linalg.vector_norm(p, dim=-3, keepdim=True) / WEIGHT).clamp(min=1)


def chambolle_pock(image: Tensor, steps: int, sigma: float, tau: float, theta: float) -> Estimate:
    """min_x |x - image|^2 / 2 + WEIGHT |gradient x|. Chambolle and Pock, doi:10.1007/s10851-010-0251-1, algorithm 1."""
    x = ahead = image
    dual = torch.zeros_like(gradient(image))
    for _ in range(steps):
        dual = project(dual + sigma * gradient(ahead))
        before, x = x, (x + tau * divergence(dual) + tau * image) / (1 + tau)
        ahead = x + theta * (x - before)
    return Estimate(x, ahead, dual)


def wrap_chambolle_pock(sigma: float, tau: float, theta: float) -> mo.Algorithm:
    def init(image):
        return Estimate(image, image, torch.zeros_like(gradient(image)))

    def step(image, state, k, sigma, tau, theta, smoothing):
        slope = gradient(state.ahead)
        dual = project(state.dual + sigma * (slope + smoothing * neighbours(slope)))
        x = (state.x + tau * divergence(dual) + tau * image) / (1 + tau)
        return Estimate(x, x + theta * (x - state.x), dual)

    return mo.Algorithm.from_step(step, init, slots={"sigma": sigma, "tau": tau, "theta": theta, "smoothing": 0})


def accelerated(steps: int, tau: float) -> dict[str, list[float]]:
    """Algorithm 2 of the same paper, for an energy that is strongly convex with constant 1."""
    taus, thetas = [tau], []
    for _ in range(steps):
        thetas.append((1 + 2 * taus[-1]) ** -0.5)
        taus.append(taus[-1] * thetas[-1])
    return {"sigma": [1 / (NORM * t) for t in taus[:-1]], "tau": taus[:-1], "theta": thetas}


def pictures(count: int, generator: Generator) -> Tensor:
    """Six random rectangles, one over the other, with noise."""
    x, grid = torch.zeros(count, SIZE, SIZE).double(), torch.arange(SIZE) / SIZE
    for _ in range(6):
        low, size, level = (torch.rand(count, 2, 1, generator=generator) for _ in range(3))
        inside = (grid > low) & (grid < low + 0.1 + 0.5 * size)
        x = torch.where(inside[:, 0, :, None] & inside[:, 1, None, :], level[:, :1].double(), x)
    return x + NOISE * torch.randn(count, SIZE, SIZE, generator=generator).double()


def residual(image: Tensor, estimate: Estimate) -> Tensor:
    """The primal-dual gap, a bound on how far the energy is above its minimum, as a part of the energy at the start."""

    def variation(x: Tensor) -> Tensor:
        return WEIGHT * torch.linalg.vector_norm(gradient(x), dim=-3).sum((-2, -1))

    x, flow = estimate.x, divergence(estimate.dual)
    primal = (x - image).square().sum((-2, -1)) / 2 + variation(x)
    dual = -flow.square().sum((-2, -1)) / 2 - (image * flow).sum((-2, -1))
    return (primal - dual) / variation(image)


RATIOS = [10 ** (i / 5) for i in range(-5, 8)]

CASE = Case(
    name="chambolle-pock",
    plain=chambolle_pock,
    wrap=lambda steps, sigma, tau, theta: wrap_chambolle_pock(sigma, tau, theta),
    wrapper=wrap_chambolle_pock,
    sample=pictures,
    residual=residual,
    classical=[{"sigma": r / NORM**0.5, "tau": 1 / r / NORM**0.5, "theta": 1.0} for r in RATIOS],
    classical_is="algorithm 1, the best sigma / tau for the number of steps",
    tuned=[accelerated(SPAN * 10, r) for r in RATIOS],
    tuned_is="algorithm 2, accelerated, the best first tau for the number of steps",
    openings={**{n: mo.per_step(10, positive=True) for n in ("sigma", "tau", "theta")}, "smoothing": mo.per_step(10)},
    steps=10,
    rate=0.05,
)
