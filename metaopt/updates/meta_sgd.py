"""Gradient descent with a learned step size for every single parameter."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..core import MetaoptError, tree


class MetaSgd(nn.Module):
    """change = -step_size * gradient, entry by entry, with step sizes of x's own shapes, which are learned.

    Li et al., arXiv:1707.09835.

    Args:
        x: what it will update, such as ``objective.start()`` or ``dict(network.named_parameters())``.
        step_size: of all entries before training.
    """

    def __init__(self, x: Any, step_size: float = 0.1):
        super().__init__()
        self.step_sizes = nn.ParameterList(torch.full_like(t.detach(), step_size) for t in tree.leaves(x))

    def init(self, x: Any, context: tuple[Any, ...] = ()) -> tuple[()]:
        shapes, own = ([tuple(t.shape) for t in tensors] for tensors in (tree.leaves(x), self.step_sizes))
        if shapes != own:
            raise MetaoptError(f"MetaSgd was made for tensors of shapes {own}, but x has {shapes}.")
        return ()

    def forward(
        self, gradient: Any, x: Any, memory: tuple[()], k: int, context: tuple[Any, ...] = ()
    ) -> tuple[Any, tuple[()]]:
        changes = [-size * g for size, g in zip(self.step_sizes, tree.leaves(gradient), strict=True)]
        return tree.fill(gradient, changes), memory
