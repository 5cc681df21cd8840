"""Define the protocol of a task, which is a distribution of problems with their targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ..arguments.contracts import Natural, checked
from ..problems import FirstOrder

HELD_OUT = 2**62  # far from any seed that a training uses


class Task(Protocol):
    """Draw batches of problems with targets by ``sample(seed)``, which gives ``(problem, target)``.

    The same seed gives the same batch on every computer. The target is None where the problem alone says what a good
    output is.
    """

    def sample(self, seed: int) -> tuple[Any, Any]: ...


@checked
def held_out(task: Task, number: Natural = 0) -> Any:
    """Return a batch of ``task`` that no training draws, the same one for everyone who asks for the same number.

    Args:
        task: The task.
        number: The number of the batch.

    Returns:
        (problem, target).
    """
    return task.sample(HELD_OUT + number)


@checked
@dataclass(frozen=True, eq=False)
class FirstOrderTask:
    """Wrap the problems of a task so that their gradients count as constants (:class:`~metaopt.problems.FirstOrder`).

    Learned optimizers are usually trained this way (arXiv:1606.04474), because it costs half. The loss then does not
    see how a step changes the next gradient. In our experience, a training that starts from Adam then drifts to steps
    that are too large.

    Args:
        task: The task whose problems are wrapped.
    """

    task: Task

    def sample(self, seed: int) -> tuple[Any, Any]:
        problem, target = self.task.sample(seed)
        return FirstOrder(problem), target
