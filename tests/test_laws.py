"""The laws that every algorithm obeys (DESIGN, section 6), for every row of the table."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import metaopt as mo
from metaopt import tree
from metaopt.core.gradients import GradientStrategy
from metaopt.losses import Supervised

from . import adversaries
from .cases import CASES
from .factor_graphs import loopy
from .helpers import Case, gradients, loss_of, table, tensors_close


@table(CASES)
def test_before_training_a_parameterized_algorithm_is_the_classical_one(case: Case) -> None:
    classical = mo.unroll(case.build(), case.steps)(case.problem(1))
    opened = mo.unroll(case.opened(), case.steps)(case.problem(1))
    constrained = any(opening.positive or opening.interval for opening in case.open.values())
    for a, b in zip(tree.leaves(classical.outputs), tree.leaves(opened.outputs), strict=True):
        if constrained:
            torch.testing.assert_close(a, b, rtol=4 * 2.3e-16 * case.steps, atol=1e-15)
        else:
            assert torch.equal(a, b)


@table(CASES)
def test_opened_slots_are_learned(case: Case) -> None:
    opened = case.opened()
    grads = gradients(opened, case.problem(1), case.steps)
    learned = [p for p in opened.parameters() if p.requires_grad]
    assert learned, "nothing was opened"
    assert all(torch.isfinite(g).all() for g in grads)
    assert any(g.abs().max() > 0 for g in grads[: len(learned)])


@table(CASES)
def test_a_step_is_pure(case: Case) -> None:
    algorithm, problem = case.build(), case.problem(1)
    state = algorithm.step(problem, algorithm.init(problem), 0)
    before = copy.deepcopy((algorithm.state_dict(), tree.detach(problem), tree.detach(state)))
    generator = torch.get_rng_state()
    first, second = (algorithm.step(problem, state, 1) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(tree.leaves(first), tree.leaves(second), strict=True))
    after = (algorithm.state_dict(), problem, state)
    assert all(torch.equal(a, b) for a, b in zip(tree.leaves(before), tree.leaves(after), strict=True))
    assert torch.equal(generator, torch.get_rng_state())


@table(CASES)
def test_the_state_keeps_structure_shapes_and_dtypes(case: Case) -> None:
    algorithm, problem = case.build(), case.problem(1)
    before = algorithm.init(problem)
    after = algorithm.step(problem, before, 0)
    assert type(before) is type(after)
    described = [[(n, tree.describe(t)) for n, t in tree.named_leaves(state)] for state in (before, after)]
    assert described[0] == described[1]


@table(CASES)
def test_every_strategy_gives_backprops_gradients(case: Case) -> None:
    algorithm, problem = case.opened(), case.problem(2)
    expected = gradients(algorithm, problem, case.steps)
    for strategy in case.every_strategy():
        tensors_close(gradients(algorithm, problem, case.steps, strategy), expected, 1e-9)


@table(CASES, fixed_point=True)
def test_implicit_gradients_are_those_of_a_long_run(case: Case) -> None:
    algorithm = mo.parameterize(case.build(), {name: mo.shared() for name in case.open})

    def last_only(strategy: GradientStrategy) -> list[torch.Tensor]:
        given, rebuild = tree.partition(case.problem(2), modules=False)
        inputs = [t.detach().clone().requires_grad_(t.is_floating_point() or t.is_complex()) for t in given]
        algorithm.zero_grad()
        final = mo.unroll(algorithm, case.fixed_point, gradient=strategy, keep="last")(rebuild(inputs)).final
        sum((leaf**2).sum() for leaf in tree.leaves(final)).backward()
        every = [t for t in (*algorithm.parameters(), *inputs) if t.requires_grad]
        return [torch.zeros_like(t) if t.grad is None else t.grad.clone() for t in every]

    implicit = mo.Implicit(mo.core.gradients.Gcr(tolerance=1e-12), tolerance=1e-13)
    tensors_close(last_only(implicit), last_only(mo.Backprop()), 1e-7)


@table(CASES)
def test_stopping_and_continuing_is_one_run(case: Case) -> None:
    net, problem = mo.unroll(case.opened(), case.steps), case.problem(3)
    whole = net(problem)
    head = net(problem, steps=2)
    tail = net(problem, state=head.state, start=head.stop, steps=case.steps - 2)
    pieces = head.outputs + tail.outputs
    assert all(torch.equal(a, b) for a, b in zip(tree.leaves(whole.outputs), tree.leaves(pieces), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(tree.leaves(whole.state), tree.leaves(tail.state), strict=True))


@table(CASES, couples=False)
def test_a_batch_is_its_items_one_by_one(case: Case) -> None:
    net, problem = mo.unroll(case.build(), case.steps), case.problem(4)
    together = tree.leaves(net(problem).final)
    batch = len(together[0])
    for i in range(batch):
        alone = tree.leaves(net(items(problem, slice(i, i + 1), batch)).final)
        tensors_close(alone, [t[i : i + 1] for t in together], 1e-11)


@table(CASES, couples=False)
def test_a_batch_without_samples_gives_none_or_is_refused(case: Case) -> None:
    net, problem = mo.unroll(case.build(), case.steps), case.problem(4)
    together = tree.leaves(net(problem).final)
    empty = items(problem, slice(0, 0), len(together[0]))
    if isinstance(problem, mo.Episode):  # torch maps over at least one task
        with pytest.raises(mo.MetaoptError, match="no task"):
            net(empty)
        return
    none = tree.leaves(net(empty).final)
    assert [t.shape for t in none] == [t[:0].shape for t in together]


def items(problem: object, which: slice, batch: int) -> object:
    """Some problems of a batch: a tensor whose first axis is the batch is cut, any other is shared."""
    return tree.map(lambda t: t[which] if t.ndim and len(t) == batch else t, problem)


@table(CASES)
def test_state_dict_deepcopy_pickle_and_dtype_round_trips(case: Case) -> None:
    algorithm, problem = case.opened(), case.problem(5)
    expected = tree.leaves(mo.unroll(algorithm, case.steps)(problem).final)
    fresh = case.opened()
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.add_(1.0)
    fresh.load_state_dict(algorithm.state_dict())
    for other in (fresh, copy.deepcopy(algorithm), pickle.loads(pickle.dumps(algorithm)), algorithm.double()):
        got = tree.leaves(mo.unroll(other, case.steps)(problem).final)
        assert all(torch.equal(a, b) for a, b in zip(expected, got, strict=True))
    single = mo.unroll(copy.deepcopy(algorithm).float(), case.steps)(tree.to(problem, dtype=torch.float32))
    for a, b in zip(tree.leaves(single.final), expected, strict=True):
        assert a.real.dtype == torch.float32 or a.dtype == torch.float32
        torch.testing.assert_close(a.to(b.dtype), b, rtol=1e-3, atol=1e-3)


@table([case for case in CASES if case.memory])
def test_the_memory_matters(case: Case) -> None:
    algorithm, problem = case.build(), case.problem(6)
    state = algorithm.step(problem, algorithm.init(problem), 0)
    perturbed = state._replace(memory=tree.map(lambda t: t + 0.1, state.memory))
    outputs = [algorithm.readout(problem, algorithm.step(problem, s, 1), 1) for s in (state, perturbed)]
    assert any(not torch.allclose(a, b) for a, b in zip(*(tree.leaves(o) for o in outputs), strict=True))


@table(CASES)
def test_checkpointed_differentiates_twice(case: Case) -> None:
    """The gradient of a gradient, along one direction, through Checkpointed and through Backprop."""

    def second(strategy: object) -> list[torch.Tensor]:
        algorithm, problem = case.opened(), case.problem(7)
        parameters = [p for p in algorithm.parameters() if p.requires_grad]
        final = mo.unroll(algorithm, 3, gradient=strategy)(problem).final
        loss = sum((leaf.abs() ** 2).sum() for leaf in tree.leaves(final))
        first = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
        norm = sum((g**2).sum() for g in first if g is not None)
        grads = torch.autograd.grad(norm, parameters, allow_unused=True)
        return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, grads, strict=True)]

    tensors_close(second(mo.Checkpointed(every=2)), second(mo.Backprop()), 1e-8)


# Slots that are read once, before the first step, and so refuse one value a step.
READ_ONCE = {
    ("torch.optim.Adagrad", "update.initial_accumulator_value"),
    ("gcn with dropout", "encode"),
    ("appnp with dropout", "encode"),
    ("chebyshev filter", "first"),
    ("edge network", "encode"),
}
# Values that cannot matter: the step, and why its value multiplies zero.
WITHOUT_EFFECT = {
    ("momentum", "update.momentum"): (0, "the velocity is 0 before the first step"),
    ("reversible momentum", "mix.factor"): (0, "the velocity is 0 before the first step"),
    ("torch.optim.Adagrad", "update.lr_decay"): (0, "the rate decays by lr_decay times k"),
    ("ista", "mix"): (0, "the code is 0 before the first step"),
    ("gcn with dropout", "mix"): (4, "the last layer of a GCN is linear, and its weights are in decode"),
}


def step_slots(case: Case) -> list[str]:
    """The slots of a case that can hold one learned value a step."""
    found = []
    for name in mo.slots(case.build()):
        try:
            mo.parameterize(case.build(), {name: mo.per_step(case.steps)})
        except mo.MetaoptError as error:
            if "cannot learn" not in str(error):
                raise
        else:
            found.append(name)
    return found


PER_STEP = [pytest.param(case, name, id=f"{case.name}: {name}") for case in CASES for name in step_slots(case)]


@pytest.mark.parametrize(("case", "name"), PER_STEP)
def test_every_value_of_a_slot_with_one_a_step_learns(case: Case, name: str) -> None:
    opened = mo.parameterize(case.build().requires_grad_(False), {name: mo.per_step(case.steps)})
    if (case.name, name) in READ_ONCE:
        with pytest.raises(mo.MetaoptError, match="once, before the first step"):
            mo.unroll(opened, case.steps)(case.problem(1))
        return
    trajectory = mo.unroll(opened, case.steps)(case.problem(1))
    learned = [p for p in opened.parameters() if p.requires_grad]
    grads = torch.autograd.grad(loss_of(trajectory), learned, allow_unused=True)
    sizes = [g.abs().flatten(1).sum(1) if g.ndim > 1 else g.abs() for g in grads if g is not None]
    step, _ = WITHOUT_EFFECT.get((case.name, name), (None, ""))
    assert (sum(sizes) > 0).tolist() == [k != step for k in range(case.steps)]


def chains() -> Case:
    graph = loopy(0)
    return Case("gibbs", lambda: mo.Gibbs(mo.algorithms.coloring(graph), seed=3), lambda seed: loopy(seed, batch=3), {})


DRAWING = [*(case for case in CASES if "dropout" in case.name), chains()]


@table(DRAWING)
def test_recomputing_a_step_draws_the_same(case: Case) -> None:
    """Under every strategy, in a run that goes on, and whatever the global generator is at."""
    algorithm, problem = case.build(), case.problem(1)
    whole = mo.unroll(algorithm, case.steps)(problem)
    for strategy in case.every_strategy():
        torch.rand(3)
        again = mo.unroll(algorithm, case.steps, strategy)(problem)
        assert all(torch.equal(a, b) for a, b in zip(tree.leaves(whole.state), tree.leaves(again.state), strict=True))
    head = mo.unroll(algorithm, 2)(problem)
    tail = mo.unroll(algorithm, case.steps - 2)(problem, state=head.state, start=2)
    assert all(torch.equal(a, b) for a, b in zip(tree.leaves(whole.state), tree.leaves(tail.state), strict=True))
    one, other = (algorithm.step(problem, head.state, k) for k in (1, 2))
    pairs = zip(tree.leaves(one), tree.leaves(other), strict=True)
    assert not all(torch.equal(a, b) for a, b in pairs), "every step draws its own"


@table(CASES, couples=False)
def test_a_batch_converges_sample_by_sample(case: Case) -> None:
    if not case.fixed_point:
        pytest.skip("it has no fixed point")
    algorithm, problem = case.build(), case.problem(4)
    together = mo.solve(algorithm, problem, 4 * case.fixed_point)
    batch = len(tree.leaves(together.state)[0])
    assert together.report.converged.tolist() == [True] * batch
    stops = []
    for i in range(batch):
        alone = mo.solve(algorithm, items(problem, slice(i, i + 1), batch), 4 * case.fixed_point)
        stops.append(alone.stop)
        tensors_close(tree.leaves(alone.final), [t[i : i + 1] for t in tree.leaves(together.final)], 1e-4)
    assert together.stop == max(stops), "the slowest sample says when"


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")  # of vmap, which torch means to mend
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")  # of a reentrant checkpoint
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # of dynamo
@pytest.mark.parametrize(("consumer", "network"), adversaries.CELLS, ids=lambda name: name)
def test_what_is_substituted_or_repeated_agrees_with_functional_call_or_is_refused(consumer: str, network: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = adversaries.NETWORKS[network]()
        if consumer in adversaries.REFUSED.get(network, "").split():
            with pytest.raises(mo.MetaoptError):
                adversaries.CONSUMERS[consumer](net)
            return
        got, expected = adversaries.CONSUMERS[consumer](net)
    tolerance = 2e-2 if network == "bf16" else 1e-7
    assert len(got) == len(expected) > 0
    assert any(t.abs().max() > 0 for t in expected)
    wide = torch.complex128 if any(t.is_complex() for t in expected) else torch.float64
    tensors_close([t.to(wide) for t in got], [t.to(wide) for t in expected], tolerance)


@pytest.mark.parametrize("consumer", [c for c in adversaries.CONSUMERS if c not in ("Backprop", "vmap")])
def test_a_lazy_network_is_refused_by_whatever_needs_its_parameters(consumer: str) -> None:
    lazy = torch.nn.LazyLinear(2, dtype=torch.float64)
    calls = {
        "Trainings": lambda: mo.problems.Trainings(
            lazy,
            adversaries.loss,
            {"weight": torch.zeros(1, 2, 3)},
            (adversaries.INPUT, adversaries.TARGET),
            torch.zeros(1, 1, 2, dtype=torch.long),
            torch.zeros(1, 2, dtype=torch.long),
        ),
        "es": lambda: mo.estimators.es(
            mo.unroll(adversaries.Halved(lazy), 1), adversaries.INPUT, Supervised(mo.mse), pairs=2, sigma=0.1, seed=0
        ),
        "partition": lambda: tree.partition(lazy),
        "parameterize": lambda: mo.unroll(mo.parameterize(adversaries.Halved(lazy), {}), 2, mo.Checkpointed())(
            adversaries.INPUT
        ),
    }
    with pytest.raises(mo.MetaoptError, match=r"lazy|no shape yet|writes into"):
        calls.get(consumer, lambda: adversaries.CONSUMERS[consumer](lazy))()
