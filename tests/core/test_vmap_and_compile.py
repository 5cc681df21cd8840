"""Many problems at once by vmap, and a compiled step."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

import metaopt as mo
from metaopt import tree

from ..helpers import matrix, normal, picture_problem, rim_cell, seeded

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


class Compiled(mo.Algorithm):
    """``algorithm`` with its step compiled; copies and pickles compile again when they first run."""

    def __init__(self, algorithm: mo.Algorithm, backend: str | Callable[..., Any] = "inductor"):
        super().__init__()
        self.algorithm, self._backend = algorithm, backend
        # The class's function, not the bound method: strategies step shadows of the algorithm, with other tensors.
        self._step = torch.compile(type(algorithm).step, backend=backend)

    def __reduce__(self) -> Any:
        return Compiled, (self.algorithm, self._backend)

    def init(self, problem: Any) -> Any:
        return self.algorithm.init(problem)

    def step(self, problem: Any, state: Any, k: int) -> Any:
        return self._step(self.algorithm, problem, state, k)

    def readout(self, problem: Any, state: Any, k: int) -> Any:
        return self.algorithm.readout(problem, state, k)


STEPS = 16


@dataclass(frozen=True)
class Case:
    build: Callable[[], mo.Algorithm]
    problem: Callable[[], Any]
    graphs: int = 2


CASES = {
    "a number per step": Case(
        lambda: mo.parameterize(mo.Descent(mo.updates.Sgd(0.05)), {"update.step_size": mo.per_step(STEPS)}),
        lambda: one_problem(0),
    ),
    # The first velocity hangs on nothing that is learned, the second does: at k = 1 the state begins to require grad.
    "a number per step, and memory": Case(lambda: opened_descent(STEPS), lambda: one_problem(0), graphs=3),
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
}


@pytest.mark.parametrize("strategy", [mo.Backprop(), mo.Checkpointed()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("name", CASES)
def test_a_compiled_step_is_the_step_in_few_graphs(name, strategy):
    """One graph for k = 0, which dynamo takes for a constant, and one for all other k, however many there are."""
    torch._dynamo.reset()
    graphs = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph

    case = CASES[name]
    algorithm, problem = case.build(), case.problem()
    wanted = [p for p in algorithm.parameters() if p.requires_grad]
    runs = [mo.unroll(a, STEPS, strategy)(problem).final for a in (algorithm, Compiled(algorithm, backend))]
    torch.testing.assert_close(*runs, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(*(torch.autograd.grad(r.square().sum(), wanted) for r in runs), rtol=1e-11, atol=1e-12)
    if isinstance(strategy, mo.Backprop) or not torch.__version__.startswith("2.6."):
        assert len(graphs) == case.graphs  # torch 2.6 compiles once more for every segment of Checkpointed


def test_a_compiled_algorithm_copies_and_pickles():
    algorithm, problem = opened_descent(3), one_problem(0)
    compiled = Compiled(algorithm, "eager")
    expected = mo.unroll(algorithm, 3)(problem).final
    for other in (compiled, copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
        torch.testing.assert_close(mo.unroll(other, 3)(problem).final, expected, rtol=1e-13, atol=1e-13)
    opened = mo.parameterize(compiled, {"algorithm.update.momentum": mo.shared()})
    mo.unroll(opened, 3)(problem).final.sum().backward()
    assert opened.algorithm.update(0).momentum.value.grad.abs() > 0


@pytest.mark.slow
def test_inductor_compiles_the_step():
    torch._dynamo.reset()
    algorithm, problem = opened_descent(4), one_problem(0)
    wanted = [p for p in algorithm.parameters() if p.requires_grad]
    runs = [mo.unroll(a, 4)(problem).final for a in (algorithm, Compiled(algorithm))]
    torch.testing.assert_close(*runs, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(*(torch.autograd.grad(r.square().sum(), wanted) for r in runs), rtol=1e-10, atol=1e-12)
