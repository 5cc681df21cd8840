"""Define what an update is: a rule that turns a gradient into a change of x, and may remember."""

from __future__ import annotations

from typing import Any, Protocol

from ..core import MetaoptError, tree


class Update(Protocol):
    """An update is the rule of an optimizer without its loop; ``x`` and ``gradient`` are trees of the same structure.

    ``context`` holds the problem's tensors besides the gradient, such as the log noise level. The memory is part of the
    algorithm's state and is never kept on the module.

    An update whose change at a pixel depends only on pixels nearby says so by ``reach`` and ``period``
    (:mod:`metaopt.operators.reach`); without them it cannot be used in tiles.
    """

    def init(self, x: Any, context: tuple[Any, ...]) -> Any:
        """Return the memory before the first step."""
        ...

    def __call__(self, gradient: Any, x: Any, memory: Any, k: int, context: tuple[Any, ...]) -> tuple[Any, Any]:
        """Return the change of x and the next memory."""
        ...


def check_real(who: str, x: Any) -> None:
    """Raise if x is complex, which the update named ``who`` does not support."""
    if any(t.is_complex() for t in tree.leaves(x)):
        raise MetaoptError(f"{who} is for real x; optimise real and imaginary part as two tensors.")
