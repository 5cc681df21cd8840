"""The primal-dual iteration of Chambolle and Pock for total variation denoising."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

import metaopt as mo

from .case import Case

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


def accelerated(steps, tau):
    sigma=1/(NORM*tau); S=[];Tt=[];TH=[]
    for _ in range(steps):
        S.append(sigma);Tt.append(tau)
        th=(1+2*0.7*tau)**-0.5
        TH.append(th); tau*=th; sigma/=th
    return dict(sigma=S,tau=Tt,theta=TH)


def wrapped_chambolle_pock(steps: int, sigma: float, tau: float, theta: float) -> mo.Algorithm:
    def init(image):
        return Estimate(image, image, torch.zeros_like(gradient(image)))

    def step(image, state, k, sigma, tau, theta):
        dual = project(state.dual + sigma * gradient(state.ahead))
        x = (state.x + tau * divergence(dual) + tau * image) / (1 + tau)
        return Estimate(x, x + theta * (x - state.x), dual)

    return mo.Algorithm.from_step(step, init, slots={"sigma": sigma, "tau": tau, "theta": theta})


def pictures(count: int, generator: Generator) -> Tensor:
    """Six random rectangles, one over the other, with noise."""
    x, grid = torch.zeros(count, SIZE, SIZE).double(), torch.arange(SIZE) / SIZE
    for _ in range(6):
        low, size, level = (torch.rand(count, 2, 1, generator=generator) for _ in range(3))
        inside = (grid > low) & (grid < low + 0.1 + 0.5 * size)
        x = torch.where(inside[:, 0, :, None] & inside[:, 1, None, :], level[:, :1].double(), x)
    return x + NOISE * torch.randn(count, SIZE, SIZE, generator=generator).double()


def residual(image: Tensor, estimate: Estimate) -> Tensor:
    """The primal-dual gap, which bounds how far the energy is above its minimum, as a part of the start's energy."""
    x, _, p = estimate
    fit = lambda x: (x - image).square().sum((-2, -1)) / 2
    length = lambda x: WEIGHT * torch.linalg.vector_norm(gradient(x), dim=-3).sum((-2, -1))
    dual = -divergence(p).square().sum((-2, -1)) / 2 - (image * divergence(p)).sum((-2, -1))
    return (fit(x) + length(x) - dual) / length(image)


CASE = Case(
    name="chambolle-pock",
    plain=chambolle_pock,
    wrap=wrapped_chambolle_pock,
    wrapper=(wrapped_chambolle_pock,),
    sample=pictures,
    residual=residual,
    settings=[{"sigma": r / NORM**0.5, "tau": 1 / r / NORM**0.5, "theta": 1.0} for r in [10**(i/8) for i in range(-16,9)]],
    openings=lambda steps: {n: mo.per_step(steps, positive=True) for n in ("sigma", "tau", "theta")},
    steps=10,
    rate=0.02,
    rival="",
)
