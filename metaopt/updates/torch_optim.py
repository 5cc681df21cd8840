"""Use any optimizer of ``torch.optim`` as a differentiable update."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..arguments.checks import said
from ..core import MetaoptError, slot, tree
from .moments import as_real
from .torch_rules import RULES, apply_rule
from .update import check_x

# What each class remembers, by torch's names, and the option that gives its first value (None: zero). What is in the
# second table is one number for each tensor of x.
MEMORY: dict[str, dict[str, str | None]] = {
    "SGD": {"momentum_buffer": None},
    "Adam": {"exp_avg": None, "exp_avg_sq": None},
    "AdamW": {"exp_avg": None, "exp_avg_sq": None},
    "NAdam": {"exp_avg": None, "exp_avg_sq": None},
    "RAdam": {"exp_avg": None, "exp_avg_sq": None},
    "Adadelta": {"square_avg": None, "acc_delta": None},
    "Adagrad": {"sum": "initial_accumulator_value"},
    "Adamax": {"exp_avg": None, "exp_inf": None},
    "RMSprop": {"square_avg": None, "momentum_buffer": None},
    "ASGD": {"ax": None},
    "Rprop": {"prev": None, "step_size": "lr"},
}
NUMBERS: dict[str, dict[str, str | None]] = {"NAdam": {"mu_product": None}, "ASGD": {"eta": "lr", "mu": None}}
SWITCHED = {"amsgrad": "max_exp_avg_sq", "centered": "grad_avg"}  # what is remembered besides with an option
HOW = ("foreach", "capturable", "differentiable", "fused")  # how torch computes, not what


class TorchOptim(nn.Module):
    """Use a class of ``torch.optim`` as an update, as in ``TorchOptim(torch.optim.Adagrad, {"lr": 0.1})``.

    Every class but LBFGS and those for special tensors is supported, and computes what torch does, to rounding. Where
    the library has an update of its own, such as :class:`~metaopt.updates.Adam`, that one is quicker.

    Args:
        cls: The class.
        options: The options that differ from torch's defaults, by name. Switches such as ``amsgrad`` or ``maximize``
            are options too.

    Slots:
        options: Each numeric option is a slot with torch's name and default; a pair such as ``betas`` is one slot with
            a tensor of two. Rprop and ASGD read ``lr`` once, before the first step: of one value a step Rprop takes the
            first.

    Raises:
        MetaoptError: The class is not supported, or an option is unknown or refused by torch.
    """

    def __init__(self, cls: type[torch.optim.Optimizer], options: Mapping[str, Any] | None = None):
        super().__init__()
        _check_class(cls)
        self.cls, self.options = cls, tuple(_numbers(cls))
        numbers, self.switches = _check_options(cls, options)
        for name, value in numbers.items():
            held = torch.tensor(value, dtype=torch.float64) if isinstance(value, tuple) else value
            setattr(self, name, slot(held, functools.partial(_check_option, cls, name)))

    def init(self, x: Any, context: tuple[Any, ...] = ()) -> dict[str, Any]:
        name = self.cls.__name__
        check_x(name, x)
        kept = {**MEMORY[name], **{n: None for switch, n in SWITCHED.items() if self.switches.get(switch)}}
        memory = {
            n: tree.map(lambda t, first=first: self._first(first, torch.zeros_like(t)), x) for n, first in kept.items()
        }
        for n, first in NUMBERS.get(name, {}).items():
            memory[n] = tree.map(lambda t, first=first: self._first(first, as_real(t).new_ones(())), x)
        return memory

    def _first(self, option: str | None, otherwise: Tensor) -> Tensor:
        """The first value of what is remembered."""
        if option is None:
            return otherwise
        read = getattr(self, option)
        if option == "initial_accumulator_value" and read.steps is not None:
            raise MetaoptError(
                f"{self.cls.__name__} reads '{option}' once, before the first step, so all values but one of "
                "per_step(...) would never be read; use shared(...)."
            )
        return (torch.zeros_like(otherwise) + read(0)).to(otherwise.dtype)

    def forward(
        self, gradient: Any, x: Any, memory: dict[str, Any], k: int, context: tuple[Any, ...] = ()
    ) -> tuple[Any, dict[str, Any]]:
        options = {**self.switches, **{name: getattr(self, name)(k) for name in self.options}}
        # torch begins with the first gradient itself, whatever the dampening.
        seen = {n: part for n, part in memory.items() if k or self.cls is not torch.optim.SGD}
        columns = list(zip(*(tree.leaves(part) for part in seen.values()), strict=True)) or [()] * len(tree.leaves(x))
        changes, states = [], []
        for p, g, column in zip(tree.leaves(x), tree.leaves(gradient), columns, strict=True):
            state = dict(zip(seen, column, strict=True))
            new, kept = apply_rule(RULES[self.cls], p, g, state, options, k + 1)
            changes.append(new - p)
            states.append(kept)
        parts = {n: [torch.as_tensor(s[n]) for s in states] for n in memory}
        like = {n: tree.leaves(part) for n, part in memory.items()}
        kept = {n: [t.to(old) for t, old in zip(parts[n], like[n], strict=True)] for n in memory}
        return tree.fill(x, changes), {n: tree.fill(x, kept[n]) for n in memory}


def _numbers(cls: type) -> dict[str, Any]:
    """The options of a torch optimizer that are numbers, with their defaults."""
    defaults = {name: option.default for name, option in inspect.signature(cls).parameters.items()}
    return {n: v for n, v in defaults.items() if isinstance(v, int | float | tuple) and not isinstance(v, bool)}


def _check_class(cls: Any) -> None:
    if not isinstance(cls, type) or not issubclass(cls, torch.optim.Optimizer):
        raise MetaoptError(
            f"TorchOptim needs a class of torch.optim, such as torch.optim.Adagrad, but got {said(cls)}."
        )
    if cls not in RULES:
        known = ", ".join(rule.__name__ for rule in RULES)
        raise MetaoptError(
            f"TorchOptim cannot serve {cls.__module__}.{cls.__name__}; it serves {known} of torch.optim. Write an "
            "update of your own, which is two methods."
        )


def _check_option(cls: Any, name: str, values: Tensor) -> None:
    """Let torch say whether an option may have these values, of which a pair counts as one."""
    if values.is_complex() or values.is_meta or values.layout != torch.strided:
        raise MetaoptError(f"{cls.__name__} takes real numbers for the option {name}, but got {said(values)}.")
    pairs = isinstance(_numbers(cls)[name], tuple)
    for value in values.double().reshape(-1, 2 if pairs else 1).tolist():
        try:
            cls([torch.zeros(1)], **{name: tuple(value) if pairs else value[0]})
        except (ValueError, TypeError) as error:
            raise MetaoptError(f"{cls.__name__} refuses the option {name}: {error}.") from error


def _check_options(cls: type[torch.optim.Optimizer], options: Any) -> tuple[dict[str, Any], dict[str, bool]]:
    """All numeric options, those that were not given at their defaults, and all switches."""
    if options is not None and not isinstance(options, Mapping):
        raise MetaoptError(f"The options of {cls.__name__} are a dict by their names, but got {said(options)}.")
    options, numbers = dict(options or {}), _numbers(cls)
    plain: dict[str, Any] = {n: v for n, v in options.items() if isinstance(v, int | float | tuple)}
    make: Any = cls
    try:  # torch knows which options there are, and which values are allowed
        group = make([torch.zeros(1)], **{n: v for n, v in plain.items() if n not in HOW}).param_groups[0]
    except (ValueError, TypeError) as error:
        unknown = [name for name in options if name not in inspect.signature(cls).parameters]
        if unknown:
            raise _unknown(cls, unknown[0], numbers) from error
        raise MetaoptError(f"{cls.__name__} refuses these options: {error}.") from error
    switches = {n: v for n, v in group.items() if isinstance(v, bool) and n not in HOW}
    for name in options:
        if name not in numbers and name not in switches:
            raise _unknown(cls, name, numbers)
    return {**numbers, **{n: v for n, v in options.items() if n in numbers}}, switches


def _unknown(cls: type, name: str, numbers: Mapping[str, Any]) -> MetaoptError:
    return MetaoptError(f"{cls.__name__} has no numeric option '{name}'; it has {', '.join(numbers)}, and switches.")
