"""Store optimizer states as tensors and JSON, so that checkpoints are safetensors files and nothing is pickled."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def pack_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split the state of an optimizer into named tensors and values for JSON.

    Args:
        optimizer: The optimizer.

    Returns:
        The tensors by name, and the other values.
    """
    state = optimizer.state_dict()
    tensors = {f"{i}/{key}": v for i, entry in state["state"].items() for key, v in entry.items()}
    return tensors, {"param_groups": state["param_groups"]}


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
    """Restore the state of an optimizer from what :func:`pack_optimizer` returned.

    Args:
        optimizer: The optimizer to restore.
        tensors: The tensors by name.
        rest: The other values.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split("/")
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": rest["param_groups"]})
