"""Meta-SGD learns a step size for every single parameter."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..arguments.contracts import NotNegative, checked
from ..core import MetaoptError, tree
from .update import check_x


@checked
class MetaSgd(nn.Module):
    """Descend along the gradient with a learned step size for every entry: ``change = -step_size * gradient``.

    Args:
        x: What will be updated, such as ``objective.start()`` or ``dict(network.named_parameters())``; the step sizes
            have its shapes.
        step_size: The step size of all entries before training, at least 0.

    Raises:
        MetaoptError: The x of a problem has other shapes.

    Source:
        Li et al., 2017, arXiv:1707.09835.
    """

    def __init__(self, x: Any, step_size: NotNegative = 0.1):
        super().__init__()
        check_x("MetaSgd", x)
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
