"""What a training minimises: one contract for all losses, those with a target and those without."""

from __future__ import annotations

import inspect
from typing import Any, Protocol

from torch import Tensor, nn

from ..core import MetaoptError, Trajectory, Unrolled, tree


class TrainingLoss(Protocol):
    """A loss of one run of a network: ``loss(net, trajectory, problem, target)`` is one real number to be minimised.

    Args:
        net: the unrolled network, which a loss may run again, on another problem for instance.
        trajectory: what ``net(problem)`` gave. ``trajectory.counted`` are the outputs that a loss over steps weighs;
            :func:`~metaopt.losses.weighted_mean` does that.
        problem: what was given to the network.
        target: what the task gave beside the problem; ``None`` where the truth is not known.

    :class:`~metaopt.losses.Supervised` makes one of a loss that compares an output with the target, and
    :class:`~metaopt.losses.Unsupervised` of one that compares it with the problem. Any function of these four will do.
    """

    def __call__(
        self, net: Unrolled[Any, Any, Any], trajectory: Trajectory[Any, Any], problem: Any, target: Any, /
    ) -> Tensor: ...


def check_training_loss(loss: Any) -> None:
    """Raise where ``loss`` cannot be called as ``loss(net, trajectory, problem, target)``.

    Raises:
        MetaoptError: something that cannot be called, or that takes an output and a target.
    """
    if not callable(loss):
        raise MetaoptError(
            f"A loss is called as loss(net, trajectory, problem, target), but got {loss!r}; the named ones are in "
            "metaopt.losses.LOSSES."
        )
    called: Any = loss.forward if isinstance(loss, nn.Module) else loss
    try:
        signature = inspect.signature(called)
    except ValueError:  # a function of C, which says nothing of its arguments
        return
    needed = [p for p in signature.parameters.values() if p.default is p.empty and p.kind in _POSITIONAL]
    try:
        signature.bind(None, None, None, None)
    except TypeError:
        fits = False
    else:
        fits = len(needed) != 2  # functional.cross_entropy has two arguments and options, which are not for us
    if not fits:
        name, takes = name_of(loss), ", ".join(p.name for p in needed)
        raise MetaoptError(
            f"A loss of a training is called as loss(net, trajectory, problem, target), but {name} takes ({takes}); "
            f"write metaopt.losses.Supervised({name}) if it compares an output with a target, or "
            f"metaopt.losses.Unsupervised({name}) if it compares an output with the problem."
        )


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def evaluate(
    loss: TrainingLoss, net: Unrolled[Any, Any, Any], trajectory: Trajectory[Any, Any], problem: Any, target: Any
) -> Tensor:
    """``loss(net, trajectory, problem, target)``, which is one real number.

    Raises:
        MetaoptError: a value that is none.
    """
    value = loss(net, trajectory, problem, target)
    if not isinstance(value, Tensor) or value.ndim or not value.is_floating_point():
        what = tree.describe(value) if isinstance(value, Tensor) else type(value).__name__
        raise MetaoptError(
            f"The loss of a run must be one real number, but that of {name_of(loss)} is {what}; take its mean or sum."
        )
    return value


def name_of(loss: Any) -> str:
    """What errors call a loss: the name of a function, the class of an object."""
    return getattr(loss, "__name__", type(loss).__name__)
