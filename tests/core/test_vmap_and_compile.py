"""Many problems at once by vmap, and a compiled step."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import metaopt as mo
from metaopt import tree
from metaopt.algorithms import Compiled

from ..cases.problems import picture_problem
from ..cases.rims import rim_cell
from ..factor_graphs import loopy
from ..helpers import matrix, normal, seeded

# dynamo looks at .grad of every input of a step, and from the second step on the state is no leaf.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")


def one_problem(seed: int) -> mo.InverseProblem:
    return mo.InverseProblem(matrix(7), normal(seed, 2, 4), 0.5 + seed)


def network_problem(seed: int, module: nn.Module) -> mo.Objective:
    return mo.Objective(module, nn.functional.mse_loss, [(normal(seed, 5, 3), normal(seed + 9, 5, 2))])


def opened_descent(steps: int) -> mo.Algorithm:
    return mo.parameterize(mo.Descent(mo.updates.Momentum(0.05, 0.8)), {"update.step_size": mo.per_step(steps)})


def as_loop(net: mo.Unrolled, problems: list[Any]) -> Any:
    return tree.stack([net(problem).outputs for problem in problems])


def test_vmap_over_problems_with_an_analytic_gradient_is_the_loop():
    net, problems = mo.unroll(opened_descent(4), 4), [one_problem(seed) for seed in range(3)]
    together = mo.vmap(net)(tree.stack(problems))
    alone = as_loop(net, problems)
    for a, b in zip(together.outputs, alone, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert (together.stop, together.report.steps) == (4, 4)
    grads = [torch.autograd.grad(o[-1].square().sum(), list(net.parameters())) for o in (together.outputs, alone)]
    torch.testing.assert_close(*grads, rtol=1e-10, atol=1e-12)


def test_vmap_over_problems_that_differentiate_is_the_loop():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    net, problems = mo.unroll(opened_descent(3), 3), [network_problem(seed, module) for seed in range(3)]
    together = mo.vmap(net)(tree.stack(problems))
    alone = as_loop(net, problems)
    for a, b in zip(tree.leaves(together.outputs), tree.leaves(alone), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)
    wanted = [*net.parameters(), *module.parameters()]
    losses = [sum(t.square().sum() for t in tree.leaves(outputs)) for outputs in (together.outputs, alone)]
    torch.testing.assert_close(*(torch.autograd.grad(loss, wanted) for loss in losses), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "strategy", [mo.Checkpointed(), mo.Reversible(), mo.Implicit()], ids=lambda s: type(s).__name__
)
def test_strategies_with_a_backward_pass_of_their_own_refuse_transforms(strategy):
    net = mo.unroll(mo.algorithms.reversible_momentum(0.05, 0.8), 3, strategy)
    sentence = (
        f"{type(strategy).__name__} has a backward pass of its own, which vmap and torch.func refuse; use Backprop"
    )
    with pytest.raises(mo.MetaoptError, match=sentence):
        mo.vmap(net)(tree.stack([one_problem(0), one_problem(1)]))
    with pytest.raises(mo.MetaoptError, match=sentence):
        torch.func.grad(lambda y: net(mo.InverseProblem(matrix(7), y)).final.sum())(normal(0, 2, 4))


STEPS = 16


@dataclass(frozen=True)
class Case:
    build: Callable[[], mo.Algorithm]
    problem: Callable[[], Any]


CASES = {
    "a number per step": Case(
        lambda: mo.parameterize(mo.Descent(mo.updates.Sgd(0.05)), {"update.step_size": mo.per_step(STEPS)}),
        lambda: one_problem(0),
    ),
    # The first velocity hangs on nothing that is learned, the second does.
    "a number per step, and memory": Case(lambda: opened_descent(STEPS), lambda: one_problem(0)),
    "constrained numbers and modules": Case(
        lambda: mo.parameterize(
            mo.Ista(matrix(7), 0.1), {"encode": mo.shared(), "threshold": mo.per_step(STEPS, positive=True)}
        ),
        lambda: normal(0, 2, 4),
    ),
    "a network per step": Case(
        lambda: mo.parameterize(seeded(lambda: mo.Descent(rim_cell())), {"update": mo.per_step(STEPS)}),
        lambda: picture_problem(0, 6, 5),
    ),
    "noise of every pixel": Case(
        lambda: mo.parameterize(seeded(lambda: mo.Descent(rim_cell())), {"update": mo.shared()}),
        lambda: mo.InverseProblem(mo.operators.Identity(), normal(0, 1, 1, 6, 5), normal(1, 1, 1, 6, 5).abs() + 0.1),
    ),
    "a gradient by autograd": Case(
        lambda: mo.parameterize(mo.Descent(mo.updates.Sgd(0.05)), {"update.step_size": mo.per_step(STEPS)}),
        lambda: network_problem(0, seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))),
    ),
}


def recorded_graphs() -> tuple[list[Any], Callable[..., Any]]:
    """A list that fills with the graphs of whatever is compiled by the backend beside it, from nothing."""
    torch._dynamo.reset()
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph

    return graphs, backend


@pytest.mark.parametrize("strategy", [mo.Backprop(), mo.Checkpointed()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("name", CASES)
def test_a_compiled_step_is_the_step_in_few_graphs(name, strategy):
    """One graph for k = 0, which dynamo takes for a constant, and one for all other k, however many there are."""
    graphs, backend = recorded_graphs()
    case = CASES[name]
    algorithm, problem = case.build(), case.problem()
    wanted = [p for p in algorithm.parameters() if p.requires_grad]
    runs = [
        tree.leaves(mo.unroll(a, STEPS, strategy)(problem).final) for a in (algorithm, Compiled(algorithm, backend))
    ]
    torch.testing.assert_close(*runs, rtol=1e-13, atol=1e-13)
    losses = [sum(t.square().sum() for t in run) for run in runs]
    torch.testing.assert_close(*(torch.autograd.grad(loss, wanted) for loss in losses), rtol=1e-11, atol=1e-12)
    # Of a problem that holds a network every segment of Checkpointed has its own; torch 2.6 compiles for all segments.
    if isinstance(strategy, mo.Backprop) or not (isinstance(problem, mo.Objective) or torch.__version__ < "2.7"):
        assert len(graphs) == 2


def test_a_compiled_algorithm_copies_and_pickles():
    algorithm, problem = opened_descent(3), one_problem(0)
    compiled = Compiled(algorithm, "eager")
    expected = mo.unroll(algorithm, 3)(problem).final
    for other in (compiled, copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
        torch.testing.assert_close(mo.unroll(other, 3)(problem).final, expected, rtol=1e-13, atol=1e-13)
    opened = mo.parameterize(compiled, {"algorithm.update.momentum": mo.shared()})
    mo.unroll(opened, 3)(problem).final.sum().backward()
    assert opened.algorithm.update(0).momentum.value.grad.abs() > 0


@pytest.mark.parametrize("burn_in", [0, 3])
@pytest.mark.parametrize("steps", [6, 12])
def test_a_compiled_sampler_draws_the_same_in_two_graphs(steps, burn_in):
    """Also where the burn-in ends between two steps; what is drawn is drawn outside of the graph."""
    graph = loopy(0, batch=2)
    sampler = mo.algorithms.Gibbs(mo.algorithms.coloring(graph), seed=3, burn_in=burn_in)
    graphs, backend = recorded_graphs()
    with torch.no_grad():
        expected, found = (mo.unroll(a, steps)(graph).state for a in (sampler, Compiled(sampler, backend)))
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert len(graphs) == 2


def test_a_compiled_algorithm_is_run_backwards_and_to_convergence():
    reversible, problem = mo.algorithms.reversible_momentum(0.05, 0.8), one_problem(0)
    wanted = [*reversible.parameters()] or [problem.y.requires_grad_()]
    grads = []
    for algorithm, strategy in ((reversible, mo.Backprop()), (Compiled(reversible, "eager"), mo.Reversible())):
        loss = mo.unroll(algorithm, 5, strategy)(problem).final.square().sum()
        grads.append(torch.autograd.grad(loss, wanted))
    torch.testing.assert_close(*grads, rtol=1e-9, atol=1e-11)
    descent = mo.Descent(mo.updates.Sgd(mo.shared(0.02)))
    problem = mo.InverseProblem(matrix(7), normal(0, 2, 4), 0.5)
    found = mo.solve(Compiled(descent, "eager"), problem, 3000)
    assert found.report.converged
    torch.testing.assert_close(found.final, mo.solve(descent, problem, 3000).final, rtol=1e-12, atol=1e-12)
    with pytest.raises(mo.MetaoptError, match="Descent has no inverse_step and cannot be run backwards; use Check"):
        mo.unroll(Compiled(descent, "eager"), 3, mo.Reversible())(one_problem(0)).final.sum().backward()


def test_the_residual_of_a_compiled_algorithm_is_its_own():
    graph = loopy(0)
    propagation = mo.BeliefPropagation(damping=0.3)
    assert hasattr(propagation, "residual")
    assert hasattr(Compiled(propagation, "eager"), "residual")
    assert not hasattr(Compiled(mo.Descent(mo.updates.Sgd(0.1)), "eager"), "residual")
    expected, found = (mo.solve(a, graph, 200).report for a in (propagation, Compiled(propagation, "eager")))
    assert (expected.steps, expected.residual) == (found.steps, found.residual)


@pytest.mark.slow
def test_inductor_compiles_the_step():
    torch._dynamo.reset()
    algorithm, problem = opened_descent(4), one_problem(0)
    wanted = [p for p in algorithm.parameters() if p.requires_grad]
    runs = [mo.unroll(a, 4)(problem).final for a in (algorithm, Compiled(algorithm))]
    torch.testing.assert_close(*runs, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(*(torch.autograd.grad(r.square().sum(), wanted) for r in runs), rtol=1e-10, atol=1e-12)


class Assigning(nn.Module):
    """It assigns what it computes to itself, in a ``place``, and adds it in its next call."""

    def __init__(self, place: str):
        super().__init__()
        self.layer, self.place = nn.Linear(3, 3, dtype=torch.float64), place
        self.last: Any = None
        self.all: list[Tensor] = []
        self.named: dict[str, Tensor] = {}
        self.register_buffer("kept", torch.zeros(3, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.layer(x)) + self.kept
        y = y + sum(self.all) + self.named.get("last", 0) + (0 if self.last is None else self.last)
        if self.place == "attribute":
            self.last = y
        elif self.place == "buffer":
            self.kept = y
        elif self.place == "list":
            self.all.append(y)
        else:
            self.named["last"] = y
        return y


@pytest.mark.parametrize("place", ["attribute", "buffer", "list", "dict"])
@pytest.mark.parametrize("called", ["module", "method", "closure"])
def test_a_network_that_assigns_tensors_to_itself_is_left_as_it_was(place: str, called: str) -> None:
    """Within a run it goes on from them; afterwards torch could not read what vmap mapped."""
    net, x = Assigning(place), normal(0, 4, 3)

    def twice(x: Tensor) -> Tensor:
        return net(x) + net(x)

    pair = nn.Sequential(net, net)
    expected = torch.stack([copy.deepcopy(pair)(row) for row in x])
    function = {"module": pair, "method": pair.forward, "closure": twice}[called]
    first = mo.vmap(function)(x)
    assert (net.last, net.all, net.named, net.kept.tolist()) == (None, [], {}, [0.0] * 3)
    torch.testing.assert_close(mo.vmap(function)(x), first, rtol=0, atol=0)
    if called != "closure":
        torch.testing.assert_close(first, expected)
    assert net(x[0]).shape == (3,)
