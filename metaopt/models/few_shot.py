"""Learning to learn from few examples: machines that are trained to be a good start of their own training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..algorithms import Adaptation, first_order_objective
from ..core import Algorithm, Unrolled, shared, unroll
from ..core.gradients import Backprop, GradientStrategy
from ..problems import Episode
from ..updates import MetaLstm, MetaSgd, Sgd

Learner = Unrolled[Episode, Any, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
BACKPROP = Backprop()


def maml(
    network: nn.Module,
    steps: int = 1,
    step_size: float = 0.4,
    loss: Loss = F.cross_entropy,
    gradient: GradientStrategy = BACKPROP,
) -> Learner:
    """MAML: gradient descent from a learned start and with a learned step size (Finn et al., arXiv:1703.03400)."""
    return unroll(Adaptation(network, Sgd(shared(step_size)), loss), steps, gradient)


def first_order_maml(
    network: nn.Module,
    steps: int = 1,
    step_size: float = 0.4,
    loss: Loss = F.cross_entropy,
    gradient: GradientStrategy = BACKPROP,
) -> Learner:
    """:func:`maml` without second derivatives (arXiv:1703.03400, section 5.2)."""
    return unroll(Adaptation(network, Sgd(shared(step_size)), loss, first_order_objective), steps, gradient)


def meta_sgd(
    network: nn.Module,
    steps: int = 1,
    step_size: float = 0.4,
    loss: Loss = F.cross_entropy,
    gradient: GradientStrategy = BACKPROP,
) -> Learner:
    """Meta-SGD: a learned start and a learned step size for every parameter (Li et al., arXiv:1707.09835)."""
    return unroll(Adaptation(network, MetaSgd(_start(network), step_size), loss), steps, gradient)


def meta_lstm(
    network: nn.Module,
    steps: int = 3,
    step_size: float = 0.4,
    hidden: int = 8,
    loss: Loss = F.cross_entropy,
    gradient: GradientStrategy = BACKPROP,
) -> Learner:
    """A learned start and a learned LSTM that steps from it (Ravi and Larochelle, ICLR 2017).

    As there, the gradient counts as a constant.
    """
    algorithm = Adaptation(network, MetaLstm(hidden, step_size), loss, first_order_objective)
    return unroll(algorithm, steps, gradient)


class Prototypes(Algorithm[Episode, Tensor, Tensor]):
    """Prototypical networks: every class is the mean embedding of its examples, and a query is of the nearest class.

    One step of k-means with known labels; another one changes nothing. The state is the means, (tasks, classes,
    features), the readout minus the squared distances of the embedded queries to them, (tasks, q, classes). Snell,
    Swersky and Zemel, arXiv:1703.05175.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def init(self, problem: Episode) -> Tensor:
        return torch.zeros_like(self._means(problem))

    def step(self, problem: Episode, state: Tensor, k: int) -> Tensor:
        return self._means(problem)

    def readout(self, problem: Episode, state: Tensor) -> Tensor:
        return -torch.cdist(self._embedded(problem.queries), state).square()

    def _means(self, problem: Episode) -> Tensor:
        members = F.one_hot(problem.targets).to(problem.inputs)
        return members.mT @ self._embedded(problem.inputs) / members.sum(1)[..., None]

    def _embedded(self, images: Tensor) -> Tensor:
        return self.network(images.flatten(0, 1)).unflatten(0, images.shape[:2])


def prototypes(network: nn.Module, gradient: GradientStrategy = BACKPROP) -> Learner:
    """:class:`Prototypes` as a machine of one step: the row that adapts nothing."""
    return unroll(Prototypes(network), 1, gradient, keep="last")


class Transductive(nn.BatchNorm2d):
    """Normalises by the statistics of what is seen together: the examples, then the queries with one another."""

    def __init__(self, features: int):
        super().__init__(features, track_running_stats=False)


class PerStep(nn.BatchNorm2d):
    """Normalises by the statistics of a task's examples in the latest step, and a query by them as well."""

    def __init__(self, features: int):
        super().__init__(features, momentum=1.0)


class Frozen(nn.BatchNorm2d):
    """Normalises by constants, those in its buffers, whatever it sees and in every mode."""

    def forward(self, input: Tensor) -> Tensor:
        return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


def few_shot_network(
    outputs: int | None,
    channels: int = 1,
    hidden: int = 64,
    layers: int = 4,
    normalization: Callable[[int], nn.Module] = Transductive,
    size: int = 28,
) -> nn.Module:
    """Convolutions 3x3 of stride 2, each normalized and rectified, and a linear layer, as usual for Omniglot.

    With ``outputs`` None there is no last layer, which makes it an embedding for :func:`prototypes`.

    The normalization says what statistics a query sees: :class:`Transductive` (as in arXiv:1703.03400: they depend on
    the other queries), :class:`PerStep` or :class:`Frozen`.
    """
    blocks: list[nn.Module] = []
    for i in range(layers):
        convolution = nn.Conv2d(hidden if i else channels, hidden, 3, stride=2, padding=1)
        blocks += [convolution, normalization(hidden), nn.ReLU()]
        size = -(-size // 2)
    head = [] if outputs is None else [nn.Linear(hidden * size**2, outputs)]
    return nn.Sequential(*blocks, nn.Flatten(), *head)


def _start(network: nn.Module) -> dict[str, Tensor]:
    return {name: p for name, p in network.named_parameters() if p.requires_grad}
