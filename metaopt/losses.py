"""Losses over a trajectory: targets at the last step, or at every one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from .core import MetaoptError, Trajectory

Loss = Callable[[Any, Any], Tensor]


def mse(output: Tensor, target: Tensor) -> Tensor:
    """Mean of ``|output - target|^2`` over all entries (complex: real and imaginary part count as one entry)."""
    difference = output - target
    return (difference.abs() if difference.is_complex() else difference).square().mean()


def negative_psnr(output: Tensor, target: Tensor) -> Tensor:
    """Minus the peak signal-to-noise ratio in dB, 10 log10 of the mean square error of each sample, averaged over them.

    For values in [0, 1], batch first. Unlike :func:`mse`, samples with little noise count as much as those with much. A
    sample is taken as no nearer than 120 dB.
    """
    difference = (output - target).flatten(1)
    errors = (difference.abs() if difference.is_complex() else difference).square().mean(1)
    return 10 * errors.clamp_min(1e-12).log10().mean()


def cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """The mean of -log softmax(output)[target]: output (..., classes), target (...) of whole numbers."""
    return F.cross_entropy(output.flatten(0, -2), target.flatten())


def energy(output: Any, problem: Any) -> Tensor:
    """``problem.energy(output)``: what an optimizer is trained by, where the target is the problem itself."""
    return problem.energy(output)


def log_energy(output: Any, problem: Any) -> Tensor:
    """log ``problem.energy(output)``, of a positive energy: late steps, whose losses are small, count as early ones."""
    return problem.energy(output).log()


def marginal_error(output: Any, target: Tensor) -> Tensor:
    """The mean over variables and samples of ``sum_states |belief - marginal| / 2``, the total variation distance.

    ``output`` has ``log_marginals`` (B, N), of which the first n are those of ``target`` (B, n).
    """
    beliefs = output.log_marginals[:, : target.shape[1]].exp()
    return (beliefs - target).abs().sum() / (2 * target.sum())


def marginal_cross_entropy(output: Any, target: Tensor) -> Tensor:
    """The mean over variables and samples of -sum_states target log belief, with the target a distribution.

    ``output`` has ``log_marginals`` (B, N), of which the first n are those of ``target`` (B, n); a belief counts as no
    less than e^-20.
    """
    beliefs = output.log_marginals[:, : target.shape[1]].clamp_min(-20)
    return -(target * beliefs).sum() / target.sum()


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "energy": energy,
    "log_energy": log_energy,
    "marginal_cross_entropy": marginal_cross_entropy,
    "marginal_error": marginal_error,
    "mse": mse,
    "negative_psnr": negative_psnr,
}


def step_weights(weights: str | Sequence[float], steps: int) -> list[float]:
    """``steps`` weights that add up to 1: "uniform", "last", "linear" (k + 1: later steps count more), or a list."""
    named: dict[str, list[float]] = {
        "uniform": [1.0] * steps,
        "linear": [k + 1.0 for k in range(steps)],
        "last": [0.0] * (steps - 1) + [1.0],
    }
    if isinstance(weights, str) and weights not in named:
        raise MetaoptError(f"Step weights are 'uniform', 'linear', 'last' or a list of numbers, not {weights!r}.")
    values = named[weights] if isinstance(weights, str) else list(weights)
    if len(values) != steps or not sum(values) > 0:
        raise MetaoptError(
            f"The trajectory has {steps} outputs, but {len(values)} weights with sum {sum(values)} were given."
        )
    return [value / sum(values) for value in values]


def trajectory_loss(
    trajectory: Trajectory[Any, Any], target: Any, loss: Loss = mse, weights: str | Sequence[float] = "uniform"
) -> Tensor:
    """sum_t w_t loss(output_t, target) with weights that add up to 1 (see :func:`step_weights`)."""
    weighted = zip(step_weights(weights, len(trajectory.outputs)), trajectory.outputs, strict=True)
    terms = [weight * loss(output, target) for weight, output in weighted if weight]
    return sum(terms[1:], terms[0])
