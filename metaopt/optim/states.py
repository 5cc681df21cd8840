"""Tell whether a saved state is that of an optimizer with the same update and parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ..arguments.checks import said
from ..core import MetaoptError
from ..updates.update import Update
from .working import update_name

# What groups hold in the states of torch's own optimizers, and never in those of this library.
FOREIGN = ("weight_decay", "maximize", "foreach", "eps", "rho", "etas", "history_size")


def check_state(
    state_dict: Any, update: Update, groups: Sequence[Mapping[str, Any]], shapes: Sequence[list[tuple[int, ...]]]
) -> list[dict[str, Any]]:
    """Return the entries of each parameter, in order, if the state fits.

    Args:
        state_dict: The saved state.
        update: The update of the optimizer that is to take it over.
        groups: The parameter groups of that optimizer.
        shapes: For each parameter the shapes of what the update remembers of it.

    Raises:
        MetaoptError: It is no state of an optimizer, that of another one, or that of other parameters.
    """
    if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
        raise MetaoptError(
            f"A state of an optimizer is a dict with 'state' and 'param_groups', but got {said(state_dict)}."
        )
    own, saved = update_name(update), state_dict["param_groups"]
    if state_dict.get("update", own) != own:
        raise MetaoptError(f"This is the state of an optimizer by {state_dict['update']}, but this one is by {own}.")
    entries = [name for kept in state_dict["state"].values() for name in kept]
    odd = [name for name in entries if name not in ("step", "touched") and not str(name).startswith("memory_")]
    odd += [name for group in saved for name in FOREIGN if name in group and "update" not in state_dict]
    if odd:
        raise MetaoptError(
            f"This is the state of another optimizer, since it holds '{odd[0]}'; one by {own} takes over only a state "
            "that an optimizer by the same update gave."
        )
    counts = [[len(group["params"]) for group in part] for part in (saved, groups)]
    if counts[0] != counts[1]:
        raise MetaoptError(
            f"The state is of parameter groups of {counts[0]} parameters, but the optimizer has groups of {counts[1]}."
        )
    kept = [dict(state_dict["state"].get(i, {})) for group in saved for i in group["params"]]
    for i, (mine, expected) in enumerate(zip(kept, shapes, strict=True)):
        found = [tuple(v.shape) for name, v in mine.items() if name.startswith("memory_") and isinstance(v, Tensor)]
        if mine and found != expected:
            raise MetaoptError(
                f"The state of parameter {i} holds tensors of shapes {found}, but {own} remembers {expected} of it."
            )
    return kept
