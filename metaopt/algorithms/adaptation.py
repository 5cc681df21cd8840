"""Adaptation: a network learns every task of an episode from a few examples, all tasks at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ..core import Algorithm, tree
from ..problems import Episode, FirstOrder, Objective
from .descent import Descent, DescentState


class Adaptation(Algorithm[Episode, DescentState, Tensor]):
    """Descent on the loss at the examples of each task, from the parameters that ``network`` has.

    With :class:`~metaopt.updates.Sgd` this is MAML (Finn et al., arXiv:1703.03400): trained, the network's parameters
    are a start from which few steps suffice. The readout is what the adapted networks answer to the queries,
    (tasks, q, ...). The tasks are computed side by side (``vmap``), and none sees another.

    The examples are seen in training mode and the queries in evaluation mode, so that BatchNorm's layers decide by
    themselves what statistics a query is normalised with (see :func:`metaopt.networks.few_shot_network`).

    Args:
        network: its parameters that require grad now are adapted.
        update: what steps, such as ``Sgd(shared(0.4))``.
        loss: of the network's output and the targets, one real number.
        objective: what is descended on, made of (network, loss, batches); :func:`first_order_objective` leaves second
            derivatives out.

    Slots: ``descent.update`` and those of the update, such as ``descent.update.step_size``.
    """

    def __init__(
        self,
        network: nn.Module,
        update: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
        objective: Callable[..., Any] = Objective,
    ):
        super().__init__()
        self.network, self.loss, self.objective = network, loss, objective
        self.names = tuple(name for name, p in network.named_parameters() if p.requires_grad)
        self.descent = Descent(update)

    def init(self, problem: Episode) -> DescentState:
        made = self._objectives()
        return tree.vmap(lambda task: self.descent.init(made(task)))(problem)

    def step(self, problem: Episode, state: DescentState, k: int) -> DescentState:
        made = self._objectives()
        return tree.vmap(lambda task, state: self.descent.step(made(task), state, k))(problem, state)

    def readout(self, problem: Episode, state: DescentState, k: int) -> Tensor:
        def answers(task: Episode, state: DescentState) -> Tensor:
            return tree.substitute(self.network, {**state.x, **state.buffers}).eval()(task.queries)

        return tree.vmap(answers)(problem, state)

    def _objectives(self) -> Callable[[Episode], Any]:
        """What makes a task's objective. The parameters are adapted also where nobody asks for their meta-gradients."""
        own = dict(self.network.named_parameters())
        start = {n: own[n] if own[n].requires_grad else own[n].detach().requires_grad_() for n in self.names}
        learning = tree.substitute(self.network, start).train()
        return lambda task: self.objective(learning, self.loss, [(task.inputs, task.targets)])


def first_order_objective(network: nn.Module, loss: Callable[..., Tensor], batches: Any) -> FirstOrder:
    """An :class:`~metaopt.problems.Objective` whose gradient counts as a constant."""
    return FirstOrder(Objective(network, loss, batches))
