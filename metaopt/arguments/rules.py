"""Say of an annotation which values fit it, and what it is called in an error: the rules of ``contracts.checked``."""

from __future__ import annotations

import collections.abc
import inspect
import math
import os
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..core import autodiff
from ..core.errors import MetaoptError
from ..core.slots import Opening, Slot
from . import checks


@dataclass(frozen=True)
class Between:
    """Limit a number: ``low <= value <= high``, ``above < value < below``."""

    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def __contains__(self, value: Any) -> bool:
        if isinstance(value, Tensor) and autodiff.inside_transform():
            return True  # it has no value to compare
        return bool(self.low <= value <= self.high and self.above < value < self.below)

    def __str__(self) -> str:
        words = ("of at least", self.low), ("of at most", self.high), ("above", self.above), ("below", self.below)
        return " and ".join(f"{word} {limit:g}" for word, limit in words if math.isfinite(limit))


@dataclass(frozen=True)
class Axes:
    """Say kind, axes and finiteness of a tensor, as :func:`~metaopt.arguments.checks.check_tensor` takes them."""

    kind: checks.Kind = "real"
    shape: str = ""
    finite: bool = True


@dataclass(frozen=True)
class Holds:
    """Say what may fill a slot: a module with certain methods, or else numbers, one for each step or of any shape.

    Openings, such as ``shared(...)``, are judged by their value; those without one begin with what the slot holds.
    """

    methods: tuple[str, ...] | None = None
    single: bool = True
    limits: Between = Between()

    def __contains__(self, content: Any) -> bool:
        value = content.content() if isinstance(content, Slot) else getattr(content, "value", content)
        items, single = (list(value), True) if isinstance(value, list | tuple) else ([value], self.single)
        if isinstance(content, Opening) and value is None:
            return True
        if self.methods is not None:
            has = all(
                isinstance(i, nn.Module) and all(callable(getattr(i, m, None)) for m in self.methods) for i in items
            )
            return bool(items) and (has or all(hasattr(i, "at_step") for i in items))
        return bool(items) and all(
            self._is_number(i, single and getattr(content, "steps", None) is None) for i in items
        )

    def _is_number(self, item: Any, single: bool) -> bool:
        if isinstance(item, Tensor):
            fits = _passes(checks.check_tensor, item, "real", "()" if single else "")
            return fits and bool(item.numel()) and (item.ndim > 0 or item in self.limits)
        return _passes(checks.check_number, item) and item in self.limits

    def __str__(self) -> str:
        if self.methods is None:
            return f"a finite number {self.limits}".strip() + (" or a tensor" * (not self.single)) + OPENED
        named = f" with {' and '.join(f'{m}(...)' for m in self.methods)}" if self.methods else ""
        return f"a torch.nn.Module{named}{OPENED}"


OPENED = ", or an opening of it such as shared(...)"


class Rule(NamedTuple):
    """Say which values fit an annotation, and what the annotation is called in an error."""

    fits: Callable[[Any], bool]
    wanted: str
    convert: Callable[[Any], Any] = lambda value: value


def rule_of(annotation: Any, limits: Any = None) -> Rule | None:
    """Return what fits an annotation; ``None`` where everything does."""
    if isinstance(annotation, str):
        return None
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated and isinstance(parts[1], Holds):
        return Rule(parts[1].__contains__, str(parts[1]))
    if origin is Annotated:
        return rule_of(parts[0], parts[1])
    if origin in (typing.Union, types.UnionType):
        return _either(parts)
    if origin is typing.Literal:
        return Rule(lambda v: isinstance(v, str) and v in parts, " or ".join(map(repr, parts)))
    if origin is collections.abc.Callable or annotation is collections.abc.Callable:
        return _function(parts)
    if origin is tuple and limits is not None:
        return _bounds(_plain(parts[0], limits))
    if origin is tuple and parts and parts[-1] is not Ellipsis:
        return _items([rule_of(part) for part in parts])
    if origin in (tuple, list, collections.abc.Sequence, collections.abc.Iterable):
        return _sequence(rule_of(parts[0]) if parts else None, limits)
    if origin in (dict, collections.abc.Mapping):
        return _mapping(rule_of(parts[1]))
    return _plain(origin or annotation, limits)


def _plain(kind: Any, limits: Any) -> Rule | None:
    if kind is Tensor:
        return _tensor(limits or Axes("any", finite=False))
    if kind in (int, float):
        between, what = limits or Between(), "a whole number" if kind is int else "a finite number"
        check = checks.check_whole if kind is int else checks.check_number
        counts = kind is int and limits is not None  # a seed may have any size

        def fits(value: Any) -> bool:
            return _passes(check, value) and value in between and not (counts and value > checks.LARGEST)

        return Rule(fits, f"{what} {between}".strip(), _number)
    if kind is bool:
        return Rule(lambda v: isinstance(v, bool | np.bool_), "True or False")
    if kind is type(None):
        return Rule(lambda v: v is None, "None")
    if kind is str:
        return Rule(lambda v: isinstance(v, str), "a text")
    if not isinstance(kind, type) or kind in (object, Any, inspect.Parameter.empty):
        return None
    if getattr(kind, "_is_protocol", False):
        return _protocol(kind)
    named = {torch.dtype: "a torch.dtype", os.PathLike: "a path", nn.Module: "a torch.nn.Module"}
    return Rule(lambda v: isinstance(v, kind), named.get(kind, f"{_article(kind.__name__)} {kind.__name__}"))


def _tensor(axes: Axes) -> Rule:
    def fits(value: Any) -> bool:
        if not _passes(checks.check_tensor, value, axes.kind, axes.shape):
            return False
        return not axes.finite or _passes(checks.check_finite, value)

    finite = " of finite values" if axes.finite else ""
    return Rule(fits, f"{checks.KINDS[axes.kind]} {axes.shape}".strip() + finite)


def _function(parts: tuple[Any, ...]) -> Rule:
    if not parts or parts[0] is Ellipsis:
        return Rule(callable, "a function")
    names = [getattr(p, "__name__", str(p)) for p in parts[0]]
    many = f"{len(names)} arguments" if len(names) != 1 else "one argument"
    makes = isinstance(parts[1], type) and issubclass(parts[1], nn.Module)
    return Rule(lambda v: _passes(checks.check_function, v, *names, classes=makes), f"a function of {many}")


def _protocol(kind: type) -> Rule:
    names = [n for n in vars(kind) if callable(getattr(kind, n)) and (n == "__call__" or not n.startswith("_"))]
    shown = [f"{n}(...)" for n in names if n != "__call__"]
    wanted = f"{_article(kind.__name__)} {kind.__name__}" + (f", which has {' and '.join(shown)}" if shown else "")
    return Rule(lambda v: not isinstance(v, type) and all(callable(getattr(v, n, None)) for n in names), wanted)


def _either(parts: tuple[Any, ...]) -> Rule | None:
    rules = [rule_of(part) for part in parts]
    known = [rule for rule in rules if rule is not None]
    if len(known) < len(rules):
        return None
    wanted = " or ".join(dict.fromkeys(rule.wanted for rule in known))

    def convert(value: Any) -> Any:
        return next(rule for rule in known if rule.fits(value)).convert(value)

    return Rule(lambda v: any(rule.fits(v) for rule in known), wanted, convert)


def _items(rules: list[Rule | None]) -> Rule:
    def fits(value: Any) -> bool:
        items = _listed(value)
        if items is None or len(items) != len(rules):
            return False
        return all(_fit(rule, item) for rule, item in zip(rules, items, strict=True))

    inner = ", ".join("anything" if rule is None else rule.wanted for rule in rules)
    return Rule(fits, f"a tuple ({inner})")


def _bounds(rule: Rule | None) -> Rule:
    def fits(value: Any) -> bool:
        items = _listed(value)
        return items is not None and len(items) == 2 and all(_fit(rule, v) for v in items) and items[0] <= items[1]

    return Rule(fits, f"two numbers, the smaller first, each {'a number' if rule is None else rule.wanted}")


def _sequence(rule: Rule | None, length: Between | None) -> Rule:
    def fits(value: Any) -> bool:
        items = _listed(value)
        return items is not None and (length is None or len(items) in length) and all(_fit(rule, i) for i in items)

    some = "a list" if length is None else f"a list {length} items".replace("least 1 items", "least one item")
    return Rule(fits, some if rule is None else f"{some} that are each {rule.wanted}", _plain_list)


def _mapping(rule: Rule | None) -> Rule:
    def fits(value: Any) -> bool:
        return isinstance(value, Mapping) and all(_fit(rule, item) for item in value.values())

    return Rule(fits, "a dict" if rule is None else f"a dict whose values are each {rule.wanted}")


def _plain_list(value: Any) -> Any:
    """Return the numbers of an array as a list, which has a length and a truth value that code can ask for."""
    return value.tolist() if isinstance(value, np.ndarray | Tensor) and not autodiff.inside_transform() else value


def _number(value: Any) -> Any:
    """Return the number in a tensor without axes, where nothing is learned by it."""
    fixed = isinstance(value, Tensor) and not value.requires_grad and not autodiff.inside_transform()
    return value.item() if fixed and autodiff.values_known() else value


def _listed(value: Any) -> list[Any] | None:
    if isinstance(value, Tensor):
        return value.tolist() if value.ndim == 1 and _passes(checks.check_tensor, value, "any") else None
    if isinstance(value, np.ndarray):
        return value.tolist() if value.ndim == 1 else None
    sequence = isinstance(value, collections.abc.Sequence | nn.ModuleList) and not isinstance(value, str | bytes)
    return list(value) if sequence else None


def _fit(rule: Rule | None, value: Any) -> bool:
    return rule is None or rule.fits(value)


def _passes(check: Callable[..., Any], value: Any, *more: Any, **options: Any) -> bool:
    try:
        check("", value, *more, **options)
    except MetaoptError:
        return False
    return True


def _article(name: str) -> str:
    return "an" if name[0] in "AEIOU" else "a"
