"""A loss over a trajectory is the weighted mean of its steps that it says it is, and knows which steps count."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt.core import Report
from metaopt.losses import mse, step_weights, trajectory_loss

from ..helpers import normal


def trajectory(steps: int) -> mo.Trajectory[Any, Any]:
    outputs = [normal(k, 2, 3).requires_grad_() for k in range(steps)]
    return mo.Trajectory(outputs, None, Report(steps), steps)


def halving(*, gradient: Any = mo.Backprop(), keep: Any = "all", steps: int = 5) -> mo.core.Unrolled:  # noqa: B008
    """x_k = factor^k x_0, with the factor to be learned, 1/2."""
    algorithm = mo.Algorithm.from_step(
        lambda _, x, k, factor: factor * x, lambda start: start, slots={"factor": mo.shared(0.5)}
    )
    return mo.unroll(algorithm, steps, gradient, keep)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("uniform", [1 / 4] * 4),
        ("linear", [1 / 10, 2 / 10, 3 / 10, 4 / 10]),
        ("last", [0, 0, 0, 1]),
        ([1, 0, 3, 4], [1 / 8, 0, 3 / 8, 4 / 8]),
        (torch.tensor([1.0, 1.0, 2.0, 4.0]), [1 / 8, 1 / 8, 2 / 8, 4 / 8]),
    ],
)
def test_a_trajectorys_loss_is_the_weighted_mean_of_its_steps(weights: Any, expected: list[float]) -> None:
    run, target = trajectory(4), normal(9, 2, 3)
    loss = trajectory_loss(run, target, weights=weights)
    by_hand = sum(w * ((o - target) ** 2).sum() / 6 for w, o in zip(expected, run.outputs, strict=True))
    torch.testing.assert_close(loss, by_hand, rtol=1e-14, atol=0)
    loss.backward()
    for weight, output in zip(expected, run.outputs, strict=True):
        grad = torch.zeros_like(output) if output.grad is None else output.grad
        torch.testing.assert_close(grad, weight * 2 * (output - target).detach() / 6, rtol=1e-13, atol=1e-15)


def test_a_loss_of_ones_own_is_used() -> None:
    run = trajectory(2)
    loss = trajectory_loss(run, torch.tensor(2.0), lambda output, target: output.sum() * target, "last")
    torch.testing.assert_close(loss, 2 * run.outputs[1].sum())


def test_a_trajectory_of_one_output_takes_every_named_weighting() -> None:
    assert [step_weights(name, 1) for name in ("uniform", "linear", "last")] == [[1.0]] * 3


def squares(first: int, last: int, weights: list[float]) -> float:
    """sum_k w_k (1/2)^2k / sum_k w_k from x_0 = 1 and towards 0."""
    terms = zip(range(first, last + 1), weights, strict=True)
    return sum(w * 0.25**k for k, w in terms) / sum(weights)


START = torch.ones(2, 3, dtype=torch.float64)


@pytest.mark.parametrize(("weights", "expected"), [("uniform", [1, 1]), ("linear", [1, 2]), ([3, 1], [3, 1])])
def test_a_loop_by_hand_counts_the_steps_that_a_truncated_run_differentiates(weights: Any, expected: Any) -> None:
    net = halving(gradient=mo.Truncated(2))
    run = net(START)
    loss = trajectory_loss(run, torch.zeros_like(START), weights=weights)
    assert len(run.outputs) == 5
    assert loss.item() == pytest.approx(squares(4, 5, expected), rel=1e-6)
    (factor,) = net.parameters()
    # With x_3 a constant 1/8: the derivatives of (f / 8)^2 and (f^2 / 8)^2 at f = 1/2.
    slope = (expected[0] * 2 * 0.5 / 64 + expected[1] * 4 * 0.125 / 64) / sum(expected)
    assert float(torch.autograd.grad(loss, factor)[0]) == pytest.approx(slope, rel=1e-6)


def test_without_a_gradient_every_step_of_a_truncated_run_counts() -> None:
    with torch.no_grad():
        loss = trajectory_loss(halving(gradient=mo.Truncated(2))(START), torch.zeros_like(START))
    assert loss.item() == pytest.approx(squares(1, 5, [1] * 5), rel=1e-6)


@pytest.mark.parametrize("weights", ["uniform", "linear", "last", [1.0]])
def test_a_fixed_point_is_one_readout_however_many_steps_it_took(weights: Any) -> None:
    """x = x / 2 + start has the fixed point 2 start."""
    algorithm = mo.Algorithm.from_step(
        lambda start, x, k, factor: factor * x + start, lambda start: start, slots={"factor": mo.shared(0.5)}
    )
    for run in (mo.unroll(algorithm, 99, mo.Implicit())(START), mo.solve(algorithm, START, 99)):
        assert 1 < run.report.steps < 99
        assert trajectory_loss(run, torch.zeros_like(START), weights=weights).item() == pytest.approx(4, abs=1e-4)


@pytest.mark.parametrize(("gradient", "steps"), [(mo.Backprop(), 5), (mo.Checkpointed(), 5), (mo.Truncated(2), 2)])
@pytest.mark.parametrize("weights", ["uniform", "linear", [1, 2], [1.0]])
def test_weights_of_steps_whose_readouts_were_not_kept_are_refused(gradient: Any, steps: int, weights: Any) -> None:
    run = halving(gradient=gradient, keep="last")(START)
    with pytest.raises(mo.MetaoptError, match=rf"are of {steps} steps, but the readout of only 1 was kept; .*'last'"):
        trajectory_loss(run, torch.zeros_like(START), weights=weights)
    assert trajectory_loss(run, torch.zeros_like(START), weights="last").item() == pytest.approx(0.25**5)


def test_a_single_step_has_every_readout() -> None:
    run = halving(keep="last", steps=1)(START)
    assert trajectory_loss(run, torch.zeros_like(START)).item() == pytest.approx(0.25)
    still = halving(steps=0)(START)
    assert trajectory_loss(still, torch.zeros_like(START)).item() == 1


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("first", "'uniform', 'linear', 'last' or a list of numbers, not 'first'"),
        (3, "or a list of numbers, not 3"),
        ([1, None], "or a list of numbers, not"),
        ([1, 2], r"There are 4 outputs to weigh .*, but 2 step weights"),
        ([1, 2, 3, 4, 5], "There are 4 outputs .* but 5 step weights"),
        ([0, 0, 0, 0], r"\[0.0, 0.0, 0.0, 0.0\] with sum 0"),
        ([1, 1, 1, math.nan], "with sum nan"),
        ([1, 1, 1, math.inf], "with sum inf"),
        ([2, 2, 2, -1], r"not negative, .* but got \[2.0, 2.0, 2.0, -1.0\]"),
    ],
)
def test_weights_that_cannot_be_are_refused(weights: Any, words: str) -> None:
    with pytest.raises(mo.MetaoptError, match=words):
        trajectory_loss(trajectory(4), normal(9, 2, 3), weights=weights)


def test_a_broadcasting_target_is_refused_through_a_trajectory() -> None:
    picture = torch.rand(4, 1, 8, 8, dtype=torch.float64)
    with pytest.raises(mo.MetaoptError, match=r"\(4, 1, 8, 8\) float64 and the target \(4, 8, 8\) float64"):
        trajectory_loss(halving()(picture), picture[:, 0], mse)


def test_an_output_of_weight_zero_is_not_measured() -> None:
    def only_once(output: Tensor, target: Tensor) -> Tensor:
        assert output is run.final
        return mse(output, target)

    run = halving()(START)
    trajectory_loss(run, torch.zeros_like(START), only_once, [0, 0, 0, 0, 2])
