"""Slots: opening one changes nothing before training, and only what it says afterwards."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import metaopt as mo
from metaopt import tree
from metaopt.algorithms import personalized_pagerank

from ..cases.problems import dense_problem
from ..helpers import matrix, normal

few = settings(deadline=None, max_examples=40)
numbers = st.floats(1e-6, 1e6)


class Chain(mo.Algorithm[Tensor, Tensor, Tensor]):
    """x <- scale * net(x)."""

    def __init__(self, net: Any, scale: Any = 1.0):
        super().__init__()
        self.net, self.scale = mo.slot(net), mo.slot(scale)

    def init(self, problem: Tensor) -> Tensor:
        return problem

    def step(self, problem: Tensor, state: Tensor, k: int) -> Tensor:
        return self.scale(k) * self.net(k)(state)

    def readout(self, problem: Tensor, state: Tensor, k: int) -> Tensor:
        return state


def networks(count: int, build: Any = None) -> list[nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        build = build or (lambda: nn.Sequential(nn.Linear(3, 3), nn.Tanh()))
        return [build().double() for _ in range(count)]


def learned(module: nn.Module) -> list[str]:
    return [name for name, p in module.named_parameters() if p.requires_grad]


@few
@given(numbers, st.integers(1, 5), st.data())
def test_before_training_every_opening_gives_the_same_bits(value, steps, data):
    low, high = value - data.draw(numbers), value + data.draw(numbers)
    fitting = {"interval": (low, high)} if low < value < high else {}
    openings = [
        mo.fixed(),
        mo.shared(),
        mo.shared(positive=True),
        mo.shared(**fitting),
        mo.per_step(steps),
        mo.per_step(steps, positive=True),
        mo.per_step(steps, **fitting),
    ]
    classical = Chain(nn.Identity(), value)
    for opening in openings:
        opened = mo.parameterize(classical, {"scale": opening})
        for k in range(steps):
            assert opened.scale(k).item() == value
        again = mo.parameterize(opened, {"scale": mo.fixed()})
        assert again.scale(steps - 1).item() == value, "opening and closing changes nothing"
        assert learned(again) == []


@few
@given(st.floats(-1e3, 1e3))
def test_constraints_hold_whatever_is_learned(raw):
    slots = [mo.slot(mo.shared(0.3, positive=True)), mo.slot(mo.shared(0.3, interval=(0.1, 0.9)))]
    for found in slots:
        found.raw.data.fill_(raw)
    assert slots[0](0).item() >= 0
    assert 0.1 - 1e-15 <= slots[1](0).item() <= 0.9 + 1e-15
    other = copy.deepcopy(slots[1])
    other.raw.data.add_(0.01)
    assert other(0).item() >= slots[1](0).item(), "the map is increasing"


@pytest.mark.parametrize("options", [{"positive": True}, {"interval": (-1.0, 2.0)}], ids=str)
def test_constraints_have_first_and_second_derivatives(options):
    found = mo.slot(mo.per_step(3, [0.1, 0.5, 1.9], **options)).double()

    def value(raw: Tensor) -> Tensor:
        return torch.stack([torch.func.functional_call(found, {"raw": raw}, (k,)) for k in range(3)])

    for raw in (torch.tensor([0.4, -0.7, 0.2]), torch.tensor([-2.0, 1.0, -0.1])):
        start = raw.double().requires_grad_()
        assert torch.autograd.gradcheck(value, start)
        assert torch.autograd.gradgradcheck(value, start)
    at_zero = torch.func.jacrev(value)(torch.zeros(3, dtype=torch.float64)).diagonal()
    expected = [0.1, 0.5, 1.9] if "positive" in options else [1.0, 1.0, 1.0]
    torch.testing.assert_close(at_zero, torch.tensor(expected, dtype=torch.float64))
    curvature = torch.func.jacrev(torch.func.jacrev(lambda r: value(r)[1]))
    below, above = (curvature(torch.full((3,), shift, dtype=torch.float64))[1, 1] for shift in (-1e-9, 1e-9))
    torch.testing.assert_close(below, above, rtol=1e-6, atol=1e-6)  # no jump where the two sides meet


def test_slots_inside_a_slots_module_are_reached_by_dotted_names():
    descent = mo.Descent(mo.updates.Sgd(0.1))
    assert sorted(mo.slots(descent)) == ["update", "update.step_size"]
    opened = mo.parameterize(descent, {"update.step_size": mo.per_step(3, positive=True)})
    assert learned(opened) == ["update.module.step_size.raw"]
    assert learned(descent) == [], "the original is untouched"
    outer = mo.parameterize(Chain(Chain(nn.Linear(3, 3), 2.0)), {"net.scale": mo.shared(), "scale": mo.fixed(3.0)})
    assert set(mo.slots(outer)) == {"net", "net.net", "net.scale", "scale"}
    assert (outer.net(0).scale(0).item(), outer.scale(0).item()) == (2.0, 3.0)


def test_a_wrong_name_lists_the_slots_there_are():
    ista = mo.Ista(matrix(0), penalty=0.1)
    with pytest.raises(mo.MetaoptError) as error:
        mo.parameterize(ista, {"stepsize": mo.shared()})
    assert str(error.value) == "Ista has no slot 'stepsize'; its slots are encode, mix, threshold."
    with pytest.raises(mo.MetaoptError, match="its slots are none"):
        mo.parameterize(nn.Linear(1, 1), {"weight": mo.shared()})
    with pytest.raises(mo.MetaoptError, match=r"'threshold' is opened by fixed, shared or per_step\(...\), not by 0.1"):
        mo.parameterize(ista, {"threshold": 0.1})  # type: ignore[dict-item]


@pytest.mark.parametrize("opening", [mo.shared(), mo.per_step(3)])
def test_a_module_without_parameters_cannot_be_learned_and_its_inner_slots_are_named(opening: Any) -> None:
    with pytest.raises(mo.MetaoptError, match=r"'update' holds a module without parameters.*: update\.step_size\."):
        mo.parameterize(mo.Descent(mo.updates.Sgd(0.1)), {"update": opening})
    assert list(mo.parameterize(mo.Descent(mo.updates.Sgd(0.1)), {"update.step_size": opening}).parameters())


@pytest.mark.parametrize("content", [mo.per_step(3, 0.1), mo.fixed([0.1, 0.2, 0.3]), mo.per_step(3, nn.Identity())])
def test_past_the_end_of_a_slot_both_numbers_are_named(content):
    found = mo.slot(content)
    found(2)
    with pytest.raises(mo.MetaoptError, match="for 3 steps, but was read at k=3"):
        found(3)


def test_a_run_past_the_end_is_refused_before_it_starts():
    net = mo.unroll(mo.parameterize(mo.Descent(mo.updates.Sgd(0.1)), {"update.step_size": mo.per_step(3)}), 3)
    problem = dense_problem(0)
    half = net(problem, steps=2)
    for options in ({"steps": 4}, {"state": half.state, "start": half.stop, "steps": 2}):
        with pytest.raises(mo.MetaoptError, match=r"'update.step_size' holds values for 3 steps, but 4 were asked for"):
            net(problem, **options)
    with pytest.raises(mo.MetaoptError, match="3 steps, but 9 were asked"):
        mo.solve(net.algorithm, problem, max_steps=9)


BUILDS = {
    "mlp": lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)),
    "batch norm in evaluation": lambda: nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).eval(),
    "tied": lambda: _tie(nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))),
    "one module twice": lambda: nn.Sequential(*[nn.Linear(3, 3)] * 2),
    "complex": lambda: Rotation(),
    "with a slot inside": lambda: Scaled(),
}


def _tie(network: nn.Sequential) -> nn.Sequential:
    network[2].weight = network[0].weight
    return network


class Rotation(nn.Module):
    def __init__(self):
        super().__init__()
        self.phase = nn.Parameter(torch.randn(3, dtype=torch.complex128))

    def forward(self, x: Tensor) -> Tensor:
        return (self.phase * x).real

    def inverse(self, x: Tensor) -> Tensor:
        return x / self.phase.real


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = mo.slot(mo.shared(float(torch.rand(()))))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor(0) * x


@pytest.mark.parametrize("name", BUILDS)
@pytest.mark.parametrize("strategy", [mo.Backprop(), mo.Checkpointed(2)], ids=["backprop", "checkpointed"])
def test_modules_per_step_are_a_module_list(name, strategy):
    modules = networks(4, BUILDS[name])
    algorithm = mo.parameterize(Chain(modules[0]), {"net": mo.per_step(4, modules)})
    if name.startswith("batch norm"):
        algorithm.eval()
    x = expected = normal(5, 6, 3)
    for module in modules:
        expected = module(expected)
    got = mo.unroll(algorithm, 4, strategy)(x).final
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    (expected**2).sum().backward()
    (got**2).sum().backward()
    stacked = dict(algorithm.net.named_parameters())
    for path, _ in modules[0].named_parameters():
        grads = torch.stack([dict(m.named_parameters())[path].grad for m in modules])
        torch.testing.assert_close(stacked[path.replace(".", "/")].grad, grads, rtol=1e-10, atol=1e-12)
    closed = mo.parameterize(copy.deepcopy(algorithm), {"net": mo.fixed()})
    assert torch.equal(mo.unroll(closed, 4, strategy)(x).final, got)
    assert learned(closed) == []


def test_methods_and_attributes_of_a_steps_module_are_those_of_its_step():
    modules = networks(3, Rotation)
    found = mo.slot(mo.per_step(3, modules))
    x = normal(0, 2, 3)
    for k, module in enumerate(modules):
        assert torch.equal(found(k).inverse(x), module.inverse(x))
        assert torch.equal(found(k).phase, module.phase)


def test_one_module_is_repeated_and_then_learned_apart():
    [module] = networks(1)
    opened = mo.parameterize(Chain(module), {"net": mo.per_step(3)})
    x = normal(1, 2, 3)
    assert torch.equal(mo.unroll(opened, 3)(x).final, mo.unroll(Chain(module), 3)(x).final)
    with torch.no_grad():
        opened.net.get_parameter("0/weight")[1] += 1.0
    assert torch.equal(opened.net(0)(x), module(x))
    assert torch.equal(opened.net(2)(x), module(x))
    assert not torch.equal(opened.net(1)(x), module(x))


def test_the_mode_reaches_the_modules_of_every_step():
    found = mo.slot(mo.per_step(2, nn.Dropout(0.5)))
    x = torch.ones(100)
    assert not torch.equal(found.train()(0)(x), x)
    assert torch.equal(nn.Sequential(found).eval()[0](0)(x), x)
    assert torch.equal(pickle.loads(pickle.dumps(found))(1)(x), x)


def test_a_fixed_list_and_fixed_modules_learn_nothing():
    modules = networks(2, Rotation)
    algorithm = Chain(mo.fixed(modules), mo.fixed([0.5, 0.25]))
    assert learned(algorithm) == []
    x = normal(0, 2, 3)
    torch.testing.assert_close(mo.unroll(algorithm, 2)(x).final, 0.25 * modules[1](0.5 * modules[0](x)))
    opened = mo.parameterize(algorithm, {"net": mo.per_step(2), "scale": mo.per_step(2)})
    assert learned(opened) == ["net.phase", "scale.value"]
    assert torch.equal(mo.unroll(opened, 2)(x).final, mo.unroll(algorithm, 2)(x).final)


def test_fixed_freezes_what_was_learned_and_keeps_its_value():
    [module] = networks(1)
    opened = mo.parameterize(Chain(module, 0.5), {"net": mo.per_step(2), "scale": mo.shared(interval=(0, 1))})
    with torch.no_grad():
        for parameter in opened.parameters():
            parameter.add_(0.3)
    frozen = mo.parameterize(opened, {"net": mo.fixed(), "scale": mo.fixed()})
    assert learned(frozen) == []
    x = normal(0, 2, 3)
    assert torch.equal(mo.unroll(frozen, 2)(x).final, mo.unroll(opened, 2)(x).final)


def test_state_dict_pickle_and_deepcopy_keep_values_and_learning():
    modules = networks(3)
    opened = mo.parameterize(
        Chain(modules[0], 0.5), {"net": mo.per_step(3, modules), "scale": mo.per_step(3, positive=True)}
    )
    fresh = mo.parameterize(Chain(modules[0], 0.5), {"net": mo.per_step(3), "scale": mo.per_step(3, positive=True)})
    fresh.load_state_dict(opened.state_dict())
    x = normal(0, 2, 3)
    expected = mo.unroll(opened, 3)(x).final
    for other in (fresh, copy.deepcopy(opened), pickle.loads(pickle.dumps(opened))):
        assert torch.equal(mo.unroll(other, 3)(x).final, expected)
        assert learned(other) == learned(opened) == ["net.0/weight", "net.0/bias", "scale.raw"]
        with torch.no_grad():
            other.scale.raw.add_(1.0)
        assert torch.equal(mo.unroll(opened, 3)(x).final, expected), "the copy shares nothing"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64])
@pytest.mark.parametrize("opening", [mo.fixed, mo.shared, lambda v: mo.per_step(2, v, positive=True)])
def test_numbers_never_promote_a_tensor(dtype, opening):
    value = mo.slot(opening(0.1))(0)
    assert value.dtype == torch.float64
    x = torch.ones(3, dtype=dtype)
    assert (value * x).dtype == (x - value).dtype == dtype


@few
@given(st.lists(st.floats(-10, 10), min_size=1, max_size=5))
def test_a_list_gives_one_value_a_step(values):
    for opening in (mo.fixed(values), mo.per_step(len(values), values)):
        assert [mo.slot(opening)(k).item() for k in range(len(values))] == values


def test_a_tensor_value_is_copied_and_keeps_its_shape():
    start = normal(0, 2, 3)
    found = mo.slot(mo.per_step(4, start))
    assert found.value.shape == (4, 2, 3)
    start.zero_()
    assert all(torch.equal(found(k), normal(0, 2, 3)) for k in range(4))


def test_a_slot_may_be_handed_on():
    found = mo.slot(mo.shared(0.1))
    assert mo.slot(found) is found
    module = nn.Linear(2, 2)
    assert mo.slot(module)(7) is module


REFUSED = {
    "need a value": lambda: mo.slot(mo.shared()),
    "per_step must be a whole number of at least 1, but got 0": lambda: mo.per_step(0),
    "at least 1, but got 2.5": lambda: mo.per_step(2.5),  # type: ignore[arg-type]
    "at least 1, but got True": lambda: mo.per_step(True),
    "at least 1, but got '3'": lambda: mo.per_step("3"),  # type: ignore[arg-type]
    "holds one value, but its list holds 2": lambda: mo.shared([1.0, 2.0]),
    "holds one value, but its list holds 0": lambda: mo.slot([]),
    r"one shape, but got .*\(2,\) float32.*\(3,\) float32": lambda: mo.slot([torch.ones(2), torch.ones(3)]),
    r"finite low < high, not both, but not .* interval=\(1, 0\)": lambda: mo.shared(0.5, interval=(1, 0)),
    r"interval=\(nan, 1\)": lambda: mo.shared(0.5, interval=(float("nan"), 1)),
    r"interval=\(-inf, inf\)": lambda: mo.per_step(2, 0.5, interval=(-float("inf"), float("inf"))),
    r"interval=\(1, inf\)": lambda: mo.shared(2.0, interval=(1, float("inf"))),
    r"interval=\(0, 1, 2\)": lambda: mo.shared(0.5, interval=(0, 1, 2)),  # type: ignore[arg-type]
    r"interval=0\.5": lambda: mo.shared(0.5, interval=0.5),  # type: ignore[arg-type]
    "positive.*'no'": lambda: mo.shared(0.5, positive="no"),  # type: ignore[arg-type]
    "finite values, but got nan": lambda: mo.slot(mo.shared(float("nan"))),
    "finite values, but got inf": lambda: mo.Descent(mo.updates.Sgd(float("inf"))),
    "finite values, but got -inf": lambda: mo.parameterize(
        Chain(nn.Identity()), {"scale": mo.per_step(2, [1.0, -float("inf")])}
    ),
    r"dense tensor or module, not a sparse \(sparse_coo\) tensor": lambda: mo.slot(torch.eye(2).to_sparse()),
    r"but its value is \(2,\) float8_e4m3fn": lambda: mo.slot(torch.ones(2).to(torch.float8_e4m3fn)),
    "for a number or a tensor, but this slot holds a module": lambda: mo.slot([nn.Linear(1, 1), 0.1]),
    "needs 3 values, but its list holds 2": lambda: mo.per_step(3, [1.0, 2.0]),
    "module, not 'a'": lambda: mo.slot("a"),
    "module, not True": lambda: mo.slot(True),
    "not both": lambda: mo.slot(mo.shared(0.5, positive=True, interval=(0, 1))),
    "0.0 must lie strictly between 0.0 and inf": lambda: mo.slot(mo.shared(0.0, positive=True)),
    "1.0 must lie strictly between 0 and 1": lambda: mo.slot(mo.shared(1.0, interval=(0, 1))),
    "1j must lie strictly between": lambda: mo.slot(mo.shared(1j, positive=True)),
    "finite values, but got (nan)": lambda: mo.slot(mo.shared(float("nan"), positive=True)),
    r"learns floating or complex numbers, but its value is \(2,\) int64": lambda: mo.slot(
        mo.shared(torch.ones(2).long())
    ),
    "holds for a number or a tensor, but this slot holds a module": lambda: mo.slot(
        mo.shared(nn.ReLU(), positive=True)
    ),
    r"one kind and shape, but are .*in_features=2.*in_features=3": lambda: mo.slot(
        mo.per_step(2, [nn.Linear(2, 2), nn.Linear(3, 3)])
    ),
    r"one kind and shape, but are .*dilation=\(2,\)": lambda: mo.slot(
        mo.per_step(2, [nn.Conv1d(1, 1, 3), nn.Conv1d(1, 1, 3, dilation=2)])
    ),
    "'scale' holds one value per step; give shared": lambda: mo.parameterize(
        Chain(nn.Identity(), mo.per_step(2, 0.1)), {"scale": mo.shared()}
    ),
    "'scale' holds values for 2 steps, not 3; give a value": lambda: mo.parameterize(
        Chain(nn.Identity(), mo.per_step(2, 0.1)), {"scale": mo.per_step(3)}
    ),
}


RANGES = {
    "damping": (lambda v: mo.BeliefPropagation(damping=v), (0.0, 0.999), (-0.1, 1.0, 2.0)),
    "temperature": (lambda v: mo.BeliefPropagation(temperature=v), (1e-3, 5.0), (0.0, -1.0)),
    "weight": (lambda v: mo.BeliefPropagation(weight=v), (0.5, 2.0), (0.0, -1.0)),
    "teleport": (personalized_pagerank, (0.0, 1.0), (-1.0, 2.0)),
    "update.momentum": (lambda v: mo.Descent(mo.updates.Momentum(0.1, v)), (0.0, 1.0), (-0.1, 1.1)),
    "update.weight_decay": (lambda v: mo.Descent(mo.updates.Sgd(0.1, v)), (0.0, 1.0), (-0.1,)),
    "update.beta1": (lambda v: mo.Descent(mo.updates.Adam(beta1=v)), (0.0, 0.99), (1.0, -0.1)),
    "update.beta2": (lambda v: mo.Descent(mo.updates.AdamW(beta2=v)), (0.0, 0.99), (1.0, -0.1)),
    "update.epsilon": (lambda v: mo.Descent(mo.updates.RMSprop(epsilon=v)), (0.0, 1.0), (-1e-8,)),
    "update.smoothing": (lambda v: mo.Descent(mo.updates.RMSprop(smoothing=v)), (0.0, 0.5), (1.5,)),
    "threshold": (lambda v: mo.Ista(matrix(0), penalty=v), (0.0, 1.0), (-1.0,)),
    "prior.weight": (lambda v: mo.Fista(mo.priors.TotalVariation(v), 0.1), (0.0, 1.0), (-1.0,)),
    "step_size": (lambda v: mo.ProximalGradient(mo.priors.Sparsity(1.0), v), (0.0, 1.0), (-1.0,)),
}


@pytest.mark.parametrize("name", RANGES)
def test_a_slot_with_a_natural_range_refuses_what_lies_outside_when_made_and_when_opened(name):
    make, inside, outside = RANGES[name]
    for value in inside:
        algorithm = mo.parameterize(make(value), {name: mo.shared(inside[0])})
        mo.parameterize(algorithm, {name: mo.per_step(2, [*inside, *inside][:2])})
    for value in outside:
        with pytest.raises(mo.MetaoptError, match=f"The {name.split('.')[-1]} must be a number .* but got -?[0-9]"):
            make(value)
        for opening in (mo.fixed(value), mo.shared(value), mo.per_step(2, [inside[0], value])):
            opened = mo.parameterize(make(inside[0]), {name: mo.fixed()})
            with pytest.raises(mo.MetaoptError, match=f"but got {value}"):
                mo.parameterize(opened, {name: opening})


def test_what_is_learned_may_leave_the_range_and_be_frozen_or_opened_again():
    opened = mo.parameterize(mo.BeliefPropagation(damping=0.5), {"damping": mo.shared()})
    with torch.no_grad():
        opened.damping.value.fill_(-0.25)
    for opening in (mo.fixed(), mo.shared(), mo.per_step(3)):
        assert mo.parameterize(opened, {"damping": opening}).damping(0).item() == -0.25


def test_options_of_torch_optimizers_have_the_ranges_that_torch_gives_them():
    update = mo.updates.TorchOptim(torch.optim.Rprop)
    with pytest.raises(mo.MetaoptError, match="Rprop refuses the option etas"):
        mo.parameterize(update, {"etas": mo.shared(torch.tensor([1.5, 2.0]))})
    with pytest.raises(mo.MetaoptError, match=r"Rprop refuses the option lr: .*-0\.5"):
        mo.parameterize(update, {"lr": mo.per_step(2, [0.1, -0.5])})
    mo.parameterize(update, {"etas": mo.per_step(2), "lr": mo.per_step(2, [0.1, 0.5])})


def test_an_interval_from_0_to_infinity_is_positive():
    start, other = (mo.slot(o) for o in (mo.shared(0.3, interval=(0, float("inf"))), mo.shared(0.3, positive=True)))
    for found in (start, other):
        assert found(0).item() == 0.3
        found.raw.data.fill_(-2.0)
    assert start(0).item() == other(0).item() == pytest.approx(0.3 * math.exp(-2))


@pytest.mark.parametrize("opening", [mo.fixed, mo.shared, lambda v: mo.per_step(2, v, positive=True)])
def test_numbers_follow_a_module_to_other_precisions_but_never_below_float32(opening):
    for dtype, kept in ((torch.float32, torch.float32), (torch.float16, torch.float32), (torch.float64, torch.float64)):
        for found in (mo.slot(opening(1e-8)).to(dtype), mo.slot(opening(1e-8)).bfloat16().to(dtype)):
            assert found(0).dtype == (kept if dtype != torch.float64 else found(0).dtype)
            assert found(0).item() == pytest.approx(1e-8, rel=1e-7)
    stacked = mo.slot(opening(0.1)).float()
    assert (torch.stack([stacked(0), stacked(1)]) * torch.ones(2)).dtype == torch.float32
    assert mo.slot(opening(0.1)).half()(0).item() == torch.tensor(0.1).item()


class Stacking(mo.Algorithm[Tensor, Tensor, Tensor]):
    """x <- x - (0, 1) * size * (x - y), by a vector that is stacked of numbers in slots."""

    def __init__(self, size: Any):
        super().__init__()
        self.size, self.none = mo.slot(size), mo.slot(0.0)

    def init(self, problem: Tensor) -> Tensor:
        return torch.zeros_like(problem)

    def step(self, problem: Tensor, state: Tensor, k: int) -> Tensor:
        sizes = torch.stack([self.none(k), self.size(k)]) + self.none(k).expand(2)
        return state - sizes * (state - problem)

    def readout(self, problem: Tensor, state: Tensor, k: int) -> Tensor:
        return state


@pytest.mark.parametrize("strategy", [mo.Backprop(), mo.Checkpointed(2), mo.Truncated(3)], ids=repr)
@pytest.mark.parametrize("opening", [mo.fixed(), mo.shared(), mo.per_step(4, positive=True)])
def test_numbers_that_are_stacked_leave_a_run_in_the_precision_of_its_state(opening, strategy):
    algorithm = mo.parameterize(Stacking(0.1), {"size": opening})
    for dtype in (torch.float16, torch.float32, torch.float64):
        y = normal(0, 3, 2).to(dtype).requires_grad_()
        out = mo.unroll(algorithm, 4, strategy)(y).final
        assert out.dtype == dtype
        expected = y.double() * torch.tensor([0.0, 1 - 0.9**4], dtype=torch.float64)
        torch.testing.assert_close(out.double(), expected, rtol=4 * torch.finfo(dtype).eps, atol=1e-15)
        out.double().sum().backward()
        assert y.grad.dtype == dtype


def test_what_else_widens_a_state_is_still_refused():
    wide = torch.ones(2, dtype=torch.float64)
    algorithm = mo.Algorithm.from_step(
        lambda y, x, k, size: x - size * (x - y), lambda y: y.float(), slots={"size": 0.1}
    )
    with pytest.raises(mo.MetaoptError, match=r"changed state from .* float32 to .* float64"):
        mo.unroll(algorithm, 2)(wide)


def test_a_device_without_float64_gets_numbers_in_float32():
    """Such as Apple's, which refuses float64 tensors by a TypeError."""

    def move(tensor: Tensor) -> Tensor:
        if tensor.dtype == torch.float64:
            raise TypeError("this device has no float64")
        return tensor.clone()

    net = mo.unroll(mo.parameterize(mo.Descent(mo.updates.Adam(0.1)), {"update.step_size": mo.per_step(3)}), 3)
    net._apply(move)
    assert {t.dtype for t in tree.leaves(net)} == {torch.float32}
    assert [net.algorithm.update(0).step_size(k).item() for k in range(3)] == [torch.tensor(0.1).item()] * 3


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_a_slot_refuses(sentence):
    with pytest.raises(mo.MetaoptError, match=sentence):
        REFUSED[sentence]()


def test_the_parameters_of_an_opened_algorithm_are_all_found():
    """What a strategy takes apart is what an optimizer trains."""
    opened = mo.parameterize(Chain(networks(1)[0], 0.5), {"net": mo.per_step(2), "scale": mo.shared(positive=True)})
    parts = {id(t) for t in tree.partition(opened)[0]}
    assert all(id(p) in parts for p in opened.parameters())
    assert len(parts) == len(list(opened.parameters())) + len(list(opened.buffers()))


@pytest.mark.parametrize("convert", [nn.Module.float, nn.Module.half, nn.Module.bfloat16], ids=lambda c: c.__name__)
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(
    ("start", "interval", "expected"),
    [(0.5, (-1e300, 1e300), 0.1), (0.5, (-(10**30), 10**30), 0.1), (1e-9, (0, 1), 0.1), (1 - 1e-9, (0, 1), 0.1)],
)
def test_a_constrained_number_moves_within_its_bounds_in_every_precision(
    convert: Any, sign: int, start: float, interval: Any, expected: float
) -> None:
    narrow = convert(mo.slot(mo.shared(start, interval=interval)))
    (sign * narrow(0)).backward()
    torch.testing.assert_close(float(narrow.raw.grad), float(sign), rtol=1e-6, atol=0)
    with torch.no_grad():
        narrow.raw -= expected * sign
    low, high = interval
    room = min(1.0, high - start if sign < 0 else start - low)
    moved = float(narrow(0).detach())
    wanted = start - sign * (room * math.tanh(expected / room) if high == 1 else expected)
    assert moved == pytest.approx(wanted, abs=1e-6)
    assert low <= moved <= high


def test_a_value_that_a_narrower_dtype_does_not_hold_is_named() -> None:
    with pytest.raises(mo.MetaoptError, match="value 1e-60 of a slot is 0 in float32; keep it in float64"):
        mo.slot(mo.shared(1e-60, positive=True)).float()
    with pytest.raises(mo.MetaoptError, match=r"value 1e\+60 of a slot is inf in float32"):
        mo.slot(1e60).half()
    with pytest.raises(mo.MetaoptError, match=r"value 1e\+06 of a slot is inf in float16"):
        mo.slot(mo.shared(torch.tensor([1.0, 1e6]))).half()
    assert float(mo.slot(1e-60).float()(0)) == 0.0, "it is 0 to all digits, and nothing multiplies it"


@pytest.mark.parametrize("bounds", [(False, True), (0, 10**400), (-(10**400), 0), (math.nan, 1), 3, "ab", {0: 1, 1: 2}])
def test_bounds_that_are_no_two_numbers_are_refused(bounds: Any) -> None:
    with pytest.raises(mo.MetaoptError, match="interval=") as refusal:
        mo.shared(0.5, interval=bounds)
    assert "\n" not in str(refusal.value)


def test_what_no_slot_holds_is_named_in_one_line() -> None:
    rows = np.zeros((40, 40))
    opened = mo.Descent(mo.updates.Sgd(0.1))
    calls: dict[str, Callable[[], Any]] = {
        "a whole number of 1329 bits": lambda: mo.slot(10**400),
        "a whole number of 16610 bits": lambda: mo.slot(-(10**5000)),
        "a ndarray": lambda: mo.slot(rows),
        "are lazy": lambda: mo.slot(mo.shared(nn.LazyLinear(3))),
        "lazy and have no shape": lambda: mo.slot(mo.per_step(2, nn.LazyLinear(3))),
        "not of None": lambda: mo.slots(None),  # type: ignore[arg-type]
        "not a ndarray and a dict": lambda: mo.parameterize(rows, {}),  # type: ignore[type-var]
        "not by a ndarray": lambda: mo.parameterize(opened, {"update.step_size": rows}),  # type: ignore[dict-item]
        "of 100 bits": lambda: mo.per_step(10**30, 0.1),
        "a whole number of 71 bits": lambda: mo.updates.ConvGru(channels=1, hidden=2**70),
        "but got a whole number of 64 bits": lambda: mo.unroll(opened, 2**63),
    }
    for words, call in calls.items():
        with pytest.raises(mo.MetaoptError, match=words) as refusal:
            call()
        assert "\n" not in str(refusal.value)


class Counting(nn.Module):
    """It assigns another tensor to its buffer in each call."""

    def __init__(self, start: float, shape: tuple[int, ...] = ()):
        super().__init__()
        self.layer, self.shape = nn.Linear(3, 3, dtype=torch.float64), shape
        self.register_buffer("count", torch.tensor(start, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.layer(x)) * self.count
        self.count = (self.count + 1).expand(self.shape)
        return y


def halved(p: Tensor, x: Tensor, k: int, net: Any) -> Tensor:
    return x / 2 + net(p)


def counted(nets: list[nn.Module]) -> mo.Algorithm:
    return mo.Algorithm.from_step(halved, torch.zeros_like, slots={"net": mo.per_step(3, nets)})


def test_a_buffer_that_a_module_of_one_step_assigns_is_kept_as_in_a_list_of_modules():
    nets, x = [Counting(float(k)) for k in range(1, 4)], normal(0, 2, 3)
    run = mo.unroll(counted(nets), 3)
    for _ in range(3):
        expected = torch.zeros_like(x)
        for net in nets:
            expected = expected / 2 + net(x)
        final = run(x).final
        torch.testing.assert_close(final, expected)
        got = torch.autograd.grad(final.sum(), list(run.parameters()))
        exact = torch.autograd.grad(expected.sum(), [p for net in nets for p in net.parameters()])
        torch.testing.assert_close(got[0], torch.stack(exact[::2]))
    assert run.state_dict()["algorithm.net.count"].tolist() == [4.0, 5.0, 6.0]


@pytest.mark.parametrize("gradient", [mo.Checkpointed(2), mo.Implicit()])
def test_a_buffer_that_a_step_assigns_is_refused_where_steps_are_repeated(gradient):
    shared = mo.Algorithm.from_step(halved, torch.zeros_like, slots={"net": Counting(1.0)})
    for algorithm in (counted([Counting(1.0) for _ in range(3)]), shared):
        with pytest.raises(mo.MetaoptError, match=r"writes into 'net.*count'|need every step to be the same"):
            mo.unroll(algorithm, 3, gradient)(normal(0, 2, 3))


def test_a_buffer_of_another_shape_cannot_be_stacked_with_the_others():
    with pytest.raises(mo.MetaoptError, match=r"step 0 of a slot assigns \(2,\) float64 to 'count' .* a buffer \(\)"):
        mo.unroll(counted([Counting(1.0, (2,)) for _ in range(3)]), 3)(normal(0, 2, 3))
