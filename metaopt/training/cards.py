"""The card of a training: what a reader of its weights must know."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..core import MetaoptError, Unrolled
from ..records import record_of
from ..weights import save


def write_card(net: Unrolled[Any, Any, Any], folder: Path, result: Mapping[str, Any], card: Mapping[str, Any]) -> bool:
    """Write ``weights.safetensors`` and its card to ``folder``, where a public constructor made ``net``.

    Args:
        net: As it was trained.
        folder: Of the training.
        result: What :func:`~metaopt.training.train` returns.
        card: Further entries.

    Returns:
        Whether it was written. Of a network that nothing public made, no card can say how to build it.
    """
    try:
        card = {"call": record_of(net), **card}
    except MetaoptError:
        if "call" not in card:
            return False
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
    save(net, folder / "weights.safetensors", {**entries, **card})
    return True
