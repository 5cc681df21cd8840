"""Episodes are few-shot tasks, each with examples to learn from and queries to answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from ..arguments.contracts import Axes, checked
from ..core import MetaoptError, tree

Values = Annotated[Tensor, Axes("any", "(tasks, n, ...)")]


@checked
@dataclass(frozen=True, eq=False)
class Episode:
    """An episode holds tasks side by side, each with examples to learn from and queries to answer.

    Args:
        inputs: (tasks, n, ...), the inputs of the examples.
        targets: (tasks, n, ...), what they are to be mapped to.
        queries: (tasks, q, ...), further inputs.

    Raises:
        MetaoptError: The numbers of tasks differ, or those of inputs and targets, a tensor is empty, or a value is NaN
            or infinite.
    """

    inputs: Values
    targets: Values
    queries: Values

    to = tree.to

    def __post_init__(self) -> None:
        shapes = [tuple(t.shape) for t in (self.inputs, self.targets, self.queries)]
        if min(map(len, shapes)) < 2 or len({s[0] for s in shapes}) > 1 or shapes[0][1] != shapes[1][1]:
            described = ", ".join(tree.describe(t) for t in (self.inputs, self.targets, self.queries))
            raise MetaoptError(
                "An Episode holds inputs (tasks, n, ...), targets (tasks, n, ...) and queries (tasks, q, ...), but got "
                f"{described}."
            )
        if not all(t.numel() for t in (self.inputs, self.targets, self.queries)):
            raise MetaoptError(
                "An Episode needs a task at least, with an example and a query, but one of them is empty."
            )
