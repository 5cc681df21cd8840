"""Check the arguments of public constructors and functions by their annotations.

``@checked`` refuses, in one sentence, an argument that is not what its annotation says. The annotations below say more
than a type: ``Count`` is a whole number of at least 1, ``Matrix`` a real tensor of two axes. Checks run once a call, so
``@checked`` belongs on what is called once for a run or a network, and never on what a step calls.
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
import types
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ParamSpec, TypeVar, overload

import torch
from torch import Tensor

from ..core import autodiff, tree
from ..core.algorithm import FunctionAlgorithm
from ..core.errors import MetaoptError
from ..core.gradients import Checkpointed, Gcr, Implicit, Reversible, Truncated
from ..core.run import Settled
from ..core.slots import Opening
from ..core.unroll import Unrolled
from . import checks
from .rules import Axes, Between, Holds, Rule, rule_of

Made = TypeVar("Made")
Arguments = ParamSpec("Arguments")

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
SomeCounts = Annotated[Sequence[Count], Between(1)]  # a list that is not empty
Matrix = Annotated[Tensor, Axes("real", "(m, n)")]


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
        found = {name: rule_of(_evaluated(p.annotation, scope)) for name, p in signature.parameters.items()}
        return {name: (rule, signature.parameters[name].default) for name, rule in found.items() if rule is not None}

    @functools.wraps(original)
    def call(*arguments: Any, **keywords: Any) -> Any:
        try:
            given = signature.bind(*arguments, **keywords)
        except TypeError:  # the call itself says it better
            return original(*arguments, **keywords)
        for name, (rule, default) in rules().items():
            if name in given.arguments and (value := given.arguments[name]) is not default:
                if not rule.fits(value):
                    got = f"{checks.said(value)}{_not_finite(value)}"
                    raise MetaoptError(f"{who} needs {name} to be {rule.wanted}, but got {got}.")
                given.arguments[name] = rule.convert(value)
        return original(*given.args, **given.kwargs)

    if not inspect.isclass(constructor):
        return call
    constructor.__init__ = call
    return constructor


def _not_finite(value: Any) -> str:
    """Return how many values of a tensor are NaN or infinite, as the end of a sentence, where there are some."""
    ordinary = isinstance(value, Tensor) and value.layout is torch.strided and not value.is_meta
    if not ordinary or value.dtype.itemsize < 2 or autodiff.inside_transform() or not autodiff.values_known():
        return ""
    count = int((~torch.isfinite(value)).sum())
    return f" with {count} values that are NaN or infinite" if count else ""


def _evaluated(annotation: Any, scope: dict[str, Any]) -> Any:
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, scope, include_extras=True)["it"]
    except (NameError, TypeError, AttributeError):  # a name that only type checkers import
        return Any


for _class in (Opening, FunctionAlgorithm, Settled, Unrolled, Truncated, Checkpointed, Implicit, Gcr, Reversible):
    checked(_class)  # here, since core sees nothing of this module
