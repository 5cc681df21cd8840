"""Say of an update what an optimizer of torch must know: its name, its dtype, the options that schedulers change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..core import tree
from ..core.slots import ValueSlot
from ..updates import Adam, AdamW, Momentum, Nesterov
from ..updates.update import Update


def update_name(update: Update) -> str:
    """Return the name of the update's class, also of a compiled one."""
    return type(getattr(update, "_orig_mod", update)).__name__


def working_dtype(update: Update) -> torch.dtype | None:
    """Return the dtype of a learned update's weights; None of an update that has none, slots of numbers apart."""
    network: Any = update
    modules = network.modules() if isinstance(network, nn.Module) else ()
    weights = [p for m in modules if not isinstance(m, ValueSlot) for p in m.parameters(recurse=False)]
    return next((p.dtype for p in weights if p.is_floating_point()), None)


def cycled_options(update: Update) -> dict[str, Any]:
    """Return what schedulers such as ``OneCycleLR`` change besides ``lr``, by torch's names, with the update's values.

    Only fixed slots count: what is learned, or differs from step to step, is not a scheduler's to change.
    """
    names = ("beta1", "beta2") if type(update) in (Adam, AdamW) else ("momentum",)
    slots = [getattr(update, name, None) for name in names] if type(update) in (Adam, AdamW, Momentum, Nesterov) else []
    values = [_fixed(slot) for slot in slots]
    if not values or None in values:
        return {"momentum": 0.0}
    return {"betas": tuple(values)} if len(values) > 1 else {"momentum": values[0]}


def _fixed(slot: Any) -> float | None:
    value = slot.value if isinstance(slot, ValueSlot) and slot.steps is None and "value" in slot._buffers else None
    return float(value) if isinstance(value, Tensor) and value.numel() == 1 else None


def tuned(update: Any, own: Mapping[str, Any], group: Mapping[str, Any]) -> Any:
    """Return the update with the ``betas`` or ``momentum`` of a parameter group, where they differ from its own.

    Args:
        update: The update.
        own: What :func:`cycled_options` says of it.
        group: A parameter group.
    """
    values: dict[str, Tensor] = {}
    if "betas" in own and tuple(group["betas"]) != own["betas"]:
        names = ("beta1.value", "beta2.value")
        values = {n: torch.as_tensor(v, dtype=torch.float64) for n, v in zip(names, group["betas"], strict=True)}
    elif own.get("momentum") and group["momentum"] != own["momentum"]:
        values = {"momentum.value": torch.as_tensor(group["momentum"], dtype=torch.float64)}
    return tree.substitute(update, values) if values else update
