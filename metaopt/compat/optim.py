"""Find the differentiable form of an optimizer: of those of ``torch.optim``, and of those that users register."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..arguments.checks import check_instance, said
from ..core import MetaoptError
from ..updates.torch_rules import RULES, Rule
from .differentiable import Callback, DifferentiableOptimizer, Override
from .patch import FunctionalModule
from .structures import apply_trainable_opt_params, get_trainable_opt_params

__all__ = [
    "DifferentiableOptimizer",
    "apply_trainable_opt_params",
    "create_diff_optim",
    "get_diff_optim",
    "get_trainable_opt_params",
    "register_optim",
]

FORM = "_metaopt_differentiable"  # the attribute of an optimizer's class that names its registered form


def _form(rule: Rule, cls: type) -> type[DifferentiableOptimizer]:
    doc = f"Step as ``torch.optim.{cls.__name__}`` does, differentiably."
    body = {"_rule": staticmethod(rule), "__doc__": doc, "__module__": __name__}
    return types.new_class(
        f"Differentiable{cls.__name__}", (DifferentiableOptimizer,), exec_body=lambda n: n.update(body)
    )


FORMS = types.MappingProxyType({cls: _form(rule, cls) for cls, rule in RULES.items()})


def __getattr__(name: str) -> Any:
    """Give the forms by ``higher``'s names, such as ``DifferentiableSGD``."""
    for form in FORMS.values():
        if form.__name__ == name:
            return form
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _form_of(cls: type) -> type[DifferentiableOptimizer]:
    """The form of exactly this class: a subclass may compute anything, and another class may have the same name."""
    form = vars(cls).get(FORM, FORMS.get(cls))
    if form is not None:
        return form
    bases = [base.__name__ for base in cls.__mro__ if base in FORMS]
    if bases:
        raise MetaoptError(
            f"{cls.__module__}.{cls.__name__} is a subclass of {bases[0]} that may step in another way; use "
            f"torch.optim.{bases[0]} itself, or say what steps like it by register_optim({cls.__name__}, ...)."
        )
    known = ", ".join(known.__name__ for known in FORMS)
    raise MetaoptError(
        f"{cls.__module__}.{cls.__name__} has no differentiable form here; those that have are {known} of torch.optim, "
        "and register_optim adds one."
    )


def get_diff_optim(
    opt: torch.optim.Optimizer,
    reference_params: Iterable[Tensor],
    fmodel: FunctionalModule | None = None,
    device: torch.device | str | None = None,
    override: Override | None = None,
    track_higher_grads: bool = True,
    grad_callback: Callback | None = None,
) -> DifferentiableOptimizer:
    """Return the differentiable form of an optimizer, with the options and memory that it has.

    Args:
        opt: An optimizer of exactly a class of ``torch.optim``, or of one that was registered.
        reference_params: The parameters of its model, ``model.parameters()``.
        fmodel: The functional module to step. None: parameters are given to ``step(loss, params=...)``.
        device: Where the memory is to be. None: where the optimizer's is.
        override: Options to replace, such as ``{"lr": [tensor]}``.
        track_higher_grads: Whether to keep the graph of the steps.
        grad_callback: A function from the gradients to those that are used.

    Raises:
        MetaoptError: The class has no differentiable form, or :class:`DifferentiableOptimizer` refuses the rest.
    """
    check_instance("opt", opt, torch.optim.Optimizer)
    if fmodel is not None:
        check_instance("fmodel", fmodel, FunctionalModule)
    form = _form_of(type(opt))
    return form(opt, reference_params, fmodel, device, override, grad_callback, track_higher_grads)


def create_diff_optim(
    opt_type: type[torch.optim.Optimizer],
    opt_kwargs: Mapping[str, Any] | None = None,
    params: Iterable[Any] | None = None,
    fmodel: FunctionalModule | None = None,
    device: torch.device | str | None = None,
    override: Override | None = None,
    track_higher_grads: bool = True,
    grad_callback: Callback | None = None,
) -> DifferentiableOptimizer:
    """Return the differentiable form of a new optimizer.

    Args:
        opt_type: A class of ``torch.optim``, or one that was registered.
        opt_kwargs: Its options.
        params: Parameters, or parameter groups; only their shapes count. None: those of ``fmodel``.
        fmodel: As for :func:`get_diff_optim`.
        device: As for :func:`get_diff_optim`.
        override: As for :func:`get_diff_optim`.
        track_higher_grads: As for :func:`get_diff_optim`.
        grad_callback: As for :func:`get_diff_optim`.

    Raises:
        MetaoptError: There are neither ``params`` nor ``fmodel``, torch refuses the options, or as above.
    """
    if not isinstance(opt_type, type) or not issubclass(opt_type, torch.optim.Optimizer):
        raise MetaoptError(f"create_diff_optim needs a class of torch.optim, but got {said(opt_type)}.")
    form = _form_of(opt_type)
    if params is not None:
        check_instance("params", params, Iterable)
    check_instance("opt_kwargs", opt_kwargs or {}, Mapping)
    given: list[Any] = list(params) if params is not None else list((fmodel and fmodel.fast_params) or ())
    if not given:
        raise MetaoptError("create_diff_optim needs params or fmodel, for the shapes of the parameters.")
    grouped = given if isinstance(given[0], dict) else [{"params": given}]
    groups = [{**g, "params": [torch.zeros_like(p).requires_grad_() for p in _several(g["params"])]} for g in grouped]
    everything = [p for group in groups for p in group["params"]]
    try:
        opt = opt_type(groups, **(opt_kwargs or {}))
    except (TypeError, ValueError) as error:
        raise MetaoptError(f"{opt_type.__name__} refuses these options: {error}.") from error
    return form(opt, everything, fmodel, device, override, grad_callback, track_higher_grads)


def _several(params: Any) -> list[Tensor]:
    return [params] if isinstance(params, Tensor) else list(params)


def register_optim(optim_type: type[torch.optim.Optimizer], diff_optim_type: type[DifferentiableOptimizer]) -> None:
    """Say which differentiable form belongs to a class of optimizers.

    Args:
        optim_type: The class; its subclasses are not meant.
        diff_optim_type: A subclass of :class:`DifferentiableOptimizer` that computes the same.

    Raises:
        MetaoptError: One of them is no such class.
    """
    for cls, base in ((optim_type, torch.optim.Optimizer), (diff_optim_type, DifferentiableOptimizer)):
        if not isinstance(cls, type) or not issubclass(cls, base):
            raise MetaoptError(f"register_optim needs a subclass of {base.__name__}, but got {said(cls)}.")
    setattr(optim_type, FORM, diff_optim_type)
