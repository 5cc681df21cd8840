"""Updates that are kept from seeing something, to find out what it is worth."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..core import tree
from ..operators.reach import PerAxis, period_of, reach_of
from ..records import recorded


@recorded
class WithoutEstimate(nn.Module):
    """An update that sees zeros in the place of x: the gradient and its memory are all it knows."""

    def __init__(self, update: nn.Module):
        super().__init__()
        self.update = update

    @property
    def reach(self) -> PerAxis | None:
        return reach_of(self.update)

    @property
    def period(self) -> PerAxis:
        return period_of(self.update)

    def init(self, x: Any, context: tuple[Any, ...] = ()) -> Any:
        return self.update.init(x, context)  # type: ignore[operator]

    def forward(self, gradient: Any, x: Any, memory: Any, k: int, context: tuple[Any, ...] = ()) -> tuple[Any, Any]:
        return self.update(gradient, tree.map(torch.zeros_like, x), memory, k, context)


@recorded
class WithoutMemory(nn.Module):
    """An update that begins every step with the memory of the first: x and the gradient are all it knows."""

    def __init__(self, update: nn.Module):
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
        return self.update(gradient, x, self.update.init(x, context), k, context)[0], ()  # type: ignore[operator]
