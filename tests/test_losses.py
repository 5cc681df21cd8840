"""Losses over a trajectory are the weighted sums that they say they are."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import metaopt as mo
from metaopt.losses import cross_entropy, energy, log_energy, mse, negative_psnr, step_weights, trajectory_loss
from metaopt.metrics import psnr

from .helpers import normal


def trajectory(steps: int) -> mo.Trajectory[Any, Any]:
    outputs = [normal(k, 2, 3).requires_grad_() for k in range(steps)]
    return mo.Trajectory(outputs, None, None, steps)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("uniform", [1 / 4] * 4),
        ("linear", [1 / 10, 2 / 10, 3 / 10, 4 / 10]),
        ("last", [0, 0, 0, 1]),
        ([1, 0, 3, 4], [1 / 8, 0, 3 / 8, 4 / 8]),
        (torch.tensor([1.0, 1.0, 2.0, 4.0]).tolist(), [1 / 8, 1 / 8, 2 / 8, 4 / 8]),
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


def test_a_complex_error_counts_by_its_modulus() -> None:
    assert mse(torch.tensor([3 + 4j, 0j]), torch.tensor([0j, 2j])) == (25 + 4) / 2


def test_a_complex_loss_has_a_gradient_where_the_error_is_zero() -> None:
    x = torch.tensor([1 + 1j, 2 + 0j], requires_grad=True)
    mse(x, torch.tensor([1 + 1j, 1 + 0j])).backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.tensor([0j, 1 + 0j]))


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("first", "'uniform', 'linear', 'last' or a list of numbers, not 'first'"),
        ([1, 2], "4 outputs, but 2 weights"),
        ([0, 0, 0, 0], "with sum 0"),
        ([1, 1, 1, math.nan], "with sum nan"),
    ],
)
def test_weights_that_cannot_be_are_refused(weights: Any, words: str) -> None:
    with pytest.raises(mo.MetaoptError, match=words):
        trajectory_loss(trajectory(4), normal(9, 2, 3), weights=weights)


def test_negative_psnr_is_the_mean_over_samples_of_the_metric() -> None:
    target = torch.rand(3, 1, 5, 4, dtype=torch.float64)
    output = target + torch.tensor([0.1, 0.01, 1.0]).reshape(3, 1, 1, 1) * normal(1, 3, 1, 5, 4)
    expected = -sum(float(psnr(o[None], t[None])) for o, t in zip(output, target, strict=True)) / 3
    assert float(negative_psnr(output, target)) == pytest.approx(expected, rel=1e-10)
    exact = target.clone().requires_grad_()
    negative_psnr(exact, target).backward()
    assert negative_psnr(exact, target).item() == pytest.approx(-120)
    assert bool(torch.isfinite(exact.grad).all())
    tenth = torch.full((1, 2), 0.06 + 0.08j)
    assert float(negative_psnr(tenth, torch.zeros_like(tenth))) == pytest.approx(-20)


def test_cross_entropy_is_torchs_and_energies_are_the_problems() -> None:
    scores, labels = normal(0, 2, 5, 3), torch.tensor([[0, 1, 2, 0, 1], [2, 2, 1, 0, 0]])
    expected = torch.stack([F.cross_entropy(s, t) for s, t in zip(scores, labels, strict=True)]).mean()
    torch.testing.assert_close(cross_entropy(scores, labels), expected)
    problem = mo.FunctionObjective(lambda x: x.square().sum(), torch.ones(3))
    assert float(energy(torch.full((3,), 2.0), problem)) == 12
    assert float(log_energy(torch.full((3,), 2.0), problem)) == pytest.approx(math.log(12))
