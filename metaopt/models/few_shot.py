"""Build few-shot models, which are trained to be a good start for their own training on a few examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..algorithms import Adaptation, first_order_objective
from ..arguments.checks import check_instance, check_tensor
from ..arguments.contracts import Count, Natural, checked
from ..core import Algorithm, MetaoptError, Unrolled, autodiff, shared, unroll
from ..core.gradients import Backprop, GradientStrategy
from ..problems import Episode
from ..records import recorded
from ..updates import MetaLstm, MetaSgd, Sgd

Learner = Unrolled[Episode, Any, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
BACKPROP = Backprop()


@recorded
@checked
def maml(
    network: nn.Module,
    steps: Natural = 1,
    step_size: float = 0.4,
    loss: Loss = F.cross_entropy,
    gradient: GradientStrategy = BACKPROP,
) -> Learner:
    """Build MAML: gradient descent with a learned start and a learned step size (Finn et al., arXiv:1703.03400).

    Args:
        network: The network to adapt. Its parameters are the learned start.
        steps: Number of steps of the inner loop.
        step_size: Initial step size of the inner loop.
        loss: A function of the network's outputs and the targets that returns a scalar.
        gradient: The gradient strategy of the unrolled inner loop.

    Returns:
        The network. It maps an :class:`~metaopt.problems.Episode` to the outputs at its queries.
    """
    return unroll(Adaptation(network, Sgd(shared(step_size)), loss), steps, gradient)


@recorded
@checked
def first_order_maml(
    network: nn.Module,
    steps: Natural = 1,
    step_size: float = 0.4,
    loss: Loss = F.cross_entropy,
    gradient: GradientStrategy = BACKPROP,
) -> Learner:
    """Build :func:`maml` without second derivatives (arXiv:1703.03400, section 5.2).

    Args:
        network: The network to adapt. Its parameters are the learned start.
        steps: Number of steps of the inner loop.
        step_size: Initial step size of the inner loop.
        loss: A function of the network's outputs and the targets that returns a scalar.
        gradient: The gradient strategy of the unrolled inner loop.

    Returns:
        The network. It maps an :class:`~metaopt.problems.Episode` to the outputs at its queries.
    """
    return unroll(Adaptation(network, Sgd(shared(step_size)), loss, first_order_objective), steps, gradient)


@recorded
@checked
def meta_sgd(
    network: nn.Module,
    steps: Natural = 1,
    step_size: float = 0.4,
    loss: Loss = F.cross_entropy,
    gradient: GradientStrategy = BACKPROP,
) -> Learner:
    """Build Meta-SGD: a learned start and a learned step size for every parameter (Li et al., arXiv:1707.09835).

    Args:
        network: The network to adapt. Its parameters are the learned start.
        steps: Number of steps of the inner loop.
        step_size: Initial step size of every parameter.
        loss: A function of the network's outputs and the targets that returns a scalar.
        gradient: The gradient strategy of the unrolled inner loop.

    Returns:
        The network. It maps an :class:`~metaopt.problems.Episode` to the outputs at its queries.
    """
    return unroll(Adaptation(network, MetaSgd(_start(network), step_size), loss), steps, gradient)


@recorded
@checked
def meta_lstm(
    network: nn.Module,
    steps: Natural = 3,
    step_size: float = 0.4,
    hidden: Count = 8,
    loss: Loss = F.cross_entropy,
    gradient: GradientStrategy = BACKPROP,
) -> Learner:
    """Build the meta-learner LSTM: a learned start and a learned LSTM as update (Ravi and Larochelle, ICLR 2017).

    As in the paper, the inner gradient is treated as a constant, so there are no second derivatives.

    Args:
        network: The network to adapt. Its parameters are the learned start.
        steps: Number of steps of the inner loop.
        step_size: Initial step size of the inner loop.
        hidden: Width of the LSTM.
        loss: A function of the network's outputs and the targets that returns a scalar.
        gradient: The gradient strategy of the unrolled inner loop.

    Returns:
        The network. It maps an :class:`~metaopt.problems.Episode` to the outputs at its queries.

    Source:
        https://openreview.net/forum?id=rJY0-Kcll
    """
    algorithm = Adaptation(network, MetaLstm(hidden, step_size), loss, first_order_objective)
    return unroll(algorithm, steps, gradient)


@checked
class Prototypes(Algorithm[Episode, Tensor, Tensor]):
    """Classify each query by the nearest class, where a class is the mean embedding of its examples.

    This is one step of k-means with known labels; further steps change nothing. The state holds the class means,
    (tasks, classes, features). The readout is minus the squared distance from each embedded query to each mean, (tasks,
    queries, classes). It is the prototypical network of Snell, Swersky and Zemel, arXiv:1703.05175.

    Args:
        network: The embedding. It maps images (n, C, H, W) to features (n, features).

    Raises:
        MetaoptError: The problem is no Episode whose tasks have an example of each class.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def init(self, problem: Episode) -> Tensor:
        check_instance("The problem of Prototypes", problem, Episode)
        _check_classes(check_tensor("The targets of Prototypes", problem.targets, "whole", "(tasks, n)"))
        return torch.zeros_like(self._means(problem))

    def step(self, problem: Episode, state: Tensor, k: int) -> Tensor:
        return self._means(problem)

    def readout(self, problem: Episode, state: Tensor, k: int) -> Tensor:
        return -torch.cdist(self._embedded(problem.queries), state).square()

    def _means(self, problem: Episode) -> Tensor:
        members = F.one_hot(problem.targets.long()).to(problem.inputs)
        return members.mT @ self._embedded(problem.inputs) / members.sum(1)[..., None]

    def _embedded(self, images: Tensor) -> Tensor:
        return self.network(images.flatten(0, 1)).unflatten(0, images.shape[:2])


@recorded
@checked
def prototypes(network: nn.Module, gradient: GradientStrategy = BACKPROP) -> Learner:
    """Build :class:`Prototypes` as a network of one step, a baseline that adapts no parameter to the episode.

    Args:
        network: The embedding. It maps images (n, C, H, W) to features (n, features).
        gradient: The gradient strategy of the one step.

    Returns:
        The network. It maps an :class:`~metaopt.problems.Episode` to the scores of its queries, (tasks, queries,
        classes).
    """
    return unroll(Prototypes(network), 1, gradient, keep="last")


def _check_classes(targets: Tensor) -> None:
    if autodiff.inside_transform() or not autodiff.values_known():
        return
    if int(targets.min()) < 0:
        raise MetaoptError(f"Labels of classes count from 0, but one of this Episode is {int(targets.min())}.")
    missing = (F.one_hot(targets.long()).sum(1) == 0).nonzero()
    if len(missing):
        task, label = missing[0].tolist()
        raise MetaoptError(f"Task {task} of this Episode has no example of class {label}, so it has no prototype.")


def _start(network: nn.Module) -> dict[str, Tensor]:
    return {name: p for name, p in network.named_parameters() if p.requires_grad}
