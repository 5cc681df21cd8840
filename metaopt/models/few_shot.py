"""Learning to learn from few examples: networks that are trained to be a good start of their own training."""

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
from ..records import recorded
from ..updates import MetaLstm, MetaSgd, Sgd

Learner = Unrolled[Episode, Any, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
BACKPROP = Backprop()


@recorded
def maml(
    network: nn.Module,
    steps: int = 1,
    step_size: float = 0.4,
    loss: Loss = F.cross_entropy,
    gradient: GradientStrategy = BACKPROP,
) -> Learner:
    """MAML: gradient descent from a learned start and with a learned step size (Finn et al., arXiv:1703.03400)."""
    return unroll(Adaptation(network, Sgd(shared(step_size)), loss), steps, gradient)


@recorded
def first_order_maml(
    network: nn.Module,
    steps: int = 1,
    step_size: float = 0.4,
    loss: Loss = F.cross_entropy,
    gradient: GradientStrategy = BACKPROP,
) -> Learner:
    """:func:`maml` without second derivatives (arXiv:1703.03400, section 5.2)."""
    return unroll(Adaptation(network, Sgd(shared(step_size)), loss, first_order_objective), steps, gradient)


@recorded
def meta_sgd(
    network: nn.Module,
    steps: int = 1,
    step_size: float = 0.4,
    loss: Loss = F.cross_entropy,
    gradient: GradientStrategy = BACKPROP,
) -> Learner:
    """Meta-SGD: a learned start and a learned step size for every parameter (Li et al., arXiv:1707.09835)."""
    return unroll(Adaptation(network, MetaSgd(_start(network), step_size), loss), steps, gradient)


@recorded
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

    def readout(self, problem: Episode, state: Tensor, k: int) -> Tensor:
        return -torch.cdist(self._embedded(problem.queries), state).square()

    def _means(self, problem: Episode) -> Tensor:
        members = F.one_hot(problem.targets).to(problem.inputs)
        return members.mT @ self._embedded(problem.inputs) / members.sum(1)[..., None]

    def _embedded(self, images: Tensor) -> Tensor:
        return self.network(images.flatten(0, 1)).unflatten(0, images.shape[:2])


@recorded
def prototypes(network: nn.Module, gradient: GradientStrategy = BACKPROP) -> Learner:
    """:class:`Prototypes` as a network of one step: the row that adapts nothing."""
    return unroll(Prototypes(network), 1, gradient, keep="last")


def _start(network: nn.Module) -> dict[str, Tensor]:
    return {name: p for name, p in network.named_parameters() if p.requires_grad}
