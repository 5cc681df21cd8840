"""Arguments are checked by their annotations: each kind of annotation, what fits it and what does not."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from metaopt import MetaoptError
from metaopt.arguments.contracts import Count, Matrix, Natural, Rate, checked


class Runs(Protocol):
    def run(self, x: Any) -> Any: ...


class Runner:
    def run(self, x: Any) -> Any:
        return x


ANNOTATIONS = (Callable, Sequence, Literal, nn, Tensor, torch)  # the strings below are evaluated in this module
KINDS = {
    "Count": ([1, np.int32(2)], [0, -1, True, 2.0, "2", None, torch.ones(1)]),
    "Natural": ([0], [-1, 0.5]),
    "int": ([-3], [0.5, None]),
    "float": ([-1.5, 2, torch.tensor(0.5), np.float32(1)], [float("nan"), float("inf"), "1", None, [1.0], True]),
    "Rate": ([0, 0.5], [1, -0.1]),
    "bool": ([True, np.bool_(0)], [0, None, "no"]),
    "str": (["a"], [b"a", None, 3]),
    "Tensor": ([torch.ones(2), torch.ones((), dtype=torch.int64)], [[1.0], torch.ones(2, device="meta"), None]),
    "Matrix": ([torch.ones(2, 3)], [torch.ones(2), torch.ones(2, 3).long(), torch.full((2, 3), torch.nan)]),
    "Literal['a', 'b']": (["a"], ["c", 1, None]),
    "Callable[[Tensor, int], Any]": ([max, lambda x, k: x, nn.Bilinear(1, 1, 1)], [None, lambda x: x, nn.Linear]),
    "Callable[..., Any]": ([max, nn.Linear], [None, 3]),
    "nn.Module": ([nn.ReLU()], [nn.ReLU, None, max]),
    "Sequence[float]": ([(), [1, 0.5], torch.ones(2), np.ones(2)], [None, 1.0, "12", ["a"], [float("nan")]]),
    "tuple[float, float]": ([(0, 1), [0.5, 1]], [(1,), (1, 2, 3), 3, "ab"]),
    "Count | Sequence[Count] | None": ([1, [1, 2], None], [0, [0], "a"]),
    "dict[str, Tensor]": ([{}, {"a": torch.ones(1)}], [None, [], {"a": 3}]),
    "torch.dtype": ([torch.float32], ["float32", None]),
    "Runs": ([Runner()], [Runner, None, nn.ReLU()]),
    "Any": ([None, 3, "text"], []),
    "NameNobodyHas": ([None, 3], []),
}


def takes(annotation: str) -> Any:
    def function(value):
        return value

    function.__annotations__ = {"value": annotation}
    return checked(function)


@pytest.mark.parametrize("kind", KINDS)
def test_what_fits_is_passed_on_and_anything_else_is_refused_by_name(kind):
    fits, not_ = KINDS[kind]
    for value in fits:
        same = takes(kind)(value)
        assert same is value or np.array_equal(same, value)  # arrays become lists, tensors without axes numbers
    for value in not_:
        with pytest.raises(MetaoptError, match=r"^function needs value to be .*, but got "):
            takes(kind)(value)


def test_a_checked_class_or_function_keeps_its_signature_and_its_defaults():
    @checked
    @dataclass(frozen=True)
    class Pair:
        first: Count
        second: Count = None  # type: ignore[assignment]
        third: list[int] = field(default_factory=list)

    @checked
    def shares(x: Matrix, rate: Rate = 0.5, start: Natural = 0) -> float:
        return rate

    assert list(inspect.signature(Pair).parameters) == ["first", "second", "third"]
    assert list(inspect.signature(shares).parameters) == ["x", "rate", "start"]
    assert Pair(1).second is None
    assert Pair(1).third == []
    assert shares(torch.ones(1, 1)) == 0.5
    with pytest.raises(MetaoptError, match=r"^Pair needs first to be a whole number of at least 1, but got 0\.$"):
        Pair(first=0)
    with pytest.raises(MetaoptError, match=r"rate to be a finite number of at least 0 and below 1, but got 1\.0"):
        shares(torch.ones(1, 1), 1.0)
    with pytest.raises(TypeError, match="typo"):
        shares(torch.ones(1, 1), typo=3)
    with pytest.raises(TypeError, match="first"):
        Pair()


def test_values_are_not_read_where_there_are_none():
    @checked
    def scale(x: Matrix, factor: Rate) -> Tensor:
        return x * factor

    bad = torch.full((1, 2, 3), torch.nan)
    assert torch.func.vmap(scale)(bad, torch.tensor([2.0])).isnan().all()
