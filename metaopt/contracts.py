"""Check the arguments of public constructors and functions by their annotations.

``@checked`` refuses, in one sentence, an argument that is not what its annotation says. The annotations below say more
than a type: ``Count`` is a whole number of at least 1, ``Matrix`` a real tensor of two axes. Checks run once a call, so
``@checked`` belongs on what is called once for a run or a network, and never on what a step calls.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import math
import os
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, ParamSpec, TypeVar, overload

import numpy as np
import torch
from torch import Tensor, nn

from . import checks
from .core import autodiff, tree
from .core.errors import MetaoptError
from .core.slots import Opening, Slot

Made = TypeVar("Made")
Arguments = ParamSpec("Arguments")


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
    """Say the kind, the axes and the finiteness of a tensor, as :func:`~metaopt.checks.check_tensor` takes them."""

    kind: checks.Kind = "real"
    shape: str = ""
    finite: bool = True


def within(
    name: str, low: float = -math.inf, high: float = math.inf, *, above: float = -math.inf, below: float = math.inf
) -> Callable[[Tensor], None]:
    """Return the check of a slot whose numbers have a range, as :func:`metaopt.slot` takes it.

    Args:
        name: The name of the slot, for the error.
        low: The smallest number allowed.
        high: The largest number allowed.
        above: Every number must be larger than this.
        below: Every number must be smaller than this.
    """
    return functools.partial(_check_within, name, Between(low, high, above, below))


def _check_within(name: str, range: Between, values: Tensor) -> None:
    if values.is_meta:
        return
    if values.is_complex() or values.dtype == torch.bool:
        raise MetaoptError(f"The {name} must be real numbers {range}, but got {tree.describe(values)}.")
    v = values.double()
    fits = (range.low <= v) & (v <= range.high) & (range.above < v) & (v < range.below)
    if not bool(fits.all()):
        raise MetaoptError(f"The {name} must be a number {range}, but got {values[~fits].flatten()[0].item()}.")


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
ModuleSlot = Annotated[Any, Holds(())]
NumberSlot = Annotated[Any, Holds()]
ValueSlot = Annotated[Any, Holds(single=False)]
Count = Annotated[int, Between(1)]
Natural = Annotated[int, Between(0)]
Positive = Annotated[float, Between(above=0)]
NotNegative = Annotated[float, Between(0)]
Share = Annotated[float, Between(0, 1)]
Rate = Annotated[float, Between(0, below=1)]
Counts = Annotated[tuple[int, int], Between(1)]  # the least and the most
Shares = Annotated[tuple[float, float], Between(0, 1)]
Positives = Annotated[tuple[float, float], Between(above=0)]
Real = Annotated[Tensor, Axes()]
Matrix = Annotated[Tensor, Axes("real", "(m, n)")]


@overload
def checked(constructor: type[Made]) -> type[Made]: ...


@overload
def checked(constructor: Callable[Arguments, Made]) -> Callable[Arguments, Made]: ...


def checked(constructor: Any) -> Any:
    """Decorate a public class or function so that arguments that contradict its annotations are refused.

    Annotations are evaluated at the first call. One that cannot be evaluated, ``Any`` or a type variable accepts
    everything. A value that equals its default is accepted too.

    Args:
        constructor: A class, whose constructor is then checked, or a function.

    Returns:
        The class, or a function of the same signature.

    Raises:
        MetaoptError: An argument is not what its annotation says (when called).
    """
    original = constructor.__init__ if inspect.isclass(constructor) else constructor
    signature = inspect.signature(original)
    who, module = constructor.__name__, constructor.__module__

    @functools.cache
    def rules() -> dict[str, tuple[Rule, Any]]:
        scope = sys.modules[module].__dict__
        found = {name: _rule(_evaluated(p.annotation, scope)) for name, p in signature.parameters.items()}
        return {name: (rule, signature.parameters[name].default) for name, rule in found.items() if rule is not None}

    @functools.wraps(original)
    def call(*arguments: Any, **keywords: Any) -> Any:
        try:
            given = signature.bind(*arguments, **keywords).arguments
        except TypeError:  # the call itself says it better
            given = {}
        for name, (rule, default) in rules().items():
            if name in given and given[name] is not default and not rule.fits(given[name]):
                raise MetaoptError(f"{who} needs {name} to be {rule.wanted}, but got {checks.said(given[name])}.")
        return original(*arguments, **keywords)

    if not inspect.isclass(constructor):
        return call
    constructor.__init__ = call
    return constructor


class Rule(NamedTuple):
    """Say which values fit an annotation, and what the annotation is called in an error."""

    fits: Callable[[Any], bool]
    wanted: str


def _evaluated(annotation: Any, scope: dict[str, Any]) -> Any:
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, scope, include_extras=True)["it"]
    except (NameError, TypeError, AttributeError):  # a name that only type checkers import
        return Any


def _rule(annotation: Any, limits: Any = None) -> Rule | None:
    """Return what fits an annotation; ``None`` where everything does."""
    if isinstance(annotation, str):
        return None
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated and isinstance(parts[1], Holds):
        return Rule(parts[1].__contains__, str(parts[1]))
    if origin is Annotated:
        return _rule(parts[0], parts[1])
    if origin in (typing.Union, types.UnionType):
        return _either(parts)
    if origin is typing.Literal:
        return Rule(lambda v: isinstance(v, str) and v in parts, " or ".join(map(repr, parts)))
    if origin is collections.abc.Callable or annotation is collections.abc.Callable:
        return _function(parts)
    if origin is tuple and limits is not None:
        return _bounds(_plain(parts[0], limits))
    if origin is tuple and parts and parts[-1] is not Ellipsis:
        return _items([_rule(part) for part in parts])
    if origin in (tuple, list, collections.abc.Sequence, collections.abc.Iterable):
        return _sequence(_rule(parts[0]) if parts else None)
    if origin in (dict, collections.abc.Mapping):
        return _mapping(_rule(parts[1]))
    return _plain(origin or annotation, limits)


def _plain(kind: Any, limits: Any) -> Rule | None:
    if kind is Tensor:
        return _tensor(limits or Axes("any", finite=False))
    if kind in (int, float):
        between, what = limits or Between(), "a whole number" if kind is int else "a finite number"
        check = checks.check_whole if kind is int else checks.check_number
        return Rule(lambda v: _passes(check, v) and v in between, f"{what} {between}".strip())
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
    makes = isinstance(parts[1], type) and issubclass(parts[1], nn.Module)  # then a class of modules fits

    def fits(value: Any) -> bool:
        return (makes and isinstance(value, type)) or _passes(checks.check_function, value, *names)

    return Rule(fits, f"a function of {many}")


def _protocol(kind: type) -> Rule:
    names = [n for n in vars(kind) if callable(getattr(kind, n)) and (n == "__call__" or not n.startswith("_"))]
    shown = [f"{n}(...)" for n in names if n != "__call__"]
    wanted = f"{_article(kind.__name__)} {kind.__name__}" + (f", which has {' and '.join(shown)}" if shown else "")
    return Rule(lambda v: not isinstance(v, type) and all(callable(getattr(v, n, None)) for n in names), wanted)


def _either(parts: tuple[Any, ...]) -> Rule | None:
    rules = [_rule(part) for part in parts]
    known = [rule for rule in rules if rule is not None]
    if len(known) < len(rules):
        return None
    return Rule(lambda v: any(rule.fits(v) for rule in known), " or ".join(dict.fromkeys(r.wanted for r in known)))


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


def _sequence(rule: Rule | None) -> Rule:
    def fits(value: Any) -> bool:
        items = _listed(value)
        return items is not None and all(_fit(rule, item) for item in items)

    return Rule(fits, "a list" if rule is None else f"a list whose items are each {rule.wanted}")


def _mapping(rule: Rule | None) -> Rule:
    def fits(value: Any) -> bool:
        return isinstance(value, Mapping) and all(_fit(rule, item) for item in value.values())

    return Rule(fits, "a dict" if rule is None else f"a dict whose values are each {rule.wanted}")


def _listed(value: Any) -> list[Any] | None:
    if isinstance(value, Tensor):
        return value.tolist() if value.ndim and _passes(checks.check_tensor, value, "any") else None
    if isinstance(value, np.ndarray):
        return value.tolist() if value.ndim else None
    sequence = isinstance(value, collections.abc.Sequence | nn.ModuleList) and not isinstance(value, str | bytes)
    return list(value) if sequence else None


def _fit(rule: Rule | None, value: Any) -> bool:
    return rule is None or rule.fits(value)


def _passes(check: Callable[..., Any], value: Any, *more: Any) -> bool:
    try:
        check("", value, *more)
    except MetaoptError:
        return False
    return True


def _article(name: str) -> str:
    return "an" if name[0] in "AEIOU" else "a"
