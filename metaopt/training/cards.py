"""Write the card of a training, which records what a reader of its weights must know."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..core import MetaoptError, Unrolled
from ..core.errors import warn
from ..weights.cards import card_of


def arguments_of(net: Unrolled[Any, Any, Any]) -> dict[str, Tensor]:
    """Return the tensors that are arguments of the call that made ``net``, to be stored beside its own tensors.

    Args:
        net: The network.

    Returns:
        A mapping from names in the file to tensors, empty where no public constructor made the network.
    """
    found = _card_of(net, {})
    return {} if found is None else found[1]


def card_of_training(
    net: Unrolled[Any, Any, Any], result: Mapping[str, Any], card: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the card of a trained network.

    Args:
        net: The network.
        result: What :func:`~metaopt.training.train` returned.
        card: Further entries.

    Returns:
        The card, or None where no public constructor made ``net``, because then no card can say how to build it.
    """
    device = next(net.parameters()).device
    entries = {
        "trained_steps": net.steps,
        "updates": result["updates"],
        "minutes": round(result["minutes"], 1),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "validation_loss": _finite(result["validation"]),
        "torch": torch.__version__,
        "date": datetime.date.today().isoformat(),
    }
    found = _card_of(net, {**entries, **card})
    return None if found is None else found[0]


def _finite(value: float | None) -> float | None:
    """Return a number that JSON can hold, or None; weights that were trained are worth a card all the same."""
    if value is None or math.isfinite(value):
        return value
    warn(f"The validation loss is {value}, so the card of these weights has none; look at the validation's batches.")
    return None


def _card_of(net: Unrolled[Any, Any, Any], card: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Return what :func:`~metaopt.weights.cards.card_of` does; None where nothing can say how ``net`` was made."""
    try:
        return card_of(net, card)
    except MetaoptError:
        return None
