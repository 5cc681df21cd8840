"""Evolution strategies: unbiased where theory says so, biased where it says so, the same for the same seed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import metaopt as mo
from metaopt.core import tree
from metaopt.estimators import es, pes
from metaopt.losses import Supervised, mse

DOUBLE = torch.float64
SIGNS = torch.tensor([1.0, 1.0, -1.0, -1.0, -1.0], dtype=DOUBLE)
MATRIX = 0.5 * (torch.eye(5, dtype=DOUBLE) + torch.diag(torch.ones(4, dtype=DOUBLE), 1))
START = torch.ones(5, dtype=DOUBLE)


def pushed(steps: int) -> mo.core.Unrolled:
    """A linear system with a learned push; the loss of a run is then quadratic in it, and smoothing it is harmless."""
    algorithm = mo.Algorithm.from_step(
        lambda _, s, k, theta: MATRIX @ s + theta * SIGNS, lambda start: start, slots={"theta": mo.shared(0.5)}
    )
    return mo.unroll(algorithm, steps)


def loss(trajectory: mo.Trajectory[Any, Any]) -> Tensor:
    return torch.stack([(s[0] - 1) ** 2 / 2 for s in trajectory.outputs]).sum()


def of_run(net: Any, trajectory: Any, problem: Any, target: Any) -> Tensor:
    return loss(trajectory)


def squares(net: Any, trajectory: Any, problem: Any, target: Any) -> Tensor:
    return trajectory.final.square().sum()


def exact(net: mo.core.Unrolled) -> float:
    (parameter,) = net.parameters()
    return float(torch.autograd.grad(loss(net(START)), parameter)[0])


def only(gradients: dict[str, Tensor]) -> float:
    (gradient,) = gradients.values()
    return float(gradient)


def test_a_whole_run_is_estimated_within_its_error() -> None:
    net = pushed(20)
    estimate = es(net, START, of_run, pairs=4000, sigma=0.1, seed=0)
    assert abs(only(estimate.gradients) - exact(net)) < 4 * only(estimate.errors)
    assert only(estimate.errors) < 0.1 * abs(exact(net))
    values = [only(es(net, START, of_run, pairs=200, sigma=0.1, seed=seed).gradients) for seed in range(40)]
    said = only(es(net, START, of_run, pairs=200, sigma=0.1, seed=50).errors)
    assert float(torch.tensor(values).std()) == pytest.approx(said, rel=0.5)


def in_pieces(seed: int, persistent: bool) -> float:
    net, total, particles, state = pushed(2), 0.0, None, None
    for piece in range(10):
        if persistent:
            estimate = pes(net, START, of_run, pairs=300, sigma=0.1, seed=100 * seed + piece, particles=particles)
            particles = estimate.particles
            assert particles.k == 2 * piece + 2
        else:
            options: dict[str, Any] = {"state": state, "start": 2 * piece}
            estimate = es(net, START, of_run, pairs=300, sigma=0.1, seed=100 * seed + piece, **options)
            state = tree.detach(net(START, state=state).state)
        total += only(estimate.gradients)
    return total


def test_pieces_add_up_to_the_whole_only_with_a_memory_of_what_was_perturbed() -> None:
    true = exact(pushed(20))
    with_memory, without = (torch.tensor([in_pieces(s, p) for s in range(12)]) for p in (True, False))
    error = float(with_memory.std()) / 12**0.5
    assert abs(float(with_memory.mean()) - true) < 4 * error
    assert abs(float(without.mean()) - true) > 10 * float(without.std()) / 12**0.5
    assert float(without.mean()) * true < 0, "cut off, the gradient has the wrong sign"


def test_an_estimate_is_that_of_the_formula() -> None:
    """Two parameters of different shapes; every run by itself, without vmap."""
    net = mo.unroll(mo.parameterize(mo.Ista(torch.eye(3, dtype=DOUBLE), 0.1), {"mix": mo.shared()}), 2)
    y = torch.tensor([[1.0, -2.0, 0.5]], dtype=DOUBLE)
    estimate = es(net, y, squares, pairs=5, sigma=0.3, seed=7)
    (name,) = estimate.gradients
    parameter = dict(net.named_parameters())[name].detach()
    e = 0.3 * torch.randn(5, 3, 3, generator=mo.core.random.generator(7, 0), dtype=DOUBLE)
    terms = []
    for change in e:
        up, down = (
            float(tree.substitute(net, {name: parameter + c})(y).final.square().sum()) for c in (change, -change)
        )
        terms.append(change * (up - down) / (2 * 0.3**2))
    torch.testing.assert_close(estimate.gradients[name], torch.stack(terms).mean(0))
    torch.testing.assert_close(estimate.errors[name], torch.stack(terms).std(0) / 5**0.5)
    again = es(net, y, squares, pairs=5, sigma=0.3, seed=7)
    assert torch.equal(again.gradients[name], estimate.gradients[name])


def test_an_optimizer_goes_down_by_what_is_assigned() -> None:
    net = pushed(20)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.001)
    before = loss(net(START)).item()
    for seed in range(20):
        es(net, START, of_run, pairs=50, sigma=0.1, seed=seed).assign(net)
        optimizer.step()
    assert loss(net(START)).item() < 0.5 * before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pairs": 1}, "pairs to be a whole number of at least 2, but got 1"),
        ({"pairs": -1}, "pairs to be a whole number of at least 2, but got -1"),
        ({"sigma": 0.0}, "sigma to be a finite number above 0, but got 0.0"),
        ({"sigma": float("nan")}, "sigma to be a finite number above 0, but got nan"),
        ({"loss": lambda net, t, problem, target: t.final}, r"must be one real number, but .* is \(5,\) float64"),
        ({"loss": lambda net, t, problem, target: t.final.sum() / 0}, "of 8 runs is not finite after step 3"),
        ({"loss": loss}, r"called as loss\(net, trajectory, problem, target\), but loss takes \(trajectory\)"),
    ],
)
def test_what_cannot_be_estimated_is_a_sentence(change: dict[str, Any], words: str) -> None:
    call: dict[str, Any] = {"loss": of_run, "pairs": 4, "sigma": 0.1, "seed": 0} | change
    with pytest.raises(mo.MetaoptError, match=words):
        es(pushed(3), START, **call)


def test_a_supervised_loss_sees_the_target_and_every_step() -> None:
    net, target = pushed(20), torch.zeros(5, dtype=DOUBLE)
    estimate = es(net, START, Supervised(mse, "linear"), pairs=4000, sigma=0.1, seed=0, target=target)
    (parameter,) = net.parameters()
    by_hand = sum((k + 1) * s.square().mean() for k, s in enumerate(net(START).outputs)) / 210
    assert abs(only(estimate.gradients) - float(torch.autograd.grad(by_hand, parameter)[0])) < 4 * only(estimate.errors)


def test_nothing_to_learn_is_a_sentence() -> None:
    net = mo.unroll(mo.Descent(mo.updates.Sgd(0.1)), 2)
    problem = mo.InverseProblem(mo.operators.Identity(), torch.zeros(1, 2), 1.0)
    with pytest.raises(mo.MetaoptError, match="nothing to learn"):
        pes(net, problem, squares, pairs=2, sigma=1.0, seed=0)
    assert isinstance(net, nn.Module)


class Learned(nn.Module):
    """The parameter is where the runs start."""

    def __init__(self, start: float):
        super().__init__()
        self.start = nn.Parameter(torch.full((2,), start, dtype=DOUBLE))


class Started(mo.Algorithm[Any, Any, Any]):
    """x <- x / 2 from a start that is learned: here in the algorithm."""

    def __init__(self, learned: nn.Module):
        super().__init__()
        self.learned = learned

    def init(self, problem: Any) -> Tensor:
        return self.learned.start**2

    def step(self, problem: Any, state: Tensor, k: int) -> Tensor:
        return state / 2

    def readout(self, problem: Any, state: Tensor, k: int) -> Tensor:
        return state


class StartedByProblem(Started):
    """The same parameter is in the problem."""

    def init(self, problem: Any) -> Tensor:
        return problem["learned"].start ** 2


@pytest.mark.parametrize("kind", [Started, StartedByProblem])
def test_a_learned_start_gets_its_gradient(kind: type) -> None:
    """The loss is sum x_3 = sum start^2 / 8, which the smoothing only shifts: its gradient is start / 4."""
    learned = Learned(3.0)
    net = mo.unroll(kind(learned), 3)
    estimate = es(net, {"learned": learned}, lambda net, t, p, target: t.final.sum(), pairs=2000, sigma=0.1, seed=0)
    (gradient,), (error,) = estimate.gradients.values(), estimate.errors.values()
    assert float(error.max()) < 0.05
    assert float((gradient - 0.75).abs().max()) < 4 * float(error.max())


def test_pieces_of_a_run_with_a_learned_start_add_up_to_its_gradient() -> None:
    learned, total, spread, particles = Learned(3.0), 0.0, 0.0, None
    net = mo.unroll(Started(learned), 1)
    for seed in range(3):
        estimate = pes(
            net, None, lambda net, t, p, target: t.final.sum(), pairs=4000, sigma=0.1, seed=seed, particles=particles
        )
        particles = estimate.particles
        (gradient,), (error,) = estimate.gradients.values(), estimate.errors.values()
        total, spread = total + gradient, spread + float(error.max())
    assert particles is not None and particles.k == 3
    expected = 2 * 3.0 * (1 / 2 + 1 / 4 + 1 / 8)
    assert spread < 0.2 * expected
    assert float((total - expected).abs().max()) < 3 * spread


class Cell(nn.Module):
    """Operations that vmap has no rule for: an LSTM's cell, and a sparse product."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.norm = nn.LSTMCell(3, 3), nn.BatchNorm1d(3)
        self.matrix = torch.eye(5).to_sparse()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.matrix @ self.cell(x)[0])


def test_runs_that_vmap_refuses_are_computed_one_after_another_and_change_nothing() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        cell = Cell()
    algorithm = mo.Algorithm.from_step(lambda p, x, k, net: x + net(x), lambda p: p, slots={"net": cell})
    net, problem = mo.unroll(algorithm, 2), torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    before = {name: t.clone() for name, t in net.state_dict().items()}
    estimate = es(net, problem, squares, pairs=3, sigma=0.1, seed=0)
    assert all(torch.equal(before[name], t) for name, t in net.state_dict().items())
    name, *_ = estimate.gradients
    e = mo.core.random.generator(0, 0)
    changes = {n: 0.1 * torch.randn(3, *p.shape, generator=e, dtype=p.dtype) for n, p in net.named_parameters()}
    terms = []
    for i in range(3):
        losses = []
        for sign in (1, -1):
            values = {n: p.detach() + sign * changes[n][i] for n, p in net.named_parameters()}
            buffers = {n: b.clone() for n, b in net.named_buffers()}
            losses.append(torch.func.functional_call(net, {**values, **buffers}, (problem,)).final.square().sum())
        terms.append(changes[name][i] * (losses[0] - losses[1]) / (2 * 0.1**2))
    torch.testing.assert_close(estimate.gradients[name], torch.stack(terms).mean(0).detach(), rtol=1e-3, atol=1e-3)


def test_a_parameter_that_is_read_past_its_module_is_a_sentence() -> None:
    linear = nn.Linear(2, 2)
    registry = type("Registry", (), {"layer": linear})  # references of a class are not followed
    algorithm = mo.Algorithm.from_step(lambda p, x, k, net: registry.layer(x), lambda p: p, slots={"net": linear})
    with pytest.raises(mo.MetaoptError, match=r"reads the parameter 'algorithm\.net\.module\.weight' past the module"):
        es(mo.unroll(algorithm, 2), torch.ones(1, 2), squares, pairs=2, sigma=0.1, seed=0)
