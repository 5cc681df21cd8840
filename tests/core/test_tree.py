"""Trees: what is taken apart is put together again, and nothing else happens to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call

import metaopt as mo
from metaopt import tree

from ..helpers import normal

few = settings(deadline=None, max_examples=40)


class Pair(NamedTuple):
    first: Any
    second: Any


@dataclasses.dataclass(frozen=True, eq=False)
class Given:
    content: Any
    note: Any = "a static"


DTYPES = [torch.float32, torch.float64, torch.complex64, torch.complex128, torch.int64, torch.bool]
tensors = st.builds(
    lambda shape, dtype: torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from(DTYPES),
)
statics = st.one_of(st.none(), st.integers(), st.text(max_size=2), st.just(torch.relu))
trees = st.recursive(
    tensors | statics,
    lambda child: st.one_of(
        st.lists(child, max_size=3),
        st.lists(child, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=2), child, max_size=3),
        st.builds(Pair, child, child),
        st.builds(Given, child, child),
    ),
    max_leaves=8,
)


def places(thing: Any) -> Any:
    """A tree as nested tuples with every tensor by its values: an oracle that knows no function of ``tree``."""
    if isinstance(thing, Tensor):
        return "tensor", str(thing.dtype), tuple(thing.shape), thing.tolist()
    if isinstance(thing, dict):
        return "dict", tuple((key, places(value)) for key, value in thing.items())
    if isinstance(thing, list | tuple):
        return type(thing).__name__, tuple(places(item) for item in thing)
    if isinstance(thing, Given):
        return "Given", places(thing.content), places(thing.note)
    return thing


def count(thing: Any) -> int:
    if isinstance(thing, Tensor):
        return 1
    if isinstance(thing, Given):
        return count(thing.content) + count(thing.note)
    items = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, list | tuple) else ()
    return sum(count(item) for item in items)


@few
@given(trees)
def test_every_way_of_taking_a_tree_apart_puts_it_together_again(thing):
    parts, rebuild = tree.partition(thing)
    assert places(rebuild(parts)) == places(thing)
    assert places(tree.map(torch.clone, thing)) == places(thing)
    assert places(tree.fill(thing, tree.leaves(thing))) == places(thing)
    assert len(tree.leaves(thing)) == count(thing)


@few
@given(trees)
def test_the_names_of_leaves_are_distinct_and_lead_to_them(thing):
    named = tree.named_leaves(thing, "thing")
    assert len({name for name, _ in named}) == len(named)
    for name, tensor in named:
        assert eval(name, {"thing": thing}) is tensor


@few
@given(trees, st.integers(1, 3))
def test_stack_puts_the_trees_behind_each_other(thing, copies):
    stacked = tree.stack([tree.map(lambda t, i=i: t * 0 + bool(i), thing) for i in range(copies)])
    for before, after in zip(tree.leaves(thing), tree.leaves(stacked), strict=True):
        assert after.shape == (copies, *before.shape)
        assert all(torch.equal(after[i], torch.full_like(before, bool(i))) for i in range(copies))


def test_a_tensor_in_two_places_is_one_input_and_stays_one():
    x = torch.ones(2)
    parts, rebuild = tree.partition({"a": x, "b": (x, torch.zeros(1))})
    assert len(parts) == 2
    rebuilt = rebuild([torch.full((2,), 5.0), torch.ones(1)])
    assert rebuilt["a"] is rebuilt["b"][0]


def test_constructors_are_not_run_again():
    @dataclasses.dataclass(frozen=True, eq=False)
    class Checked:
        y: Tensor
        scale: Tensor = dataclasses.field(init=False)

        def __post_init__(self):
            if not bool((self.y > 0).all()):  # raises under vmap, where no value can be looked at
                raise ValueError
            object.__setattr__(self, "scale", self.y.sum())

    problem = Checked(torch.ones(3, 2))
    assert torch.equal(tree.map(torch.neg, problem).y, -problem.y)
    assert torch.equal(tree.map(torch.neg, problem).scale, -problem.scale)
    both = tree.stack([problem, problem])
    assert torch.equal(tree.vmap(lambda p: p.y.sum() * p.scale)(both), torch.tensor([36.0, 36.0]))


class TiedAutoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode, self.decode = nn.Linear(3, 3), nn.Linear(3, 3)
        self.decode.weight = self.encode.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(torch.tanh(self.encode(x)))


class LastOfLstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x[:, None])[0][:, -1]


class PlainTensors(nn.Module):
    """Parameters in lists and dicts, one that is None, a module with two names."""

    def __init__(self):
        super().__init__()
        self.list = nn.ParameterList([nn.Parameter(torch.randn(3)) for _ in range(2)])
        self.dict = nn.ParameterDict({"a": nn.Parameter(torch.randn(3))})
        self.register_parameter("none", None)
        self.once = self.twice = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.twice(self.once(x * self.list[0] + self.list[1])) * self.dict["a"]


MODULES: dict[str, Callable[[], nn.Module]] = {
    "tied": TiedAutoencoder,
    "lstm": LastOfLstm,
    "gru cell": lambda: nn.GRUCell(3, 4),
    "batch norm": lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)),
    "batch norm in evaluation": lambda: nn.BatchNorm1d(3).eval(),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)),
    "orthogonal": lambda: nn.utils.parametrizations.orthogonal(nn.Linear(3, 3)),
    "transformer layer": lambda: nn.TransformerEncoderLayer(3, 1, 5, dropout=0.0),
    "parameters in containers": PlainTensors,
}


def build(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MODULES[name]().double()


@pytest.mark.parametrize("name", MODULES)
def test_a_shadow_computes_what_a_module_with_those_tensors_computes(name):
    module, other, x = build(name), build(name), normal(1, 5, 3)
    before = {n: t.clone() for n, t in module.state_dict().items()}
    old, rebuild = tree.partition(module)
    new = [(t + 0.1).detach().requires_grad_(t.requires_grad) if t.is_floating_point() else t.clone() for t in old]
    for mine, tensor in zip([*other.parameters(), *other.buffers()], new, strict=True):
        mine.data.copy_(tensor)
    got, expected = rebuild(new)(x), other(x)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    wanted = [t for t in new if t.requires_grad]
    grads = (
        torch.autograd.grad((got**3).sum(), wanted),
        torch.autograd.grad((expected**3).sum(), list(other.parameters())),
    )
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    assert all(torch.equal(before[n], t) for n, t in module.state_dict().items()), "the original was touched"
    assert not torch.equal(got, build(name)(x)), "the new tensors were not used"


@pytest.mark.parametrize("change", [torch.clone, lambda t: t.double()], ids=["clone", "double"])
def test_tied_parameters_stay_tied(change):
    module = TiedAutoencoder()
    shadow = tree.map(change, {"net": module, "again": [module]})
    assert shadow["net"].encode.weight is shadow["net"].decode.weight
    assert shadow["net"] is shadow["again"][0]
    assert shadow["net"].encode.weight is not module.encode.weight
    parts, rebuild = tree.partition(module)
    assert len(parts) == 3
    rebuilt = rebuild([torch.zeros_like(t) for t in parts])
    assert rebuilt.encode.weight is rebuilt.decode.weight


@pytest.mark.parametrize("name", MODULES)
def test_substituted_tensors_are_used_as_functional_call_uses_them(name):
    module, x = build(name), normal(1, 5, 3)
    tensors = {n: (t + 0.1).detach() if t.is_floating_point() else t.clone() for n, t in module.state_dict().items()}
    before = {n: t.clone() for n, t in module.state_dict().items()}
    shadow = tree.substitute(module, {n: t.clone() for n, t in tensors.items()})
    expected = functional_call(build(name), tensors, (x,), tie_weights=False)
    torch.testing.assert_close(shadow(x), expected, rtol=0, atol=0)
    assert all(torch.equal(before[n], t) for n, t in module.state_dict().items()), "the original was touched"


def test_a_substitute_shares_what_is_not_named_and_stays_tied():
    module, new = TiedAutoencoder(), torch.zeros(3, 3)
    shadow = tree.substitute(module, {"encode.weight": new})
    assert shadow.encode.weight is new and shadow.decode.weight is new
    assert shadow.encode.bias is module.encode.bias and module.encode.weight is not new
    twice = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    twice.append(twice[0])
    shadow = tree.substitute(twice, {"0.weight": torch.eye(2)})
    assert shadow[0] is shadow[2] and shadow[0].weight is not twice[0].weight and shadow[0].bias is twice[0].bias


def test_a_partition_remembers_the_tensors_of_its_moment():
    """functional_call puts a module's own parameters back; what was taken apart within it must still fit."""
    module, other = nn.Linear(2, 1, bias=False), torch.full((1, 2), 3.0)
    taken = []
    module.register_forward_hook(lambda m, *_: taken.append(tree.partition(m)))
    functional_call(module, {"weight": other}, (torch.ones(2),))
    [(parts, rebuild)] = taken
    assert parts[0] is other
    assert torch.equal(rebuild([torch.zeros(1, 2)]).weight, torch.zeros(1, 2))


@few
@given(st.integers(1, 4), st.integers(1, 3))
def test_vmap_over_trees_equals_the_loop_and_shares_modules(tasks, width):
    module = nn.Linear(width, 2).double()
    x, y = normal(0, tasks, 3, width), normal(1, tasks, 3, 2)

    def task(problem: Given, y: Tensor) -> Pair:
        residual = problem.note(problem.content["x"]) - y
        return Pair({"loss": (residual**2).sum()}, Given(residual, "static"))

    together = tree.vmap(task)(Given({"x": x}, module), y)
    assert together.second.note == "static"
    for i in range(tasks):
        alone = task(Given({"x": x[i]}, module), y[i])
        torch.testing.assert_close(together.first["loss"][i], alone.first["loss"])
        torch.testing.assert_close(together.second.content[i], alone.second.content)
    grads = torch.autograd.grad(together.first["loss"].sum(), module.weight)[0]
    alone = [task(Given({"x": x[i]}, module), y[i]).first["loss"] for i in range(tasks)]
    torch.testing.assert_close(grads, torch.autograd.grad(sum(alone), module.weight)[0])


def test_vmap_says_what_does_not_fit():
    with pytest.raises(mo.MetaoptError, match=r"one common leading axis.*arguments\[0\]\['x'\] \(2, 3\).*\(4,\)"):
        tree.vmap(lambda a, b: a["x"])({"x": torch.ones(2, 3)}, torch.ones(4))
    with pytest.raises(mo.MetaoptError, match="no tensor at all"):
        tree.vmap(lambda a: a)({"x": 1})
    with pytest.raises(mo.MetaoptError, match="one common leading axis"):
        tree.vmap(lambda a: a)(torch.ones(()))


def test_trees_are_joined_only_around_one_module():
    """Stacking two modules would take the tensors of the first for both."""
    shared = nn.Linear(2, 2)
    stacked = tree.stack([Given(torch.zeros(3), shared), Given(torch.ones(3), shared)])
    assert stacked.note is shared
    assert stacked.content.shape == (2, 3)
    with pytest.raises(mo.MetaoptError, match="the same Linear, not two"):
        tree.stack([Given(torch.zeros(3), nn.Linear(2, 2)), Given(torch.ones(3), nn.Linear(2, 2))])
    with pytest.raises(mo.MetaoptError, match="at least one tree"):
        tree.stack([])


@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 4), (torch.float64, 8)])
def test_to_changes_floating_tensors_only_and_complex_ones_by_size(dtype, size):
    given_tensors = [torch.ones(1, dtype=d) for d in DTYPES]
    after = tree.to(given_tensors, dtype=dtype)
    assert [t.dtype for t in after[4:]] == [torch.int64, torch.bool]
    assert [t.element_size() for t in after[:4]] == [size, size, 2 * size, 2 * size]
    assert [t.is_complex() for t in after[:4]] == [False, False, True, True]
    assert [t.dtype for t in tree.to(given_tensors, device="cpu")] == DTYPES


def test_to_takes_a_device_a_dtype_or_a_tensor_first_as_torch_does():
    for first in ((torch.float32,), ("cpu", torch.float32), (torch.zeros((), dtype=torch.float32),)):
        moved = tree.to((normal(0, 3), torch.arange(3), torch.ones(2, dtype=torch.complex128)), *first)
        assert [t.dtype for t in moved] == [torch.float32, torch.int64, torch.complex64]
    assert mo.FunctionObjective(torch.sum, normal(0, 3)).to(torch.float32).start().dtype == torch.float32
    assert mo.operators.Dense(torch.eye(2)).to(torch.float64)(normal(0, 2)).dtype == torch.float64
    assert tree.to(normal(0, 3), torch.device("meta")).is_meta


@pytest.mark.parametrize(
    "wrong", [(torch.int64,), ("cpu", torch.bool), ("cpu", "float32"), ("float32",), (torch.zeros(1).long(),)]
)
def test_to_refuses_what_is_no_device_and_no_floating_dtype(wrong):
    """Whole numbers in the place of 0.5 would be 0."""
    with pytest.raises(mo.MetaoptError, match=r"^to (converts|takes) .* but got"):
        tree.to(torch.full((2,), 0.5), *wrong)


def test_relative_change_is_that_of_the_vector_of_all_entries():
    a, b = [normal(0, 3), normal(1, 2, 2, dtype=torch.complex128)], [normal(2, 3), normal(3, 2, 2).cdouble()]
    x, y = (np.concatenate([t.numpy().ravel() for t in v]) for v in (a, b))
    expected = np.linalg.norm(x - y) / np.linalg.norm(y)
    assert tree.relative_change(a, b) == pytest.approx(expected, rel=1e-12)
    assert tree.relative_change([torch.ones(4)], [torch.zeros(4)]) == 2.0


def test_a_changed_state_is_described():
    before = Pair(torch.zeros(2, 5, 3), {"v": torch.zeros(2)})
    tree.check_unchanged(before, tree.map(torch.ones_like, before), "MeanField", 0)
    with pytest.raises(mo.MetaoptError) as error:
        tree.check_unchanged(before, before._replace(first=torch.zeros(2, 5)), "MeanField", 0)
    assert str(error.value) == "step of MeanField changed state.first from (2, 5, 3) float32 to (2, 5) float32 at k=0."
    with pytest.raises(
        mo.MetaoptError, match=r"state.second\['v'\] from \(2\) float32|\(2,\) float32 to \(2,\) float64"
    ):
        tree.check_unchanged(before, before._replace(second={"v": torch.zeros(2).double()}), "A", 3)
    with pytest.raises(mo.MetaoptError, match=r"structure of its state at k=3: it held .*\['v'\], now .*\['w'\]"):
        tree.check_unchanged(before, before._replace(second={"w": torch.zeros(2)}), "A", 3)
    with pytest.raises(mo.MetaoptError, match="now no tensor"):
        tree.check_unchanged(before, (), "A", 3)


@dataclasses.dataclass(frozen=True, eq=False)
class Checked:
    number: float
    half: float = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError("negative")
        object.__setattr__(self, "half", self.number / 2)


def test_replace_copies_a_dataclass_without_its_checks_and_derives_nothing():
    given = Checked(4.0)
    other = tree.replace(given, {"number": -1.0})
    assert (other.number, other.half, type(other)) == (-1.0, 2.0, Checked)
    assert (given.number, given.half) == (4.0, 2.0)
    assert tree.replace(given, {"number": 6.0, "half": 3.0}).half == 3.0
    assert dataclasses.asdict(tree.replace(given, {})) == dataclasses.asdict(given)


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    number: float
    other: int = 0
    double: float | None = dataclasses.field(default=None, init=False, metadata={"derived_from": ("number",)})

    def __post_init__(self) -> None:
        object.__setattr__(self, "double", 2 * self.number)


def test_replace_forgets_what_is_declared_to_be_derived_from_what_it_changes():
    given = Prepared(4.0)
    assert tree.replace(given, {"number": 5.0}).double is None
    assert tree.replace(given, {"other": 1}).double == 8.0
    assert tree.replace(given, {"number": 5.0, "double": 10.0}).double == 10.0
    assert tree.map(lambda t: t, given).double == 8.0


def test_replace_refuses_what_has_no_such_field():
    with pytest.raises(mo.MetaoptError, match="Checked has no field 'numbr'; its fields are number, half"):
        tree.replace(Checked(1.0), {"numbr": 2.0})
    for thing in ({"a": 1}, Pair(1, 2), Checked):
        with pytest.raises(mo.MetaoptError, match="changes fields of a dataclass, not of a"):
            tree.replace(thing, {"a": 2})
