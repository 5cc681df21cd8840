"""Learning to learn from few examples: a network that is trained to be a good start of its own training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..algorithms import Descent
from ..core import tree, unroll
from ..core.gradients import Backprop, GradientStrategy
from ..problems import FirstOrder, Objective

Examples = tuple[Tensor, Tensor]


class Learner(nn.Module):
    """``network`` after ``steps`` steps of ``update`` on a task's examples, for many tasks at once (``vmap``).

    With ``Sgd(shared(...))`` it is MAML (Finn et al., arXiv:1703.03400), with :class:`~metaopt.updates.MetaSgd`
    Meta-SGD (arXiv:1707.09835). Its parameters are those of the network, the start of every task, and of the update.

    Args:
        loss: of the network's output and the targets, one real number.
        first_order: leave second derivatives out (first-order MAML).
    """

    def __init__(
        self,
        network: nn.Module,
        update: nn.Module,
        steps: int = 1,
        loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
        first_order: bool = False,
        gradient: GradientStrategy = Backprop(),  # noqa: B008
    ):
        super().__init__()
        self.network, self.loss, self.first_order = network, loss, first_order
        self.inner = unroll(Descent(update), steps, gradient, keep="last")

    def forward(self, support: Examples, inputs: Tensor, steps: int | None = None) -> Tensor:
        """The adapted networks' outputs at ``inputs``: support (tasks, n, ...) twice, inputs (tasks, q, ...)."""

        def one(examples: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
            problem = Objective(self.network, self.loss, [(examples, targets)])
            run: Any = FirstOrder(problem) if self.first_order else problem
            return problem.network(self.inner(run, steps=steps).final)(inputs)

        return tree.vmap(one)(*support, inputs)


class Prototypes(nn.Module):
    """Prototypical networks: a query's scores are minus its squared distances to every class's mean embedding.

    Snell, Swersky and Zemel, arXiv:1703.05175. It learns an embedding and adapts nothing: the outside row.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, support: Examples, inputs: Tensor) -> Tensor:
        """(tasks, q, classes) of examples (tasks, n, ...) with labels (tasks, n) and of inputs (tasks, q, ...)."""
        examples, labels = support
        embedded, queries = (self.network(t.flatten(0, 1)).unflatten(0, t.shape[:2]) for t in (examples, inputs))
        members = F.one_hot(labels).to(embedded)
        means = members.mT @ embedded / members.sum(1)[..., None]
        return -torch.cdist(queries, means).square()


def few_shot_network(
    outputs: int,
    channels: int = 1,
    hidden: int = 64,
    layers: int = 4,
    normalization: Callable[[int], nn.Module] = lambda n: nn.BatchNorm2d(n, track_running_stats=False),
    size: int = 28,
) -> nn.Module:
    """Convolutions 3x3 of stride 2, each normalized and rectified, and a linear layer, as usual for Omniglot.

    The normalization says what happens to statistics: by default they are those of the examples that are seen together,
    of the support and then of the queries (transductive; arXiv:1703.03400).
    """
    blocks: list[nn.Module] = []
    for i in range(layers):
        convolution = nn.Conv2d(hidden if i else channels, hidden, 3, stride=2, padding=1)
        blocks += [convolution, normalization(hidden), nn.ReLU()]
        size = -(-size // 2)
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(hidden * size**2, outputs))
