"""Gradient strategies: Backprop's gradient with less memory, or a refusal in one sentence."""

from __future__ import annotations

import warnings
import weakref
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import metaopt as mo
from metaopt.core.gradients import Gcr, GradientStrategy

from ..cases.problems import dense_problem, picture_problem
from ..helpers import gradients, matrix, normal, seeded, tensors_close

few = settings(deadline=None, max_examples=20)
D = torch.float64


class Relax(mo.Algorithm[Any, Any, Tensor]):
    """x <- x - step (x - problem) from x = problem + shift: a line whose every derivative is known."""

    def __init__(self, step: Any):
        super().__init__()
        self.rate = mo.slot(step)

    def init(self, problem: Tensor) -> Tensor:
        return problem

    def step(self, problem: Tensor, state: Tensor, k: int) -> Tensor:
        return state - self.rate(k) * (state**2 - problem)

    def readout(self, problem: Tensor, state: Tensor, k: int) -> Tensor:
        return state


@dataclass(frozen=True, eq=False)
class Linear:
    """x = M x + c."""

    matrix: Tensor
    offset: Tensor


class LinearIteration(mo.Algorithm[Linear, Tensor, Tensor]):
    """x <- M x + c, from the solution if ``exact``."""

    def __init__(self, exact: bool = False):
        super().__init__()
        self.exact = exact

    def init(self, problem: Linear) -> Tensor:
        return solution(problem).detach() if self.exact else torch.zeros_like(problem.offset)

    def step(self, problem: Linear, state: Tensor, k: int) -> Tensor:
        return problem.matrix @ state + problem.offset

    def readout(self, problem: Linear, state: Tensor, k: int) -> Tensor:
        return state


def solution(problem: Linear) -> Tensor:
    identity = torch.eye(len(problem.offset), dtype=problem.offset.dtype)
    return torch.linalg.solve(identity - problem.matrix, problem.offset)


def untied_irim(steps: int) -> mo.Algorithm:
    """An invertible RIM whose steps differ."""
    names = {name: mo.per_step(steps) for name in ("read", "mix", "write")}
    algorithm = mo.parameterize(seeded(lambda: mo.models.irim(hidden=4, layers=2).algorithm), names)
    with torch.no_grad():
        for i, parameter in enumerate(algorithm.parameters()):
            parameter.add_(0.1 * normal(i, *parameter.shape))
    return algorithm


def descent(steps: int | None = None) -> mo.Algorithm:
    opening = mo.shared(0.05) if steps is None else mo.per_step(steps, 0.05)
    return mo.Descent(mo.updates.Sgd(opening))


def function_problem() -> mo.FunctionObjective:
    """A problem that differentiates inside the step, from a start that needs no gradient."""
    return mo.FunctionObjective(coupled_energy, normal(0, 6), (matrix(7), normal(1, 4)))


def coupled_energy(x: Tensor, a: Tensor, y: Tensor) -> Tensor:
    return ((a @ torch.tanh(x) - y) ** 2).sum() / 2 + (x**4).sum() / 40


def final_gradients(net: mo.Unrolled, problem: Any, wanted: list[Tensor]) -> list[Tensor]:
    grads = torch.autograd.grad((net(problem).final ** 2).sum(), wanted, allow_unused=True)
    return [torch.zeros_like(w) if g is None else g for w, g in zip(wanted, grads, strict=True)]


@few
@given(st.integers(1, 7), st.integers(1, 9))
def test_checkpointed_is_backprop_for_any_lengths(steps, every):
    algorithm, problem = descent(steps), function_problem()
    expected = gradients(algorithm, problem, steps)
    tensors_close(gradients(algorithm, problem, steps, mo.Checkpointed(every)), expected, 1e-12)


STEPWISE = [mo.Checkpointed(), mo.Checkpointed(3), mo.Reversible()]


@pytest.mark.parametrize("strategy", STEPWISE, ids=str)
@pytest.mark.parametrize("step", range(4))
def test_a_loss_at_any_one_step_is_the_loss_of_a_shorter_run(strategy, step):
    algorithm, problem = untied_irim(4), picture_problem(0, 5, 4)
    parameters = list(algorithm.parameters())

    def grads(output: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad((output**2).sum(), parameters, allow_unused=True, materialize_grads=True)

    expected = grads(mo.unroll(algorithm, step + 1)(problem).final)
    tensors_close(grads(mo.unroll(algorithm, 4, strategy)(problem).outputs[step]), expected, 1e-9)


@pytest.mark.parametrize("strategy", STEPWISE, ids=str)
def test_the_final_state_carries_gradients_too(strategy):
    algorithm, problem = untied_irim(3), picture_problem(0, 5, 4)
    grads = []
    for chosen in (mo.Backprop(), strategy):
        head = mo.unroll(algorithm, 3, chosen)(problem, steps=2)
        tail = mo.unroll(algorithm, 3, chosen)(problem, state=head.state, start=head.stop, steps=1)
        loss = (tail.final**2).sum() + (head.state.memory**3).sum() + (head.outputs[0] ** 2).sum()
        grads.append(torch.autograd.grad(loss, list(algorithm.parameters())))
    tensors_close(grads[1], grads[0], 1e-9)


@pytest.mark.parametrize("strategy", [*STEPWISE, mo.Truncated(2)], ids=str)
@pytest.mark.parametrize("keep", ["all", "last"])
def test_no_step_at_all_reads_out_the_start(strategy, keep):
    a, y = matrix(7), normal(0, 3, 4).requires_grad_()
    run = mo.unroll(mo.algorithms.reversible_momentum(0.1, 0.5), 0, strategy, keep)(mo.InverseProblem(a, y))
    assert len(run.outputs) == 1
    assert (run.stop, run.report.steps) == (0, 0)
    torch.testing.assert_close(run.final, y @ a)
    torch.testing.assert_close(torch.autograd.grad(run.final.sum(), y)[0], a.sum(1).expand(3, 4))
    with pytest.raises(mo.MetaoptError, match="Implicit needs at least one step"):
        mo.unroll(descent(), 0, mo.Implicit())(dense_problem(0))


ALL = [mo.Backprop(), mo.Truncated(2), *STEPWISE]


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_the_last_readout_alone_has_the_same_gradient(strategy):
    algorithm, problem = untied_irim(4), picture_problem(0, 5, 4)
    grads = []
    for keep in ("all", "last"):
        run = mo.unroll(algorithm, 4, strategy, keep)(problem)
        assert len(run.outputs) == (4 if keep == "all" else 1)
        torch.testing.assert_close(run.final, run.state.x, rtol=0, atol=0)
        grads.append(torch.autograd.grad((run.final**2).sum(), list(algorithm.parameters())))
    tensors_close(grads[1], grads[0], 1e-12)


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_nothing_to_differentiate_leaves_no_graph(strategy):
    for algorithm, problem in (
        (mo.algorithms.reversible_momentum(0.05, 0.8), dense_problem(0)),
        (mo.Descent(mo.updates.Sgd(0.1)), function_problem()),  # differentiates inside the step
    ):
        if isinstance(strategy, mo.Reversible) and isinstance(algorithm, mo.Descent):
            continue
        run = mo.unroll(algorithm, 4, strategy)(problem)
        assert not any(t.requires_grad for t in mo.tree.leaves((run.outputs, run.state)))
        learned = mo.parameterize(algorithm, {name: mo.shared() for name in mo.slots(algorithm) if "." in name})
        with torch.no_grad():
            again = mo.unroll(learned, 4, strategy)(problem)
        assert not again.final.requires_grad
        assert torch.equal(again.final, run.final)


@pytest.mark.parametrize("strategy", [mo.Backprop(), mo.Checkpointed(2), mo.Truncated(6)], ids=str)
def test_a_state_that_is_the_problem_gets_both_gradients(strategy):
    """init returns the very tensor of the problem; d x_T / d y by forward differences of the recursion itself."""
    y, rate = (normal(0, 3).abs() + 0.2).requires_grad_(), 0.3
    got = torch.autograd.grad(mo.unroll(Relax(rate), 6, strategy)(y).final.sum(), y)[0]
    x, slope = y.detach(), torch.ones(3, dtype=D)
    for _ in range(6):
        x, slope = x - rate * (x**2 - y.detach()), slope - rate * (2 * x * slope - 1)
    torch.testing.assert_close(got, slope)


# Captured tensors.


def with_captured(tensor: Tensor) -> mo.Algorithm:
    """A contraction that uses a tensor which is neither in a slot nor in the problem."""
    base = mo.algorithms.reversible_momentum(0.1, 0.5)

    class Capturing(mo.Algorithm):
        def __init__(self):
            super().__init__()
            self.inner = base

        def init(self, problem):
            return base.init(problem)

        def step(self, problem, state, k):
            after = base.step(problem, state, k)
            return after._replace(memory=after.memory + 0 * tensor, x=after.x + 0.1 * tensor)

        def inverse_step(self, problem, state, k):
            return base.inverse_step(problem, state._replace(x=state.x - 0.1 * tensor), k)

        def readout(self, problem, state, k):
            return state.x

    return Capturing()


@pytest.mark.parametrize("opened", [True, False], ids=["with parameters", "without"])
@pytest.mark.parametrize("strategy", [mo.Checkpointed(2), mo.Checkpointed(4), mo.Reversible()], ids=str)
def test_a_captured_tensor_is_refused_where_it_would_get_no_gradient(strategy, opened):
    captured, problem = normal(3, 3).requires_grad_(), mo.InverseProblem(matrix(7, 8, 3), normal(0, 3, 8))
    algorithm = with_captured(captured)
    if opened:
        algorithm = mo.parameterize(algorithm, {})
        algorithm.inner = mo.parameterize(mo.algorithms.reversible_momentum(0.1, 0.5), {"read.factor": mo.shared()})
        problem = mo.InverseProblem(matrix(7, 8, 3), normal(0, 3, 8).requires_grad_())
    sentence = (
        r"they use a tensor \(3,\) float64 that requires grad but is neither a parameter .* nor part of the problem"
    )
    with pytest.raises(mo.MetaoptError, match=f"{type(strategy).__name__} recomputes its steps, and {sentence}"):
        mo.unroll(algorithm, 4, strategy)(problem).final.sum().backward()
    with torch.no_grad():
        mo.unroll(algorithm, 4, strategy)(problem)


def test_a_captured_tensor_is_right_under_backprop_and_implicit():
    captured = normal(3, 3).requires_grad_()
    problem = Linear(0.4 * torch.eye(3, dtype=D), normal(0, 3))
    algorithm = mo.Algorithm.from_step(
        lambda p, x, k: p.matrix @ x + p.offset * captured, lambda p: torch.zeros_like(p.offset)
    )
    for strategy in (mo.Backprop(), mo.Implicit(tolerance=1e-12)):
        final = mo.unroll(algorithm, 80, strategy)(problem).final
        torch.testing.assert_close(torch.autograd.grad(final.sum(), captured)[0], problem.offset / 0.6)


# Steps that differentiate, and memory.


class Ledger:
    """Bytes that the autograd graph has saved, now and at most: what a strategy's memory is made of."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def __enter__(self) -> Ledger:
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda box: box.tensor)
        self._hooks.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._hooks.__exit__(*exception)

    def _pack(self, tensor: Tensor) -> Any:
        box = _Box(tensor.detach())  # not the tensor, whose graph would hold the box: a circle
        size = tensor.numel() * tensor.element_size()
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(box, self._release, size)
        return box

    def _release(self, size: int) -> None:
        self.now -= size


class _Box:
    def __init__(self, tensor: Tensor):
        self.tensor = tensor


def saved_at_most(algorithm: mo.Algorithm, problem: Any, steps: int, strategy: GradientStrategy) -> int:
    with Ledger() as ledger:
        mo.unroll(algorithm, steps, strategy, keep="last")(problem).final.sum().backward()
    return ledger.most


def test_checkpointed_saves_memory_though_the_step_differentiates():
    problem = function_problem()
    full, checkpointed = (saved_at_most(descent(), problem, 64, s) for s in (mo.Backprop(), mo.Checkpointed()))
    assert checkpointed < 0.3 * full
    assert saved_at_most(descent(), problem, 16, mo.Backprop()) < 0.3 * full, "the measure grows with the steps"
    assert saved_at_most(descent(), problem, 64, mo.Checkpointed(64)) > 0.9 * full
    tensors_close(gradients(descent(), problem, 64, mo.Checkpointed()), gradients(descent(), problem, 64), 1e-11)


@pytest.mark.parametrize("name", ["reversible", "implicit", "truncated"])
def test_memory_does_not_grow_with_the_steps(name):
    if name == "reversible":
        algorithm, problem, strategy = (
            seeded(lambda: mo.models.irim(hidden=4).algorithm),
            picture_problem(0, 6, 5),
            mo.Reversible(),
        )
    elif name == "implicit":
        algorithm, problem, strategy = descent(), function_problem(), mo.Implicit(tolerance=1e-300, absolute=0)
    else:
        algorithm, problem, strategy = descent(), function_problem(), mo.Truncated(4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mo.MetaoptWarning)
        few, many = (saved_at_most(algorithm, problem, steps, strategy) for steps in (8, 32))
        assert many == few > 0
        assert saved_at_most(algorithm, problem, 32, mo.Backprop()) > 2 * many


def test_checkpointed_differentiates_twice_through_a_step_that_differentiates():
    problem, rate = function_problem(), torch.tensor(0.05, dtype=D, requires_grad=True)

    def loss(rate: Tensor, strategy: GradientStrategy) -> Tensor:
        net = mo.unroll(descent(), 5, strategy)
        [name] = [n for n, _ in net.named_parameters()]
        return (torch.func.functional_call(net, {name: rate}, (problem,)).final ** 2).sum()

    values = []
    for strategy in (mo.Backprop(), mo.Checkpointed(2)):
        [first] = torch.autograd.grad(loss(rate, strategy), rate, create_graph=True)
        [second] = torch.autograd.grad(first, rate)
        values.append((first.item(), second.item()))
    assert values[1] == pytest.approx(values[0], rel=1e-10)
    h = 1e-4
    at = [loss(rate.detach() + shift, mo.Backprop()).item() for shift in (-h, 0, h)]
    assert values[1][0] == pytest.approx((at[2] - at[0]) / (2 * h), rel=1e-5)
    assert values[1][1] == pytest.approx((at[2] - 2 * at[1] + at[0]) / h**2, rel=1e-3)


@pytest.mark.parametrize("strategy", [mo.Checkpointed(2), mo.Reversible(), mo.Implicit(tolerance=1e-12)], ids=str)
def test_functional_call_sends_gradients_to_the_tensors_put_in(strategy):
    """The parameters are swapped back before the backward pass runs."""
    algorithm = mo.parameterize(
        mo.algorithms.reversible_momentum(0.2, 0.5), {"read.factor": mo.shared(), "mix.factor": mo.shared()}
    )
    net = mo.unroll(algorithm, 200 if isinstance(strategy, mo.Implicit) else 5, strategy)
    problem = mo.InverseProblem(matrix(7, 8, 3), normal(0, 3, 8))
    swapped = {n: (p.detach() * 1.1).requires_grad_() for n, p in net.named_parameters()}

    def grads(strategy: GradientStrategy) -> tuple[Tensor, ...]:
        run = torch.func.functional_call(mo.unroll(algorithm, net.steps, strategy), swapped, (problem,))
        return torch.autograd.grad((run.state.memory + run.final).pow(2).sum(), list(swapped.values()))

    tensors_close(grads(strategy), grads(mo.Backprop()), 1e-7)


# Truncated.


@few
@given(st.integers(1, 6), st.integers(1, 8))
def test_truncated_is_a_restart_from_a_detached_state(steps, last):
    algorithm, problem = descent(steps), function_problem()
    parameters = list(algorithm.parameters())
    run = mo.unroll(algorithm, steps, mo.Truncated(last))(problem)
    split = max(0, steps - last)
    head = mo.unroll(algorithm, steps)(problem, steps=split)
    state = mo.tree.detach(head.state) if split else None
    tail = mo.unroll(algorithm, steps)(problem, state=state, start=split, steps=steps - split)
    assert [o.requires_grad for o in run.outputs] == [False] * split + [True] * (steps - split)
    assert all(
        torch.equal(a, b) for a, b in zip(run.outputs, mo.unroll(algorithm, steps)(problem).outputs, strict=True)
    )
    grads = [torch.autograd.grad(r.final.sum(), parameters)[0] for r in (run, tail)]
    torch.testing.assert_close(*grads, rtol=1e-13, atol=0)
    assert torch.equal(grads[0][:split], torch.zeros(split, dtype=D))


# Reversible.


def test_untied_invertible_steps_are_undone_exactly():
    algorithm, problem = untied_irim(5), picture_problem(0, 5, 4)
    with torch.no_grad():
        path = [algorithm.init(problem)]
        for k in range(5):
            path.append(algorithm.step(problem, path[-1], k))
        state = path[-1]
        for k in reversed(range(5)):
            state = algorithm.inverse_step(problem, state, k)
            tensors_close(state, path[k], 1e-9)
    net = mo.unroll(algorithm, 5, mo.Reversible())
    expected = gradients(algorithm, problem, 5)
    tensors_close(gradients(algorithm, problem, 5, mo.Reversible()), expected, 1e-8)
    run = net(problem)
    run.final.sum().backward()
    assert run.report.backward_residual < 1e-8


def test_a_step_that_is_another_where_a_graph_is_recorded_is_found_out_on_the_way_back() -> None:
    class Moody(mo.Algorithm[Tensor, Tensor, Tensor]):
        def __init__(self) -> None:
            super().__init__()
            self.rate = mo.slot(mo.shared(0.5))

        def init(self, problem: Tensor) -> Tensor:
            return torch.ones_like(problem)

        def change(self, problem: Tensor, k: int) -> Tensor:
            change = self.rate(k) * problem
            return 3 * change if change.requires_grad else change

        def step(self, problem: Tensor, state: Tensor, k: int) -> Tensor:
            return state + self.change(problem, k)

        def inverse_step(self, problem: Tensor, next_state: Tensor, k: int) -> Tensor:
            return next_state - self.change(problem, k)

        def readout(self, problem: Tensor, state: Tensor, k: int) -> Tensor:
            return state

    final = mo.unroll(Moody(), 3, mo.Reversible())(normal(1, 4)).final
    with pytest.warns(mo.MetaoptWarning, match="another where a graph is recorded"):
        final.sum().backward()


def test_an_inverse_that_takes_the_steps_in_the_wrong_order_is_found_out():
    """The published i-RIM undid untied steps with the networks of other steps: error 1.95."""
    right = untied_irim(5)

    class Wrong(mo.Algorithm):
        def __init__(self):
            super().__init__()
            self.right = right

        def init(self, problem):
            return right.init(problem)

        def step(self, problem, state, k):
            return self.right.step(problem, state, k)

        def inverse_step(self, problem, next_state, k):
            return self.right.inverse_step(problem, next_state, 4 - k)

        def readout(self, problem, state, k):
            return state.x

    run = mo.unroll(Wrong(), 5, mo.Reversible())(picture_problem(0, 5, 4))
    with pytest.warns(mo.MetaoptWarning, match="walking back 5 steps missed the initial state"):
        run.final.sum().backward()
    assert run.report.backward_residual > 1e-2


def test_the_drift_of_a_long_run_in_single_precision_is_told():
    algorithm = mo.parameterize(mo.algorithms.reversible_momentum(0.05, 0.5), {"read.factor": mo.shared()})
    problem = dense_problem(0)
    double = mo.unroll(algorithm, 15, mo.Reversible())(problem)
    double.final.sum().backward()  # every warning is an error here
    assert double.report.backward_residual < 1e-9
    single = mo.unroll(algorithm.float(), 60, mo.Reversible())(mo.tree.to(problem, dtype=torch.float32))
    with pytest.warns(mo.MetaoptWarning, match=r"60 steps missed .* use float64, fewer steps, or Checkpointed\(\)"):
        single.final.sum().backward()
    assert single.report.backward_residual > 1e-2


def test_reversible_refuses_what_it_cannot_do():
    with pytest.raises(mo.MetaoptError) as error:
        mo.unroll(descent(), 2, mo.Reversible())(dense_problem(0))
    assert str(error.value) == (
        "Reversible gradients need inverse_step(problem, next_state, k), but Descent has none; write it, or use "
        "Checkpointed(), which needs nothing and keeps sqrt(T) states."
    )


@pytest.mark.parametrize("strategy", [mo.Reversible(), mo.Implicit()], ids=str)
def test_second_derivatives_are_refused_by_those_that_have_first_ones_only(strategy):
    algorithm = mo.parameterize(mo.algorithms.reversible_momentum(0.2, 0.5), {"read.factor": mo.shared()})
    final = mo.unroll(algorithm, 100, strategy)(mo.InverseProblem(matrix(7, 8, 3), normal(0, 3, 8), 1.0)).final
    sentence = f"{type(strategy).__name__} gives first derivatives only; for create_graph=True use Checkpointed"
    with pytest.raises(mo.MetaoptError, match=sentence):
        torch.autograd.grad(final.sum(), list(algorithm.parameters()), create_graph=True)


class Drawing(mo.Algorithm):
    """A step that draws from the global generator, or updates running statistics, as other people's networks do."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 4), layer).double()

    def init(self, problem: Tensor) -> Tensor:
        return problem

    def step(self, problem: Tensor, state: Tensor, k: int) -> Tensor:
        return problem + self.layers(state)

    def readout(self, problem: Tensor, state: Tensor, k: int) -> Tensor:
        return state


@pytest.mark.parametrize("every", [1, 2, 6])
def test_what_a_step_draws_from_the_global_generator_is_drawn_again(every: int) -> None:
    algorithm = Drawing(nn.Dropout(0.5))

    def grads(strategy: GradientStrategy) -> tuple[list[Tensor], Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            outputs = mo.unroll(algorithm, 6, strategy)(normal(0, 5, 4)).outputs
            torch.rand(7)  # what is drawn in between is none of the steps' business
            found = torch.autograd.grad(sum((x**2).sum() for x in outputs), list(algorithm.parameters()))
            return list(found), torch.get_rng_state()

    expected, state = grads(mo.Backprop())
    again, after = grads(mo.Checkpointed(every))
    tensors_close(again, expected, 1e-12)
    assert torch.equal(state, after), "the backward pass leaves the global generator where it was"


def test_steps_that_write_into_buffers_are_not_recomputed() -> None:
    net = mo.unroll(Drawing(nn.BatchNorm1d(4)), 4, mo.Checkpointed())
    with pytest.raises(mo.MetaoptError, match=r"step of Drawing writes into 'layers\.1\.running_mean', as BatchNorm"):
        net(normal(0, 5, 4))
    assert net.eval()(normal(0, 5, 4)).final.requires_grad


class Counting(mo.Algorithm):
    """A contraction with a step that differs each time it is taken, in one of the ways that other people's do."""

    def __init__(self, way: str):
        super().__init__()
        self.way, self.calls, self.rate = way, 0, nn.Parameter(torch.tensor(0.5, dtype=D))
        self.register_buffer("counted", torch.zeros((), dtype=D))
        self.stream, self.seen = torch.Generator().manual_seed(0), []

    def init(self, problem: Tensor) -> Tensor:
        return torch.zeros_like(problem)

    def noise(self, problem: Tensor) -> Any:
        if self.way == "number":
            self.calls += 1
            return 0.1 * self.calls
        if self.way == "buffer":
            self.counted = self.counted + 1
            return 0.1 * self.counted
        if self.way == "buffer in place":
            return 0.1 * self.counted.add_(1)
        if self.way == "problem":
            problem.mul_(0.9)
        if self.way == "list":
            self.seen.append(1)
            return 0.1 * len(self.seen)
        return 0.1 * torch.randn(problem.shape, dtype=D, generator=self.stream if self.way == "generator" else None)

    def step(self, problem: Tensor, state: Tensor, k: int) -> Tensor:
        return self.rate * state + problem + self.noise(problem)

    def inverse_step(self, problem: Tensor, next_state: Tensor, k: int) -> Tensor:
        return (next_state - problem - self.noise(problem)) / self.rate

    def readout(self, problem: Tensor, state: Tensor, k: int) -> Tensor:
        return state


SAID = {
    "number": "'calls'",
    "buffer": "'counted'",
    "buffer in place": "'counted'",
    "problem": "problem",
    "list": "'seen'",
    "generator": "'stream'",
    "global": "draws from a global generator",
}


@pytest.mark.parametrize(
    "strategy", [mo.Checkpointed(2), mo.Implicit(), mo.Reversible()], ids=lambda s: type(s).__name__
)
@pytest.mark.parametrize("way", SAID)
def test_a_step_that_cannot_be_repeated_is_named(way: str, strategy: GradientStrategy) -> None:
    if isinstance(strategy, mo.Checkpointed) and way == "global":
        pytest.skip("what is drawn from a global generator is drawn again")
    net = mo.unroll(Counting(way), 5, strategy)
    problem = normal(0, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mo.MetaoptWarning)  # a fixed point is not reached either
        with pytest.raises(mo.MetaoptError, match=SAID[way]):
            net(problem).final.sum().backward()


def test_a_plain_run_may_count_and_draw() -> None:
    for way in SAID:
        if way != "problem":
            assert mo.unroll(Counting(way), 3)(normal(0, 3)).final.requires_grad
    with pytest.raises(mo.MetaoptError, match="The run wrote into the problem"):
        mo.unroll(Counting("problem"), 3)(normal(0, 3))
    with pytest.raises(mo.MetaoptError, match="The run wrote into the problem"):
        mo.solve(Counting("problem"), normal(0, 3), 3)


# Implicit.


def test_implicit_gives_the_hypergradient_of_ridge_regression():
    a, y, penalty, target = (
        t.requires_grad_() for t in (matrix(7, 8, 3), normal(0, 8), torch.tensor(0.7, dtype=D), normal(1, 3))
    )

    def energy(x: Tensor, a: Tensor, y: Tensor, penalty: Tensor) -> Tensor:
        return ((a @ x - y) ** 2).sum() / 2 + penalty * (x**2).sum() / 2

    problem = mo.FunctionObjective(energy, torch.zeros(3, dtype=D), (a, y, penalty))
    run = mo.unroll(mo.Descent(mo.updates.Sgd(0.2)), 2000, mo.Implicit(tolerance=1e-13))(problem)
    closed = torch.linalg.solve(a.T @ a + penalty * torch.eye(3, dtype=D), a.T @ y)
    torch.testing.assert_close(run.final, closed, rtol=1e-10, atol=1e-11)
    assert run.report.converged
    assert run.report.residual <= 1e-13
    assert run.report.steps == run.stop < 2000
    assert len(run.outputs) == 1
    grads = [torch.autograd.grad(((x - target) ** 2).sum(), (a, y, penalty)) for x in (run.final, closed)]
    tensors_close(grads[0], grads[1], 1e-9)
    analytic = -2 * (closed - target) @ torch.linalg.solve(a.T @ a + penalty * torch.eye(3, dtype=D), closed)
    torch.testing.assert_close(grads[0][2], analytic.detach())
    assert run.report.backward_residual <= 1e-7


@few
@given(st.integers(1, 6), st.sampled_from([torch.float64, torch.complex128]), st.sampled_from([0.6, 3.0]))
def test_implicit_solves_for_the_gradient_whether_or_not_the_step_contracts(n, dtype, radius):
    """At 3.0 the Neumann series diverges; the run starts at its solution."""
    m = normal(0, n, n, dtype=dtype)
    m = (m * radius / torch.linalg.eigvals(m).abs().max()).requires_grad_()
    problem = Linear(m, normal(1, n, dtype=dtype).requires_grad_())
    run = mo.unroll(LinearIteration(exact=True), 20, mo.Implicit(tolerance=1e-9))(problem)
    wanted, weights = [problem.matrix, problem.offset], normal(2, n, dtype=dtype)
    grads = [torch.autograd.grad((weights * x).real.sum(), wanted) for x in (run.final, solution(problem))]
    tensors_close(grads[0], grads[1], 1e-6)
    assert run.report.backward_residual <= 1e-7


@pytest.mark.parametrize(("steps", "counted"), [(5, 2), (2, 2), (1, 1)])
@pytest.mark.parametrize("keep", ["all", "last"])
def test_a_truncated_run_counts_the_readouts_that_it_differentiates_or_all_of_them_without_a_gradient(
    steps, counted, keep
):
    net = mo.unroll(Relax(mo.shared(0.1)), steps, mo.Truncated(2), keep=keep)
    run = net(normal(0, 3).abs())
    assert [o.requires_grad for o in run.counted] == [True] * (counted if keep == "all" else 1)
    with torch.no_grad():
        unrecorded = net(normal(0, 3).abs())
    frozen = mo.unroll(Relax(0.1), steps, mo.Truncated(2), keep=keep)(normal(0, 3).abs())
    for other in (unrecorded, frozen):
        assert other.counted == other.outputs

    def under_a_transform(x):
        run = net(x)
        assert len(run.counted) == (counted if keep == "all" else 1)
        return run.final.sum()

    torch.func.grad(under_a_transform)(normal(0, 3).abs())


def test_implicit_runs_a_complex_contraction_to_its_fixed_point():
    m = normal(0, 4, 4, dtype=torch.complex128)
    problem = Linear(0.5 * m / torch.linalg.matrix_norm(m, 2), normal(1, 4, dtype=torch.complex128).requires_grad_())
    run = mo.unroll(LinearIteration(), 200, mo.Implicit(tolerance=1e-13))(problem)
    torch.testing.assert_close(run.final, solution(problem))
    grads = [torch.autograd.grad(x.abs().square().sum(), problem.offset)[0] for x in (run.final, solution(problem))]
    torch.testing.assert_close(*grads)


@few
@given(st.integers(1, 12), st.integers(0, 100))
def test_the_solver_is_that_of_a_dense_system_and_reports_its_residual(n, seed):
    jacobian, b = 2 * normal(seed, n, n), normal(seed + 1, n)
    system = torch.eye(n, dtype=D) - jacobian
    u, residual = Gcr(tolerance=1e-12)(lambda v: jacobian @ v, b)
    assert residual == pytest.approx(float((system @ u - b).norm() / b.norm()), abs=1e-12)
    if torch.linalg.cond(system) < 1e4:
        torch.testing.assert_close(u, torch.linalg.solve(system, b), rtol=1e-6, atol=1e-6)
    _, early = Gcr(max_steps=1)(lambda v: jacobian @ v, b)
    assert early <= 1 + 1e-12, "the residual never grows"
    nothing, none = Gcr()(lambda v: jacobian @ v, torch.zeros(n, dtype=D))
    assert (float(nothing.norm()), none) == (0.0, 0.0)


def test_the_solver_restarts_when_its_memory_is_full():
    jacobian, b = 0.9 * torch.linalg.qr(normal(0, 20, 20))[0], normal(1, 20)
    u, residual = Gcr(tolerance=1e-10, restart=4)(lambda v: jacobian @ v, b)
    assert residual < 1e-9
    torch.testing.assert_close(u, torch.linalg.solve(torch.eye(20, dtype=D) - jacobian, b), rtol=1e-7, atol=1e-7)


def test_implicit_refuses_a_value_per_step():
    algorithm = mo.parameterize(mo.Ista(matrix(0), 0.1), {"threshold": mo.per_step(4)})
    with pytest.raises(mo.MetaoptError) as error:
        mo.unroll(algorithm, 4, mo.Implicit())(normal(0, 2, 4))
    assert str(error.value) == (
        "Implicit gradients need every step to be the same function, but slot 'threshold' holds one value per step; "
        "use shared(...) for it, or Backprop()."
    )


def test_implicit_warns_when_it_did_not_converge():
    problem = Linear(0.9 * torch.eye(2, dtype=D), normal(0, 2).requires_grad_())
    with pytest.warns(
        mo.MetaoptWarning, match=r"forward pass stopped at .* \(wanted 1e-06\): after 3 steps; allow more"
    ):
        run = mo.unroll(LinearIteration(), 3, mo.Implicit())(problem)
    assert (run.report.status, run.report.steps) == (mo.Status.OUT_OF_STEPS, 3)
    to_come = 0.9 / (1 - 0.9)  # of the last change, at a rate of 0.9
    assert run.report.residual == pytest.approx(to_come * 0.81 / (1 + 0.9 + 0.81), rel=1e-6)
    m = normal(1, 5, 5)
    problem = Linear(3 * m / torch.linalg.eigvals(m).abs().max(), normal(0, 5).requires_grad_())
    run = mo.unroll(LinearIteration(exact=True), 3, mo.Implicit(solver=Gcr(max_steps=1)))(problem)
    with pytest.warns(mo.MetaoptWarning, match="backward pass stopped at .* the gradient is inexact"):
        run.final.sum().backward()
    assert run.report.backward_residual > 1e-4


def test_implicit_gradients_of_a_learned_slot_are_those_of_the_closed_form():
    """The solution of x = tanh(w x + y) by the implicit function theorem, written out."""
    weight = mo.parameterize(
        mo.Algorithm.from_step(lambda y, x, k, w: torch.tanh(w * x + y), torch.zeros_like, slots={"w": 0.5}),
        {"w": mo.shared()},
    )
    y = normal(0, 4).requires_grad_()
    final = mo.unroll(weight, 500, mo.Implicit(tolerance=1e-14))(y).final
    final.sum().backward()
    slope = 1 - final.detach() ** 2
    torch.testing.assert_close(weight.w.value.grad, (slope * final.detach() / (1 - 0.5 * slope)).sum())
    torch.testing.assert_close(y.grad, slope / (1 - 0.5 * slope))


def test_one_backward_pass_does_not_spoil_the_next():
    algorithm = untied_irim(3)
    problem = picture_problem(0, 5, 4)
    for strategy in STEPWISE:
        run = mo.unroll(algorithm, 3, strategy)(problem)
        loss = (run.final**2).sum()
        grads = [torch.autograd.grad(loss, list(algorithm.parameters()), retain_graph=True) for _ in range(2)]
        tensors_close(grads[0], grads[1], 0.0)


def test_a_module_in_the_problem_gets_its_gradients():
    """A learned operator is part of what is given: Checkpointed must find its weights."""

    @dataclass(frozen=True, eq=False)
    class Learned:
        network: nn.Module
        y: Tensor

        def start(self) -> Tensor:
            return torch.zeros_like(self.y)

        def gradient(self, x: Tensor) -> Tensor:
            return self.network(x) - self.y

    network = seeded(lambda: nn.Sequential(nn.Linear(3, 3), nn.Tanh()))
    problem = Learned(network, normal(0, 2, 3).requires_grad_())
    wanted = [*network.parameters(), problem.y]
    expected = final_gradients(mo.unroll(mo.Descent(mo.updates.Sgd(0.3)), 5), problem, wanted)
    assert all(g.abs().max() > 0 for g in expected)
    got = final_gradients(mo.unroll(mo.Descent(mo.updates.Sgd(0.3)), 5, mo.Checkpointed(2)), problem, wanted)
    tensors_close(got, expected, 1e-12)


@pytest.mark.parametrize("strategy", STEPWISE, ids=str)
def test_what_is_recomputed_is_computed_in_the_precision_of_the_forward_pass(strategy):
    seen = []

    class Coupled(mo.Algorithm):
        """(a, b) <- (b, a + M b), under autocast a product in half precision."""

        def init(self, problem):
            return torch.ones(2), torch.ones(2)

        def step(self, problem, state, k):
            product = problem @ state[1]
            seen.append(product.dtype)
            return state[1], state[0] + product.float()

        def inverse_step(self, problem, state, k):
            return state[1] - (problem @ state[0]).float(), state[0]

        def readout(self, problem, state, k):
            return state[1]

    problem = normal(0, 2, 2).float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = mo.unroll(Coupled(), 4, strategy)(problem).final.sum()
    loss.backward()
    assert seen == [torch.bfloat16] * 8


def test_strategies_do_not_touch_the_grad_fields_of_anything_else():
    algorithm, problem = untied_irim(2), picture_problem(0, 5, 4)
    for strategy in STEPWISE:
        algorithm.zero_grad()
        [first, *_] = parameters = list(algorithm.parameters())
        torch.autograd.grad(mo.unroll(algorithm, 2, strategy)(problem).final.sum(), first)
        assert all(p.grad is None for p in parameters)
