"""Turn a loss of one output into a loss of a whole run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..arguments.checks import check_function
from ..core import MetaoptError, Trajectory, Unrolled
from .energies import energy
from .steps import StepWeights, check_weights, weighted_mean
from .supervised import Loss, mse
from .training_loss import TrainingLoss, name_of


def trajectory_loss(
    trajectory: Trajectory[Any, Any], target: Any, loss: Loss = mse, weights: StepWeights = "uniform"
) -> Tensor:
    """Return the weighted mean of a loss over the steps of a run, ``sum_t w_t loss(output_t, target)``.

    The weights w_t add up to 1.

    Args:
        trajectory: The result of a run. After a truncated run only the differentiated steps count; without a gradient
            all steps count.
        target: What every output is compared with.
        loss: A function of an output and the target that returns a scalar.
        weights: ``"uniform"``, ``"linear"``, ``"last"`` or a list of numbers; see
            :func:`~metaopt.losses.step_weights`.

    Returns:
        A scalar tensor.

    Raises:
        MetaoptError: The weights do not fit the outputs that were kept, or ``loss`` refuses an output.
    """
    check_function("The loss of trajectory_loss", loss, "output", "target")
    return weighted_mean(trajectory, lambda output: loss(output, target), weights)


@dataclass(frozen=True)
class Supervised:
    """Compare every counted output of a run with the target: ``sum_t w_t loss(output_t, target)``.

    This is the training loss for tasks that give a target.

    Args:
        loss: A function of an output and the target that returns a scalar.
        weights: As in :func:`trajectory_loss`. With None, a training uses the weights of its
            :class:`~metaopt.training.Settings`, and a direct call uses uniform weights.

    Raises:
        MetaoptError: ``loss`` is no function of two arguments, the weights are none, or the task has no target (when
            called).
    """

    loss: Loss = mse
    weights: StepWeights | None = None

    def __post_init__(self) -> None:
        _check_adapter(self, "target")

    def __call__(
        self, net: Unrolled[Any, Any, Any], trajectory: Trajectory[Any, Any], problem: Any, target: Any
    ) -> Tensor:
        if target is None:
            raise MetaoptError(
                f"Supervised({name_of(self.loss)}) compares outputs with a target, but there is none; train by "
                "Unsupervised(energy), or by a loss(net, trajectory, problem, target) of your own."
            )
        return trajectory_loss(trajectory, target, self.loss, _or_uniform(self.weights))


@dataclass(frozen=True)
class Unsupervised:
    """Judge every counted output of a run by the problem alone: ``sum_t w_t loss(output_t, problem)``.

    This is the training loss for tasks without targets.

    Args:
        loss: A function of an output and the problem that returns a scalar.
        weights: As in :class:`Supervised`.

    Raises:
        MetaoptError: ``loss`` is no function of two arguments, or the weights are none.
    """

    loss: Loss = energy
    weights: StepWeights | None = None

    def __post_init__(self) -> None:
        _check_adapter(self, "problem")

    def __call__(
        self, net: Unrolled[Any, Any, Any], trajectory: Trajectory[Any, Any], problem: Any, target: Any
    ) -> Tensor:
        return weighted_mean(trajectory, lambda output: self.loss(output, problem), _or_uniform(self.weights))


def with_default_weights(loss: TrainingLoss, weights: StepWeights) -> TrainingLoss:
    """Return ``loss`` with the given step weights if it takes weights and has none of its own."""
    if isinstance(loss, Supervised | Unsupervised) and loss.weights is None:
        return dataclasses.replace(loss, weights=weights)
    return loss


def of_last_step(loss: TrainingLoss) -> TrainingLoss:
    """Return ``loss`` restricted to the last step if it is a loss over steps, and unchanged otherwise."""
    return dataclasses.replace(loss, weights="last") if isinstance(loss, Supervised | Unsupervised) else loss


def _or_uniform(weights: StepWeights | None) -> StepWeights:
    return "uniform" if weights is None else weights


def _check_adapter(adapter: Supervised | Unsupervised, second: str) -> None:
    check_function(f"The loss of {type(adapter).__name__}", adapter.loss, "output", second)
    if adapter.weights is not None:
        check_weights(adapter.weights)
