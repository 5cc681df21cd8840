"""Losses of one output are those of their formulas, and refuse what only fits by broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import metaopt as mo
from metaopt.losses import (
    binary_cross_entropy,
    cross_entropy,
    dice,
    marginal_cross_entropy,
    marginal_error,
    mse,
    negative_psnr,
)
from metaopt.metrics import psnr

from ..helpers import normal


@dataclass(frozen=True)
class Beliefs:
    log_marginals: Tensor


def test_the_mean_square_error_is_torchs() -> None:
    output, target = normal(0, 3, 1, 4), normal(1, 3, 1, 4)
    torch.testing.assert_close(mse(output, target), F.mse_loss(output, target), rtol=1e-14, atol=0)


def test_a_complex_error_counts_by_its_modulus() -> None:
    assert mse(torch.tensor([3 + 4j, 0j]), torch.tensor([0j, 2j])) == (25 + 4) / 2


def test_a_complex_loss_has_a_gradient_where_the_error_is_zero() -> None:
    x = torch.tensor([1 + 1j, 2 + 0j], requires_grad=True)
    mse(x, torch.tensor([1 + 1j, 1 + 0j])).backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.tensor([0j, 1 + 0j]))


def test_negative_psnr_is_the_mean_over_samples_of_the_metric() -> None:
    target = torch.rand(3, 1, 5, 4, dtype=torch.float64)
    output = target + torch.tensor([0.1, 0.01, 1.0]).reshape(3, 1, 1, 1) * normal(1, 3, 1, 5, 4)
    expected = -sum(float(psnr(o[None], t[None])) for o, t in zip(output, target, strict=True)) / 3
    assert float(negative_psnr(output, target)) == pytest.approx(expected, rel=1e-10)
    exact = target.clone().requires_grad_()
    negative_psnr(exact, target).backward()
    assert negative_psnr(exact, target).item() == pytest.approx(-120)
    assert exact.grad is not None
    assert bool(torch.isfinite(exact.grad).all())
    tenth = torch.full((1, 2), 0.06 + 0.08j)
    assert float(negative_psnr(tenth, torch.zeros_like(tenth))) == pytest.approx(-20)


@pytest.mark.parametrize("integers", [torch.int64, torch.uint8])
def test_cross_entropy_is_torchs(integers: torch.dtype) -> None:
    scores, labels = normal(0, 2, 5, 3), torch.tensor([[0, 1, 2, 0, 1], [2, 2, 1, 0, 0]])
    expected = torch.stack([F.cross_entropy(s, t) for s, t in zip(scores, labels, strict=True)]).mean()
    torch.testing.assert_close(cross_entropy(scores, labels.to(integers)), expected)


def test_losses_of_marginals_are_means_over_variables_and_see_the_first_states_only() -> None:
    """Two samples of two binary variables, and a third variable that the target does not have."""
    truth = torch.tensor([[0.7, 0.3, 0.5, 0.5], [1.0, 0.0, 0.2, 0.8]])
    belief = torch.tensor([[0.6, 0.4, 0.9, 0.1, 0.5, 0.5], [0.5, 0.5, 0.2, 0.8, 1.0, 0.0]])
    output = Beliefs(belief.log())
    assert float(marginal_error(output, truth)) == pytest.approx((0.1 + 0.4 + 0.5 + 0.0) / 4)
    entropies = [
        -float((t * b.log()).sum()) for t, b in zip(truth.reshape(4, 2), belief[:, :4].reshape(4, 2), strict=True)
    ]
    assert float(marginal_cross_entropy(output, truth)) == pytest.approx(sum(entropies) / 4)


ALIKE = {"mse": mse, "negative_psnr": negative_psnr}


@pytest.mark.parametrize("name", ALIKE)
@pytest.mark.parametrize(
    ("output", "target", "words"),
    [
        (torch.ones(4, 1, 8, 8), torch.ones(4, 8, 8), r"\(4, 1, 8, 8\) float32 and the target \(4, 8, 8\) float32"),
        (torch.ones(4, 3), torch.ones(3), r"\(4, 3\) float32 and the target \(3,\) float32"),
        (torch.ones(4, 3), torch.tensor(1.0), r"\(4, 3\) float32 and the target \(\) float32"),
        (torch.ones(2, 3) + 0j, torch.ones(2, 3), r"\(2, 3\) complex64 and the target \(2, 3\) float32; convert"),
        (torch.ones(2, 3), torch.ones(2, 3) + 0j, "float32 and the target .* complex64; convert"),
        (torch.ones(2, 3), torch.ones(2, 3, dtype=torch.uint8), "float32 and the target .* uint8; convert"),
        (torch.ones(2, 3), None, r"two tensors: the target must be a tensor, but got None"),
    ],
)  # fmt: skip
def test_a_target_of_another_form_is_refused_with_both(name: str, output: Any, target: Any, words: str) -> None:
    with pytest.raises(mo.MetaoptError, match=f"^{name} compares .*{words}"):
        ALIKE[name](output, target)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: negative_psnr(torch.ones(3), torch.ones(3)), r"samples \(B, ...\), but the output is \(3,\) float32"),
        (
            lambda: cross_entropy(torch.ones(2, 5, 3), torch.ones(5, 2, dtype=torch.long)),
            r"\(2, 5, 3\) float32 and the target \(5, 2\) int64",
        ),
        (lambda: cross_entropy(torch.ones(2, 3), torch.ones(2)), r"one whole number for each.*\(2,\) float32"),
        (lambda: cross_entropy(torch.ones(2, 3), torch.ones(2, 3)), r"the target \(2, 3\) float32"),
        (
            lambda: marginal_error(Beliefs(torch.zeros(4, 6)), torch.ones(1, 6)),
            r"they are \(4, 6\) float32 and \(1, 6\) float32",
        ),
        (lambda: marginal_cross_entropy(Beliefs(torch.zeros(4, 6)), torch.ones(4, 8)), r"\(4, 6\).*\(4, 8\)"),
        (lambda: marginal_error(torch.zeros(4, 6), torch.ones(4, 6)), "Tensor has no log_marginals"),
    ],
)
def test_what_each_loss_cannot_compare_is_a_sentence(call: Callable[[], Tensor], words: str) -> None:
    with pytest.raises(mo.MetaoptError, match=words):
        call()


def test_binary_losses_are_those_of_their_formulas() -> None:
    output = torch.tensor([[-3.0, 0.5, 2.0], [100.0, -100.0, 0.0]], dtype=torch.float64)
    target = torch.tensor([[0.0, 1.0, 0.25], [1.0, 0.0, 0.0]], dtype=torch.float64)
    p = 1 / (1 + (-output).exp())
    by_hand = -torch.special.xlogy(target, p) - torch.special.xlogy(1 - target, 1 - p)
    torch.testing.assert_close(binary_cross_entropy(output, target), by_hand.nan_to_num(0.0).mean())
    torch.testing.assert_close(dice(output, target), 1 - 2 * (p * target).sum() / (p.sum() + target.sum()))


def test_dice_of_nothing_found_where_nothing_is_to_be_found_is_perfect() -> None:
    output = torch.full((3,), -torch.inf, requires_grad=True)
    loss = dice(output, torch.zeros(3))
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.isfinite(output.grad).all()


@pytest.mark.parametrize("loss", [binary_cross_entropy, dice])
def test_binary_losses_refuse_what_is_no_probability(loss) -> None:
    for target, sentence in (
        (torch.tensor([0.0, 2.0]), "from 0 to 1, but goes from 0 to 2"),
        (torch.tensor([0.0]), "equal shape"),
        (torch.tensor([0, 1]), "real"),
    ):
        with pytest.raises(mo.MetaoptError, match=sentence):
            loss(torch.zeros(2), target)
