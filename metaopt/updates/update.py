"""Define what an update is: a rule that turns a gradient into a change of x, and may remember."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn

from ..arguments.checks import said
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


def check_x(who: str, x: Any) -> None:
    """Raise if x is no tree of tensors that can be descended: floating-point or complex numbers in a dense layout."""
    if not (tensors := tree.leaves(x)):
        raise MetaoptError(f"{who} updates a tensor or a tree of tensors, but x is {said(x)}.")
    for t in tensors:
        small = t.is_floating_point() and t.element_size() < 2
        if t.layout != torch.strided or small or not (t.is_floating_point() or t.is_complex()):
            raise MetaoptError(f"{who} updates dense tensors of floating-point numbers, but x holds {said(t)}.")


def check_real(who: str, x: Any, weights: nn.Module | None = None) -> None:
    """Raise if x is complex, which the update named ``who`` does not support, or of another dtype than its weights.

    Args:
        who: The name of the update.
        x: A tree of tensors.
        weights: The part of the update whose dtype and device x must have. On the meta device x is only a structure.
    """
    check_x(who, x)
    if any(t.is_complex() for t in tree.leaves(x)):
        raise MetaoptError(f"{who} is for real x; optimise real and imaginary part as two tensors.")
    for own in () if weights is None else [next(weights.parameters())]:
        for t in tree.leaves(x):
            if t.dtype != own.dtype or (t.device != own.device and t.device.type != "meta"):
                raise MetaoptError(
                    f"x holds {said(t)} on {t.device}, but the weights of {who} are {own.dtype} on {own.device}; "
                    f"convert them, update.to({str(t.device)!r}, {t.dtype})."
                )
