"""Write the card of a training, which records what a reader of its weights must know."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..core import MetaoptError, Unrolled
from ..records import record_of
from ..weights.cards import card_of


def arguments_of(net: Unrolled[Any, Any, Any]) -> dict[str, Tensor]:
    """Return the tensors that are arguments of the call that made ``net``, to be stored beside its own tensors.

    Args:
        net: The network.

    Returns:
        A mapping from names in the file to tensors, empty where no public constructor made the network.
    """
    return card_of(net, {})[1] if _is_recorded(net) else {}


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
    if not _is_recorded(net):
        return None
    device = next(net.parameters()).device
    entries = {
        "trained_steps": net.steps,
        "updates": result["updates"],
        "minutes": round(result["minutes"], 1),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "validation_loss": result["validation"],
        "torch": torch.__version__,
        "date": datetime.date.today().isoformat(),
    }
    return card_of(net, {**entries, **card})[0]


def _is_recorded(net: Unrolled[Any, Any, Any]) -> bool:
    try:
        record_of(net)
    except MetaoptError:
        return False
    return True
