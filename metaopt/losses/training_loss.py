"""Define the one contract of all training losses, with or without a target."""

from __future__ import annotations

import inspect
from typing import Any, Protocol

from torch import Tensor, nn

from ..core import MetaoptError, Trajectory, Unrolled, tree


class TrainingLoss(Protocol):
    """Map one run of a network to a real scalar to be minimised: ``loss(net, trajectory, problem, target)``.

    Any function of these four arguments fits. :class:`~metaopt.losses.Supervised` adapts a loss that compares an output
    with the target, and :class:`~metaopt.losses.Unsupervised` one that compares an output with the problem.

    Args:
        net: The unrolled network. A loss may run it again, for instance on another problem.
        trajectory: The result of ``net(problem)``. A loss over steps weighs the outputs in ``trajectory.counted``, as
            :func:`~metaopt.losses.weighted_mean` does.
        problem: The problem that the network solved.
        target: What the task gave along with the problem, or None where the truth is not known.

    Returns:
        A real scalar tensor.
    """

    def __call__(
        self, net: Unrolled[Any, Any, Any], trajectory: Trajectory[Any, Any], problem: Any, target: Any, /
    ) -> Tensor: ...


def check_training_loss(loss: Any) -> None:
    """Check that ``loss`` can be called as ``loss(net, trajectory, problem, target)``.

    Args:
        loss: Anything that was given as the loss of a training.

    Raises:
        MetaoptError: ``loss`` is not callable, or takes only an output and a target.
    """
    if not callable(loss):
        raise MetaoptError(
            f"A loss is called as loss(net, trajectory, problem, target), but got {loss!r}; the named ones are in "
            "metaopt.losses.LOSSES."
        )
    called: Any = loss.forward if isinstance(loss, nn.Module) else loss
    try:
        signature = inspect.signature(called)
    except ValueError:  # builtins written in C may have no signature
        return
    needed = [p for p in signature.parameters.values() if p.default is p.empty and p.kind in _POSITIONAL]
    try:
        signature.bind(None, None, None, None)
    except TypeError:
        fits = False
    else:
        fits = len(needed) != 2  # like F.cross_entropy, whose further arguments are options
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
    """Return ``loss(net, trajectory, problem, target)``, and check that it is one real number.

    Args:
        loss: The training loss.
        net: The unrolled network.
        trajectory: The result of ``net(problem)``.
        problem: The problem that the network solved.
        target: The task's target, or None.

    Returns:
        A real scalar tensor.

    Raises:
        MetaoptError: The value of the loss is not one real number.
    """
    value = loss(net, trajectory, problem, target)
    if not isinstance(value, Tensor) or value.ndim or not value.is_floating_point():
        what = tree.describe(value) if isinstance(value, Tensor) else type(value).__name__
        raise MetaoptError(
            f"The loss of a run must be one real number, but that of {name_of(loss)} is {what}; take its mean or sum."
        )
    return value


def name_of(loss: Any) -> str:
    """Return the name that errors use for a loss: that of the function, or of the class of an object."""
    return getattr(loss, "__name__", type(loss).__name__)
