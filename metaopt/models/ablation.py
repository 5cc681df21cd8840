"""Hide one input from the update of a network, to measure what it contributes (arXiv:1706.04008)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from ..algorithms import Descent
from ..arguments.contracts import checked
from ..core import MetaoptError, Unrolled, slots, unroll
from ..records import recorded
from ..updates import WithoutEstimate, WithoutMemory


@recorded
@checked
def without_estimate(net: Unrolled[Any, Any, Any]) -> Unrolled[Any, Any, Any]:
    """Return the same network, except that its update sees zeros in place of the estimate x.

    Args:
        net: An unrolled :class:`~metaopt.Descent` with one update for all steps.

    Returns:
        A network whose update is wrapped in :class:`~metaopt.updates.WithoutEstimate` and shares its parameters.

    Raises:
        MetaoptError: The network is no such descent.
    """
    return _with_update(net, WithoutEstimate)


@recorded
@checked
def without_memory(net: Unrolled[Any, Any, Any]) -> Unrolled[Any, Any, Any]:
    """Return the same network, except that the memory of its update is reset before every step.

    Args:
        net: An unrolled :class:`~metaopt.Descent` with one update for all steps.

    Returns:
        A network whose update is wrapped in :class:`~metaopt.updates.WithoutMemory` and shares its parameters.

    Raises:
        MetaoptError: The network is no such descent.
    """
    return _with_update(net, WithoutMemory)


def _with_update(net: Unrolled[Any, Any, Any], wrap: Callable[[Any], nn.Module]) -> Unrolled[Any, Any, Any]:
    update = getattr(getattr(net.algorithm, "update", None), "module", None)
    if not isinstance(net.algorithm, Descent) or update is None:
        raise MetaoptError(
            "Something can be taken only from a Descent with one update for all steps, not from "
            f"{type(net.algorithm).__name__} with slots {', '.join(slots(net.algorithm)) or 'none'}."
        )
    return unroll(Descent(wrap(update)), net.steps, net.gradient, net.keep)
