"""Weight decay is a penalty on x that several updates share."""

from __future__ import annotations

from typing import Any

from ..core import tree


def add_weight_decay(gradient: Any, x: Any, weight_decay: Any, k: int) -> Any:
    """Return the gradient of ``energy(x) + weight_decay |x|^2 / 2``.

    Args:
        gradient: The gradient of the energy, a tree like x.
        x: A tree of tensors.
        weight_decay: A slot, or ``None``, which leaves the gradient as it is.
        k: The number of the step.
    """
    if weight_decay is None:
        return gradient
    rate = weight_decay(k)
    return tree.map(lambda g, weights: (g + rate * weights).to(g.dtype), gradient, x)
