"""Store what a training needs to go on, in two generations.

Checkpoints are safetensors files with a digest, in which optimizer states are tensors and JSON; nothing is pickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core import MetaoptError
from ..core.errors import warn
from ..weights import load_tensors, save_tensors
from ..weights.tensors import not_finite

NEWEST, PREVIOUS = "checkpoint.safetensors", "checkpoint.previous.safetensors"
WEIGHTS = "weights.safetensors"
WRITTEN = (NEWEST, PREVIOUS, WEIGHTS, "weights.json", "log.csv")
KINDS = ("parameter", "average", "buffer", "optimizer")

Parts = dict[str, dict[str, Tensor]]


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

    Raises:
        MetaoptError: The state is that of another optimizer.
    """
    state: dict[int, dict[str, Tensor]] = {}
    shapes = dict(enumerate(p.shape for group in optimizer.param_groups for p in group["params"]))
    try:
        for name, tensor in tensors.items():
            index, key = name.split("/")
            state.setdefault(int(index), {})[key] = tensor
            if tensor.numel() != 1 and tensor.shape != shapes[int(index)]:
                raise ValueError(f"{name} has the shape {tuple(tensor.shape)}")
        optimizer.load_state_dict({"state": state, "param_groups": rest["param_groups"]})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MetaoptError(
            f"The checkpoint holds the state of another optimizer than {type(optimizer).__name__} ({error}); train in "
            "a new folder."
        ) from error


def check_places(folder: Path) -> None:
    """Check before the work that files can be written where a training writes them.

    Args:
        folder: The folder of the training.

    Raises:
        MetaoptError: A folder is there.
    """
    for path in (folder / name for name in WRITTEN):
        if path.is_dir():
            raise MetaoptError(
                f"{path} is a folder, where the training writes a file; rename it, or choose another folder."
            )


def write_checkpoint(folder: Path, parts: Parts, card: Mapping[str, Any]) -> None:
    """Write a checkpoint; the one before is kept as ``checkpoint.previous.safetensors``.

    Args:
        folder: The folder of the training.
        parts: Tensors by name, by their kind.
        card: What else goes into it, which JSON can hold.

    Raises:
        MetaoptError: It cannot be written, or a value is not finite.
    """
    tensors = {f"{kind}/{name}": tensor for kind, of in parts.items() for name, tensor in of.items()}
    if (name := _spoilt(tensors)) is not None:
        raise MetaoptError(
            f"After update {card['update']}, {name} holds values that are NaN or infinite. The last checkpoint in "
            f"{folder} is intact; lower the rate or the clip."
        )
    save_tensors(folder / NEWEST, tensors, card, keep=folder / PREVIOUS)


def read_checkpoint(folder: Path) -> tuple[Path, Parts, dict[str, Any]] | None:
    """Read the newest checkpoint, or the one before where that is damaged.

    Args:
        folder: The folder of the training.

    Returns:
        Its path, its tensors by kind and name, and its card, or None where there is no checkpoint.

    Raises:
        MetaoptError: It is damaged, and so is the one before, or there is none.
    """
    paths = [folder / name for name in (NEWEST, PREVIOUS) if (folder / name).exists()]
    for path in paths:
        try:
            tensors, card = load_tensors(path)
            if (name := _spoilt(tensors)) is not None:
                raise MetaoptError(f"{path} is damaged: {name} holds values that are NaN or infinite.")
        except MetaoptError as error:
            if isinstance(error.__cause__, PermissionError):  # it may be whole
                raise
            if path == paths[-1]:
                raise MetaoptError(
                    f"{error} There is no other checkpoint in {folder} to go on from; train in a new folder, or remove "
                    "the damaged ones to start anew."
                ) from error
            warn(f"{error} The training goes on from the checkpoint before it, {paths[-1]}.")
        else:
            return path, _parts(tensors), card
    return None


def _parts(tensors: Mapping[str, Tensor]) -> Parts:
    parts: Parts = {kind: {} for kind in KINDS}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition("/")
        parts.setdefault(kind, {})[rest] = tensor
    return parts


def _spoilt(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of a tensor that is not finite; buffers may hold infinities, such as those of a mask."""
    return not_finite({name: tensor for name, tensor in tensors.items() if not name.startswith("buffer/")})
