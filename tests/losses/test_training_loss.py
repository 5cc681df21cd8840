"""A training, a validation and a loop by hand go through one contract, with a target or without one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import metaopt as mo
from metaopt.losses import LOSSES, Supervised, Unsupervised, energy, log_energy, mse, weighted_mean
from metaopt.training import LearningRate, Settings, train, validation_loss
from metaopt.training.loop import batch_seed

from ..helpers import normal

ENTRIES = 8


@dataclass(frozen=True)
class Blurred:
    """Twice as many noisy measurements as unknowns, by a matrix that is the same in all batches."""

    truth: bool = False

    def sample(self, seed: int) -> tuple[mo.InverseProblem, Tensor | None]:
        matrix = torch.randn(2 * ENTRIES, ENTRIES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(4, ENTRIES, generator=generator, dtype=torch.float64)
        noise = 0.1 * torch.randn(4, 2 * ENTRIES, generator=generator, dtype=torch.float64)
        problem = mo.InverseProblem(mo.operators.Dense(matrix), x @ matrix.T + noise, 0.1)
        return problem, x if self.truth else None


def descent(gradient: Any = mo.Backprop()) -> mo.core.Unrolled:  # noqa: B008
    update = mo.updates.Sgd(mo.per_step(3, 1e-5))
    return mo.unroll(mo.Descent(update), 3, gradient).double()


def consistency(net: mo.core.Unrolled, trajectory: Any, problem: Any, target: Any) -> Tensor:
    """The mean of |A x - y|^2 / noise^2 over the outputs of all steps, written out."""
    assert isinstance(net, mo.core.Unrolled)
    assert target is None
    residuals = [(problem.operator(x) - problem.y) / problem.noise for x in trajectory.outputs]
    return torch.stack([r.square().mean() for r in residuals]).mean()


SETTINGS = Settings(updates=40, steps=(3, 3), rate=LearningRate(5e-6, 5e-6, 0), clip=1e9, ema=0.0)


def error(net: mo.core.Unrolled, seed: int = 10**6) -> float:
    problem, x = Blurred(truth=True).sample(seed)
    with torch.no_grad():
        return float((net(problem).final - x).square().mean())


def test_a_loss_that_sees_the_problem_trains_without_truth(tmp_path: Path) -> None:
    net = descent()
    before, start = error(net), validation_loss(net, Blurred(), 8, consistency)
    result = train(net, Blurred(), tmp_path, SETTINGS, validation=Blurred(), loss=consistency)
    assert result["validation"] == validation_loss(net, Blurred(), 8, consistency) < 0.5 * start
    assert error(net) < 0.5 * before, "nearer to a truth that it was never shown"


def test_the_adapter_of_a_problems_energy_is_that_loss(tmp_path: Path) -> None:
    """|A x - y|^2 / (2 noise^2), a sum over the entries of a sample, where ``consistency`` has a mean."""
    by_hand, adapted = descent(), descent()
    train(by_hand, Blurred(), tmp_path / "a", SETTINGS, loss=lambda *run: ENTRIES * consistency(*run))
    train(adapted, Blurred(), tmp_path / "b", SETTINGS, loss=Unsupervised())
    for a, b in zip(by_hand.parameters(), adapted.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=0)


def test_a_training_counts_the_steps_that_a_loop_by_hand_counts(tmp_path: Path) -> None:
    """One update of a truncated run, whose loss in the log is that of the trajectory, with the settings' weights."""
    problem, x = Blurred(truth=True).sample(batch_seed(0, 0, 0))
    expected = mo.trajectory_loss(descent(mo.Truncated(2))(problem), x, weights=[3, 1])
    settings = Settings(updates=1, steps=(3, 3), weights=[3, 1])
    result = train(descent(mo.Truncated(2)), Blurred(truth=True), tmp_path / "a", settings)
    assert result["loss"] == pytest.approx(expected.item(), rel=1e-12)
    outputs = descent()(problem).outputs
    assert result["loss"] == pytest.approx((0.75 * mse(outputs[1], x) + 0.25 * mse(outputs[2], x)).item(), rel=1e-12)
    own = train(descent(), Blurred(truth=True), tmp_path / "b", settings, loss=Supervised(weights="last"))
    assert own["loss"] == pytest.approx(mse(outputs[2], x).item(), rel=1e-12), "weights of its own go before"


@pytest.mark.parametrize("weights", [None, "uniform", [1, 2, 3]])
def test_a_validation_takes_a_loss_over_steps_of_the_last_one(weights: Any) -> None:
    net, samples = descent(), []
    task = Blurred(truth=True)

    class Recording:
        def sample(self, seed: int) -> Any:
            samples.append(task.sample(seed))
            return samples[-1]

    found = validation_loss(net, Recording(), 2, Supervised(mse, weights))
    assert found == pytest.approx(sum(mse(net(p).final, x).item() for p, x in samples) / 2, rel=1e-12)


def test_a_loss_may_run_the_network_again(tmp_path: Path) -> None:
    """Both halves of the measurements give an estimate that has to explain the other half."""

    def splitting(net: mo.core.Unrolled, trajectory: Any, problem: Any, target: Any) -> Tensor:
        matrix, total = problem.operator.matrix, torch.zeros((), dtype=torch.float64)
        halves = torch.arange(2 * ENTRIES).chunk(2)
        for seen, held in (halves, halves[::-1]):
            half = mo.InverseProblem(mo.operators.Dense(matrix[seen]), problem.y[:, seen], problem.noise)
            total = total + (net(half).final @ matrix[held].T - problem.y[:, held]).square().mean()
        return total

    net = descent()
    before = error(net)
    train(net, Blurred(), tmp_path, SETTINGS, loss=splitting)
    assert error(net) < 0.8 * before


def test_energies_are_the_problems_averaged_over_samples() -> None:
    problem = mo.FunctionObjective(lambda x: x.square().sum(), torch.ones(3))
    assert float(energy(torch.full((3,), 2.0), problem)) == 12
    assert float(log_energy(torch.full((3,), 2.0), problem)) == pytest.approx(2.4849066497880004)
    inverse = mo.InverseProblem(mo.operators.Identity(), torch.zeros(2, 3), 1.0)
    x = torch.tensor([[1.0, 0, 0], [2, 2, 0]])
    assert float(energy(x, inverse)) == pytest.approx((0.5 + 4) / 2)
    assert float(log_energy(x, inverse)) == pytest.approx((-0.6931471805599453 + 1.3862943611198906) / 2)
    with pytest.raises(
        mo.MetaoptError, match=r"log_energy is that of problem.energy\(output\), but Tensor has no energy"
    ):
        log_energy(x, x)


def test_an_unsupervised_loss_weighs_its_steps() -> None:
    problem = mo.FunctionObjective(lambda x: x.square().sum(), normal(0, 3))
    net = mo.unroll(mo.Descent(mo.updates.Sgd(0.1)), 3)
    run = net(problem)
    squares = [float(x.square().sum()) for x in run.outputs]
    found = Unsupervised(weights=[1, 2, 5])(net, run, problem, None)
    assert float(found) == pytest.approx((squares[0] + 2 * squares[1] + 5 * squares[2]) / 8)
    again = weighted_mean(run, lambda x: x.square().sum(), [1, 2, 5])
    assert float(again) == pytest.approx(float(found))


def test_named_losses_are_of_the_contract(tmp_path: Path) -> None:
    assert all(isinstance(loss, Supervised | Unsupervised) for loss in LOSSES.values())
    for name in ("mse", "energy", "log_energy", "negative_psnr"):
        train(descent(), Blurred(truth=True), tmp_path / name, Settings(updates=1, steps=(3, 3)), loss=LOSSES[name])


def two_and_options(output: Tensor, target: Tensor, reduction: str = "mean", more: int = 0) -> Tensor:
    return F.mse_loss(output, target)


def no_scalar(net: Any, trajectory: Any, problem: Any, target: Any) -> Tensor:
    return problem.energy(trajectory.final)


def constant(net: Any, trajectory: Any, problem: Any, target: Any) -> Tensor:
    return trajectory.final.detach().sum()


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (mse, r"loss\(net, trajectory, problem, target\), but mse takes \(output, target\); write .*Supervised\(mse\)"),
        (energy, r"energy takes \(output, problem\); .*or metaopt.losses.Unsupervised\(energy\) if"),
        (two_and_options, r"two_and_options takes \(output, target\)"),
        (F.cross_entropy, r"cross_entropy takes \(input, target\)"),
        (nn.MSELoss(), r"MSELoss takes \(input, target\)"),
        ("mse", r"but got 'mse'; the named ones are in metaopt.losses.LOSSES"),
        (no_scalar, r"one real number, but that of no_scalar is \(4,\) float64; take its mean or sum"),
        (lambda *run: 3.0, "but that of <lambda> is float"),
        (constant, "The loss of constant does not depend on any parameter that is trained"),
        (Supervised(), r"Supervised\(mse\) compares outputs with a target, .* none; .*Unsupervised\(energy\)"),
    ],
)  # fmt: skip
def test_a_loss_that_cannot_train_is_a_sentence(loss: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(mo.MetaoptError, match=words):
        train(descent(), Blurred(), tmp_path / "run", SETTINGS, loss=loss)


@pytest.mark.parametrize("adapter", [Supervised, Unsupervised])
def test_an_adapter_needs_a_function(adapter: Any) -> None:
    with pytest.raises(
        mo.MetaoptError, match=rf"loss of {adapter.__name__} must be a function of \(output, .*, but got 'mse'"
    ):
        adapter("mse")
