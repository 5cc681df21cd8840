"""Sinkhorn's iteration for entropic optimal transport between histograms."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

import metaopt as mo

from .case import Case

BINS = 64
EPSILON = 0.005


class Transport(NamedTuple):
    """Two histograms (batch, n) and the kernel exp(-cost / epsilon) (n, n), symmetric."""

    a: Tensor
    b: Tensor
    kernel: Tensor


class Scalings(NamedTuple):
    """The plan is diag(u) kernel diag(v)."""

    u: Tensor
    v: Tensor


def sinkhorn(problem: Transport, steps: int, omega: float) -> Scalings:
    """Sinkhorn's iteration (omega = 1: Cuturi, arXiv:1306.0895), over-relaxed by Thibault et al., arXiv:1711.01851."""
    u, v = torch.ones_like(problem.a), torch.ones_like(problem.b)
    for _ in range(steps):
        u = u ** (1 - omega) * (problem.a / (v @ problem.kernel)) ** omega
        v = v ** (1 - omega) * (problem.b / (u @ problem.kernel)) ** omega
    return Scalings(u, v)


def wrap_sinkhorn(omega: float) -> mo.Algorithm:
    def init(problem):
        return Scalings(torch.ones_like(problem.a), torch.ones_like(problem.b))

    def step(problem, state, k, rows, columns):
        u = state.u ** (1 - rows) * (problem.a / (state.v @ problem.kernel)) ** rows
        v = state.v ** (1 - columns) * (problem.b / (u @ problem.kernel)) ** columns
        return Scalings(u, v)

    return mo.Algorithm.from_step(step, init, slots={"rows": omega, "columns": omega})


def transports(count: int, generator: Generator) -> Transport:
    """Pairs of mixtures of three bumps on the unit interval, over a floor."""
    x = torch.linspace(0, 1, BINS).double()
    place, width, height = (torch.rand(2, count, 3, 1, generator=generator).double() for _ in range(3))
    bumps = ((0.2 + height) * torch.exp(-((x - place) ** 2) / (2 * (0.03 + 0.07 * width) ** 2))).sum(2) + 0.02
    a, b = bumps / bumps.sum(-1, keepdim=True)
    return Transport(a, b, torch.exp(-((x[:, None] - x) ** 2) / EPSILON))


def residual(problem: Transport, scalings: Scalings) -> Tensor:
    """How far the plan's marginals are from the histograms, in total variation."""
    u, v = scalings
    off = (u * (v @ problem.kernel) - problem.a).abs().sum(1) + (v * (u @ problem.kernel) - problem.b).abs().sum(1)
    return off / 2


CASE = Case(
    name="sinkhorn",
    plain=sinkhorn,
    wrap=lambda steps, omega: wrap_sinkhorn(omega),
    wrapper=wrap_sinkhorn,
    sample=transports,
    residual=residual,
    classical=[{"omega": 1.0}],
    classical_is="no over-relaxation, the same epsilon",
    tuned=[{"omega": round(0.8 + 0.05 * i, 2)} for i in range(24)],
    tuned_is="the best constant over-relaxation for the number of steps",
    openings={"rows": mo.per_step(10), "columns": mo.per_step(10)},
    steps=10,
    rate=0.01,
)
