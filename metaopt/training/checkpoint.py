"""Store what a training needs to go on, in two generations, and say what training a checkpoint belongs to.

Checkpoints are safetensors files with a digest, in which optimizer states are tensors and JSON; nothing is pickled.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core import MetaoptError
from ..core.errors import warn
from ..core.tree import describe
from ..losses import TrainingLoss
from ..weights import load_tensors, save_tensors
from ..weights.tensors import not_finite
from .settings import Settings

NEWEST, PREVIOUS = "checkpoint.safetensors", "checkpoint.previous.safetensors"
KINDS = ("parameter", "average", "buffer", "optimizer")
MAY_CHANGE = ("settings.updates",)  # what may differ in a run that goes on
RECIPE = ("model", "task", "validation", "start")  # entries of a recipe beside settings, loss and seed

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
    try:
        for name, tensor in tensors.items():
            index, key = name.split("/")
            state.setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": rest["param_groups"]})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MetaoptError(
            f"The checkpoint holds the state of another optimizer than {type(optimizer).__name__} ({error}); train in "
            "a new folder."
        ) from error


def describe_training(
    settings: Settings, loss: TrainingLoss, task: Any, recipe: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Describe a training for its checkpoint, so that only the same training goes on from there.

    Args:
        settings: The settings.
        loss: The training loss.
        task: The task; the name of its class is kept.
        recipe: The entries of its recipe, or None.

    Returns:
        Nested mappings, lists, texts and numbers.
    """
    return {
        "settings": _described(settings),
        "loss": _described(loss),
        "task": type(task).__qualname__,
        "recipe": None if recipe is None else _described({key: recipe[key] for key in RECIPE if key in recipe}),
    }


def check_same_training(path: Path, found: Any, own: Mapping[str, Any]) -> None:
    """Check that a checkpoint belongs to this training; earlier versions did not record what it belongs to.

    Args:
        path: The checkpoint, for error messages.
        found: What :func:`describe_training` returned when it was written, or None.
        own: What it returns for this training.

    Raises:
        MetaoptError: They differ; the message says in what.
    """
    if found is None:
        return
    then, now = (dict(_flat(_described(training))) for training in (found, own))
    other = [k for k in sorted(then.keys() | now.keys()) if then.get(k) != now.get(k) and k not in MAY_CHANGE]
    if other:
        said = [f"{values[other[0]]!r:.80}" if other[0] in values else "nothing" for values in (then, now)]
        rest = f" ({len(other)} entries differ in all)" if len(other) > 1 else ""
        raise MetaoptError(
            f"{path} belongs to another training: its {other[0]} is {said[0]}, but that of this one is {said[1]}"
            f"{rest}; train in a new folder, or remove it."
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
            if path == paths[-1]:
                raise MetaoptError(f"{error} There is no other checkpoint in {folder} to go on from.") from error
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


def _described(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        return describe(value)
    if isinstance(value, list | tuple):
        return [_described(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _described(item) for key, item in value.items()}
    if isinstance(value, functools.partial):
        return [_described(value.func), _described(value.args), _described(value.keywords)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            "class": type(value).__qualname__,
            **{f.name: _described(getattr(value, f.name)) for f in dataclasses.fields(value)},
        }
    return getattr(value, "__qualname__", type(value).__qualname__)


def _flat(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    items = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    if not items:
        yield path, node
    for key, value in items:
        yield from _flat(value, f"{path}.{key}".lstrip("."))
