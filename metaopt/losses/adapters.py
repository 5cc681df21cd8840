"""Losses of a run made of losses of one output."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..core import MetaoptError, Trajectory, Unrolled
from .energies import energy
from .steps import StepWeights, weighted_mean
from .supervised import Loss, mse
from .training_loss import TrainingLoss, name_of


def trajectory_loss(
    trajectory: Trajectory[Any, Any], target: Any, loss: Loss = mse, weights: StepWeights = "uniform"
) -> Tensor:
    """sum_t w_t loss(output_t, target), with weights that add up to 1.

    Args:
        trajectory: of a run. After a truncated one the steps that are differentiated count, without a gradient all do.
        target: the same for every step.
        loss: of an output and the target, a scalar.
        weights: "uniform", "linear", "last" or a list; see :func:`~metaopt.losses.step_weights`.

    Raises:
        MetaoptError: weights that do not fit the outputs that were kept; what ``loss`` refuses.
    """
    return weighted_mean(trajectory, lambda output: loss(output, target), weights)


@dataclass(frozen=True)
class Supervised:
    """The training loss sum_t w_t loss(output_t, target), of networks that are told the answer.

    Args:
        loss: of an output and the target, a scalar.
        weights: as in :func:`trajectory_loss`. None: those of the :class:`~metaopt.training.Settings` in a training,
            uniform otherwise.

    Raises:
        MetaoptError: a loss that cannot be called; when it is called, a task without targets.
    """

    loss: Loss = mse
    weights: StepWeights | None = None

    def __post_init__(self) -> None:
        _check_callable(self, self.loss)

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
    """The training loss sum_t w_t loss(output_t, problem), of networks that are not told the answer.

    Args:
        loss: of an output and the problem, a scalar.
        weights: as in :class:`Supervised`.

    Raises:
        MetaoptError: a loss that cannot be called.
    """

    loss: Loss = energy
    weights: StepWeights | None = None

    def __post_init__(self) -> None:
        _check_callable(self, self.loss)

    def __call__(
        self, net: Unrolled[Any, Any, Any], trajectory: Trajectory[Any, Any], problem: Any, target: Any
    ) -> Tensor:
        return weighted_mean(trajectory, lambda output: self.loss(output, problem), _or_uniform(self.weights))


def with_default_weights(loss: TrainingLoss, weights: StepWeights) -> TrainingLoss:
    """``loss`` with those step weights if it takes any and was given none."""
    if isinstance(loss, Supervised | Unsupervised) and loss.weights is None:
        return dataclasses.replace(loss, weights=weights)
    return loss


def of_last_step(loss: TrainingLoss) -> TrainingLoss:
    """``loss`` of the last step alone if it is one over steps; any other as it is."""
    return dataclasses.replace(loss, weights="last") if isinstance(loss, Supervised | Unsupervised) else loss


def _or_uniform(weights: StepWeights | None) -> StepWeights:
    return "uniform" if weights is None else weights


def _check_callable(adapter: Supervised | Unsupervised, loss: Any) -> None:
    if not callable(loss):
        raise MetaoptError(
            f"{type(adapter).__name__} needs a function of two arguments, such as metaopt.losses has, not {loss!r}."
        )
