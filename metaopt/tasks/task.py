"""What a task is: a distribution of problems with their answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ..problems import FirstOrder

HELD_OUT = 2**62  # far from any seed that a training uses


class Task(Protocol):
    """``sample(seed)`` draws a batch: (problem, target). The same seed gives the same batch, on every machine.

    The target is ``None`` where the problem alone says what a good answer is.
    """

    def sample(self, seed: int) -> tuple[Any, Any]: ...


def held_out(task: Task, number: int = 0) -> Any:
    """A sample of ``task`` that no training draws; the same for everyone who asks for that ``number``."""
    return task.sample(HELD_OUT + number)


@dataclass(frozen=True, eq=False)
class FirstOrderTask:
    """``task`` with problems whose gradient counts as a constant (:class:`~metaopt.problems.FirstOrder`).

    Learned optimizers are usually trained so (arXiv:1606.04474), since it costs half. A trained step is then never told
    that a larger one would have changed the next gradient: started from Adam, such training walks into steps that are
    too large.
    """

    task: Task

    def sample(self, seed: int) -> tuple[Any, Any]:
        problem, target = self.task.sample(seed)
        return FirstOrder(problem), target
