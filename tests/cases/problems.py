"""Tiny problems in float64, each a batch of three."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import metaopt as mo

from ..helpers import matrix, normal


def dense_problem(seed: int) -> mo.InverseProblem:
    noise = 0.5 + torch.rand(3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return mo.InverseProblem(matrix(7), normal(seed, 3, 4), noise)


def overdetermined_problem(seed: int) -> mo.InverseProblem:
    return mo.InverseProblem(matrix(7, 8, 3), normal(seed, 3, 8))


def picture_problem(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> mo.InverseProblem:
    mask = (torch.rand(3, 1, *shape, generator=torch.Generator().manual_seed(seed)) > 0.3).double()
    y = mask * normal(seed, 3, 1, *shape, dtype=dtype)
    return mo.InverseProblem(mo.operators.Mask(mask), y, torch.tensor([0.1, 0.3, 0.6], dtype=torch.float64))


def kspace_problem(seed: int) -> mo.InverseProblem:
    mask = mo.operators.gaussian_mask((6, 8), 2.0, 0.1, seed).double()
    y = mask * normal(seed, 3, 1, 6, 8, dtype=torch.complex128)
    return mo.InverseProblem(mo.operators.Fourier(mask), y, noise=0.2)


def frequencies_problem(seed: int) -> mo.InverseProblem:
    """Some spatial frequencies of a real picture."""
    mask = mo.operators.gaussian_mask((6, 8), 2.0, 0.1, seed).double()
    y = mask * normal(seed, 3, 1, 6, 8, dtype=torch.complex128)
    return mo.InverseProblem(mo.operators.Fourier(mask) @ mo.operators.RealToComplex(), y, noise=0.2)


def coils_problem(seed: int) -> mo.InverseProblem:
    """Two coils and two sets of maps."""
    maps = 0.6 * normal(7, 2, 2, 6, 8, dtype=torch.complex128)
    mask = mo.operators.gaussian_mask((6, 8), 2.0, 0.1, seed).double()
    y = mask * normal(seed, 3, 2, 6, 8, dtype=torch.complex128)
    return mo.InverseProblem(mo.operators.Fourier(mask, centred=True) @ mo.operators.Sense(maps), y, noise=0.5)


def uneven_noise(problem: mo.InverseProblem, *shape: int) -> mo.InverseProblem:
    """The same measurement with noise that differs within a sample."""
    noise = 0.2 + torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return mo.InverseProblem(problem.operator, problem.y, noise)


def tiny_objective(seed: int) -> mo.Objective:
    """Two minibatches for a network of one hidden layer; its samples share one loss."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    return mo.Objective(network, F.mse_loss, [(normal(seed + i, 5, 3), normal(seed + i + 9, 5, 2)) for i in range(2)])


def few_shot_episode(seed: int) -> mo.Episode:
    return mo.Episode(normal(seed, 3, 6, 3), torch.tensor([[0, 1, 0, 1, 0, 1]] * 3), normal(seed + 1, 3, 5, 3))


def long_quadratic(seed: int) -> mo.FunctionObjective:
    return mo.FunctionObjective(quadratic, normal(seed, 3, 4))


def quadratic(x: Tensor) -> Tensor:
    return (torch.linspace(0.5, 1.5, 4, dtype=torch.float64) * (x - 1) ** 2).sum()


def blurred_mask_problem(seed: int) -> mo.InverseProblem:
    noise = torch.tensor([0.4, 0.5, 0.6], dtype=torch.float64)
    weights = 0.6 + 0.3 * normal(seed, 6, 8).sin()
    return mo.InverseProblem(mo.operators.Mask(weights), normal(seed + 1, 3, 1, 6, 8), noise)


def graph_problem(seed: int, dropped_by: int | None = None) -> mo.GraphSignal:
    """Six nodes on a ring with a chord, and one alone."""
    ring = torch.tensor([[0, 1, 2, 3, 4, 5, 0], [1, 2, 3, 4, 5, 0, 3]])
    signal = mo.GraphSignal.from_edges(normal(seed, 7, 3), torch.cat([ring, ring.flip(0)], 1))
    return signal.with_seed(dropped_by)
