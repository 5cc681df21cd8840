"""Check the entries of cards that this library reads; all others are their writer's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core import MetaoptError

# What an entry holds, if the card has it: its type and an example.
KINDS: dict[str, tuple[type, str]] = {
    "derived": (list, "a list of names"),
    "dtypes": (dict, "a mapping from names to precisions"),
    "tasks": (list, "a list such as ['denoise']"),
    "trained_range": (dict, "a mapping with intensity and noise"),
}


def check_entries(card: Mapping[str, Any], what: str) -> None:
    """Check that the entries of a card that are read are of their types, and lists of texts hold texts.

    Args:
        card: The entries.
        what: What the card is, for error messages, such as ``"the card a.json"``.

    Raises:
        MetaoptError: One is not.
    """
    for name, (kind, example) in KINDS.items():
        value = card.get(name)
        if name not in card or (value is None and name == "tasks"):
            continue
        texts = kind is dict or (isinstance(value, list) and all(isinstance(item, str) and item for item in value))
        if not isinstance(value, kind) or not texts or (name == "tasks" and not value):
            raise MetaoptError(f"The entry {name!r} of {what} is {example}, not {value!r:.80}.")


def named_tensors(call: Any) -> set[str]:
    """Return the names of the tensors beside a card that its ``call`` refers to.

    Args:
        call: The call, or a part of it.
    """
    if isinstance(call, list):
        return set().union(*map(named_tensors, call))
    if not isinstance(call, Mapping):
        return set()
    if set(call) == {"tensor"}:
        return {str(call["tensor"])}
    return set().union(*map(named_tensors, call.values()))
