"""Draw random functions to minimise, on which optimizers are trained.

A sample holds ``batch`` functions of one family and a start for each, as one :class:`~metaopt.FunctionObjective` of x,
(batch, dimension). Its energy is the sum over the batch, so that the gradient of each function depends on that function
alone. There is no target: train with ``metaopt.losses.Unsupervised(energy)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..arguments.contracts import Count, NotNegative, Positive, Share, checked
from ..core import random
from ..problems import FunctionObjective
from .benchmark_functions import rosenbrock

Sample = tuple[FunctionObjective, None]


@checked
@dataclass(frozen=True, eq=False)
class Quadratics:
    """Minimise ``|W x - y|^2`` from x = 0, with standard normal W (d, d) and y (d) (arXiv:1606.04474).

    Args:
        dimension: d.
        batch: Number of functions in a sample.
    """

    dimension: Count = 10
    batch: Count = 128

    def sample(self, seed: int) -> Sample:
        generator = random.generator(seed)
        matrix = torch.randn(self.batch, self.dimension, self.dimension, generator=generator)
        y = torch.randn(self.batch, self.dimension, generator=generator)
        return _sample(_quadratic, torch.zeros_like(y), (matrix, y))


@checked
@dataclass(frozen=True, eq=False)
class UniformQuadratics:
    """Minimise ``|W x - y|^2`` with W (d, d) and y (d) uniform in [0, 1], from normal x of standard deviation 0.01.

    This is what the published code of arXiv:1606.04474 uses in place of :class:`Quadratics`.

    Args:
        dimension: d.
        batch: Number of functions in a sample.
    """

    dimension: Count = 10
    batch: Count = 128

    def sample(self, seed: int) -> Sample:
        generator = random.generator(seed)
        matrix = torch.rand(self.batch, self.dimension, self.dimension, generator=generator)
        y = torch.rand(self.batch, self.dimension, generator=generator)
        return _sample(_quadratic, 0.01 * torch.randn(y.shape, generator=generator), (matrix, y))


@checked
@dataclass(frozen=True, eq=False)
class IllConditioned:
    """Minimise ``sum_i h_i z_i^2 / 2`` with ``z = Q (x - x*)``, an ill-conditioned quadratic.

    The curvatures h fall from 1 to 1 / ``condition``, evenly on a logarithmic scale.
    The minimiser x* is standard normal, and the
    start is x = 0.

    Args:
        dimension: Dimension of x.
        batch: Number of functions in a sample.
        condition: Condition number of the Hessian.
        rotated: Whether Q is a random rotation. False: Q is the identity.
    """

    dimension: Count = 20
    batch: Count = 64
    condition: Positive = 1e3
    rotated: bool = True

    def sample(self, seed: int) -> Sample:
        generator = random.generator(seed)
        curvature = self.condition ** -torch.linspace(0, 1, self.dimension)
        rotation = torch.eye(self.dimension).expand(self.batch, -1, -1)
        if self.rotated:
            rotation = torch.linalg.qr(torch.randn(rotation.shape, generator=generator)).Q
        matrix = (curvature / 2).sqrt()[:, None] * rotation
        best = torch.randn(self.batch, self.dimension, generator=generator)
        return _sample(_quadratic, torch.zeros_like(best), (matrix, (matrix @ best[..., None])[..., 0]))


@checked
@dataclass(frozen=True, eq=False)
class Rosenbrock:
    """Minimise ``sum_i 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2`` from random points around (-1.2, 1, -1.2, ...).

    The minimum is 0 at (1, ..., 1).

    Args:
        dimension: Dimension of x, at least 2.
        batch: Number of functions in a sample.
        spread: Standard deviation of the starts.

    Source:
        Rosenbrock, doi:10.1093/comjnl/3.3.175.
    """

    dimension: Count = 2
    batch: Count = 64
    spread: NotNegative = 0.5

    def sample(self, seed: int) -> Sample:
        generator = random.generator(seed)
        usual = torch.ones(self.dimension)
        usual[::2] = -1.2
        return _sample(
            _rosenbrock, usual + self.spread * torch.randn(self.batch, self.dimension, generator=generator), ()
        )


@checked
@dataclass(frozen=True, eq=False)
class LogisticRegression:
    """Minimise the mean of ``log(1 + exp(-l_i <w, a_i>)) + decay |w|^2 / 2`` over points a_i with labels l_i.

    The points are of two Gaussian classes, l = -1 and 1. The last weight is the bias. The setting is that of Li and
    Malik, arXiv:1606.01885.

    Args:
        dimension: Number of features, without the bias.
        batch: Number of functions in a sample.
        points: Number of points.
        decay: Weight decay.
    """

    dimension: Count = 3
    batch: Count = 64
    points: Count = 100
    decay: NotNegative = 5e-4

    def sample(self, seed: int) -> Sample:
        generator = random.generator(seed)
        labels = torch.arange(self.points).remainder(2) * 2.0 - 1
        centre = torch.randn(self.batch, 2, self.dimension, generator=generator)
        shape = torch.randn(self.batch, 2, self.dimension, self.dimension, generator=generator) / self.dimension**0.5
        noise = torch.randn(self.batch, self.points, self.dimension, generator=generator)
        side = (labels > 0).long()
        points = centre[:, side] + torch.einsum("bpij,bpj->bpi", shape[:, side], noise)
        points = torch.cat([points, torch.ones(self.batch, self.points, 1)], dim=2)
        start = torch.randn(self.batch, self.dimension + 1, generator=generator)
        return _sample(_logistic, start, (points, labels, torch.tensor(self.decay)))


@checked
@dataclass(frozen=True, eq=False)
class RobustRegression:
    """Minimise the mean of ``r_i^2 / (1 + r_i^2)`` with ``r_i = <w, a_i> - b_i``, where some points are outliers.

    This is the estimator of Geman and McClure, which is not convex. The last weight is the bias. The setting is that of
    Li and Malik, arXiv:1606.01885.

    Args:
        dimension: Number of features, without the bias.
        batch: Number of functions in a sample.
        points: Number of points.
        outliers: Share of the points that are outliers.
    """

    dimension: Count = 3
    batch: Count = 64
    points: Count = 100
    outliers: Share = 0.1

    def sample(self, seed: int) -> Sample:
        generator = random.generator(seed)
        points = torch.randn(self.batch, self.points, self.dimension, generator=generator)
        points = torch.cat([points, torch.ones(self.batch, self.points, 1)], dim=2)
        true = torch.randn(self.batch, self.dimension + 1, generator=generator)
        values = (points @ true[..., None])[..., 0] + 0.1 * torch.randn(self.batch, self.points, generator=generator)
        strays = torch.rand(values.shape, generator=generator) < self.outliers
        values = values + strays * 5 * torch.randn(values.shape, generator=generator)
        start = torch.randn(true.shape, generator=generator)
        return _sample(_geman_mcclure, start, (points, values))


def _quadratic(x: Tensor, matrix: Tensor, y: Tensor) -> Tensor:
    return ((matrix @ x[..., None])[..., 0] - y).square().sum()


def _rosenbrock(x: Tensor) -> Tensor:
    return rosenbrock(x).sum()


def _logistic(x: Tensor, points: Tensor, labels: Tensor, decay: Tensor) -> Tensor:
    margins = labels * (points @ x[..., None])[..., 0]
    return F.softplus(-margins).mean(1).sum() + decay / 2 * x.square().sum()


def _geman_mcclure(x: Tensor, points: Tensor, values: Tensor) -> Tensor:
    squares = ((points @ x[..., None])[..., 0] - values).square()
    return (squares / (1 + squares)).mean(1).sum()


def _sample(function: Callable[..., Tensor], start: Tensor, data: tuple[Tensor, ...]) -> Sample:
    return FunctionObjective(function, start, data), None
