"""Step parameters as an optimizer of torch would, each step a differentiable function of what went before."""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import lr_scheduler

from ..arguments.checks import check_flag, check_function, check_instance, said
from ..core import MetaoptError, autodiff, tree
from ..updates.torch_rules import RULES, Rule, apply_rule
from .patch import FunctionalModule
from .structures import check_override

Override = Mapping[str, Sequence[Any]]
Callback = Callable[[list[Any]], Sequence[Any]]


class DifferentiableOptimizer:
    """Step parameters, each step a differentiable function of the parameters before it and of the options.

    :func:`get_diff_optim` makes the one that belongs to an optimizer. Subclasses for :func:`register_optim` define
    ``_update(grouped_grads)``: it reads ``param_groups`` and ``state[group][place]``, and replaces the tensors in each
    group's ``params``; a gradient that is None leaves its parameter and state alone.

    Args:
        other: The optimizer to imitate, with the options and memory that it has.
        reference_params: The parameters of its model, in order.
        fmodel: The functional module whose fast weights are stepped. None: they are given to :meth:`step`.
        device: Where the memory is to be. None: where the optimizer's is.
        override: Options to replace, such as ``{"lr": [tensor]}``.
        grad_callback: A function from the gradients to those that are used, such as clipping.
        track_higher_grads: Whether to keep the graph of the steps.

    Raises:
        MetaoptError: The optimizer has parameters that the model has not, or hooks, or another ``step``, or its
            parameters have hooks, or an option is unknown.
    """

    _rule: ClassVar[Rule | None] = None

    def __init__(
        self,
        other: torch.optim.Optimizer,
        reference_params: Iterable[Tensor],
        fmodel: FunctionalModule | None = None,
        device: torch.device | str | None = None,
        override: Override | None = None,
        grad_callback: Callback | None = None,
        track_higher_grads: bool = True,
    ):
        place = {id(p): i for i, p in enumerate(_listed(reference_params))}
        _check(other, place)
        self._name, self._fmodel, self._grad_callback = type(other).__name__, fmodel, grad_callback
        if grad_callback is not None:
            check_function("grad_callback", grad_callback, "gradients")
        self._track_higher_grads = check_flag("track_higher_grads", track_higher_grads)
        self._count, self._places = len(place), [[place[id(p)] for p in g["params"]] for g in other.param_groups]
        self.param_groups: list[dict[str, Any]] = [
            {**{n: _option(v) for n, v in group.items()}, "params": [None] * len(group["params"])}
            for group in other.param_groups
        ]
        self.state: list[defaultdict[int, dict[str, Any]]] = [defaultdict(dict) for _ in other.param_groups]
        for kept, group in zip(self.state, other.param_groups, strict=True):
            for i, p in enumerate(group["params"]):
                if p in other.state:
                    kept[i] = {name: _remembered(value, device) for name, value in other.state[p].items()}
        self._apply_override(override)

    def _apply_override(self, override: Override | None) -> None:
        if override is not None and not isinstance(override, Mapping):
            raise MetaoptError(f"override is a dict from options to lists of values, but got {said(override)}.")
        for name, values in (override or {}).items():
            check_override(name, values, self.param_groups, self._name)
            for i, group in enumerate(self.param_groups):
                group[name] = values[i if len(values) > 1 else 0]

    def step(
        self,
        loss: Tensor,
        params: Iterable[Tensor] | None = None,
        override: Override | None = None,
        grad_callback: Callback | None = None,
    ) -> list[Tensor]:
        """Take one step along the gradient of ``loss``.

        Args:
            loss: A scalar that depends on the current parameters.
            params: Parameters to step from. None: the fast weights of the functional module.
            override: Options to replace from now on.
            grad_callback: A function from the gradients to those that are used, such as clipping, both in the model's
                order; None stands for a parameter without gradient.

        Returns:
            The new parameters, which the functional module now has as well.

        Raises:
            MetaoptError: The loss is no scalar or does not depend on the parameters, a gradient is sparse, or there are
                no parameters.
        """
        self._apply_override(override)
        now = self._now(params)
        gradients = self._gradients(loss, now)
        callback = self._grad_callback if grad_callback is None else grad_callback
        if callback is not None:
            if not callable(callback):
                raise MetaoptError(f"grad_callback must be a function of the gradients, but got {said(callback)}.")
            changed = callback(gradients)
            count = len(list(changed)) if isinstance(changed, list | tuple) else said(changed)
            if count != len(now):
                raise MetaoptError(f"grad_callback was given {len(now)} gradients, but returned {count}.")
            gradients = list(changed)
        for group, places in zip(self.param_groups, self._places, strict=True):
            group["params"] = [now[i] for i in places]
        with torch.set_grad_enabled(self._track_higher_grads and torch.is_grad_enabled()):
            self._update([[gradients[i] for i in places] for places in self._places])
        new = list(now)
        for group, places in zip(self.param_groups, self._places, strict=True):
            if not self._track_higher_grads:
                pairs = zip(group["params"], places, strict=True)
                group["params"] = [p.detach().requires_grad_(now[i].requires_grad) for p, i in pairs]
            for p, i in zip(group["params"], places, strict=True):
                new[i] = p
        if self._fmodel is not None:
            self._fmodel.update_params(new)
        return new

    def _now(self, params: Iterable[Tensor] | None) -> list[Tensor]:
        own = None if self._fmodel is None else self._fmodel.fast_params
        if params is None and own is None:
            raise MetaoptError("This optimizer has no functional module to step; call step(loss, params=parameters).")
        now = list(own or ()) if params is None else _listed(params)
        if len(now) != self._count:
            raise MetaoptError(f"The optimizer was made for {self._count} parameters, but {len(now)} were given.")
        return now

    def _gradients(self, loss: Tensor, now: list[Tensor]) -> list[Any]:
        if not isinstance(loss, Tensor) or loss.numel() != 1 or loss.is_complex():
            raise MetaoptError(f"step needs a loss that is one real number, but got {said(loss)}.")
        learned = [i for i, p in enumerate(now) if p.requires_grad]
        found: Sequence[Any] = [None]
        if loss.requires_grad and learned:
            wanted = [now[i] for i in learned]
            found = autodiff.pull_back([loss], wanted, [torch.ones_like(loss)], create_graph=self._track_higher_grads)
        if all(g is None for g in found):
            raise MetaoptError(
                "The loss does not depend on the current parameters; compute it after the last step, by fmodel(...) "
                "instead of the model, and not under no_grad."
            )
        gradients: list[Any] = [None] * len(now)
        for i, g in zip(learned, found, strict=True):
            if g is not None and g.layout != torch.strided:
                raise MetaoptError(
                    f"The gradient of a parameter {tree.describe(now[i])} is {g.layout}; build the embedding with "
                    "sparse=False."
                )
            gradients[i] = g
        return gradients

    def _update(self, grouped_grads: list[list[Any]]) -> None:
        """Replace the parameters of each group, and the state, by those after a step along the gradients."""
        rule = type(self)._rule
        if rule is None:
            raise MetaoptError(f"{type(self).__name__} defines no _update(grouped_grads), which makes the step.")
        for group, state, gradients in zip(self.param_groups, self.state, grouped_grads, strict=True):
            for i, g in enumerate(gradients):
                if g is not None:
                    p, kept = group["params"][i], {n: v for n, v in state[i].items() if n != "step"}
                    k = int(state[i].get("step", 0)) + 1
                    group["params"][i], kept = apply_rule(rule, p, g, kept, group, k)
                    state[i] = {"step": k, **kept}

    def state_dict(self) -> dict[str, Any]:
        """Return options and memory as ``load_state_dict`` of the optimizer takes them, without their graph."""
        starts = [sum(map(len, self._places[:i])) for i in range(len(self._places))]
        groups = [
            {**{n: _plain(v) for n, v in group.items()}, "params": [start + i for i in range(len(group["params"]))]}
            for start, group in zip(starts, self.param_groups, strict=True)
        ]
        state = {
            start + i: {name: _saved(name, value) for name, value in entries.items()}
            for start, kept in zip(starts, self.state, strict=True)
            for i, entries in kept.items()
            if entries
        }
        return {"state": state, "param_groups": groups}


def _listed(params: Any) -> list[Tensor]:
    params = list(params) if isinstance(params, Iterable) and not isinstance(params, Tensor) else params
    if not isinstance(params, list) or not all(isinstance(p, Tensor) for p in params):
        raise MetaoptError(f"Parameters are a list of tensors, such as model.parameters(), but got {said(params)}.")
    return params


def _check(opt: torch.optim.Optimizer, place: Mapping[int, int]) -> None:
    check_instance("opt", opt, torch.optim.Optimizer)
    strange = [p for group in opt.param_groups for p in group["params"] if id(p) not in place]
    if strange:
        raise MetaoptError(f"The optimizer has {len(strange)} parameters that the model has not.")
    whole = importlib.import_module("torch.optim.optimizer")  # whose name torch.optim has for a module and a type
    everywhere = whole._global_optimizer_pre_hooks or whole._global_optimizer_post_hooks
    if opt._optimizer_step_pre_hooks or opt._optimizer_step_post_hooks or everywhere:
        raise MetaoptError("The optimizer has hooks around its steps, which are not run here; use grad_callback.")
    if not _torchs_step(opt):
        raise MetaoptError(
            f"step of this {type(opt).__name__} was replaced by another function, which is not run here; give the "
            "optimizer without it, and use grad_callback for what it does to gradients."
        )
    for p in (p for group in opt.param_groups for p in group["params"]):
        if p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None):
            raise MetaoptError(
                f"The parameter {tree.describe(p)} has hooks on its gradient, which are not run here; remove them and "
                "use grad_callback."
            )


def _torchs_step(opt: torch.optim.Optimizer) -> bool:
    """Whether ``step`` is that of the class, possibly counted by torch's schedulers, and in torch's classes torch's."""
    step: Any = type(opt).step
    own = vars(opt).get("step")
    if own is not None and not (_home(own) == lr_scheduler.__name__ and getattr(own, "__wrapped__", None) is step):
        return False
    while type(opt) in RULES and step is not None:
        if not _home(step).startswith("torch."):
            return False
        step = getattr(step, "__wrapped__", None)
    return True


def _home(function: Any) -> str:
    """The module whose code a function runs, which ``functools.wraps`` does not change."""
    return getattr(function, "__globals__", {}).get("__name__", "")


def _option(value: Any) -> Any:
    """An option, a tensor as it is now; one that requires a gradient is kept, since it is being learned."""
    return value.detach().clone() if isinstance(value, Tensor) and not value.requires_grad else value


def _remembered(value: Any, device: Any) -> Any:
    return value.detach().clone().to(device) if isinstance(value, Tensor) else value


def _plain(value: Any) -> Any:
    """An option without its graph; a number that was made a tensor is a number again."""
    if isinstance(value, tuple):
        return tuple(_plain(v) for v in value)
    return (value.item() if value.numel() == 1 else value.detach().clone()) if isinstance(value, Tensor) else value


def _saved(name: str, value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    return torch.tensor(float(value)) if name in ("step", "eta", "mu", "mu_product") else value
