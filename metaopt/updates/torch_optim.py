"""Use optimizers of ``torch.optim`` that this library does not implement itself, made differentiable by ``higher``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..core import MetaoptError, autodiff, slot, tree
from ..extras import require
from .update import check_real
from .weight_decay import add_weight_decay

# What each class remembers, and the option that gives its first value (None: zero).
MEMORY: dict[str, dict[str, str | None]] = {
    "Adadelta": {"square_avg": None, "acc_delta": None},
    "Adagrad": {"sum": "initial_accumulator_value"},
    "Adamax": {"exp_avg": None, "exp_inf": None},
    "Rprop": {"prev": None, "step_size": "lr"},
}
REFUSED = {
    "SGD": "use metaopt's own Sgd, Momentum or Nesterov",
    "Adam": "higher adds its eps in the wrong place, so iterates and gradients differ; use metaopt's own Adam",
    "AdamW": "higher has none; use metaopt's own AdamW",
    "RMSprop": "higher itself warns that its gradients through it are wrong; use metaopt's own RMSprop",
    "ASGD": "higher averages the wrong points and cuts its step size's derivative; average the outputs of Sgd instead",
}


class TorchOptim(nn.Module):
    """Use a class of ``torch.optim`` as an update, as in ``TorchOptim(torch.optim.Adagrad, {"lr": 0.1})``.

    Adadelta, Adagrad, Adamax and Rprop are supported, for real x. The rule itself is that of ``higher``; its state is
    the memory of this update, and nothing is kept between calls.

    Args:
        cls: The class.
        options: The options that differ from torch's defaults, by name.

    Slots:
        options: Each numeric option is a slot with torch's name and default; a pair such as ``betas`` is one slot with
            a tensor of two. Rprop reads ``lr`` once, before the first step: of one value a step it takes the first.

    Raises:
        MetaoptError: The class is one that ``higher`` lacks or gets wrong, an option is unknown, ``maximize`` is set, x
            is complex, or the update runs under vmap.

    Source:
        Grefenstette et al., 2019, arXiv:1910.01727 (``higher``).
    """

    def __init__(self, cls: type[torch.optim.Optimizer], options: Mapping[str, Any] | None = None):
        super().__init__()
        _check_class(cls)
        self.cls, self.options = cls, tuple(_numbers(cls))
        for name, value in _check_options(cls, dict(options or {})).items():
            held = torch.tensor(value, dtype=torch.float64) if isinstance(value, tuple) else value
            setattr(self, name, slot(held, functools.partial(_check_option, cls, name)))

    def init(self, x: Any, context: tuple[Any, ...] = ()) -> dict[str, Any]:
        check_real(f"higher's {self.cls.__name__}", x)

        def begin(first: str | None) -> Any:
            if first is None:
                return tree.map(torch.zeros_like, x)
            option = getattr(self, first)
            if first == "initial_accumulator_value" and option.steps is not None:
                raise MetaoptError(
                    f"{self.cls.__name__} reads '{first}' once, before the first step, so all values but one of "
                    "per_step(...) would never be read; use shared(...)."
                )
            value = option(0)
            return tree.map(lambda t: (torch.zeros_like(t) + value).to(t.dtype), x)

        return {name: begin(first) for name, first in MEMORY[self.cls.__name__].items()}

    def forward(
        self, gradient: Any, x: Any, memory: dict[str, Any], k: int, context: tuple[Any, ...] = ()
    ) -> tuple[Any, dict[str, Any]]:
        if autodiff.inside_transform():
            raise MetaoptError(
                "higher's optimizers do not run under torch.func (vmap, grad); use one of metaopt's own updates."
            )
        options = {name: getattr(self, name)(k) for name in self.options}
        if "weight_decay" in options:  # higher skips it at 0, where it has a derivative too
            gradient = add_weight_decay(gradient, x, self.weight_decay, k)
            options["weight_decay"] = 0
        changes, states = _update(self.cls, options, tree.leaves(gradient), memory, k)
        change = tree.fill(x, changes)
        return change, {name: tree.fill(x, [state[name] for state in states]) for name in memory}


def _update(
    cls: type, options: dict[str, Any], gradients: list[Tensor], memory: dict[str, Any], k: int
) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """The change of each tensor and its next state, by ``higher``'s rule applied to x = 0."""
    optim = require("higher.optim", "higher")

    columns = zip(*(tree.leaves(part) for part in memory.values()), strict=True)
    states = [{**dict(zip(memory, column, strict=True)), "step": k} for column in columns]
    # Its constructor would copy an optimizer that exists; all that its rule reads is set here.
    rule = object.__new__(getattr(optim, f"Differentiable{cls.__name__}"))
    rule.param_groups = [{**options, **_written(options, g), "params": [torch.zeros_like(g)]} for g in gradients]
    rule.state = [{0: state} for state in states]
    rule._update([[g] for g in gradients])
    changes = [group["params"][0].to(g.dtype) for group, g in zip(rule.param_groups, gradients, strict=True)]
    return changes, [{n: s[n].to(g.dtype) for n in memory} for s, g in zip(states, gradients, strict=True)]


def _written(options: dict[str, Any], gradient: Tensor) -> dict[str, Tensor]:
    """Rprop writes its factors into a tensor, so they must have its dtype; elsewhere float64 is the more exact."""
    return {name: options[name].to(gradient.dtype) for name in ("etas",) if name in options}


def _numbers(cls: type) -> dict[str, Any]:
    """The options of a torch optimizer that are numbers, with their defaults."""
    defaults = {name: option.default for name, option in inspect.signature(cls).parameters.items()}
    return {n: v for n, v in defaults.items() if isinstance(v, int | float | tuple) and not isinstance(v, bool)}


def _check_class(cls: Any) -> None:
    name = getattr(cls, "__name__", repr(cls))
    if not isinstance(cls, type) or getattr(torch.optim, name, None) is not cls:
        raise MetaoptError(f"TorchOptim needs a class of torch.optim, such as torch.optim.Adagrad, but got {cls!r}.")
    if name not in MEMORY:
        reason = REFUSED.get(name, "higher has none; write an update of your own, which is two methods")
        raise MetaoptError(f"TorchOptim cannot serve {name}: {reason}. It serves {', '.join(MEMORY)}.")


def _check_option(cls: Any, name: str, values: Tensor) -> None:
    """Let torch say whether an option may have these values, of which a pair counts as one."""
    rows = values.double().reshape(-1, 2) if isinstance(_numbers(cls)[name], tuple) else values.double().reshape(-1)
    for row in rows.tolist():
        try:
            cls([torch.zeros(1)], **{name: tuple(row) if isinstance(row, list) else row})
        except (ValueError, TypeError) as error:
            raise MetaoptError(f"{cls.__name__} refuses the option {name}: {error}.") from error


def _check_options(cls: Any, options: dict[str, Any]) -> dict[str, Any]:
    """All numeric options, those that were not given at their defaults."""
    if options.pop("maximize", False):
        raise MetaoptError(f"higher's {cls.__name__} ignores maximize=True; minimise the negative function instead.")
    numbers = _numbers(cls)
    unknown = [name for name in options if name not in numbers]
    if unknown:
        raise MetaoptError(f"{cls.__name__} has no numeric option '{unknown[0]}'; it has {', '.join(numbers)}.")
    try:  # torch knows which values are allowed
        cls([torch.zeros(1)], **{n: v for n, v in options.items() if isinstance(v, int | float | tuple)})
    except (ValueError, TypeError) as error:
        raise MetaoptError(f"{cls.__name__} refuses these options: {error}.") from error
    return {**numbers, **options}
