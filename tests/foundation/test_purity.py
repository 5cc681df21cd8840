"""What a step changes besides its state is seen wherever it keeps it, and results are compared sample by sample."""

from __future__ import annotations

import collections
import functools
import itertools
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import metaopt as mo
from metaopt.foundation.purity import differ

from ..helpers import normal

D = torch.float64
STRATEGIES = [mo.Checkpointed(2), mo.Checkpointed(1), mo.Reversible(), mo.Implicit()]
total = 0.0


def counted() -> float:
    global total
    total += 0.1
    return total


@functools.lru_cache
def ramp(n: int) -> Tensor:
    return torch.linspace(0, 0.1, n, dtype=D)


class Average:
    """An object that is no module."""

    def __init__(self) -> None:
        self.mean = 0.0

    def __call__(self, x: float) -> float:
        self.mean = 0.9 * self.mean + 0.1 * x
        return self.mean


class Stranger(mo.Algorithm[Tensor, Tensor, Tensor]):
    """x <- rate x + y + what a foreign function of the algorithm and y says."""

    calls = 0

    def __init__(self, noise: Callable[[Any, Tensor], Any], held: Any):
        super().__init__()
        self.noise, self.held, self.none, self.undefined = noise, held, None, float("nan")
        self.rate = nn.Parameter(torch.tensor(0.5, dtype=D))

    @functools.cached_property
    def cached(self) -> Tensor:
        return torch.full((3,), 0.1, dtype=D)

    def init(self, problem: Tensor) -> Tensor:
        return torch.zeros_like(problem)

    def step(self, problem: Tensor, state: Tensor, k: int) -> Tensor:
        return self.rate * state + problem + self.noise(self, problem)

    def inverse_step(self, problem: Tensor, next_state: Tensor, k: int) -> Tensor:
        return (next_state - problem - self.noise(self, problem)) / self.rate

    def readout(self, problem: Tensor, state: Tensor, k: int) -> Tensor:
        return state


def put(name: str, value: Callable[[Any, Tensor], Any]) -> Callable[[Any, Tensor], Any]:
    def noise(module: Any, y: Tensor) -> Any:
        setattr(module, name, value(module, y))
        return getattr(module, name)

    return noise


def after(change: Callable[[Any], Any], result: Callable[[Any], Any]) -> Callable[[Any, Tensor], Any]:
    def noise(module: Any, y: Tensor) -> Any:
        change(module.held)
        return 0.1 * result(module.held)

    return noise


def enclosed() -> Callable[[Any, Tensor], Any]:
    n = 0.0

    def noise(module: Any, y: Tensor) -> float:
        nonlocal n
        n += 0.1
        return n

    return noise


def of_class(module: Any, y: Tensor) -> float:
    Stranger.calls += 1
    return 0.1 * Stranger.calls


def numbered(held: Any) -> float:
    return float(next(held))


# What the step does, what the algorithm holds for it, and the name by which it is refused.
CHANGES: dict[str, tuple[Callable[[Any, Tensor], Any], Callable[[], Any], str]] = {
    "none to tensor": (put("none", lambda m, y: y if m.none is None else 0.9 * m.none + y), int, "none"),
    "tensor": (put("held", lambda m, y: 0.9 * m.held + y), lambda: torch.zeros(3, dtype=D), "held"),
    "number to tensor": (put("held", lambda m, y: m.held + y.mean()), float, "held"),
    "new attribute": (put("fresh", lambda m, y: getattr(m, "fresh", 0) + y), int, "fresh"),
    "tensor in place": (after(lambda t: t.add_(1), torch.clone), lambda: torch.zeros(3, dtype=D), "held"),
    "array in place": (after(lambda a: a.__iadd__(1), lambda a: float(a[0])), lambda: np.zeros(3), "held"),
    "dict": (after(lambda d: d.update(n=d.get("n", 0) + 1), lambda d: d["n"]), dict, "held"),
    "nested": (after(lambda d: d["a"][0].append(1), lambda d: len(d["a"][0])), lambda: {"a": ([],)}, "held"),
    "list": (after(lambda items: items.append(1), len), list, "held"),
    "deque": (after(lambda items: items.append(1), len), collections.deque, "held"),
    "set": (after(lambda items: items.add(len(items)), len), set, "held"),
    "object": (after(lambda mean: mean(1.0), lambda mean: mean.mean), Average, "held"),
    "unregistered module": (
        after(lambda layers: layers[0](normal(0, 4, 3)), lambda layers: layers[0].running_mean),
        lambda: [nn.BatchNorm1d(3, dtype=D)],
        "held",
    ),
    "iterator": (after(lambda _: None, numbered), lambda: iter([*range(1000)]), "held"),
    "counter": (after(lambda _: None, numbered), itertools.count, "held"),
    "generator of Python": (after(lambda _: None, lambda r: r.random()), lambda: random.Random(0), "held"),
    "generator of NumPy": (after(lambda _: None, lambda r: r.normal()), lambda: np.random.default_rng(0), "held"),
    "state of NumPy": (after(lambda _: None, lambda r: r.normal()), lambda: np.random.RandomState(0), "held"),
    "closure": (enclosed(), int, "noise"),
    "global": (lambda module, y: counted(), int, "noise"),
    "class": (of_class, int, "Stranger.calls"),
    "only a derivative": (lambda m, y: (y - y.detach()) * m.held.normal(), lambda: np.random.default_rng(0), "held"),
}


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
@pytest.mark.parametrize("change", CHANGES)
def test_whatever_a_step_keeps_outside_its_state_is_refused_by_name(change: str, strategy: Any) -> None:
    noise, held, name = CHANGES[change]
    net = mo.unroll(Stranger(noise, held()), 5, strategy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mo.MetaoptWarning)  # a fixed point is not reached
        with pytest.raises(mo.MetaoptError, match=f"writes into '{name}'.* keep what changes in the state"):
            net(normal(0, 3).requires_grad_()).final.sum().backward()


HARMLESS: dict[str, tuple[Callable[[Any, Tensor], Any], Callable[[], Any]]] = {
    "cached property": (lambda module, y: module.cached, int),
    "cached function": (lambda module, y: ramp(3), int),
    "read": (lambda module, y: module.held["a"][0], lambda: {"a": [0.1], "nan": float("nan"), "array": np.zeros(2)}),
    "equal number": (put("held", lambda m, y: 0.1), lambda: 0.1),
    "filled cache": (lambda module, y: module.held.setdefault(3, 0.1), lambda: {3: 0.1}),
}


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
@pytest.mark.parametrize("way", HARMLESS)
def test_what_a_step_only_reads_or_computes_anew_is_let_through(way: str, strategy: Any) -> None:
    noise, held = HARMLESS[way]
    y = normal(0, 3).requires_grad_()
    net = mo.unroll(Stranger(noise, held()), 24, strategy)
    [got] = torch.autograd.grad(net(y).final.sum(), y)
    torch.testing.assert_close(got, torch.full((3,), 2.0, dtype=D), rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64])
def test_a_sample_that_is_drawn_anew_is_seen_beside_larger_ones(dtype: torch.dtype) -> None:
    first = normal(0, 4, 5).to(dtype)
    first[1:] *= 20
    again = first.clone()
    assert not differ([again * (1 + torch.finfo(dtype).eps)], [first])
    again[0] = first[0].flip(0)
    assert differ([again], [first])


def test_nan_equals_nan_alone_and_whole_numbers_themselves() -> None:
    nan, inf = torch.tensor([1.0, float("nan")]), torch.tensor([1.0, float("inf")])
    one = torch.ones(2)
    assert not differ([nan, inf, one.long()], [nan, inf, one.long()])
    for a, b in ((nan, one), (one, nan), (inf, one), (one, inf), (inf, -inf), (nan, inf), (one.long(), 2 * one.long())):
        assert differ([a], [b])
    assert not differ([torch.zeros(0, 3)], [torch.zeros(0, 3)])
    large = torch.tensor([[1e30, 1.0], [2.0, 3.0]])
    assert differ([large * torch.tensor([[1.0], [1.1]])], [large[:1].repeat(2, 1)])
