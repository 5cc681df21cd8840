"""Nested options of optimizers as flat lists, as tensors that are learned, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..arguments.checks import check_instance, said
from ..core import MetaoptError


class Listed(list):
    """A list from which ``next`` takes the first item, as code does that asks ``next(model.parameters())``."""

    def __next__(self) -> Any:
        if not self:
            raise StopIteration
        return self.pop(0)


def flatten(x: Any) -> list[Any]:
    """Return what nested dicts, lists, tuples and sets hold, as one list.

    Args:
        x: The structure; anything else is its own only item.
    """
    items = x.values() if isinstance(x, dict) else x
    return [leaf for item in items for leaf in flatten(item)] if isinstance(x, dict | list | tuple | set) else [x]


def map_structure(function: Callable[..., Any], x: Any, *others: Any) -> Any:
    """Return a structure like ``x`` with ``function`` of its items, and of those at the same places in ``others``."""
    if isinstance(x, dict):
        return {key: map_structure(function, x[key], *(o[key] for o in others)) for key in x}
    if isinstance(x, list | tuple):
        return type(x)(map_structure(function, *items) for items in zip(x, *others, strict=True))
    return function(x, *others)


def get_func_params(
    module: nn.Module, device: torch.device | str | None = None, safe_copy: bool = True
) -> list[Tensor]:
    """Return the parameters of a module as leaves of their own.

    Args:
        module: The module.
        device: Where they are to be. None: where the module's are.
        safe_copy: Whether they have a storage of their own.
    """
    check_instance("module", module, nn.Module)
    copies = [p.detach().clone() if safe_copy else p.detach() for p in module.parameters()]
    kept = zip(copies, module.parameters(), strict=True)
    return [(c if device is None else c.to(device)).requires_grad_(p.requires_grad) for c, p in kept]


def get_trainable_opt_params(
    opt: torch.optim.Optimizer, device: torch.device | str | None = None
) -> dict[str, list[Any]]:
    """Return the numeric options of an optimizer as tensors that require a gradient, in the form of ``override``.

    Args:
        opt: The optimizer.
        device: Where the tensors are to be.

    Returns:
        For each option a list of one value for each parameter group. Switches are left out: they have no derivative.
    """
    check_instance("opt", opt, torch.optim.Optimizer)

    def learned(value: Any) -> Tensor:
        if isinstance(value, Tensor):
            return value.detach().clone().to(device).requires_grad_()
        return torch.tensor(float(value), device=device, requires_grad=True)

    options: dict[str, list[Any]] = {}
    for group in opt.param_groups:
        for name, value in group.items():
            if name != "params" and all(_numeric(leaf) for leaf in flatten(value)):
                options.setdefault(name, []).append(map_structure(learned, value))
    return options


def _numeric(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.is_floating_point()
    return isinstance(value, int | float) and not isinstance(value, bool)


def apply_trainable_opt_params(opt: torch.optim.Optimizer, override: Mapping[str, list[Any]]) -> None:
    """Write options that were learned back into an optimizer.

    Args:
        opt: The optimizer, whose parameter groups are changed.
        override: For each option a list of one value, or of one for each parameter group.

    Raises:
        MetaoptError: The optimizer has no such option, or the number of values or their structure does not fit.
    """
    check_instance("opt", opt, torch.optim.Optimizer)
    check_instance("override", override, Mapping)
    for name, values in override.items():
        check_override(name, values, opt.param_groups, type(opt).__name__)
        for i, group in enumerate(opt.param_groups):
            value = values[i if len(values) > 1 else 0]
            try:
                group[name] = map_structure(_written, group[name], value)
            except (ValueError, TypeError, KeyError) as error:
                raise MetaoptError(f"override['{name}'] is not of the structure of {group[name]!r}.") from error


def _written(old: Any, new: Any) -> Any:
    if isinstance(old, Tensor):
        return torch.as_tensor(new).detach().to(old)
    return type(old)(new.detach().item() if isinstance(new, Tensor) else new)


def check_override(name: str, values: Any, groups: list[dict[str, Any]], who: str) -> None:
    """Raise if ``values`` are not one value, or one for each parameter group, of an option that the groups have."""
    if name == "params" or any(name not in group for group in groups):
        known = ", ".join(n for n, v in groups[0].items() if n != "params" and all(map(_numeric, flatten(v))))
        raise MetaoptError(f"{who} has no option '{name}' to override; it has {known}.")
    if not isinstance(values, list | tuple) or len(values) not in (1, len(groups)):
        count = len(values) if isinstance(values, list | tuple) else "no list of"
        raise MetaoptError(
            f"override['{name}'] holds {count} values for {len(groups)} parameter groups; give one, or one for each."
        )
    for value, group in zip(values, groups, strict=False):
        leaves, wanted = flatten(value), len(flatten(group[name]))
        size = leaves[0].numel() if isinstance(value, Tensor) and value.ndim == 1 else len(leaves)
        odd = [leaf for leaf in leaves if not isinstance(leaf, int | float | Tensor | None)]
        if odd or (wanted > 1 and size != wanted):
            raise MetaoptError(f"override['{name}'] takes the place of {group[name]!r}, but got {said(value)}.")
