"""A network whose update is kept from seeing something, to find out what that is worth. arXiv:1706.04008."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from ..algorithms import Descent
from ..core import MetaoptError, Unrolled, slots, unroll
from ..records import recorded
from ..updates import WithoutEstimate, WithoutMemory


@recorded
def without_estimate(net: Unrolled[Any, Any, Any]) -> Unrolled[Any, Any, Any]:
    """The same network, its update shown zeros in the place of x (:class:`WithoutEstimate`)."""
    return _with_update(net, WithoutEstimate)


@recorded
def without_memory(net: Unrolled[Any, Any, Any]) -> Unrolled[Any, Any, Any]:
    """The same network, its update begun anew at every step (:class:`WithoutMemory`)."""
    return _with_update(net, WithoutMemory)


def _with_update(net: Unrolled[Any, Any, Any], wrap: Callable[[Any], nn.Module]) -> Unrolled[Any, Any, Any]:
    update = getattr(getattr(net.algorithm, "update", None), "module", None)
    if not isinstance(net.algorithm, Descent) or update is None:
        raise MetaoptError(
            "Something can be taken only from a Descent with one update for all steps, not from "
            f"{type(net.algorithm).__name__} with slots {', '.join(slots(net.algorithm)) or 'none'}."
        )
    return unroll(Descent(wrap(update)), net.steps, net.gradient, net.keep)
