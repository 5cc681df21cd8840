"""Running: unrolled, continued, to convergence, and around three functions."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import metaopt as mo
from metaopt import tree

from ..helpers import normal

few = settings(deadline=None, max_examples=20)


def newton_init(problem: Tensor) -> Tensor:
    return torch.ones_like(problem)


def newton_step(problem: Tensor, state: Tensor, k: int, damping: Tensor) -> Tensor:
    """Heron's iteration for the square root."""
    return state + damping * ((state + problem / state) / 2 - state)


def heron(damping: object = 1.0) -> mo.Algorithm:
    return mo.Algorithm.from_step(newton_step, newton_init, slots={"damping": damping})


def by_hand(problem: Tensor, steps: int, damping: list[float]) -> list[Tensor]:
    x, path = torch.ones_like(problem), []
    for k in range(steps):
        x = (1 - damping[k]) * x + damping[k] * (x + problem / x) / 2
        path.append(x)
    return path or [x]


@few
@given(st.integers(0, 7), st.integers(1, 4), st.sampled_from(["all", "last"]))
def test_a_wrapped_solver_is_the_loop_by_hand(steps, batch, keep):
    problem = normal(0, batch).abs() + 0.5
    damping = [0.5 + 0.1 * k for k in range(8)]
    trajectory = mo.unroll(heron(mo.per_step(8, damping)), steps, keep=keep)(problem)
    expected = by_hand(problem, steps, damping)
    assert len(trajectory.outputs) == (max(steps, 1) if keep == "all" else 1)
    for got, want in zip(trajectory.outputs, expected if keep == "all" else expected[-1:], strict=True):
        torch.testing.assert_close(got, want, rtol=1e-13, atol=0)
    assert trajectory.final is trajectory.outputs[-1]
    assert torch.equal(trajectory.state, trajectory.final)
    assert (trajectory.stop, trajectory.report.steps, trajectory.report.converged) == (steps, steps, None)


@few
@given(st.lists(st.integers(0, 3), min_size=1, max_size=4))
def test_any_pieces_continue_to_the_whole(pieces):
    problem, net = normal(0, 3).abs() + 0.5, mo.unroll(heron(mo.per_step(12, [0.1 * k for k in range(12)])), 12)
    state, stop = None, 0
    for steps in pieces:
        part = net(problem, state=state, start=stop, steps=steps)
        state, stop = part.state, part.stop
    assert stop == sum(pieces)
    assert torch.equal(state, net(problem, steps=stop).state)


def test_a_call_may_ask_for_other_steps_than_the_unrolling():
    problem, net = normal(0, 3).abs() + 0.5, mo.unroll(heron(), 2)
    assert torch.equal(net(problem, steps=6).final, mo.unroll(heron(), 6)(problem).final)
    assert net.steps == 2
    assert "steps=2" in repr(net)
    assert "Backprop()" in repr(net)


def test_slots_of_a_wrapped_solver_are_slots():
    opened = mo.parameterize(heron(), {"damping": mo.per_step(3, positive=True)})
    problem = normal(0, 3).abs() + 0.5
    assert torch.equal(mo.unroll(opened, 3)(problem).final, mo.unroll(heron(), 3)(problem).final)
    for other in (copy.deepcopy(opened), pickle.loads(pickle.dumps(opened))):
        assert torch.equal(mo.unroll(other, 3)(problem).final, mo.unroll(opened, 3)(problem).final)
    mo.unroll(opened, 3)(problem).final.sum().backward()
    assert opened.damping.raw.grad.abs().min() > 0


def test_a_slot_may_have_the_name_of_a_method():
    landweber = mo.Algorithm.from_step(
        lambda problem, state, k, step, init: state + step * (init(problem) - state),
        torch.zeros_like,
        lambda problem, state, k: -state,
        slots={"step": mo.shared(0.5), "init": nn.Identity()},
    )
    problem = normal(0, 3)
    torch.testing.assert_close(mo.unroll(landweber, 3)(problem).final, -(1 - 0.5**3) * problem)
    assert sorted(mo.slots(landweber)) == ["init", "step"]


def test_solve_stops_and_reports():
    problem = torch.tensor([2.0, 9.0, 0.25], dtype=torch.float64, requires_grad=True)
    found = mo.solve(heron(mo.shared(1.0)), problem, max_steps=100)
    torch.testing.assert_close(found.final, problem.detach().sqrt())
    assert not found.final.requires_grad
    assert found.report.converged
    assert found.report.steps == found.stop < 12
    path = by_hand(problem.detach(), 12, [1.0] * 12)
    changes = [float(((b - a) / b).abs().max()) for a, b in zip([torch.ones(3), *path], path, strict=False)]
    assert found.report.steps == next(i + 1 for i, change in enumerate(changes) if change <= 1e-6)
    assert found.report.residual == pytest.approx(changes[found.report.steps - 1], abs=1e-9)


def test_solve_says_when_it_did_not_converge():
    found = mo.solve(heron(), torch.tensor([1e6]), max_steps=3)
    assert (found.report.status, found.report.steps, len(found.outputs)) == (mo.Status.OUT_OF_STEPS, 3, 1)
    assert not found.report.converged
    assert found.report.residual > 1e-6
    nothing = mo.solve(heron(), torch.tensor([4.0]), max_steps=0)
    assert (nothing.report.steps, nothing.report.residual, float(nothing.final)) == (0, None, 1.0)


def test_solve_stops_by_the_rule_it_is_given():
    seen = []

    def until(problem: Tensor, before: Tensor, after: Tensor) -> bool:
        seen.append((float(before), float(after)))
        return bool((after**2 - problem).abs().max() < 0.1)

    found = mo.solve(heron(), torch.tensor([9.0], dtype=torch.float64), max_steps=50, until=until)
    assert abs(float(found.final) ** 2 - 9) < 0.1
    assert [pair[0] for pair in seen[1:]] == [pair[1] for pair in seen[:-1]]
    assert len(seen) == found.report.steps


class Shaped(NamedTuple):
    x: Tensor


class Growing(mo.Algorithm):
    """A faulty algorithm whose state changes its dtype at step 2."""

    def init(self, problem):
        return Shaped(problem)

    def step(self, problem, state, k):
        return Shaped(state.x.double() if k == 2 else state.x)

    def readout(self, problem, state, k):
        return state.x


def test_a_state_that_changes_is_refused_with_its_step():
    sentence = r"step of Growing changed state.x from \(2,\) float32 to \(2,\) float64 at k=2\."
    for run in (
        mo.unroll(Growing(), 4),
        mo.unroll(Growing(), 4, mo.Checkpointed()),
        mo.unroll(Growing(), 4, mo.Truncated(1)),
    ):
        with pytest.raises(mo.MetaoptError, match=sentence):
            run(torch.ones(2))
    with pytest.raises(mo.MetaoptError, match=sentence):
        mo.solve(Growing(), torch.ones(2), 4, until=lambda *_: False)


REFUSED = {
    "whole number of at least 0, but got -1": lambda: mo.unroll(heron(), -1),
    "steps to be a whole number, but got 2.0": lambda: mo.unroll(heron(), 2.0),  # type: ignore[arg-type]
    "steps to be a whole number, but got True": lambda: mo.unroll(heron(), True),
    "whole number of at least 0, but got '3'": lambda: mo.unroll(heron(), 1)(torch.ones(1), steps="3"),  # type: ignore
    "at least 0, but got -2": lambda: mo.solve(heron(), torch.ones(1), -2),
    "keep to be 'all' or 'last', but got 'first'": lambda: mo.unroll(heron(), 1, keep="first"),  # type: ignore[arg-type]
    "needs an Algorithm, not Linear; see Algorithm.from_step": lambda: mo.unroll(nn.Linear(1, 1), 1),  # type: ignore
    "needs every >= 1, but got 0": lambda: mo.Checkpointed(every=0),
    "needs last >= 1, but got 0": lambda: mo.Truncated(last=0),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_running_refuses(sentence):
    with pytest.raises(mo.MetaoptError, match=sentence):
        REFUSED[sentence]()


def test_an_algorithm_has_three_methods():
    with pytest.raises(TypeError, match="abstract"):
        mo.Algorithm()  # type: ignore[abstract]


def test_training_the_slots_of_a_solver_makes_it_better():
    """The recipe end to end: a truncated iteration, opened, learns to end where the long one does."""
    problem = torch.linspace(1, 50, 20, dtype=torch.float64)
    opened = mo.parameterize(heron(), {"damping": mo.per_step(3, positive=True)})
    net, optimizer = mo.unroll(opened, 3, keep="last"), torch.optim.Adam(opened.parameters(), 0.05)

    def error() -> Tensor:
        return ((net(problem).final - problem.sqrt()) ** 2).mean()

    before = error().item()
    for _ in range(60):
        optimizer.zero_grad()
        error().backward()
        optimizer.step()
    assert error().item() < before / 10
    assert not any(p.requires_grad for p in tree.leaves(heron()))


def test_writing_into_what_a_run_was_given_or_has_kept_is_a_sentence():
    """In-place steps, readouts into one buffer, and readouts that change the state that goes on."""
    buffer = torch.zeros(3)
    start = torch.ones(3, requires_grad=True)
    cases = [
        (lambda p, x, k: x.mul_(0.5), lambda p: p, None, torch.ones(3), "wrote into the state it was given at k=0"),
        (lambda p, x, k: x.mul_(0.5), lambda p: p, None, start, "wrote into what it was given at k=0"),
        (lambda p, x, k: x + p.mul_(0.5), lambda p: p.clone(), None, torch.ones(3), "The run wrote into the problem"),
        (lambda p, x, k: x / 2, lambda p: p, lambda p, x, k: buffer.copy_(x), torch.ones(3), "into the readout"),
        (lambda p, x, k: x / 2, lambda p: p, lambda p, x, k: x.mul_(3), torch.ones(3), "The run wrote into the state"),
    ]
    for step, init, readout, problem, words in cases:
        options = {} if readout is None else {"readout": readout}
        with pytest.raises(mo.MetaoptError, match=words):
            mo.unroll(mo.Algorithm.from_step(step, init, **options), 3)(problem)


@pytest.mark.parametrize(
    "spoil",
    [
        tuple,
        lambda s: s.x,
        lambda s: s._replace(x=s.x[:, :2]),
        lambda s: s._replace(x=s.x > 0),
        lambda s: s._replace(x=None),
        lambda s: s._replace(memory=()),
        lambda s: s._asdict(),
        lambda s: "state",
        lambda s: s.x.numpy(),
    ],
    ids=["tuple", "tensor", "shape", "bools", "nothing", "no memory", "dict", "text", "array"],
)
def test_a_state_of_another_problem_or_algorithm_is_named(spoil: Callable[[Any], Any]) -> None:
    problem = mo.InverseProblem(mo.operators.Dense(torch.eye(3)), torch.ones(1, 3), 0.1)
    descent = mo.Descent(mo.updates.Adam(0.01))
    state = mo.unroll(descent, 1)(problem).state
    mo.unroll(descent, 1)(problem, state=state)
    runs = {
        "unrolled": lambda: mo.unroll(descent, 2)(problem, state=spoil(state)),
        "checkpointed": lambda: mo.unroll(descent, 2, mo.Checkpointed())(problem, state=spoil(state)),
        "solved": lambda: mo.solve(descent, problem, 2, state=spoil(state)),
    }
    for run in runs.values():
        with pytest.raises(mo.MetaoptError, match=r"state of Descent to start from holds DescentState, \(1, 3\)"):
            run()
