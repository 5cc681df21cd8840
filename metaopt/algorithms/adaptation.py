"""Adapt a network to every task of an episode from a few examples, all tasks at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ..arguments.checks import check_instance
from ..arguments.contracts import checked
from ..core import Algorithm, MetaoptError, autodiff, tree
from ..problems import Episode, FirstOrder, Objective
from .descent import Descent, DescentState

IGNORED = -100  # the label that torch's cross entropy leaves out


@checked
class Adaptation(Algorithm[Episode, DescentState, Tensor]):
    """Descend on the loss at the examples of each task, from the parameters of a network.

    With :class:`~metaopt.updates.Sgd` this is MAML (Finn et al., arXiv:1703.03400): after training, the network's
    parameters are a start from which few steps suffice. The readout is the output of the adapted networks at the
    queries, (tasks, q, ...). The tasks are computed side by side by ``vmap``, and none depends on another.

    The examples are seen in training mode and the queries in evaluation mode, so BatchNorm layers decide themselves by
    which statistics a query is normalised (see :func:`metaopt.networks.few_shot_network`).

    Args:
        network: The network. Its parameters that require a gradient when this algorithm is made are adapted.
        update: The update of the inner loop, such as ``Sgd(shared(0.4))``.
        loss: A function of the network's output and the targets that returns a scalar.
        objective: Makes the inner objective from (network, loss, batches). :func:`first_order_objective` leaves out
            second derivatives.

    Slots:
        descent.update: The update of the inner loop, and its own slots, such as ``descent.update.step_size``.
    """

    def __init__(
        self,
        network: nn.Module,
        update: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
        objective: Callable[[Any, Any, Any], Any] = Objective,
    ):
        super().__init__()
        self.network, self.loss, self.objective = network, loss, objective
        self.names = tuple(name for name, p in network.named_parameters() if p.requires_grad)
        self.descent = Descent(update)

    def init(self, problem: Episode) -> DescentState:
        made = self._objectives()
        self._check(problem, made)
        return tree.vmap(lambda task: self.descent.init(made(task)))(problem)

    def step(self, problem: Episode, state: DescentState, k: int) -> DescentState:
        made = self._objectives()
        return tree.vmap(lambda task, state: self.descent.step(made(task), state, k))(problem, state)

    def readout(self, problem: Episode, state: DescentState, k: int) -> Tensor:
        def answers(task: Episode, state: DescentState) -> Tensor:
            return tree.substitute(self.network, {**state.x, **state.buffers}).eval()(task.queries)

        return tree.vmap(answers)(problem, state)

    def _check(self, problem: Episode, made: Callable[[Episode], Any]) -> None:
        """Compute the loss of the first task once, since steps run under vmap, where errors are torch's own."""
        check_instance("The problem of Adaptation", problem, Episode)
        if autodiff.inside_transform() or not autodiff.values_known():
            return
        if not len(problem.targets):
            raise MetaoptError("This Episode has no task; Adaptation needs at least one.")
        task, targets = tree.map(lambda t: t[0], problem), problem.targets
        if not (targets.is_floating_point() or targets.is_complex()):  # the largest label may be in any task
            task = tree.replace(task, {"targets": targets.amax(0)})
            if self.loss is F.cross_entropy and bool(((targets < 0) & (targets != IGNORED)).any()):
                raise MetaoptError(f"Labels of classes count from 0, but one of this Episode is {int(targets.min())}.")
        made(task)

    def _objectives(self) -> Callable[[Episode], Any]:
        """Return a function that makes the objective of a task.

        The parameters are adapted even where no meta-gradient is asked for.
        """
        own = dict(self.network.named_parameters())
        start = {n: own[n] if own[n].requires_grad else own[n].detach().requires_grad_() for n in self.names}
        learning = tree.substitute(self.network, start).train()
        return lambda task: self.objective(learning, self.loss, [(task.inputs, task.targets)])


@checked
def first_order_objective(network: nn.Module, loss: Callable[..., Tensor], batches: Any) -> FirstOrder:
    """Return an :class:`~metaopt.problems.Objective` whose gradient counts as a constant.

    Args:
        network: The network.
        loss: A function of the network's output and the targets that returns a scalar.
        batches: A sequence of (inputs, targets).

    Returns:
        The objective.
    """
    return FirstOrder(Objective(network, loss, batches))
