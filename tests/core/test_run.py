"""Running until converged: what counts as converged, and what a report says of a run that did not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import metaopt as mo

D = torch.float64


def iteration(step: Callable[[Tensor], Tensor], **slots: Any) -> mo.Algorithm:
    """x <- step(x), from the problem."""
    return mo.Algorithm.from_step(lambda _, x, k, **values: step(x, **values), torch.clone, slots=slots)


def statuses(trajectory: mo.Trajectory) -> list[str]:
    return [status.value for status in trajectory.report.statuses]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
def test_a_fixed_point_at_zero_is_reached(dtype: torch.dtype) -> None:
    found = mo.solve(iteration(lambda x: x / 2), torch.ones(3, 2, dtype=dtype), 200)
    assert found.report.converged
    assert found.stop < 60
    assert found.final.abs().max() < 1e-13
    theta = torch.zeros(3, dtype=D, requires_grad=True)
    algorithm = mo.Algorithm.from_step(lambda theta, x, k: x / 2 + theta, torch.ones_like)
    run = mo.unroll(algorithm, 200, mo.Implicit())(theta)
    assert run.report.converged
    torch.testing.assert_close(torch.autograd.grad(run.final.sum(), theta)[0], torch.full((3,), 2.0, dtype=D))


def test_every_sample_converges_as_far_as_it_would_alone() -> None:
    """One sample is large and fast, the other small and slow."""
    rates = torch.tensor([0.1, 0.99], dtype=D)[:, None]
    goals = torch.tensor([1e4, 1e-4], dtype=D)[:, None] * torch.ones(2, 3, dtype=D)
    algorithm = mo.Algorithm.from_step(lambda p, x, k: p[1] + p[0] * (x - p[1]), lambda p: torch.zeros_like(p[1]))
    both = mo.solve(algorithm, (rates, goals), 3000)
    alone = mo.solve(algorithm, (rates[1:], goals[1:]), 3000)
    assert both.stop == alone.stop
    assert torch.equal(both.final[1:], alone.final)
    torch.testing.assert_close(both.final, goals, rtol=1e-3, atol=0)
    early = mo.solve(algorithm, (rates, goals), 100).report
    assert early.converged.tolist() == [True, False]
    assert [status.value for status in early.statuses] == ["converged", "out of steps"]
    assert early.status is mo.Status.OUT_OF_STEPS
    assert (early.residuals > 1e-6).tolist() == [False, True]
    assert not early.converged, "as a condition it asks for all samples"
    assert goals[early.converged].shape == (1, 3), "and it is a mask"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rate", [1e-7, 3e-7, 1e-9])
def test_a_small_step_is_no_convergence_without_a_residual_either(rate: float, dtype: torch.dtype) -> None:
    start = torch.linspace(0.6, 0.9, 6, dtype=dtype).reshape(2, 3)
    found = mo.solve(iteration(lambda x: x - rate * x), start, 30)
    moved = not torch.equal(found.state, start)  # float32 cannot tell 1 - 1e-9 from 1, and stays where it is
    assert bool(found.report.converged) != moved
    assert found.report.steps == (30 if moved else 1)


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.999, -0.999, 1.2j / 1.3])
def test_what_has_converged_is_as_near_as_was_asked_for(rate: complex) -> None:
    goal = torch.tensor([[1.0, -2.0], [30.0, 5.0]], dtype=torch.complex128)
    found = mo.solve(iteration(lambda x: goal + rate * (x - goal)), 0 * goal, 30000, mo.Settled(1e-6))
    assert found.report.converged
    assert ((found.final - goal).norm(dim=1) <= 1.1e-6 * goal.norm(dim=1)).all()


def test_rounding_errors_do_not_keep_a_run_from_settling() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(40, 40, generator=generator)
    a = 0.7 * a / torch.linalg.matrix_norm(a, 2)
    found = mo.solve(iteration(lambda x: x @ a + 1), torch.zeros(5, 40), 200, mo.Settled(1e-7))
    assert found.report.converged
    assert found.stop < 100


RATES: dict[str, Callable[[int], float]] = {
    "zero at first": lambda k: 0.5 if k >= 3 else 0.0,
    "rising": lambda k: 0.5 * min(1, k / 5),
    "zero at first and at last": lambda k: 0.5 if 3 <= k < 200 else 0.0,
    "zero in between": lambda k: 0.0 if 2 <= k < 8 else 0.5,
    "zero at every second step": lambda k: 0.5 * (k % 2),
}


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_standing_still_while_a_rate_is_0_is_no_convergence(rate: str, dtype: torch.dtype) -> None:
    goal = torch.tensor([[3.0], [1.0]], dtype=dtype)  # the second sample starts where it ends
    algorithm = mo.Algorithm.from_step(lambda p, x, k: x - RATES[rate](k) * (x - p), torch.ones_like)
    found = mo.solve(algorithm, goal, 300)
    assert statuses(found) == ["converged"] * 2
    assert 10 < found.report.steps < 150
    torch.testing.assert_close(found.final, goal, rtol=1e-5, atol=0)


def test_a_start_that_every_step_leaves_where_it_is_has_converged_after_one() -> None:
    taken: list[int] = []

    def step(problem: Tensor, x: Tensor, k: int) -> Tensor:
        taken.append(k)
        return x - 0.5 * (x - problem)

    found = mo.solve(mo.Algorithm.from_step(step, torch.clone), torch.ones(2, 3, dtype=D), 1000)
    assert (found.report.steps, statuses(found)) == (1, ["converged"] * 2)
    assert taken == [0, 1, 500, 999], "three more are tried"


def test_an_update_that_warms_up_is_run_to_its_minimum() -> None:
    target = torch.tensor([[1.0, -2.0]], dtype=D)
    problem = mo.InverseProblem(mo.operators.Identity(), target, 1.0, guess=0.0)
    rates = torch.cat([torch.zeros(4), torch.full((196,), 0.5)])
    descent = mo.parameterize(
        mo.Descent(mo.updates.Sgd(0.5)), {"update.step_size": mo.per_step(200, list(rates.tolist()))}
    )
    found = mo.solve(descent, problem, 200)
    assert found.report.steps == 200, "it waits until all values have been used"
    torch.testing.assert_close(found.final, target)
    run = mo.unroll(
        mo.Algorithm.from_step(lambda p, x, k: x - min(0.5, k) * (x - p), torch.zeros_like), 100, mo.Implicit()
    )
    torch.testing.assert_close(run(target).final, target, rtol=1e-5, atol=0)


def test_a_method_that_slows_down_without_end_does_not_settle() -> None:
    algorithm = mo.Algorithm.from_step(lambda _, x, k: x + 1 / (k + 1) ** 2, torch.clone)
    assert not mo.solve(algorithm, torch.zeros(1, dtype=D), 3000).report.converged


class Pair(NamedTuple):
    large: Tensor
    small: Tensor


def test_the_slowest_tensor_of_a_state_decides() -> None:
    def step(_: Any, state: Pair, k: int) -> Pair:
        return Pair(0.1 * state.large + 1e4, 0.9 * state.small + 1e-5)

    algorithm = mo.Algorithm.from_step(step, lambda p: Pair(p, torch.zeros(1, 1, dtype=D)))
    found = mo.solve(algorithm, torch.zeros(4, 1, dtype=D), 1000)
    assert found.report.converged.tolist() == [True] * 4, "a tensor without the batch's axis counts for every sample"
    torch.testing.assert_close(found.final.small, torch.full((1, 1), 1e-4, dtype=D), rtol=1e-4, atol=0)
    assert not mo.solve(algorithm, torch.zeros(4, 1, dtype=D), 20).report.converged.any()


class Lazy(mo.Algorithm):
    """Its steps are a hundredth of what they should be, which its residual knows."""

    def init(self, problem: Tensor) -> Tensor:
        return torch.zeros_like(problem)

    def step(self, problem: Tensor, state: Tensor, k: int) -> Tensor:
        return state + 1e-8 * (problem - state) if k < 5 else problem

    def readout(self, problem: Tensor, state: Tensor, k: int) -> Tensor:
        return state

    def residual(self, problem: Tensor, state: Tensor, k: int) -> Tensor:
        return (problem - state).abs().amax(1)


def test_a_small_step_is_no_convergence_where_there_is_a_residual() -> None:
    problem = torch.tensor([[1.0, 2.0], [3.0, 1.0]], dtype=D)
    early = mo.solve(Lazy(), problem, 4)
    assert not early.report.converged.any()
    torch.testing.assert_close(early.report.residuals, torch.tensor([2.0, 3.0], dtype=D), rtol=1e-6, atol=0)
    found = mo.solve(Lazy(), problem, 50)
    assert (found.stop, found.report.residual, bool(found.report.converged)) == (6, 0.0, True)
    loose = mo.solve(Lazy(), problem, 50, mo.Settled(residual=2.5))
    assert loose.report.converged.tolist() == [True, True]
    assert mo.solve(Lazy(), problem, 4, mo.Settled(residual=2.5)).report.converged.tolist() == [True, False]


def test_a_rule_may_look_less_often_and_looks_at_the_last_step() -> None:
    seen: list[tuple[int, float | None]] = []
    problem = torch.ones(1, 2, dtype=D)
    found = mo.solve(
        Lazy(), problem, 50, mo.Settled(every=4), callback=lambda k, _, residual: seen.append((k, residual))
    )
    assert found.stop == 8
    assert [k for k, _ in seen] == list(range(8))
    assert [r is None for _, r in seen] == [True] * 3 + [False] * 5
    assert seen[3][1] == seen[6][1] > seen[7][1] == 0
    assert mo.solve(Lazy(), problem, 7, mo.Settled(every=4)).report.converged


@pytest.mark.parametrize("strategy", ["solve", "implicit"])
def test_a_run_stops_at_the_first_nan_and_names_the_step(strategy: str) -> None:
    def step(_: Any, x: Tensor, k: int) -> Tensor:
        return torch.where((torch.arange(3)[:, None] == 1) & (k == 3), torch.nan, x + 1)

    algorithm = mo.Algorithm.from_step(step, torch.clone)
    if strategy == "solve":
        found = mo.solve(algorithm, torch.ones(3, 1), 50)
    else:
        with pytest.warns(mo.MetaoptWarning, match="the forward pass is not finite after step k=3"):
            found = mo.unroll(algorithm, 50, mo.Implicit())(torch.ones(3, 1))
    assert (found.report.steps, found.report.not_finite_at, found.not_finite_at) == (4, 3, 3)
    assert statuses(found) == ["out of steps", "not finite", "out of steps"]
    assert found.report.status is mo.Status.NOT_FINITE


def test_a_trajectory_names_the_first_step_that_is_not_finite() -> None:
    algorithm = mo.Algorithm.from_step(lambda _, x, k: (3.5 - k) ** 0.5 * x, torch.clone)
    logs = mo.Algorithm.from_step(lambda _, x, k: (x - 1).log(), torch.clone)
    assert mo.unroll(algorithm, 3)(torch.ones(2)).not_finite_at is None
    run = mo.unroll(logs, 6)(torch.full((1,), 20.0))
    assert run.not_finite_at == next(k for k, x in enumerate(run.outputs) if bool(x.isnan().any())) > 0


def test_a_run_that_grows_without_end_diverged() -> None:
    grown = mo.solve(iteration(lambda x: 2 * x), torch.tensor([[1.0], [0.0]]), 60)
    assert statuses(grown) == ["diverged", "converged"]
    overflow = mo.solve(iteration(lambda x: 2 * x), torch.ones(1), 2000)
    assert (statuses(overflow), overflow.report.not_finite_at) == (["diverged"], 127)
    oscillating = mo.solve(iteration(lambda x: -x), torch.ones(1), 60)
    assert statuses(oscillating) == ["out of steps"]


def test_an_entry_that_is_infinite_throughout_is_no_failure() -> None:
    """As logarithms of impossible states are."""
    start = torch.tensor([[0.0, -torch.inf], [1.0, 2.0]], dtype=D)
    found = mo.solve(iteration(lambda x: x / 2 + 1), start, 100)
    assert statuses(found) == ["converged", "converged"]
    torch.testing.assert_close(found.final[:, 0], torch.full((2,), 2.0, dtype=D), rtol=1e-5, atol=0)
    born = mo.solve(iteration(lambda x: x.log()), torch.ones(1), 9)
    assert (statuses(born), born.report.not_finite_at) == (["not finite"], 1)


def test_slots_with_a_value_a_step_are_waited_for() -> None:
    """A large threshold leaves x at 0 for a while, which is no fixed point of the steps that come."""
    algorithm = iteration(lambda x, t: torch.relu(x + 1 - t).clamp_max(2), t=mo.fixed([5.0, 5.0, 5.0, 0.0]))
    found = mo.solve(algorithm, torch.zeros(1), 4)
    assert (found.stop, float(found.final)) == (4, 1.0)
    assert not found.report.converged


def test_a_run_goes_on_from_a_state_and_its_step() -> None:
    steps: list[int] = []
    algorithm = mo.Algorithm.from_step(lambda _, x, k: (steps.append(k), x / 2 + k)[1], torch.clone)
    whole = mo.solve(algorithm, torch.ones(2), 7, lambda *_: False)
    head = mo.solve(algorithm, torch.ones(2), 3, lambda *_: False)
    tail = mo.solve(algorithm, torch.ones(2), 4, lambda *_: False, state=head.state, start=head.stop)
    assert torch.equal(whole.final, tail.final)
    assert (tail.stop, steps) == (7, [*range(7), *range(7)])


def test_a_function_may_answer_for_each_sample() -> None:
    found = mo.solve(iteration(lambda x: x / 2), torch.tensor([[1.0], [8.0]]), 2, lambda _, a, b: (b < 1)[:, 0])
    assert found.report.converged.tolist() == [True, False]
    found = mo.solve(iteration(lambda x: x / 2), torch.tensor([[1.0], [8.0]]), 9, lambda _, a, b: bool((b < 1).all()))
    assert (found.report.converged.tolist(), found.stop) == ([True, True], 4)


def test_a_network_or_a_graph_settles_as_one_whole() -> None:
    """Rows of a weight and nodes of a graph are no samples."""
    network = torch.nn.Linear(3, 2).double()
    objective = mo.Objective(network, torch.nn.functional.mse_loss, [(torch.randn(9, 3).double(), torch.ones(9, 2))])
    assert len(mo.solve(mo.Descent(mo.updates.Sgd(0.1)), objective, 3).report.statuses) == 1
    signal = mo.GraphSignal.from_edges(torch.eye(4), torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]))
    assert len(mo.solve(mo.algorithms.personalized_pagerank(0.2), signal, 3).report.statuses) == 1


def test_an_empty_state_and_an_empty_batch_have_nothing_to_wait_for() -> None:
    assert mo.solve(iteration(lambda x: x / 2), torch.ones(0, 3), 9).report.status is mo.Status.CONVERGED
    nothing = mo.Algorithm.from_step(lambda p, s, k: s, lambda p: ())
    assert mo.solve(nothing, torch.ones(1), 9).stop == 1


@pytest.mark.parametrize("wrong", [{"relative": -1.0}, {"relative": 0.0, "absolute": 0.0}, {"every": 0}])
def test_tolerances_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(mo.MetaoptError, match="Tolerances are at least 0, not both are 0"):
        mo.Settled(**wrong)


# Contracts of an algorithm.


class Old(mo.Algorithm):
    def init(self, problem):
        return problem

    def step(self, problem, state, k):
        return state / 2

    def readout(self, problem, state):
        return state


class Wrapping(mo.Algorithm):
    def __init__(self):
        super().__init__()
        self.inner = Old()

    def init(self, problem):
        return problem

    def step(self, problem, state, k):
        return self.inner.step(problem, state, k)

    def readout(self, problem, state, k):
        return self.inner.readout(problem, state, k)


OLD = {
    "unroll": lambda: mo.unroll(Old(), 3),
    "solve": lambda: mo.solve(Old(), torch.ones(1), 3),
    "held": lambda: mo.unroll(Wrapping(), 3),
    "from_step": lambda: mo.Algorithm.from_step(lambda p, x, k: x, torch.clone, lambda problem, state: state),
}


@pytest.mark.parametrize("how", OLD)
def test_a_readout_of_the_old_form_is_refused_with_what_to_change(how: str) -> None:
    who = "The readout given to from_step" if how == "from_step" else "readout of Old"
    with pytest.raises(mo.MetaoptError) as error:
        OLD[how]()
    assert str(error.value) == (
        f"{who} is called with (problem, state, k), where k is the step just taken, but does not take them (too many "
        "positional arguments): add the argument k, which it need not use."
    )


def test_a_readout_is_told_the_step_that_left_the_state() -> None:
    algorithm = mo.Algorithm.from_step(lambda _, x, k: x + 1, torch.clone, lambda _, x, k: x + 100 * k)
    start = torch.zeros(1)
    for strategy in (mo.Backprop(), mo.Checkpointed(every=2), mo.Truncated(2)):
        outputs = mo.unroll(algorithm, 5, strategy)(start, start=2).outputs
        assert [float(x) for x in outputs] == [1 + 200, 2 + 300, 3 + 400, 4 + 500, 5 + 600]
        assert float(mo.unroll(algorithm, 5, strategy, keep="last")(start).final) == 5 + 400
        assert [float(mo.unroll(algorithm, 0, strategy)(start, start=s).final) for s in (0, 1, 4)] == [0, 0, 300]
    assert float(mo.solve(algorithm, start, 5, lambda *_: False, start=3).final) == 5 + 700


@pytest.mark.parametrize("start", [-1, 1.0, True])
def test_a_run_starts_at_a_step_that_there_is(start: Any) -> None:
    for run in (
        mo.unroll(iteration(lambda x: x), 2),
        lambda p, start: mo.solve(iteration(lambda x: x), p, 2, start=start),
    ):
        with pytest.raises(mo.MetaoptError, match="The step to start at must be a whole number of at least 0"):
            run(torch.ones(1), start=start)


def test_a_step_that_writes_into_its_state_is_refused() -> None:
    def step(_: Any, x: Tensor, k: int) -> Tensor:
        return x.mul_(0.5) if k == 1 else x / 2

    problem = torch.ones(2)
    algorithm = mo.Algorithm.from_step(step, lambda p: p)
    for run in (mo.unroll(algorithm, 3), lambda p: mo.solve(algorithm, p, 3)):
        with pytest.raises(mo.MetaoptError, match=r"wrote into the state it was given at k=1.*make new tensors"):
            run(problem)
    with torch.inference_mode():
        mo.unroll(mo.Algorithm.from_step(lambda p, x, k: x / 2, torch.clone), 3)(problem)
