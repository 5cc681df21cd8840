"""Define benchmark functions of optimization, with their published minima."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..arguments.contracts import Count, checked
from ..core import MetaoptError, random
from ..problems import FunctionObjective

Sample = tuple[FunctionObjective, None]


@checked
@dataclass(frozen=True)
class BenchmarkFunction:
    """Describe a benchmark function of x (batch, dimension): its search box, its minimum and a minimiser.

    Args:
        function: Maps x (batch, dimension) to values (batch,).
        low: Lower bound of the search box, for every coordinate.
        high: Upper bound of the search box.
        minimiser: A point of least value. Where ``dimension`` is None, one number, which all coordinates take.
        minimum: The least value.
        dimension: The dimension of x, or None where any dimension is possible.

    Source:
        Surjanovic and Bingham, Virtual Library of Simulation Experiments,
        https://www.sfu.ca/~ssurjano/optimization.html
    """

    function: Callable[[Tensor], Tensor]
    low: float
    high: float
    minimiser: tuple[float, ...]
    minimum: float = 0.0
    dimension: Count | None = None


def _ackley(x: Tensor) -> Tensor:
    root = x.square().mean(-1).add(1e-30).sqrt()
    return -20 * (-0.2 * root).exp() - (2 * math.pi * x).cos().mean(-1).exp() + 20 + math.e


def _beale(x: Tensor) -> Tensor:
    a, b = x.unbind(-1)
    return (1.5 - a + a * b).square() + (2.25 - a + a * b**2).square() + (2.625 - a + a * b**3).square()


def _booth(x: Tensor) -> Tensor:
    a, b = x.unbind(-1)
    return (a + 2 * b - 7).square() + (2 * a + b - 5).square()


def _branin(x: Tensor) -> Tensor:
    a, b = x.unbind(-1)
    curve = b - 5.1 / (4 * math.pi**2) * a**2 + 5 / math.pi * a - 6
    return curve.square() + 10 * (1 - 1 / (8 * math.pi)) * a.cos() + 10


def _griewank(x: Tensor) -> Tensor:
    index = torch.arange(1, x.shape[-1] + 1, dtype=x.dtype, device=x.device)
    return x.square().sum(-1) / 4000 - (x / index.sqrt()).cos().prod(-1) + 1


def _himmelblau(x: Tensor) -> Tensor:
    a, b = x.unbind(-1)
    return (a**2 + b - 11).square() + (a + b**2 - 7).square()


def _levy(x: Tensor) -> Tensor:
    w = 1 + (x - 1) / 4
    inner = (w[..., :-1] - 1).square() * (1 + 10 * (math.pi * w[..., :-1] + 1).sin().square())
    last = (w[..., -1] - 1).square() * (1 + (2 * math.pi * w[..., -1]).sin().square())
    return (math.pi * w[..., 0]).sin().square() + inner.sum(-1) + last


def _rastrigin(x: Tensor) -> Tensor:
    return 10 * x.shape[-1] + (x.square() - 10 * (2 * math.pi * x).cos()).sum(-1)


def rosenbrock(x: Tensor) -> Tensor:
    """Return the Rosenbrock function ``sum_i 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2`` (doi:10.1093/comjnl/3.3.175).

    Args:
        x: (..., dimension), of at least two dimensions.

    Returns:
        The values, (...).
    """
    here, following = x[..., :-1], x[..., 1:]
    return (100 * (following - here.square()).square() + (1 - here).square()).sum(-1)


def _styblinski_tang(x: Tensor) -> Tensor:
    return (x**4 - 16 * x**2 + 5 * x).sum(-1) / 2 + 39.16616570377142 * x.shape[-1]


BENCHMARK_FUNCTIONS = {
    "ackley": BenchmarkFunction(_ackley, -32.768, 32.768, (0.0,)),
    "beale": BenchmarkFunction(_beale, -4.5, 4.5, (3.0, 0.5), dimension=2),
    "booth": BenchmarkFunction(_booth, -10, 10, (1.0, 3.0), dimension=2),
    "branin": BenchmarkFunction(_branin, -5, 15, (math.pi, 2.275), 0.397887, dimension=2),
    "griewank": BenchmarkFunction(_griewank, -600, 600, (0.0,)),
    "himmelblau": BenchmarkFunction(_himmelblau, -6, 6, (3.0, 2.0), dimension=2),
    "levy": BenchmarkFunction(_levy, -10, 10, (1.0,)),
    "rastrigin": BenchmarkFunction(_rastrigin, -5.12, 5.12, (0.0,)),
    "rosenbrock": BenchmarkFunction(rosenbrock, -5, 10, (1.0,)),
    "styblinski-tang": BenchmarkFunction(_styblinski_tang, -5, 5, (-2.903534,)),  # shifted so that its minimum is 0
}


@checked
@dataclass(frozen=True, eq=False)
class BenchmarkFunctions:
    """Minimise one of :data:`BENCHMARK_FUNCTIONS` from uniform starts in its search box; there is no target.

    Args:
        function: The benchmark function.
        dimension: The dimension of x, at least 2.
        batch: Number of starts.

    Raises:
        MetaoptError: The function is not defined for that dimension.
    """

    function: BenchmarkFunction
    dimension: Count = 2
    batch: Count = 64

    def __post_init__(self) -> None:
        only = self.function.dimension
        if self.dimension != (only or self.dimension) or self.dimension < 2:
            raise MetaoptError(f"The function has {only or 'at least 2'} dimensions, but got {self.dimension}.")

    def sample(self, seed: int) -> Sample:
        generator, of = random.generator(seed), self.function
        start = of.low + (of.high - of.low) * torch.rand(self.batch, self.dimension, generator=generator)
        return FunctionObjective(_Total(of.function), start), None


@dataclass(frozen=True)
class _Total:
    """Sum the function over the batch, so that the gradient of each start depends on that start alone."""

    function: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        return self.function(x).sum()
