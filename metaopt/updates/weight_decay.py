"""Weight decay as a penalty on x, shared by the updates."""

from __future__ import annotations

from typing import Any

from ..core import tree


def add_weight_decay(gradient: Any, x: Any, weight_decay: Any, k: int) -> Any:
    """The gradient of energy(x) + weight_decay |x|^2 / 2. ``weight_decay`` is a slot, or ``None`` for none at all."""
    if weight_decay is None:
        return gradient
    rate = weight_decay(k)
    return tree.map(lambda g, weights: (g + rate * weights).to(g.dtype), gradient, x)
