"""Episodes: few-shot tasks, each with examples to learn from and queries to answer."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..core import MetaoptError, tree


@dataclass(frozen=True, eq=False)
class Episode:
    """Tasks side by side: ``inputs`` and ``targets`` to learn from, ``queries`` to answer, (tasks, n, ...) each.

    Raises: MetaoptError where they are not of equally many tasks, or inputs and targets not equally many examples.
    """

    inputs: Tensor
    targets: Tensor
    queries: Tensor

    def __post_init__(self) -> None:
        shapes = [tuple(t.shape) for t in (self.inputs, self.targets, self.queries)]
        if min(map(len, shapes)) < 2 or len({s[0] for s in shapes}) > 1 or shapes[0][1] != shapes[1][1]:
            described = ", ".join(tree.describe(t) for t in (self.inputs, self.targets, self.queries))
            raise MetaoptError(
                "An Episode holds inputs (tasks, n, ...), targets (tasks, n, ...) and queries (tasks, q, ...), but got "
                f"{described}."
            )
