"""Updates from which one input is withheld, to measure what it contributes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..arguments.contracts import checked
from ..core import tree
from ..operators.reach import PerAxis, period_of, reach_of
from ..records import recorded
from .update import Update


@recorded
@checked
class WithoutEstimate(nn.Module):
    """Give an update zeros in the place of x, so that it sees only the gradient and its memory.

    Args:
        update: The update that is wrapped.
    """

    def __init__(self, update: Update):
        super().__init__()
        self.update = update

    @property
    def reach(self) -> PerAxis | None:
        return reach_of(self.update)

    @property
    def period(self) -> PerAxis:
        return period_of(self.update)

    def init(self, x: Any, context: tuple[Any, ...] = ()) -> Any:
        return self.update.init(x, context)

    def forward(self, gradient: Any, x: Any, memory: Any, k: int, context: tuple[Any, ...] = ()) -> tuple[Any, Any]:
        return self.update(gradient, tree.map(torch.zeros_like, x), memory, k, context)


@recorded
@checked
class WithoutMemory(nn.Module):
    """Give an update its initial memory in every step, so that it sees only x and the gradient.

    Args:
        update: The update that is wrapped.
    """

    def __init__(self, update: Update):
        super().__init__()
        self.update = update

    @property
    def reach(self) -> PerAxis | None:
        return reach_of(self.update)

    @property
    def period(self) -> PerAxis:
        return period_of(self.update)

    def init(self, x: Any, context: tuple[Any, ...] = ()) -> tuple[()]:
        return ()

    def forward(
        self, gradient: Any, x: Any, memory: tuple[()], k: int, context: tuple[Any, ...] = ()
    ) -> tuple[Any, tuple[()]]:
        return self.update(gradient, x, self.update.init(x, context), k, context)[0], ()
